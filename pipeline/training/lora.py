"""LoRA: small matrices beside the GPT's own, which alone are trained (Hu et al., 2021).

They go to all linear layers of the transformer's blocks (attention and feed-forward). Embeddings, heads and the
conditioning encoder stay as they are: the base model knows its tokens, and a voice is learnt in the blocks.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

ADAPTER = "voice"
LAYERS = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")  # of each GPT-2 block; all are Conv1D
_BASE = "base_layer."


def add_lora(gpt: Any, rank: int, seed: int) -> None:
    """Put LoRA's matrices into the GPT; from then on only they take gradients."""
    from peft import LoraConfig, inject_adapter_in_model

    # alpha is twice the rank, as is usual: then a larger rank asks for no other learning rate.
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=list(LAYERS), lora_dropout=0.0, fan_in_fan_out=True)
    gpt.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, gpt.gpt, adapter_name=ADAPTER)


def merged_state(gpt: Any) -> dict[str, Tensor]:
    """Return the GPT's weights under Coqui's names, LoRA's added in. The model itself stays as it is, bit for bit."""
    state = {key.replace(_BASE, ""): value for key, value in gpt.state_dict().items() if ".lora_" not in key}
    for name, module in gpt.named_modules():
        if hasattr(module, "get_delta_weight"):
            key = f"{name}.weight"
            state[key] = state[key] + module.get_delta_weight(ADAPTER).to(state[key].dtype)
    return state

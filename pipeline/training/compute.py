"""How training computes: precision, threads, HF's Accelerate, dropout's seeds, and memory that runs out."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import psutil
import torch

from ..errors import SettingError

if TYPE_CHECKING:
    from accelerate import Accelerator


def choose_precision(wanted: str, device: str) -> str:
    """Return the precision as Accelerate names it. Raises SettingError where the device doesn't have it."""
    if device != "cuda":
        if wanted in ("auto", "float32"):
            return "no"
        raise SettingError(f"Precision {wanted} needs an NVIDIA GPU, and this trains on “{device}”: choose float32.")
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    if wanted == "bf16" and not bf16:
        raise SettingError("This GPU doesn't compute in bf16: choose the precision auto, fp16 or float32.")
    if wanted == "auto":
        return "bf16" if bf16 else "fp16"
    return "no" if wanted == "float32" else wanted


def use_all_cores() -> None:
    """Undo torch.set_num_threads(1), which silero-vad and Coqui's dataset module call when they are imported."""
    if torch.get_num_threads() == 1 and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(psutil.cpu_count(logical=False) or 1)


def seed_of(seed: int, step: int, batch: int) -> int:
    """Return the seed of a batch's dropout: another for each, and the same each time."""
    words = np.random.SeedSequence([seed, step, batch]).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(1))


def is_out_of_memory(fault: RuntimeError) -> bool:
    """Tell whether memory ran out, on a GPU or the CPU."""
    return isinstance(fault, torch.OutOfMemoryError) or "allocate memory" in str(fault)


def build_accelerator(precision: str, device: str) -> Accelerator:
    """Return HF's Accelerator, made anew: it keeps its settings for the process, and a second run may have others."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(mixed_precision=precision, cpu=device == "cpu")

"""The model that is trained: Coqui's XTTS, of which the GPT with its conditioning encoder learns and the rest stays.

Built from Coqui's own classes, without its trainer and dataset. The parts that only training needs are made here
too: the two mel spectrograms and the DVAE, with the values of coqui-tts 0.28.0's GPTTrainer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..audio import CLIP_RATE
from ..errors import ModelError
from ..progress import Progress
from ..records import Voice
from ..weights import load_xtts, new_dvae, write_checkpoint
from ..workspace import read_json
from .audit import TrainClip
from .cache import ClipCache, as_float

if TYPE_CHECKING:
    from TTS.tts.layers.xtts.dvae import DiscreteVAE
    from TTS.tts.models.xtts import Xtts


def load_model(base: Path) -> Xtts:
    """Return the base model on the CPU with its GPT ready to be trained. Raises ModelError."""
    voice = Voice(base / "model.pth", base / "config.json", base / "vocab.json", None, mel_stats=base / "mel_stats.pth")
    xtts = load_xtts(voice)
    if not xtts.args.gpt_use_perceiver_resampler:
        raise ModelError(f"“{base.name}” is an XTTS v1 model: take an XTTS v2 model to train.")
    _drop_inference(xtts)
    xtts.requires_grad_(False)
    xtts.gpt.requires_grad_(True)
    return xtts


@contextmanager
def ready_to_speak(xtts: Xtts) -> Iterator[None]:
    """Give the GPT what generation needs for a while, in evaluation mode, and leave it as it was."""
    training = xtts.gpt.training
    xtts.gpt.init_gpt_for_inference(kv_cache=xtts.args.kv_cache)
    xtts.gpt.eval()
    try:
        yield
    finally:
        _drop_inference(xtts)
        xtts.gpt.train(training)


def _drop_inference(xtts: Xtts) -> None:
    """Remove generation's parts: they are the GPT's own tensors under other names."""
    del xtts.gpt.gpt_inference
    del xtts.gpt.gpt.wte


def save_voice(path: Path, xtts: Xtts, gpt_state: dict[str, Tensor], config: Path) -> None:
    """Write weights that stock Coqui loads with the config.json beside them. Raises WorkspaceError.

    `gpt_state` is the GPT's, merged and unwrapped; what was not trained comes from `xtts`.
    """
    state = {key: value for key, value in xtts.state_dict().items() if not key.startswith("gpt.")}
    state |= {f"gpt.{key}": value for key, value in gpt_state.items()}
    # `Infinity` of the published config.json is read as a float, which the checkpoint may hold.
    write_checkpoint(path, {key: value.detach().cpu() for key, value in state.items()}, read_json(config))


# ---- Mels and codes -----------------------------------------------------------------------------------------------


def conditioning_mel(base: Path) -> nn.Module:
    """Return what turns conditioning samples (rows, samples) into mels (rows, 80, frames)."""
    from TTS.tts.layers.tortoise.arch_utils import TorchMelSpectrogram

    return TorchMelSpectrogram(
        filter_length=2048,
        hop_length=256,
        win_length=1024,
        normalize=False,
        sampling_rate=CLIP_RATE,
        mel_fmin=0,
        mel_fmax=8000,
        n_mel_channels=80,
        mel_norm_file=str(base / "mel_stats.pth"),
    )


def load_dvae(base: Path, audio_tokens: int) -> DiscreteVAE:
    """Return the DVAE that turns mels into audio codes; `audio_tokens` counts start and stop too."""
    dvae = new_dvae(audio_tokens)
    file = base / "dvae.pth"
    try:
        dvae.load_state_dict(torch.load(file, map_location="cpu", weights_only=True), strict=False)
    except (RuntimeError, OSError, EOFError, ValueError) as fault:
        raise ModelError(f"“{file}” is broken or of another model: copy or download it again.") from fault
    return dvae.eval().requires_grad_(False)


class Encoder:
    """Computes audio codes with the DVAE, which is loaded when the first clip needs it."""

    def __init__(self, base: Path, audio_tokens: int, device: str) -> None:
        self._base = base
        self._audio_tokens = audio_tokens
        self._device = device

    def encode_missing(self, clips: Sequence[TrainClip], cache: ClipCache, progress: Progress) -> int:
        """Compute and keep the codes of the clips that have none yet, and return how many that were."""
        missing = list({clip.sha256: clip for clip in clips if not cache.has_codes(clip.sha256)}.values())
        if not missing:
            return 0
        dvae, mel = self._load()
        for number, clip in enumerate(missing):
            progress.check()
            progress.update(None, f"Computing audio codes: {number + 1} of {len(missing)}")
            samples = torch.from_numpy(as_float(cache.samples(clip.sha256)))
            with torch.inference_mode():
                codes = dvae.get_codebook_indices(mel(samples.unsqueeze(0).to(self._device)))
            # A length that is a multiple of the stride gives one code more than the clip has: Coqui drops it too.
            cache.keep_codes(clip.sha256, codes[0, : clip.codes].cpu().numpy())
        return len(missing)

    def _load(self) -> tuple[Any, nn.Module]:
        from TTS.tts.layers.tortoise.arch_utils import TorchMelSpectrogram

        mel = TorchMelSpectrogram(mel_norm_file=str(self._base / "mel_stats.pth"), sampling_rate=CLIP_RATE)
        return load_dvae(self._base, self._audio_tokens).to(self._device), mel.to(self._device)

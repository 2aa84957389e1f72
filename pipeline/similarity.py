"""How alike the voices of a dataset's clips are: finds other speakers. Needs the speaker encoder of a base model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .audio import CLIP_RATE, FloatArray, decode
from .base_models import list_base_models
from .dataset_files import settings_key
from .errors import AudioError, ModelError
from .progress import Progress
from .quality import similarities
from .records import Clip
from .workspace import Project, Workspace, atomic_path

_WEIGHTS = "hifigan_decoder.speaker_encoder."
_RATE = 16_000
# What Coqui builds XTTS's speaker encoder with: HifiDecoder.speaker_encoder_audio_config.
_SPECTROGRAM = {
    "fft_size": 512,
    "win_length": 400,
    "hop_length": 160,
    "sample_rate": _RATE,
    "preemphasis": 0.97,
    "num_mels": 64,
}


class SpeakerEncoder:
    """XTTS's speaker encoder: turns speech into 512 figures that tell voices apart."""

    def __init__(self, model: Path, device: str = "cpu") -> None:
        """Load it out of a base model's model.pth; nothing else of it is read into memory."""
        from TTS.encoder.models.resnet import ResNetSpeakerEncoder

        from .weights import read_state

        state = read_state(model, mapped=True)
        self.device = device
        self._model: Any = ResNetSpeakerEncoder(
            input_dim=64, proj_dim=512, log_input=True, use_torch_spec=True, audio_config=_SPECTROGRAM
        )
        own = {key.removeprefix(_WEIGHTS): value for key, value in state.items() if key.startswith(_WEIGHTS)}
        self._model.load_state_dict(own)
        self._model.eval().to(device)

    def embed(self, samples: FloatArray) -> FloatArray:
        """Return the unit vector of speech at 22 050 Hz."""
        import torch
        from torchaudio.functional import resample

        with torch.inference_mode():
            audio = resample(torch.from_numpy(samples)[None], CLIP_RATE, _RATE)
            vector = self._model.forward(audio.to(self.device), l2_norm=True)
        return np.asarray(vector.cpu(), np.float32).reshape(-1)


def find_encoder(ws: Workspace) -> Path | None:
    """Return the model.pth of a whole base model; None where there is none but the demo's, which has learnt nothing."""
    whole = [model for model in list_base_models(ws) if model.whole and not model.demo and model.path.is_dir()]
    return whole[0].path / "model.pth" if whole else None


def measure_similarity(ws: Workspace, project: Project, clips: Sequence[Clip], progress: Progress) -> dict[str, float]:
    """Return each clip's similarity to the voice of them all, by file; nothing where no base model is there.

    What is computed for a clip is kept under cache/, for the mean changes with every clip that is added.
    """
    model = find_encoder(ws)
    if model is None or not clips:
        return {}
    try:
        return similarities(_embed_all(project, clips, model, progress))
    except ModelError as fault:
        progress.log(f"Warning: the voices of the clips aren't compared: {fault}", "Model Operations")
        return {}


def _embed_all(project: Project, clips: Sequence[Clip], model: Path, progress: Progress) -> dict[str, FloatArray]:
    """Return the vector of each clip that has a sound, computing those that aren't known yet."""
    kept = project.cache / f"voices-{settings_key(model, model.stat().st_size)}.npz"
    known = _read_vectors(kept)
    vectors: dict[str, FloatArray] = {}
    encoder: SpeakerEncoder | None = None
    for number, clip in enumerate(clips):
        path = project.path / clip.file
        if not path.is_file():
            continue
        sign = f"{clip.file}:{path.stat().st_size}"
        if sign not in known:
            progress.check()
            progress.update(None, f"Comparing voices: clip {number + 1} of {len(clips)}")
            encoder = encoder or SpeakerEncoder(model)
            try:
                known[sign] = encoder.embed(decode(path, CLIP_RATE))
            except AudioError as fault:
                progress.log(f"Warning: {fault}", "Validation")
                continue
        vectors[clip.file] = known[sign]
    if encoder is not None:
        with atomic_path(kept) as beside, beside.open("wb") as file:
            np.savez(file, signs=np.array(list(known)), vectors=np.stack(list(known.values())))
    return vectors


def _read_vectors(kept: Path) -> dict[str, FloatArray]:
    if not kept.is_file():
        return {}
    with np.load(kept, allow_pickle=False) as data:
        return dict(zip(data["signs"].tolist(), data["vectors"], strict=True))

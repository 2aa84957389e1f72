"""What training computes once per clip and keeps: its samples and its audio codes.

`<project>/cache/training/samples/` holds each clip's samples as 16 bit at 22,050 Hz, named by the sha256 of the
file they were decoded from; `codes/<key>/` holds its audio codes, where the key stands for the DVAE, the mel
statistics and the way they are computed. So a changed clip, another base model or another version of this file finds
nothing of the old, and a dataset that grew finds all of it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..audio import CLIP_RATE, FloatArray, content_hash, decode
from ..workspace import atomic_path

SamplesArray = npt.NDArray[np.int16]
CodesArray = npt.NDArray[np.int16]

# Part of the codes' key: count up when the way from samples to codes changes.
CODES_VERSION = 1
FULL_SCALE = 32_768
STRIDE = 1024  # samples a code stands for: the DVAE's stride of 4 over the mel's hop of 256


def code_count(samples: int) -> int:
    """Return how many audio codes that many samples have (GPT.forward of coqui-tts: ceil(samples / 1024))."""
    return -(-samples // STRIDE)


def codes_key(base: Path) -> str:
    """Return what the codes of a base model are kept under: they depend on its DVAE and mel statistics only."""
    parts = [content_hash(base / name) for name in ("dvae.pth", "mel_stats.pth")]
    return hashlib.sha256(" ".join([*parts, str(CLIP_RATE), str(CODES_VERSION)]).encode()).hexdigest()[:16]


class ClipCache:
    """Samples and codes of clips on disk, by the hash of the clip's file. Cheap to make, and to send to a worker."""

    def __init__(self, folder: Path, key: str) -> None:
        self._samples = folder / "samples"
        self._codes = folder / "codes" / key

    def add(self, path: Path) -> str:
        """Decode the file unless its content is here already, and return its hash. Raises AudioError."""
        sha256 = content_hash(path)
        kept = self._samples / f"{sha256}.npy"
        if not kept.is_file():
            _save(kept, _to_int16(decode(path, CLIP_RATE)))
        return sha256

    def samples(self, sha256: str) -> SamplesArray:
        """Return the clip's samples, mapped from the disk: only what is used of them is read."""
        kept: SamplesArray = np.load(self._samples / f"{sha256}.npy", mmap_mode="r")
        return kept

    def has_codes(self, sha256: str) -> bool:
        return (self._codes / f"{sha256}.npy").is_file()

    def codes(self, sha256: str) -> CodesArray:
        kept: CodesArray = np.load(self._codes / f"{sha256}.npy")
        return kept

    def keep_codes(self, sha256: str, codes: npt.NDArray[np.integer]) -> None:
        _save(self._codes / f"{sha256}.npy", codes.astype(np.int16))


def as_float(samples: SamplesArray) -> FloatArray:
    """Return kept samples as float32 in -1 to 1."""
    return samples.astype(np.float32) / np.float32(FULL_SCALE)


def _to_int16(samples: FloatArray) -> SamplesArray:
    """Return samples as they are kept. Those of a 16 bit file are kept exactly."""
    return np.clip(np.rint(samples * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def _save(path: Path, array: npt.NDArray[np.int16]) -> None:
    with atomic_path(path) as beside, beside.open("wb") as file:
        np.save(file, array)

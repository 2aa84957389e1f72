"""The part of a clip that the editor has left is found again, however the browser resampled it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soxr

from pipeline.audio import CLIP_RATE, write_wav
from pipeline.errors import AudioError
from ui.trim import find_kept_part

SECONDS = 5.0


def _voice(seed: int) -> np.ndarray:
    """Noise that swells and fades like syllables, mono float32 at CLIP_RATE."""
    random = np.random.default_rng(seed)
    time = np.arange(int(SECONDS * CLIP_RATE)) / CLIP_RATE
    smooth = np.convolve(random.standard_normal(len(time)), np.ones(8) / 8, mode="same")
    return (0.2 * smooth * np.abs(np.sin(time * 7))).astype(np.float32)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    write_wav(tmp_path / "clip.wav", _voice(1), CLIP_RATE)
    return tmp_path / "clip.wav"


@pytest.mark.parametrize(("start", "end"), [(0.0, 2.0), (1.25, 3.5), (3.0, 5.0), (2.0, 2.4)])
@pytest.mark.parametrize("browser_rate", [44_100, 48_000])
def test_the_part_is_found_to_the_millisecond(clip: Path, start: float, end: float, browser_rate: int) -> None:
    part = _voice(1)[int(start * CLIP_RATE) : int(end * CLIP_RATE)]
    edited = clip.with_name("edited.wav")
    write_wav(edited, soxr.resample(part, CLIP_RATE, browser_rate), browser_rate)
    kept = find_kept_part(clip, edited)
    assert kept is not None
    assert kept.start == pytest.approx(start, abs=0.001)
    assert kept.end == pytest.approx(end, abs=0.002)


def test_a_clip_that_was_not_trimmed_stays_whole(clip: Path) -> None:
    edited = clip.with_name("edited.wav")
    write_wav(edited, soxr.resample(_voice(1), CLIP_RATE, 48_000), 48_000)
    assert find_kept_part(clip, edited) is None


@pytest.mark.parametrize("length", [0.5, 1.5])
def test_the_sound_of_something_else_is_refused_in_words(clip: Path, length: float) -> None:
    edited = clip.with_name("edited.wav")
    other = np.tile(_voice(2), 2)[: int(length * SECONDS * CLIP_RATE)]
    write_wav(edited, other, CLIP_RATE)
    with pytest.raises(AudioError, match=r"isn't a part of “clip\.wav”"):
        find_kept_part(clip, edited)

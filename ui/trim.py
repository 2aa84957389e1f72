"""Which part of a clip the player's editor has left.

The browser gives back the shortened sound, resampled to its own rate; the dataset wants the same part cut from the
clip itself, so that nothing is resampled twice. So the part is found again by where it matches.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.audio import WHISPER_RATE, FloatArray, decode
from pipeline.errors import AudioError
from pipeline.records import Seconds, Span

# The share of the part's energy that may differ: resampling there and back leaves well under a hundredth, and sound
# of something else leaves about as much as it holds.
_ALIKE = 0.1
_SAME_LENGTH: Seconds = 0.05  # an editor that was opened and left gives the whole clip back


def find_kept_part(clip: Path, edited: Path) -> Span | None:
    """Return the stretch of `clip` that `edited` holds; None where it is the whole clip. Raises AudioError."""
    whole, part = decode(clip, WHISPER_RATE), decode(edited, WHISPER_RATE)
    if abs(len(whole) - len(part)) <= _SAME_LENGTH * WHISPER_RATE:
        return None
    start, difference = _best_match(whole, part) if 0 < len(part) < len(whole) else (0, np.inf)
    if difference > _ALIKE:
        raise AudioError(
            f"The sound in the editor isn't a part of “{clip.name}”: choose the row again and trim it there."
        )
    return Span(start / WHISPER_RATE, (start + len(part)) / WHISPER_RATE)


def _best_match(whole: FloatArray, part: FloatArray) -> tuple[int, float]:
    """Return where in `whole` the `part` fits best, and how much differs there as a share of the part's energy."""
    size = 1 << (len(whole) + len(part)).bit_length()
    spectrum = np.fft.rfft(whole, size) * np.conj(np.fft.rfft(part, size))
    places = len(whole) - len(part) + 1
    product = np.fft.irfft(spectrum, size)[:places]
    sums = np.concatenate([[0.0], np.cumsum(np.square(whole, dtype=np.float64))])
    energy = float(np.square(part, dtype=np.float64).sum())
    difference = sums[len(part) :] - sums[:places] - 2 * product + energy
    start = int(difference.argmin())
    return start, float(difference[start]) / max(energy, 1e-12)

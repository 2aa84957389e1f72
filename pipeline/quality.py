"""How good each clip is: figures per clip, and which clips stand out from the others or from what is sound."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .audio import FloatArray
from .languages import UNSPACED
from .loudness import measure_loudness
from .records import Clip, Seconds, Word

# Absolute rules. They are wide: what lies outside is worth a look in any dataset.
MAX_CLIPPED = 0.001  # share of samples at full scale
MIN_SNR = 15.0  # dB
MIN_CONFIDENCE = 0.5  # mean word probability
MIN_EDGE_DROP = 12.0  # dB that both ends must lie below the speech
CHARACTERS_PER_SECOND = (3.0, 30.0)  # of languages written in letters
SIGNS_PER_SECOND = (1.0, 12.0)  # Chinese, Japanese
MIN_SIMILARITY = 0.5  # cosine to the speaker's mean embedding
# Relative rule: this many robust standard deviations from the median, in a dataset of at least so many clips.
OUTLIER = 4.0
ENOUGH_CLIPS = 8

_FRAME: Seconds = 0.02
_MAX_DECIBELS = 80.0  # a ratio to digital silence counts as this
_FULL_SCALE = 0.999


@dataclass(frozen=True)
class Measure:
    """One figure of a clip that can stand out from the others'."""

    name: str
    unit: str
    floor: float  # what differs by less than this times OUTLIER never stands out, however alike the others are
    low: str  # what to say of a clip that lies far below the others
    high: str = ""  # empty: a high figure is no fault
    fine: float = float("inf")  # from here on a figure is good, whatever the others have


MEASURES = (
    Measure("words_per_second", "words/s", 0.4, "spoken much slower than the others", "spoken much faster"),
    Measure("loudness", "LUFS", 1.5, "much quieter than the others", "much louder than the others"),
    Measure("snr", "dB", 3.0, "noisier than the others", fine=30.0),
    Measure("similarity", "", 0.04, "sounds like another speaker", fine=0.9),
)


# ---- Figures of one clip ------------------------------------------------------------------------------------------


def measure_clip(clip: Clip, samples: FloatArray, sample_rate: int, language: str, words: Sequence[Word] = ()) -> Clip:
    """Return the clip with what can be measured on its sound and words."""
    seconds = len(samples) / sample_rate
    frames = frame_powers(samples, sample_rate)
    loudness = measure_loudness([samples], sample_rate).lufs
    confidence = float(np.mean([word.probability for word in words])) if words else None
    return dataclasses.replace(
        clip,
        seconds=round(seconds, 3),
        words_per_second=round(count_words(clip.text, language) / seconds, 2) if seconds else None,
        loudness=None if loudness is None else round(loudness, 2),
        snr=round(estimate_snr(frames), 1),
        clipped=round(float(np.mean(np.abs(samples) >= _FULL_SCALE)), 6) if len(samples) else 0.0,
        confidence=None if confidence is None else round(confidence, 3),
        edge_drop=round(edge_drop(frames), 1),
    )


def count_words(text: str, language: str) -> int:
    """Return the number of words; in Chinese and Japanese, of signs that are spoken."""
    if language in UNSPACED:
        return sum(letter.isalnum() for letter in text)
    return len(text.split())


def frame_powers(samples: FloatArray, sample_rate: int) -> npt.NDArray[np.float64]:
    """Return the mean square of each frame of 20 ms."""
    size = round(_FRAME * sample_rate)
    whole = len(samples) // size * size
    if not whole:
        return np.zeros(0)
    return np.square(samples[:whole].reshape(-1, size), dtype=np.float64).mean(axis=1)


def estimate_snr(frames: npt.NDArray[np.float64]) -> float:
    """Return the ratio of speech to noise in dB: the noise is what the quietest tenth of the frames hold.

    In a clip without any pause the quietest tenth is speech too, so that the ratio comes out too low, never too high.
    """
    if not len(frames) or frames.max() <= 0:
        return 0.0
    quietest = np.sort(frames)[: max(1, len(frames) // 10)].mean()
    return _decibels(max(_speech_power(frames, quietest) - quietest, 0.0), quietest)


def _speech_power(frames: npt.NDArray[np.float64], noise: float) -> float:
    """Return the mean square of the frames with speech: nearer to the loudest than to the noise, and within 30 dB."""
    loudest = float(frames.max())
    return float(frames[frames >= max(loudest * 1e-3, (loudest * noise) ** 0.5)].mean())


def edge_drop(frames: npt.NDArray[np.float64]) -> float:
    """Return by how many dB the louder end of a clip (its outermost 20 ms) lies below its speech."""
    if not len(frames) or frames.max() <= 0:
        return _MAX_DECIBELS
    return _decibels(_speech_power(frames, 0.0), max(frames[0], frames[-1]))


def _decibels(power: float, reference: float) -> float:
    if power <= 0:
        return 0.0
    if reference <= 0:
        return _MAX_DECIBELS
    return float(np.clip(10 * np.log10(power / reference), -_MAX_DECIBELS, _MAX_DECIBELS))


# ---- Clips among each other ---------------------------------------------------------------------------------------


def flag_clips(clips: Sequence[Clip], language: str) -> tuple[Clip, ...]:
    """Return the clips with the reasons why they stand out; the flags they had are thought over anew."""
    reasons: dict[str, list[str]] = {clip.file: _faults(clip, language) for clip in clips}
    for measure in MEASURES:
        for file, reason in _outliers(clips, measure):
            reasons[file].append(reason)
    for file, reason in find_duplicates(clips):
        reasons[file].append(reason)
    return tuple(dataclasses.replace(clip, flags=tuple(reasons[clip.file])) for clip in clips)


def _faults(clip: Clip, language: str) -> list[str]:
    """Say what is wrong with a clip by the absolute rules."""
    found = []
    if clip.clipped is not None and clip.clipped > MAX_CLIPPED:
        found.append(f"clipped: {clip.clipped:.1%} of its samples are at full scale")
    if clip.snr is not None and clip.snr < MIN_SNR:
        found.append(f"noisy: speech is only {clip.snr:.0f} dB above the noise")
    if clip.confidence is not None and clip.confidence < MIN_CONFIDENCE:
        found.append(f"Whisper is unsure of its words ({clip.confidence:.0%})")
    if clip.edge_drop is not None and clip.edge_drop < MIN_EDGE_DROP:
        found.append("speech may touch its beginning or end")
    if clip.similarity is not None and clip.similarity < MIN_SIMILARITY:
        found.append(f"may be another speaker (similarity {clip.similarity:.2f})")
    spoken = sum(letter.isalnum() for letter in clip.text)
    slow, fast = SIGNS_PER_SECOND if language in UNSPACED else CHARACTERS_PER_SECOND
    if clip.seconds and not slow <= spoken / clip.seconds <= fast:
        found.append(f"its text doesn't fit its length ({spoken} letters in {clip.seconds:.1f} s)")
    return found


def _outliers(clips: Sequence[Clip], measure: Measure) -> list[tuple[str, str]]:
    """Return file and reason of the clips whose figure lies far from the median, by robust z-score."""
    known = [(clip.file, getattr(clip, measure.name)) for clip in clips if getattr(clip, measure.name) is not None]
    if len(known) < ENOUGH_CLIPS:
        return []
    values = np.array([value for _, value in known])
    middle = float(np.median(values))
    # 1.4826 times the median deviation is the standard deviation where values are normally distributed.
    spread = max(1.4826 * float(np.median(np.abs(values - middle))), measure.floor)
    found = []
    for file, value in known:
        what = measure.low if value < middle else measure.high
        if what and value < measure.fine and abs(value - middle) / spread > OUTLIER:
            found.append((file, f"{what} ({value:.3g} {measure.unit}, median {middle:.3g})".replace(" ,", ",")))
    return found


def find_duplicates(clips: Sequence[Clip]) -> list[tuple[str, str]]:
    """Return file and reason of each clip that has the words and nearly the length of an earlier one."""
    earlier: dict[str, list[Clip]] = defaultdict(list)
    found = []
    for clip in clips:
        alike = [
            one for one in earlier[_words_only(clip.text)] if abs(one.seconds - clip.seconds) <= 0.03 * one.seconds
        ]
        if alike:
            what = "the same audio" if any(_sounds_same(one, clip) for one in alike) else "the same words and length"
            found.append((clip.file, f"duplicate: {what} as {alike[0].file}"))
        earlier[_words_only(clip.text)].append(clip)
    return found


def _words_only(text: str) -> str:
    return " ".join("".join(letter if letter.isalnum() else " " for letter in text.casefold()).split())


def _sounds_same(one: Clip, other: Clip) -> bool:
    """Tell whether two clips are one recording: as long to 30 ms, and as clean to 0.2 dB."""
    if one.snr is None or other.snr is None:
        return False
    return abs(one.seconds - other.seconds) < 0.03 and abs(one.snr - other.snr) < 0.2


def similarities(vectors: Mapping[str, FloatArray]) -> dict[str, float]:
    """Return each clip's cosine similarity to the mean of all, out of the speaker embeddings of the clips."""
    if not vectors:
        return {}
    rows = np.stack([np.asarray(vector, np.float64).reshape(-1) for vector in vectors.values()])
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    middle = rows.mean(axis=0)
    cosines = rows @ (middle / max(float(np.linalg.norm(middle)), 1e-12))
    return {file: round(float(cosine), 4) for file, cosine in zip(vectors, cosines, strict=True)}

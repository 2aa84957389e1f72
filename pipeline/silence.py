"""Where a recording is silent, found in its envelope. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from .records import Seconds, Span

DoubleArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]

# How loud speech and background are is looked up around every moment, for both may change within a recording.
_EVERY: Seconds = 2.0
_AROUND: Seconds = 10.0
_SPEECH_PERCENTILE = 95
_FLOOR_PERCENTILE = 10  # where nobody knows when there is speech
_ENOUGH: Seconds = 0.5  # of known silence makes a background level

# The border between sound and silence: a share of the way from background to speech, within these (dB).
_SHARE, _LOW, _HIGH = 0.3, 4.0, 10.0
_FAR = 60.0  # dB under the speech: a background can't be heard any more
_DEEPEST = 40.0  # dB under the speech: what is softer is silence in any case (a room's echo, a breath)
_FAINT = 6.0  # dB over the border; a blip no longer than _BLIP that stays under it is nothing
_BLIP: Seconds = 0.02
# A sound's soft beginning and dying away belong to it: a silence's edges are drawn in to where it is this share of the
# way from background to border, by so much at most, and leave it this share of its length.
_SOFT, _SOFT_MOST, _SOFT_LEFT = 0.4, 0.12, 0.4
_MIN_GAP: Seconds = 0.05
_HIDDEN = 12.0  # dB that speech stands out by, at least, for its energy to tell where it ends
_MIN_DETECTED: Seconds = 0.25  # a silence that only the speech detector knows, in a loud background


@dataclass(frozen=True)
class Envelope:
    """How loud a recording is over time: RMS in dB (full scale 0) of each `hop` seconds."""

    hop: Seconds
    decibels: FloatArray

    @property
    def seconds(self) -> Seconds:
        return self.hop * len(self.decibels)

    def frame(self, time: Seconds) -> int:
        """Return the number of the hop in which the moment lies."""
        return min(max(int(time / self.hop + 1e-6), 0), max(len(self.decibels) - 1, 0))

    def outermost_quiet(self, inner: Seconds, outer: Seconds) -> Seconds:
        """Return the moment nearest to `outer` of those between the two that are about as quiet as the quietest."""
        low, high = sorted((inner, outer))
        first, last = int(np.ceil(low / self.hop - 1e-6)), int(high / self.hop + 1e-6)
        levels = self.decibels[max(first, 0) : last]
        if not len(levels):
            return outer
        quiet = np.flatnonzero(levels <= levels.min() + 3.0)
        number = quiet[-1] + 1 if outer >= inner else quiet[0]
        return float((max(first, 0) + number) * self.hop)


@dataclass(frozen=True)
class Sound:
    """A recording's silences, in order: the first reaches from its start, the last to its end (both may be empty)."""

    envelope: Envelope
    starts: DoubleArray  # of each silence, seconds
    ends: DoubleArray
    speech: tuple[Span, ...]  # by the speech detector; where it was off, whatever isn't silent

    @cached_property
    def _heard(self) -> tuple[DoubleArray, DoubleArray]:
        """Moments, and how much speech there was before each."""
        edges = np.array([[span.start, span.end] for span in self.speech]).reshape(-1)
        lengths = np.zeros_like(edges)
        lengths[1::2] = np.maximum(edges[1::2] - edges[::2], 0)
        return np.concatenate([[0.0], edges]), np.concatenate([[0.0], np.cumsum(lengths)])

    def speech_before(self, times: DoubleArray) -> DoubleArray:
        """Return the seconds of speech before each of the times."""
        return np.interp(times, *self._heard)


def listen(envelope: Envelope, speech: Sequence[Span]) -> Sound:
    """Find the silences of a recording. `speech` is the detector's; one span over everything counts as no detector."""
    seconds = envelope.seconds
    detected = not any(span.seconds >= 0.98 * seconds for span in speech)
    spoken = _mask(speech, envelope) if detected else None
    levels = np.nan_to_num(envelope.decibels.astype(np.float64), nan=-100.0, neginf=-100.0)
    border, soft, contrast = _borders(levels, envelope.hop, spoken)
    quiet = _quiet_frames(levels, border, envelope.hop)
    if spoken is not None:
        _add_detected(quiet, spoken, contrast, envelope.hop)
    starts, ends = _runs(quiet)
    keep = ends - starts >= _MIN_GAP / envelope.hop - 1e-6
    keep |= (starts == 0) | (ends == len(quiet))
    starts, ends = _drawn_in(starts[keep], ends[keep], levels > soft, envelope.hop)
    if not len(starts) or starts[0] > 0:
        starts, ends = np.insert(starts, 0, 0), np.insert(ends, 0, 0)
    if len(starts) == 1 or ends[-1] < len(quiet):
        starts, ends = np.append(starts, len(quiet)), np.append(ends, len(quiet))
    begins, stops = starts.astype(np.float64) * envelope.hop, ends.astype(np.float64) * envelope.hop
    if spoken is None:
        heard = tuple(Span(float(a), float(b)) for a, b in zip(stops[:-1], begins[1:], strict=True) if b > a)
    else:
        heard = tuple(sorted(speech, key=lambda span: span.start))
    return Sound(envelope, begins, stops, heard)


def _mask(spans: Sequence[Span], envelope: Envelope) -> BoolArray:
    """Return for each hop whether it touches one of the spans."""
    mask = np.zeros(len(envelope.decibels), bool)
    for span in spans:
        mask[max(0, int(span.start / envelope.hop)) : int(np.ceil(span.end / envelope.hop - 1e-6))] = True
    return mask


def _quiet_frames(levels: DoubleArray, border: DoubleArray, hop: Seconds) -> BoolArray:
    quiet = levels < border
    starts, ends = _runs(~quiet)
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if end - start <= _BLIP / hop + 1e-6 and (levels[start:end] < border[start:end] + _FAINT).all():
            quiet[start:end] = True
    return quiet


def _add_detected(quiet: BoolArray, spoken: BoolArray, contrast: DoubleArray, hop: Seconds) -> None:
    """Add silences the detector knows and the energy doesn't show: those under music or loud noise."""
    for start, end in zip(*(edge.tolist() for edge in _runs(~spoken)), strict=True):
        if end - start < _MIN_DETECTED / hop:
            continue
        runs = _runs(quiet[start:end])
        seen = len(runs[0]) and (runs[1] - runs[0]).max() >= _MIN_GAP / hop
        if not seen or contrast[(start + end) // 2] < _HIDDEN:
            quiet[start:end] = True


def _runs(mask: BoolArray) -> tuple[IntArray, IntArray]:
    """Return where each run of True begins and ends."""
    edges = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)


def _drawn_in(starts: IntArray, ends: IntArray, audible: BoolArray, hop: Seconds) -> tuple[IntArray, IntArray]:
    """Return silences without the soft end of the sound before and the soft beginning of the sound after."""
    starts, ends = starts.copy(), ends.copy()
    for number, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        most = min(round(_SOFT_MOST / hop), int((end - start) * (1 - _SOFT_LEFT) / 2))
        if start > 0:
            loud = audible[start : start + most]
            starts[number] += most if loud.all() else int(loud.argmin())
        if end < len(audible):
            loud = audible[end - most : end][::-1]
            ends[number] -= most if loud.all() else int(loud.argmin())
    return starts, ends


def _borders(levels: DoubleArray, hop: Seconds, spoken: BoolArray | None) -> tuple[DoubleArray, ...]:
    """Return for each hop the level (dB) below which it is silent, the softer one where nothing at all is heard, and
    how far speech stands out.
    """
    if not len(levels):
        return levels, levels, levels
    step, around = max(1, round(_EVERY / hop)), max(1, round(_AROUND / hop))
    centres = np.arange(0, len(levels) + step, step)
    overall = float(np.percentile(levels if spoken is None or not spoken.any() else levels[spoken], 90))
    found = []
    for centre in centres.tolist():
        window = slice(max(0, centre - around), centre + around)
        near = levels[window]
        background = near[~spoken[window]] if spoken is not None else near[:0]
        loud = float(np.percentile(near, _SPEECH_PERCENTILE)) if len(near) else overall
        loud = max(loud, overall - 15.0)  # nobody speaks here: what is heard isn't held for speech
        if len(background) * hop >= _ENOUGH:
            floor = float(np.median(background))
        else:
            floor = float(np.percentile(near, _FLOOR_PERCENTILE)) if len(near) else -100.0
        contrast = loud - floor
        floor = max(min(floor, loud - 10.0), loud - _FAR)
        border = max(floor + min(max(_SHARE * (loud - floor), _LOW), _HIGH), loud - _DEEPEST)
        found.append((border, floor + _SOFT * (border - floor), contrast))
    return tuple(np.interp(np.arange(len(levels)), centres, one) for one in np.array(found).T)

"""Where a recording is silent, found in its envelope. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from .records import Seconds, Span

DoubleArray = npt.NDArray[np.float64]
FloatArray = npt.NDArray[np.float32]

# How loud speech and background are is looked up around every moment, for both may change within a recording.
_EVERY: Seconds = 2.0
_AROUND: Seconds = 10.0
_SPEECH_PERCENTILE = 95
_FLOOR_PERCENTILE = 10  # where nobody knows when there is speech
_ENOUGH: Seconds = 0.5  # of known silence makes a background level

# The border between sound and silence: a share of the way from background to speech, within these (dB).
_SHARE, _LOW, _HIGH = 0.3, 4.0, 10.0
_DEEPEST = 40.0  # dB under the speech: what is softer is silence in any case (a room's echo, a breath)
_FAINT = 6.0  # dB over the border; a blip no longer than _BLIP that stays under it is nothing
_BLIP: Seconds = 0.02
_MIN_GAP: Seconds = 0.05
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

    def quietest(self, start: Seconds, end: Seconds) -> Seconds:
        """Return the middle of the quietest hop that lies within, the middle of the stretch where none does.

        Of hops equally quiet the middle one is taken.
        """
        first, last = int(np.ceil(start / self.hop - 1e-6)), int(end / self.hop + 1e-6)
        levels = self.decibels[max(first, 0) : last]
        if not len(levels):
            return (start + end) / 2
        lowest = np.flatnonzero(levels <= levels.min() + 0.1)
        return float((max(first, 0) + lowest[len(lowest) // 2] + 0.5) * self.hop)


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
    quiet = _quiet_frames(envelope, spoken)
    starts, ends = _runs(quiet)
    keep = ends - starts >= _MIN_GAP / envelope.hop - 1e-6
    keep |= (starts == 0) | (ends == len(quiet))
    starts, ends = starts[keep], ends[keep]
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


def _mask(spans: Sequence[Span], envelope: Envelope) -> npt.NDArray[np.bool_]:
    """Return for each hop whether it touches one of the spans."""
    mask = np.zeros(len(envelope.decibels), bool)
    for span in spans:
        mask[max(0, int(span.start / envelope.hop)) : int(np.ceil(span.end / envelope.hop - 1e-6))] = True
    return mask


def _quiet_frames(envelope: Envelope, spoken: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.bool_]:
    levels = np.nan_to_num(envelope.decibels.astype(np.float64), nan=-100.0, neginf=-100.0)
    if not len(levels):
        return np.zeros(0, bool)
    border = _border(levels, envelope.hop, spoken)
    quiet = levels < border
    starts, ends = _runs(~quiet)
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if end - start <= _BLIP / envelope.hop + 1e-6 and (levels[start:end] < border[start:end] + _FAINT).all():
            quiet[start:end] = True
    if spoken is not None:
        _add_detected(quiet, spoken, envelope.hop)
    return quiet


def _add_detected(quiet: npt.NDArray[np.bool_], spoken: npt.NDArray[np.bool_], hop: Seconds) -> None:
    """Add silences the detector knows and the energy doesn't show: those under music or loud noise."""
    for start, end in zip(*(edge.tolist() for edge in _runs(~spoken)), strict=True):
        if end - start < _MIN_DETECTED / hop:
            continue
        runs = _runs(quiet[start:end])
        if not len(runs[0]) or (runs[1] - runs[0]).max() < _MIN_GAP / hop:
            quiet[start:end] = True


def _runs(mask: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return where each run of True begins and ends."""
    edges = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)


def _border(levels: DoubleArray, hop: Seconds, spoken: npt.NDArray[np.bool_] | None) -> DoubleArray:
    """Return for each hop the level (dB) below which it is silent."""
    step, around = max(1, round(_EVERY / hop)), max(1, round(_AROUND / hop))
    centres = np.arange(0, len(levels) + step, step)
    overall = float(np.percentile(levels if spoken is None or not spoken.any() else levels[spoken], 90))
    borders = []
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
        floor = min(floor, loud - 10.0)
        borders.append(max(floor + min(max(_SHARE * (loud - floor), _LOW), _HIGH), loud - _DEEPEST))
    return np.interp(np.arange(len(levels)), centres, borders)

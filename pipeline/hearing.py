"""The first pass over a recording: what is said in it, where, and how loud it is, without ever holding it whole.

Blocks of 16 kHz sound go to the speech detector, the loudness meter and the envelope as they come. For Whisper some
minutes are held until a long silence allows a cut, then heard and let go. What is kept grows by some hundred bytes a
second, so three hours need little more memory than ten minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np

from .ahead import ahead
from .audio import WHISPER_RATE, FloatArray, stream
from .loudness import Loudness, LoudnessMeter
from .records import Seconds, Span, Word
from .segment import Envelope
from .transcribe import quietest
from .vad import SpeechDetector, spans_of, whole_recording

BLOCK: Seconds = 30.0
HELD: Seconds = 240.0  # of sound that waits for Whisper: from here on a silence to cut at is looked for
HOP: Seconds = 0.01  # of the envelope
_FLOOR = 1e-10  # variance that counts as silence: -100 dBFS


class Ears(Protocol):
    """What hears words: transcribe.Whisper."""

    def words(
        self, samples: FloatArray, speech: list[Span], language: str, tell: Callable[[Seconds], None] | None = None
    ) -> list[Word]:
        """Return the words in 16 kHz samples; `tell` is called with how far it is, in seconds of the samples."""


@dataclass(frozen=True)
class HearingOptions:
    """How to listen. `tell` is called often with the seconds of the recording that are done; it may raise Stopped."""

    language: str
    vad: bool = True
    tell: Callable[[Seconds], None] = field(default=lambda seconds: None)


@dataclass(frozen=True)
class Heard:
    """A recording after the first pass."""

    seconds: Seconds
    words: tuple[Word, ...]
    speech: tuple[Span, ...]
    envelope: Envelope
    loudness: Loudness
    notes: tuple[str, ...] = ()  # what is wrong with the file


def hear_recording(path: Path, ears: Ears | None, options: HearingOptions) -> Heard:
    """Listen to a recording once. Without ears there are no words. Raises AudioError where it can't be decoded."""
    detector = SpeechDetector() if options.vad else None
    meter = LoudnessMeter(WHISPER_RATE)
    levels = _EnvelopeMaker()
    words: list[Word] = []
    held = _Held()
    seconds = 0.0
    blocks = stream(path, WHISPER_RATE, BLOCK)
    with closing(blocks), closing(ahead(_measured(blocks, meter, levels))) as measured:
        for block in measured:
            options.tell(seconds if ears is None else held.start)
            seconds += len(block) / WHISPER_RATE
            if detector is not None:
                detector.feed(block)
            if ears is not None:
                held.add(block)
                if held.seconds >= HELD:
                    words += _hear_held(held, held.cut(_speech(detector, seconds)), ears, detector, options)
    if ears is not None:
        words += _hear_held(held, held.seconds, ears, detector, options)
    speech = detector.finish() if detector is not None else whole_recording(seconds)
    notes = blocks.notes or missing_end(path)
    return Heard(seconds, tuple(words), tuple(speech), levels.finish(), meter.result(), notes)


def missing_end(path: Path) -> tuple[str, ...]:
    """Say that a WAV file ends before its header says: FFmpeg takes what is there for the whole.

    Programs that write to a pipe don't know the length and promise the largest there is: such headers promise nothing.
    """
    with path.open("rb") as file:
        if (start := file.read(12))[:4] != b"RIFF" or start[8:] != b"WAVE":
            return ()
        size, per_second = path.stat().st_size, 0
        while len(head := file.read(8)) == 8:
            name, length = head[:4], int.from_bytes(head[4:], "little")
            if name == b"fmt ":
                per_second = int.from_bytes(file.read(length)[8:12], "little")
                continue
            missing = file.tell() + length - size
            if name == b"data":
                if length >= 0x7FFFF000 or not per_second or missing < per_second * 0.1:
                    return ()
                seconds = (length - missing) / per_second
                return (f"it is cut short: {seconds:.1f} s of the {length / per_second:.1f} s it should have",)
            file.seek(length + length % 2, 1)
    return ()


def _measured(blocks: Iterable[FloatArray], meter: LoudnessMeter, levels: _EnvelopeMaker) -> Iterator[FloatArray]:
    for block in blocks:
        meter.feed(block)
        levels.feed(block)
        yield block


def _speech(detector: SpeechDetector | None, seconds: Seconds) -> list[Span]:
    """Return where somebody has spoken so far."""
    if detector is None:
        return whole_recording(seconds)
    return spans_of(detector.probabilities, seconds, detector.options)


def _hear_held(
    held: _Held, until: Seconds, ears: Ears, detector: SpeechDetector | None, options: HearingOptions
) -> list[Word]:
    """Hear what is held up to `until` (seconds from its start), let it go, and return its words."""
    start, heard_so_far = held.start, held.start + held.seconds
    samples = held.take(until)
    end = held.start
    speech = [
        Span(max(span.start, start) - start, min(span.end, end) - start)
        for span in _speech(detector, heard_so_far)
        if span.end > start and span.start < end
    ]
    words = ears.words(samples, speech, options.language, lambda done: options.tell(start + done))
    return [Word(word.text, word.start + start, word.end + start, word.probability) for word in words]


@dataclass
class _Held:
    """Sound that waits for Whisper; `start` is where it begins in the recording."""

    start: Seconds = 0.0
    _blocks: list[FloatArray] = field(default_factory=list)

    def add(self, block: FloatArray) -> None:
        self._blocks.append(block)

    @property
    def seconds(self) -> Seconds:
        return sum(len(block) for block in self._blocks) / WHISPER_RATE

    def cut(self, speech: list[Span]) -> Seconds:
        """Return where to cut: in the middle of the longest silence of the later half, else where it is quietest."""
        half, end = self.start + self.seconds / 2, self.start + self.seconds
        silences = [
            Span(one.end, other.start) for one, other in pairwise(speech) if one.end >= half and other.start <= end
        ]
        if silences:
            longest = max(silences, key=lambda silence: silence.seconds)
            return (longest.start + longest.end) / 2 - self.start
        later = self._joined()[round((half - self.start) * WHISPER_RATE) :]
        return half - self.start + quietest(later)

    def take(self, until: Seconds) -> FloatArray:
        """Return the sound up to `until` and hold only the rest."""
        samples = self._joined()
        border = round(until * WHISPER_RATE)
        self._blocks = [samples[border:].copy()]  # a view would keep the whole alive
        self.start += border / WHISPER_RATE
        return samples[:border]

    def _joined(self) -> FloatArray:
        return np.concatenate([*self._blocks, np.zeros(0, np.float32)])


class _EnvelopeMaker:
    """Makes the envelope of blocks as they come."""

    def __init__(self) -> None:
        self._size = round(HOP * WHISPER_RATE)
        self._rest = np.zeros(0, np.float32)
        self._levels: list[FloatArray] = []

    def feed(self, block: FloatArray) -> None:
        samples = np.concatenate([self._rest, block])
        whole = len(samples) // self._size * self._size
        self._rest = samples[whole:]
        # The variance, not the mean square: a recording with a DC offset has silences too.
        power = samples[:whole].reshape(-1, self._size).var(axis=1)
        self._levels.append((10 * np.log10(np.maximum(power, _FLOOR))).astype(np.float32))

    def finish(self) -> Envelope:
        return Envelope(HOP, np.concatenate([*self._levels, np.zeros(0, np.float32)]))


def cut_spans(blocks: Iterable[FloatArray], sample_rate: int, spans: Iterable[Span]) -> Iterator[FloatArray]:
    """Yield the sound of each span, the spans being in order of their starts, out of blocks as they come.

    Only what the next spans need is held. A span that reaches beyond the end gets what there is.
    """
    source = iter(blocks)
    held = np.zeros(0, np.float32)
    first = 0  # sample at which `held` begins
    for span in spans:
        start, end = round(span.start * sample_rate), round(span.end * sample_rate)
        while first + len(held) < end:
            block = next(source, None)
            if block is None:
                break
            passed = min(max(0, start - first), len(held))
            held = np.concatenate([held[passed:], block])
            first += passed
        yield held[max(0, start - first) : max(0, end - first)]

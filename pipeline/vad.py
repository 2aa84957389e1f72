"""Where somebody speaks: Silero's model on blocks of sound as they come, on numpy and ONNX Runtime, without torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from .audio import WHISPER_RATE, FloatArray
from .errors import ModelMissingError
from .records import Seconds, Span

# Silero works on windows of 512 samples at 16 kHz, each with the last 64 samples before it.
WINDOW = 512
_CONTEXT = 64
_STATE = (1, 1, 128)
_BATCH = 1024  # windows (33 s) the model takes at once: more is no faster and only needs memory


@dataclass(frozen=True)
class SpeechOptions:
    """When a window counts as speech. The defaults are made for cutting: short pauses are kept apart."""

    threshold: float = 0.5  # probability from which speech begins
    release: float = 0.35  # probability below which it ends
    min_speech: Seconds = 0.10  # what is shorter is a click, unless it is part of a longer stretch
    min_silence: Seconds = 0.20  # a shorter gap doesn't end a stretch
    padding: Seconds = 0.10  # added on both sides: Silero is late at soft onsets and early at soft endings


class SpeechDetector:
    """Finds speech in mono 16 kHz sound that is fed block by block; its memory is one number for 32 ms."""

    def __init__(self, options: SpeechOptions | None = None) -> None:
        self.options = options or SpeechOptions()
        self._session = _load_silero()
        self._hidden = np.zeros(_STATE, np.float32)
        self._cell = np.zeros(_STATE, np.float32)
        self._context = np.zeros(_CONTEXT, np.float32)
        self._rest = np.zeros(0, np.float32)
        self._probabilities: list[FloatArray] = []
        self._samples = 0

    def feed(self, block: FloatArray) -> None:
        """Add the samples that follow, as many as you like."""
        self._samples += len(block)
        samples = np.concatenate([self._rest, block])
        whole = len(samples) // WINDOW * WINDOW
        self._rest = samples[whole:]
        if whole:
            self._listen(samples[:whole].reshape(-1, WINDOW))

    def _listen(self, windows: FloatArray) -> None:
        """Run the model over whole windows [windows, 512], carrying its state."""
        before = np.concatenate([self._context[None], windows[:-1, -_CONTEXT:]])
        self._context = windows[-1, -_CONTEXT:].copy()
        framed = np.concatenate([before, windows], axis=1)
        for first in range(0, len(framed), _BATCH):
            heard, self._hidden, self._cell = self._session.run(
                ["speech_probs", "hn", "cn"],
                {"input": framed[first : first + _BATCH], "h": self._hidden, "c": self._cell},
            )
            self._probabilities.append(heard.reshape(-1))

    def finish(self) -> list[Span]:
        """Return the stretches of speech in all that was fed."""
        if len(self._rest):
            self._listen(np.pad(self._rest, (0, WINDOW - len(self._rest)))[None])
            self._rest = np.zeros(0, np.float32)
        return spans_of(self.probabilities, self._samples / WHISPER_RATE, self.options)

    @property
    def probabilities(self) -> FloatArray:
        """The probability of speech for each window of 32 ms so far."""
        return np.concatenate([*self._probabilities, np.zeros(0, np.float32)])


def silero_path() -> Path:
    """Return where the model of the silero-vad package lies. Raises ModelMissingError.

    The package isn't imported: that would import torch and set its threads to one for the whole process.
    """
    package = find_spec("silero_vad")
    folder = package.submodule_search_locations[0] if package and package.submodule_search_locations else ""
    path = Path(folder) / "data" / "silero_vad_16k_sequence.onnx"
    if not path.is_file():
        raise ModelMissingError("Silero's speech detector isn't installed: run `pip install -r requirements.txt`.")
    return path


def _load_silero() -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # more are slower on windows this small
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(silero_path()), options, providers=["CPUExecutionProvider"])


def spans_of(probabilities: FloatArray, seconds: Seconds, options: SpeechOptions) -> list[Span]:
    """Return the stretches of speech: begun at the threshold, ended below the release, gaps closed, padded.

    `seconds` is the length of the recording; no span reaches beyond it, and spans neither touch nor overlap.
    """
    step = WINDOW / WHISPER_RATE
    found: list[Span] = []
    begin: float | None = None
    for number, probability in enumerate(probabilities.tolist()):
        if begin is None and probability >= options.threshold:
            begin = number * step
        elif begin is not None and probability < options.release:
            found.append(Span(begin, number * step))
            begin = None
    if begin is not None:
        found.append(Span(begin, seconds))
    spoken = [span for span in _closed(found, options.min_silence) if span.seconds >= options.min_speech]
    return _padded(spoken, options.padding, seconds)


def _closed(spans: Iterable[Span], gap: Seconds) -> list[Span]:
    """Join spans with less than `gap` between them."""
    joined: list[Span] = []
    for span in spans:
        if joined and span.start - joined[-1].end < gap:
            joined[-1] = Span(joined[-1].start, span.end)
        else:
            joined.append(span)
    return joined


def _padded(spans: list[Span], padding: Seconds, seconds: Seconds) -> list[Span]:
    """Widen each span, at most to a third of the silence beside it, so that two never meet."""
    starts = [span.start for span in spans] + [seconds]
    ends = [0.0] + [span.end for span in spans]
    padded = []
    for number, span in enumerate(spans):
        before = min(padding, (span.start - ends[number]) / (3 if number else 1))
        after = min(padding, (starts[number + 1] - span.end) / (3 if number + 1 < len(spans) else 1))
        padded.append(Span(max(0.0, span.start - before), min(seconds, span.end + max(0.0, after))))
    return padded


def find_speech(blocks: Iterable[FloatArray], options: SpeechOptions | None = None) -> list[Span]:
    """Return the stretches of speech in mono 16 kHz blocks."""
    detector = SpeechDetector(options)
    for block in blocks:
        detector.feed(block)
    return detector.finish()


def whole_recording(seconds: Seconds) -> list[Span]:
    """Return the one span that stands for “VAD off”: everything may be speech."""
    return [Span(0.0, seconds)] if seconds > 0 else []

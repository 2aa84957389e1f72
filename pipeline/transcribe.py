"""Whisper: load a model, hear words with their times. A thin adapter of faster-whisper.

faster-whisper's batched pipeline takes clips as they are: each is one window of at most 30 s, of a longer one only the
first 30 s are heard, and none are merged (faster-whisper 1.2.1, BatchedInferencePipeline.transcribe). So the speech is
gathered into windows here. A window is a whole stretch of the recording, pauses included, so its word times need no
mapping back.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from .audio import WHISPER_RATE as RATE
from .audio import FloatArray
from .errors import DeviceError, ModelError, SettingError
from .languages import LANGUAGES, UNSPACED
from .progress import Progress
from .records import Seconds, Span, Word
from .whisper_models import find_whisper
from .workspace import Workspace

if TYPE_CHECKING:
    from faster_whisper import BatchedInferencePipeline, WhisperModel

WINDOW: Seconds = 29.5  # of Whisper's 30 s: what is left is for the padding's rounding
PADDING: Seconds = 0.25  # of what lies around it that a window takes along, so that no first sound is lost
LONGEST_GAP: Seconds = 2.0  # a longer silence ends a window: hearing silence takes as long as hearing speech
# From OpenAI's Whisper (transcribe.py): above this gzip ratio a text repeats itself, below this mean log probability
# the model guessed. Such a window is heard again by itself, with its fallback to other temperatures.
REPETITIVE = 2.4
UNSURE = -1.0
# Windows heard at once. On a CPU more gain nothing; on a GPU 16 of large-v3 in float16 take about 8 GB, and a batch
# that doesn't fit is halved.
BATCH_SIZES = {"cpu": 4, "cuda": 16}


@dataclass(frozen=True)
class _Heard:
    """One segment as it was heard, before its words are joined."""

    words: tuple[Any, ...]  # faster_whisper.transcribe.Word
    doubtful: bool
    window: int


class Whisper:
    """A loaded Whisper model. Use it as a context: its memory is freed at the end."""

    def __init__(self, model: WhisperModel, name: str, device: str, compute_type: str, batch_size: int) -> None:
        from faster_whisper import BatchedInferencePipeline

        self.name = name
        self.device = device
        self.compute_type = compute_type  # ctranslate2's name of the precision that is really used
        self.batch_size = batch_size
        self._model: WhisperModel | None = model
        self._pipeline: BatchedInferencePipeline | None = BatchedInferencePipeline(model)

    def __enter__(self) -> Whisper:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the model's memory, the GPU's too."""
        if self._model is not None:
            self._model.model.unload_model()
        self._model = self._pipeline = None
        gc.collect()

    @property
    def english_only(self) -> bool:
        return not self._loaded.model.is_multilingual

    @property
    def _loaded(self) -> WhisperModel:
        if self._model is None:
            raise RuntimeError(f"Whisper “{self.name}” was closed.")
        return self._model

    def check_language(self, language: str) -> None:
        """Raise SettingError where the model hears English only and something else is spoken."""
        if self.english_only and language != "en":
            raise SettingError(
                f"The Whisper model “{self.name}” hears English only, and the language is "
                f"{LANGUAGES.get(language, language)}: choose a multilingual model."
            )

    def words(
        self,
        samples: FloatArray,
        speech: Sequence[Span],
        language: str,
        tell: Callable[[Seconds], None] | None = None,
    ) -> list[Word]:
        """Return the words said in 16 kHz samples, in order of time.

        `speech` says where somebody speaks, in seconds of `samples`; nothing else is heard. `tell` is called after
        each batch with how far it is, in seconds of the samples.
        """
        windows = plan_windows(speech, samples)
        if not windows:
            return []
        segments: list[_Heard] = []
        for segment in self._hear(samples, windows, language):
            if tell is not None and (not segments or segments[-1].window != segment.window):
                tell(windows[segment.window].start)
            segments.append(segment)
        doubtful = {segment.window for segment in segments if segment.doubtful}
        words: list[Word] = []
        for number, window in enumerate(windows):
            if number in doubtful:
                words += self._hear_again(samples, window, language)
            else:
                said = (word for segment in segments if segment.window == number for word in segment.words)
                words += join_words(said, language, window)
        return _in_order(words)

    def hear(self, samples: FloatArray, language: str) -> str:
        """Return what is said in a clip of 16 kHz samples."""
        return self.hear_all([samples], language)[0]

    def hear_all(self, clips: Sequence[FloatArray], language: str) -> list[str]:
        """Return what is said in each of some clips of at most 30 s, heard together in batches."""
        if not clips:
            return []
        ends = np.cumsum([len(clip) for clip in clips])
        windows = [Span((end - len(clip)) / RATE, end / RATE) for clip, end in zip(clips, ends, strict=True)]
        texts = [""] * len(clips)
        for segment in self._segments(np.concatenate(clips), windows, language, times=False):
            number = _window_of(segment, windows)
            texts[number] = f"{texts[number]}{segment.text}"
        return [text.strip() for text in texts]

    def _hear(self, samples: FloatArray, windows: Sequence[Span], language: str) -> Iterator[_Heard]:
        for segment in self._segments(samples, windows, language, times=True):
            doubtful = segment.compression_ratio > REPETITIVE or segment.avg_logprob < UNSURE
            yield _Heard(tuple(segment.words or ()), doubtful, _window_of(segment, windows))

    def _segments(self, samples: FloatArray, windows: Sequence[Span], language: str, *, times: bool) -> Iterator[Any]:
        """Hear windows in batches; a batch that doesn't fit into the GPU's memory is halved, and stays so."""
        start = 0
        while start < len(windows):
            batch = windows[start : start + self.batch_size]
            try:
                yield from self._hear_batch(samples, batch, language, times)
            except RuntimeError as fault:
                if "out of memory" not in str(fault).lower() or self.batch_size == 1:
                    raise
                self.batch_size = max(1, self.batch_size // 2)
                continue
            start += len(batch)

    def _hear_batch(self, samples: FloatArray, batch: Sequence[Span], language: str, times: bool) -> list[Any]:
        if self._pipeline is None:
            raise RuntimeError(f"Whisper “{self.name}” was closed.")
        segments, _ = self._pipeline.transcribe(
            samples,
            language=language,
            clip_timestamps=[{"start": span.start, "end": span.end} for span in batch],
            word_timestamps=times,
            batch_size=self.batch_size,
        )
        return list(segments)

    def _hear_again(self, samples: FloatArray, window: Span, language: str) -> list[Word]:
        """Hear one window by itself, with other temperatures where the first goes wrong."""
        part = samples[round(window.start * RATE) : round(window.end * RATE)]
        segments, _ = self._loaded.transcribe(
            part, language=language, word_timestamps=True, vad_filter=False, condition_on_previous_text=False
        )
        words = [word for segment in segments for word in segment.words or ()]
        return join_words(words, language, window, offset=window.start)


def _window_of(segment: Any, windows: Sequence[Span]) -> int:
    """Return which window a segment is from: its `seek` is where the window begins, in frames of 10 ms."""
    starts = [int(window.start * 100) for window in windows]
    return int(np.argmin([abs(start - segment.seek) for start in starts]))


def join_words(heard: Iterable[Any], language: str, window: Span, offset: Seconds = 0.0) -> list[Word]:
    """Return faster-whisper's words as records: whole, inside their window, none empty.

    In languages with spaces a piece without one before it belongs to the word before: `-known` to `well`.
    """
    words: list[Word] = []
    for piece in heard:
        text = piece.word.strip()
        start = float(min(max(piece.start + offset, window.start), window.end))
        end = float(min(max(piece.end + offset, start), window.end))
        glued = words and language not in UNSPACED and not piece.word.startswith((" ", "\n"))
        if glued:
            last = words[-1]
            probability = min(last.probability, piece.probability)
            words[-1] = Word(last.text + text, last.start, max(last.end, end), probability)
        elif text:
            words.append(Word(text, start, end, float(piece.probability)))
    return words


def _in_order(words: list[Word]) -> list[Word]:
    """Return words whose times never run backwards: a word begins where the one before ends, at the earliest."""
    ordered: list[Word] = []
    edge = 0.0
    for word in words:
        start = max(word.start, edge)
        end = max(word.end, start)
        ordered.append(Word(word.text, start, end, word.probability))
        edge = end
    return ordered


def plan_windows(speech: Sequence[Span], samples: FloatArray) -> list[Span]:
    """Gather stretches of speech into windows that Whisper hears at once, none longer than it can hear.

    A stretch that is longer itself is cut where it is quietest.
    """
    duration = len(samples) / RATE
    pieces = [piece for span in speech for piece in _cut_long(span, samples)]
    windows: list[Span] = []
    for piece in pieces:
        start, end = max(0.0, piece.start - PADDING), min(duration, piece.end + PADDING)
        if windows and end - windows[-1].start <= WINDOW and piece.start - windows[-1].end <= LONGEST_GAP:
            windows[-1] = Span(windows[-1].start, end)
        else:
            start = max(start, windows[-1].end) if windows else start
            windows.append(Span(start, max(start, end)))
    return [window for window in windows if window.seconds > 0]


def _cut_long(span: Span, samples: FloatArray) -> Iterator[Span]:
    """Yield a stretch in pieces that fit into a window, cut at the quietest 0.1 s of each window's last third."""
    longest = WINDOW - 2 * PADDING
    start = span.start
    while span.end - start > longest:
        low, high = start + longest * 2 / 3, start + longest
        cut = low + quietest(samples[round(low * RATE) : round(high * RATE)])
        yield Span(start, cut)
        start = cut
    yield Span(start, span.end)


def quietest(samples: FloatArray, width: Seconds = 0.1) -> Seconds:
    """Return where the middle of the quietest `width` seconds of 16 kHz samples lies."""
    size = round(width * RATE)
    power = np.cumsum(np.square(samples, dtype=np.float64))
    if len(power) <= size:
        return len(samples) / RATE / 2
    return float(np.argmin(power[size:] - power[:-size]) + size / 2) / RATE


# ---- Loading ------------------------------------------------------------------------------------------------------


def load_whisper(ws: Workspace, name: str, precision: str, device: str, progress: Progress) -> Whisper:
    """Load a model by name, `demo`, or folder, and try it.

    A GPU whose libraries are missing (cuBLAS, cuDNN) gives way to the CPU with a warning. Raises ModelError for a
    model that can't be had or is broken, DeviceError where there is no GPU but one is asked for.
    """
    folder = find_whisper(ws, name, progress)
    where = _pick_device(device)
    progress.update(None, f"Loading Whisper “{name}”")
    try:
        whisper = _load(folder, name, precision, where)
    except _DeviceUnusableError as fault:
        remedy = " Installing the requirements anew brings the library." if "librar" in str(fault).lower() else ""
        slower = (
            f"Warning: Whisper can't compute on the GPU ({fault}); it goes on with the CPU, which is slower.{remedy}"
        )
        progress.log(slower, "GPU Memory")
        whisper = _load(folder, name, precision, "cpu")
    progress.log(f"Whisper “{name}” is loaded: {whisper.device}, {whisper.compute_type}", "Model Operations")
    return whisper


class _DeviceUnusableError(Exception):
    """The GPU is there, and computing on it fails: a library is missing, or its memory is full."""


def _pick_device(device: str) -> str:
    """Return `cuda` or `cpu`: ctranslate2 knows no others, so Apple's GPU counts as the CPU."""
    if device in ("cpu", "mps"):
        return "cpu"
    import ctranslate2

    if ctranslate2.get_cuda_device_count() > 0:
        return "cuda"
    if device == "cuda":
        raise DeviceError("No NVIDIA GPU is found for Whisper: choose the device auto or cpu, or check the driver.")
    return "cpu"


def pick_compute_type(precision: str, supported: set[str]) -> str:
    """Return ctranslate2's type for a precision of the screen, by what the device supports.

    Mixed is int8 weights with float16 beside them, or float32 where there is no float16 (CPUs, old GPUs). FP16 is
    float16, or float32 where there is none. FP32 is float32. Every device computes float32.
    """
    wanted = {"mixed": ("int8_float16", "int8_float32", "int8"), "float16": ("float16",), "float32": ()}
    return next((kind for kind in wanted[precision] if kind in supported), "float32")


def _load(folder: Path, name: str, precision: str, device: str) -> Whisper:
    """Load the model on a device and let it hear a second of near silence, which needs every library once."""
    if device == "cuda":
        import torch  # noqa: F401 - brings the cuBLAS and cuDNN into the process that ctranslate2 opens by name

    import ctranslate2
    from faster_whisper import WhisperModel

    ctranslate2.set_random_seed(0)  # windows that are heard again draw their words: the same ones each time
    compute_type = pick_compute_type(precision, set(ctranslate2.get_supported_compute_types(device)))
    threads = 0 if device == "cuda" else os.cpu_count() or 4
    try:
        model = WhisperModel(str(folder), device=device, compute_type=compute_type, cpu_threads=threads)
        whisper = Whisper(model, name, device, compute_type, batch_size=BATCH_SIZES[device])
        whisper.hear(np.full(RATE, 1e-4, np.float32), "en")
    except Exception as fault:  # tokenizers raises Exception itself for a broken file
        reason = str(fault).strip().split("\n")[0].rstrip(".")
        if device == "cuda":
            raise _DeviceUnusableError(reason) from fault
        raise ModelError(
            f"The Whisper model in “{folder}” can't be loaded ({reason}): delete the folder and fetch it again, or "
            "choose another model."
        ) from fault
    return whisper

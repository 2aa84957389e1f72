"""Synthetic speech with known word times, made by espeak-ng's C library: what cutting is measured against.

espeak-ng tells at which sample each word and each pause begins, so the truth is exact. Where the library isn't
installed, tests that need it are skipped and say so (`needs_espeak`); CI installs it.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pipeline.records import Span, Word

from .speech_texts import SENTENCES as SENTENCES

FloatArray = npt.NDArray[np.float32]

RATE = 22_050  # espeak-ng's own
VOICES = {"en": "en-us", "zh": "cmn"}  # where espeak-ng's name isn't the language's code

_WORD, _PHONEME = 1, 7
_PAUSES = (b"_", b"_:", b"_!", b"__")
_SYNCHRONOUS, _PHONEME_EVENTS, _DONT_EXIT = 2, 0x0001, 0x8000
_UTF8, _BY_CHARACTER, _SPEED, _PITCH = 1, 1, 1, 3


@dataclass(frozen=True)
class Spoken:
    """Speech whose truth is known."""

    samples: FloatArray  # mono at RATE
    words: tuple[Word, ...]
    pauses: tuple[Span, ...]  # where nothing is said: between words, before the first and after the last
    sentence_ends: frozenset[int] = frozenset()  # indices of the words that end a sentence

    @property
    def seconds(self) -> float:
        return len(self.samples) / RATE


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@cache
def _library() -> Any:
    """Return espeak-ng's library, started; None where it isn't installed."""
    for name in ("libespeak-ng.so.1", ctypes.util.find_library("espeak-ng"), "libespeak-ng.dylib", "libespeak-ng.dll"):
        try:
            library = ctypes.CDLL(name) if name else None
        except OSError:
            continue
        if library and library.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEME_EVENTS | _DONT_EXIT) == RATE:
            return library
    return None


needs_espeak = pytest.mark.skipif(
    _library() is None, reason="espeak-ng isn't installed: run `apt install espeak-ng` (CI has it)"
)


def say(text: str, language: str = "en", *, speed: int = 165, pitch: int = 50, variant: str = "") -> Spoken:
    """Speak one text as espeak-ng does: `speed` in words a minute, `pitch` 0 to 99, `variant` such as "f2"."""
    library = _library()
    chunks: list[FloatArray] = []
    events: list[tuple[int, int, int, bytes]] = []

    @_CALLBACK
    def collect(samples: Any, count: int, event: Any) -> int:
        if samples and count:
            chunks.append(np.ctypeslib.as_array(samples, (count,)).astype(np.float32) / np.float32(32768))
        for number in range(1_000_000):
            one = event[number]
            if not one.type:
                return 0
            name = bytes(one.id.string) if one.type == _PHONEME else b""
            events.append((one.type, one.text_position, one.sample, name))
        return 0

    library.espeak_SetSynthCallback(collect)
    voice = VOICES.get(language, language) + (f"+{variant}" if variant else "")
    if library.espeak_SetVoiceByName(voice.encode()):
        raise ValueError(f"espeak-ng has no voice {voice}")
    library.espeak_SetParameter(_SPEED, speed, 0)
    library.espeak_SetParameter(_PITCH, pitch, 0)
    encoded = text.encode()
    library.espeak_Synth(encoded, len(encoded) + 1, 0, _BY_CHARACTER, 0, _UTF8, None, None)
    samples = np.concatenate(chunks)
    words = _timed(list(_tokens(text, language)), events, len(samples))
    return Spoken(samples, words, _pauses(words, len(samples) / RATE), frozenset({len(words) - 1}))


def _tokens(text: str, language: str) -> Iterator[tuple[int, int, str]]:
    """Give each word with its punctuation, and where in the text it begins and ends, counted from 1."""
    if language in ("zh", "ja"):
        start = 0
        for place, letter in enumerate(text):
            if letter.isalnum() and place > start:
                yield start + 1, place, text[start:place]
                start = place
        yield start + 1, len(text), text[start:]
        return
    place = 0
    for token in text.split():
        place = text.index(token, place)
        yield place + 1, place + len(token), token
        place += len(token)


def _timed(
    tokens: Sequence[tuple[int, int, str]], events: Sequence[tuple[int, int, int, bytes]], samples: int
) -> tuple[Word, ...]:
    """Give each token its time: from its first event to the next word's or the next pause's."""
    pauses = [sample for kind, _, sample, name in events if name in _PAUSES]
    starts: dict[int, int] = {}
    for kind, position, sample, _ in events:
        for number, (first, last, _) in enumerate(tokens):
            if kind == _WORD and first <= position <= last:
                starts.setdefault(number, sample)
    spoken = [*sorted(starts), len(tokens)]
    words = []
    for number, following in pairwise(spoken):
        limit = starts.get(following, samples)
        end = min((pause for pause in pauses if starts[number] < pause <= limit), default=limit)
        # A token that isn't said goes with the one before: French puts a space before its question mark.
        text = " ".join(token for _, _, token in tokens[number:following])
        words.append(Word(text, starts[number] / RATE, end / RATE))
    return tuple(words)


def _pauses(words: Sequence[Word], seconds: float) -> tuple[Span, ...]:
    edges = [0.0, *(time for word in words for time in (word.start, word.end)), seconds]
    return tuple(Span(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a)


def tell(parts: Sequence[Spoken], pauses: Sequence[float]) -> Spoken:
    """Join what was spoken: before each part, and after the last, a silence of the given seconds (one more than parts).

    espeak-ng's own silence at the end of a part is cut away first, but for 30 ms in which the sound dies away.
    """
    pieces: list[FloatArray] = []
    words: list[Word] = []
    ends: set[int] = set()
    place = 0
    for part, pause in zip(parts, pauses, strict=False):
        silence = np.zeros(round(pause * RATE), np.float32)
        kept = part.samples[: round((part.words[-1].end + 0.03) * RATE)]
        place += len(silence)
        ends |= {end + len(words) for end in part.sentence_ends}
        words += [replace(word, start=word.start + place / RATE, end=word.end + place / RATE) for word in part.words]
        pieces += [silence, kept]
        place += len(kept)
    pieces.append(np.zeros(round(pauses[len(parts)] * RATE), np.float32))
    samples = np.concatenate(pieces)
    return Spoken(samples, tuple(words), _pauses(words, len(samples) / RATE), frozenset(ends))


def jitter(words: Sequence[Word], seconds: float, random: np.random.Generator) -> tuple[Word, ...]:
    """Give words wrong times as a rough Whisper does: each edge off by up to `seconds`, in order all the same."""
    edges = np.array([[word.start, word.end] for word in words])
    edges = np.sort(np.maximum(edges + random.uniform(-seconds, seconds, edges.shape), 0).ravel()).reshape(-1, 2)
    return tuple(replace(word, start=float(a), end=float(b)) for word, (a, b) in zip(words, edges, strict=True))


def add_noise(samples: FloatArray, snr: float, random: np.random.Generator) -> FloatArray:
    """Add white noise, `snr` dB under the speech."""
    speech = np.sqrt((samples[np.abs(samples) > 0.01] ** 2).mean())
    noise = random.standard_normal(len(samples)).astype(np.float32)
    return (samples + noise * np.float32(speech * 10 ** (-snr / 20))).astype(np.float32)


def story(language: str, count: int, seed: int, *, pauses: tuple[float, float] = (0.35, 1.1), **voice: Any) -> Spoken:
    """Tell `count` sentences of the language, drawn in random order, with random pauses between them (low and high)."""
    random = np.random.default_rng(seed)
    known = SENTENCES[language]
    order = np.concatenate([random.permutation(len(known)) for _ in range(-(-count // len(known)))])[:count]
    parts = [say(known[number], language, **voice) for number in order]
    return tell(parts, random.uniform(*pauses, count + 1).tolist())

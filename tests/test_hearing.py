"""The first pass over a recording, and cutting in the second: streamed, and the same as if held whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import hearing
from pipeline.audio import WHISPER_RATE, FloatArray, write_wav
from pipeline.errors import Stopped
from pipeline.hearing import HearingOptions, cut_spans, hear_recording, missing_end
from pipeline.records import Seconds, Span, Word

from .recordings import record
from .speech import RATE, needs_espeak


class Listener:
    """Ears that note what they are given, and hear one word in each stretch of speech."""

    def __init__(self) -> None:
        self.given: list[FloatArray] = []

    def words(
        self,
        samples: FloatArray,
        speech: Sequence[Span],
        language: str,
        tell: Callable[[Seconds], None] | None = None,
    ) -> list[Word]:
        self.given.append(samples)
        assert all(0 <= span.start < span.end <= len(samples) / WHISPER_RATE + 1e-6 for span in speech)
        if tell is not None:
            tell(0.0)
        return [Word(f"word{len(self.given)}", span.start, span.end) for span in speech]


def _blocks(samples: FloatArray, size: int) -> Iterator[FloatArray]:
    for first in range(0, len(samples), size):
        yield samples[first : first + size]


@given(
    st.lists(st.tuples(st.floats(0, 12), st.floats(0.01, 3)), max_size=12),
    st.integers(1, 3000),
)
def test_spans_cut_out_of_blocks_are_those_of_the_whole(cuts: list[tuple[float, float]], size: int) -> None:
    rate = 100
    samples = np.arange(1000, dtype=np.float32)
    spans = sorted((Span(start, start + length) for start, length in cuts), key=lambda span: span.start)
    parts = list(cut_spans(_blocks(samples, size), rate, spans))
    assert len(parts) == len(spans)
    for span, part in zip(spans, parts, strict=True):
        assert np.array_equal(part, samples[round(span.start * rate) : round(span.end * rate)])


@needs_espeak
def test_heard_in_parts_every_sample_is_given_once_and_times_are_those_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = record(tmp_path, count=14, seed=1)
    whole, parts = Listener(), Listener()
    at_once = hear_recording(told.path, whole, HearingOptions("en"))
    monkeypatch.setattr(hearing, "HELD", 12.0)
    monkeypatch.setattr(hearing, "BLOCK", 2.0)
    in_parts = hear_recording(told.path, parts, HearingOptions("en"))
    assert len(whole.given) == 1
    assert len(parts.given) >= 4
    assert np.allclose(np.concatenate(parts.given), whole.given[0], atol=1e-4)
    assert in_parts.speech == at_once.speech
    assert np.allclose(in_parts.envelope.decibels, at_once.envelope.decibels, atol=0.1)
    starts = np.array([[word.start, word.end] for word in at_once.words])
    assert np.allclose([[word.start, word.end] for word in in_parts.words], starts, atol=0.15)
    # The parts are cut where nobody speaks.
    ends = np.cumsum([len(part) for part in parts.given[:-1]]) / WHISPER_RATE
    assert not any(span.start + 0.05 < end < span.end - 0.05 for end in ends for span in at_once.speech)


@needs_espeak
def test_a_recording_without_a_pause_is_held_no_longer_than_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    write_wav(tmp_path / "endless.wav", 0.1 * random.standard_normal(16_000 * 40).astype(np.float32), 16_000)
    monkeypatch.setattr(hearing, "HELD", 10.0)
    monkeypatch.setattr(hearing, "BLOCK", 5.0)
    listener = Listener()
    heard = hear_recording(tmp_path / "endless.wav", listener, HearingOptions("en", vad=False))
    assert sum(len(part) for part in listener.given) == 16_000 * 40
    assert max(len(part) for part in listener.given) <= 16_000 * 15
    assert heard.speech == (Span(0.0, 40.0),)


@needs_espeak
def test_without_ears_there_are_no_words_but_everything_else(tmp_path: Path) -> None:
    told = record(tmp_path, count=3)
    heard = hear_recording(told.path, None, HearingOptions("en"))
    assert not heard.words
    assert heard.seconds == pytest.approx(told.spoken.seconds, abs=0.01)
    assert heard.loudness.lufs is not None
    assert len(heard.envelope.decibels) == pytest.approx(heard.seconds / heard.envelope.hop, abs=1)
    inside = [any(span.start <= (w.start + w.end) / 2 <= span.end for span in heard.speech) for w in told.spoken.words]
    assert np.mean(inside) > 0.97


@needs_espeak
def test_stopping_leaves_no_thread_and_no_open_file(tmp_path: Path) -> None:
    import threading

    told = record(tmp_path, count=3)

    def stop(seconds: Seconds) -> None:
        raise Stopped()

    with pytest.raises(Stopped):
        hear_recording(told.path, None, HearingOptions("en", tell=stop))
    assert not any(thread.name.startswith("ahead") for thread in threading.enumerate())
    told.path.unlink()


def test_a_wav_that_ends_before_its_header_says_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write_wav(path, np.zeros(22_050 * 4, np.float32), 22_050)
    assert missing_end(path) == ()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 4])
    assert missing_end(path) == ("it is cut short: 1.0 s of the 4.0 s it should have",)
    path.write_bytes(whole[:40] + b"\xff\xff\xff\xff" + whole[44:])  # as written to a pipe
    assert missing_end(path) == ()
    for junk in (b"", b"RIFF", b"RIFF\0\0\0\0WAVE", b"no sound at all, but long enough to be one"):
        path.write_bytes(junk)
        assert missing_end(path) == ()


@needs_espeak
def test_a_recording_with_an_offset_has_the_same_silences(tmp_path: Path) -> None:
    told = record(tmp_path, count=2)
    plain = hear_recording(told.path, None, HearingOptions("en")).envelope.decibels
    shifted = tmp_path / "shifted.wav"
    write_wav(shifted, told.spoken.samples * 0.8 + 0.1, RATE)
    offset = hear_recording(shifted, None, HearingOptions("en")).envelope.decibels
    loud = plain > -40
    assert np.abs(offset - plain)[loud].max() < 4  # 1.9 dB quieter
    assert (offset[plain < -90] < -60).mean() > 0.95

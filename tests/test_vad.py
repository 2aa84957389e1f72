"""The speech detector: right, streaming, without torch."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.audio import WHISPER_RATE, FloatArray
from pipeline.records import Span
from pipeline.vad import WINDOW, SpeechDetector, SpeechOptions, find_speech, spans_of, whole_recording
from tests.speech import RATE, Spoken, needs_espeak, story


def at_16k(spoken: Spoken) -> FloatArray:
    import soxr

    return soxr.resample(spoken.samples, RATE, WHISPER_RATE).astype(np.float32)


@needs_espeak
@pytest.mark.parametrize("language", ["en", "de", "ru", "zh"])
def test_speech_is_found_and_long_pauses_are_not_speech(language: str) -> None:
    spoken = story(language, 10, seed=6, pauses=(0.8, 1.5))
    spans = find_speech([at_16k(spoken)])
    for word in spoken.words:
        middle = (word.start + word.end) / 2
        assert any(span.start <= middle <= span.end for span in spans), word
    for pause in spoken.pauses:
        if pause.seconds > 0.7:
            middle = (pause.start + pause.end) / 2
            assert not any(span.start <= middle <= span.end for span in spans), pause


@needs_espeak
def test_blocks_of_any_size_give_the_same() -> None:
    samples = at_16k(story("en", 4, seed=1))
    whole = find_speech([samples])
    random = np.random.default_rng(0)
    detector = SpeechDetector()
    place = 0
    while place < len(samples):
        size = int(random.integers(1, 9000))
        detector.feed(samples[place : place + size])
        place += size
    assert detector.finish() == whole


@needs_espeak
def test_it_hears_what_silero_itself_hears() -> None:
    from silero_vad.sequence_vad import SileroVADSequence

    from pipeline.vad import silero_path

    samples = at_16k(story("en", 3, seed=1))
    detector = SpeechDetector()
    detector.feed(samples)
    detector.finish()
    expected = SileroVADSequence(str(silero_path())).audio_forward(samples)
    np.testing.assert_allclose(detector.probabilities, expected, atol=1e-5)


def test_silence_and_noise_are_not_speech() -> None:
    random = np.random.default_rng(0)
    assert find_speech([np.zeros(WHISPER_RATE * 5, np.float32)]) == []
    assert find_speech([random.standard_normal(WHISPER_RATE * 5).astype(np.float32) * 0.01]) == []
    assert find_speech([]) == []


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1, width=32), max_size=200), st.sampled_from([0.0, 0.1, 0.3]))
def test_spans_are_in_order_apart_and_within_the_recording(probabilities: list[float], padding: float) -> None:
    seconds = len(probabilities) * WINDOW / WHISPER_RATE
    spans = spans_of(np.array(probabilities, np.float32), seconds, SpeechOptions(padding=padding))
    edges = [edge for span in spans for edge in (span.start, span.end)]
    assert edges == sorted(edges)
    assert all(0 <= edge <= seconds for edge in edges)
    assert all(one.end < other.start for one, other in pairwise(spans))


def test_without_the_detector_everything_may_be_speech() -> None:
    assert whole_recording(12.5) == [Span(0.0, 12.5)]
    assert whole_recording(0.0) == []


def test_torch_stays_outside() -> None:
    code = (
        "import sys, numpy; from pipeline.vad import find_speech; find_speech([numpy.zeros(16000, 'float32')]);"
        "assert 'torch' not in sys.modules and 'silero_vad' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

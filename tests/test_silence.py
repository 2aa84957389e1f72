"""Silences are found whatever the level, the background and the length of the envelope."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.records import Span
from pipeline.silence import Envelope, Sound, listen

HOP = 0.01


def envelope(levels: list[tuple[float, float]], wobble: float = 0.0) -> Envelope:
    """Make an envelope of stretches, each of some seconds at some level (dB)."""
    decibels = np.concatenate([np.full(round(seconds / HOP), level) for seconds, level in levels])
    random = np.random.default_rng(0)
    return Envelope(HOP, (decibels + random.normal(0, wobble, len(decibels))).astype(np.float32))


def silences(sound: Sound) -> list[tuple[float, float]]:
    return [(round(float(a), 2), round(float(b), 2)) for a, b in zip(sound.starts, sound.ends, strict=True)]


@pytest.mark.parametrize("loud", [-6.0, -20.0, -45.0])
@pytest.mark.parametrize("background", [20.0, 30.0, 60.0])
@pytest.mark.parametrize("detected", [True, False])
def test_silences_are_found_at_any_level_over_any_background(loud: float, background: float, detected: bool) -> None:
    quiet = loud - background
    made = envelope([(1, quiet), (2, loud), (0.3, quiet), (3, loud), (1, quiet)], wobble=1.0)
    speech = [Span(0.9, 3.1), Span(3.2, 6.4)] if detected else [Span(0.0, 7.3)]
    assert silences(listen(made, speech)) == [(0.0, 1.0), (3.0, 3.3), (6.3, 7.3)]


def test_a_recording_that_gets_louder_half_way_is_heard_in_both_halves() -> None:
    soft = [(1.0, -50.0), (0.3, -80.0)] * 30
    loud = [(1.0, -15.0), (0.3, -45.0)] * 30
    sound = listen(envelope([*soft, *loud], wobble=0.5), [Span(0.0, 78.0)])
    assert len(sound.starts) == pytest.approx(61, abs=4)


def test_a_click_in_a_pause_is_kept_if_it_is_loud_and_not_if_it_is_faint() -> None:
    for level, count in ((-20.0, 4), (-58.0, 3)):
        made = envelope([(0.5, -65), (2, -20), (0.3, -65), (0.02, level), (0.3, -65), (2, -20), (0.5, -65)])
        assert len(listen(made, [Span(0.4, 2.6), Span(3.0, 5.2)]).starts) == count


def test_silences_under_loud_music_are_taken_from_the_detector() -> None:
    made = envelope([(10, -20)], wobble=3.0)
    sound = listen(made, [Span(0.0, 4.0), Span(5.0, 9.9)])
    assert any(start <= 4.5 <= end for start, end in silences(sound))


def test_a_recording_of_nothing_is_one_silence() -> None:
    assert silences(listen(Envelope(HOP, np.zeros(0, np.float32)), [])) == [(0.0, 0.0), (0.0, 0.0)]
    sound = listen(envelope([(3, -100)]), [])
    assert float(sound.ends[-1]) == pytest.approx(3.0)
    assert sound.speech == ()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.01, 2.0), st.floats(-100, 0)), max_size=40),
    st.lists(st.tuples(st.floats(0, 30), st.floats(0, 5)), max_size=6),
)
def test_silences_are_in_order_from_the_start_to_the_end(
    levels: list[tuple[float, float]], spans: list[tuple[float, float]]
) -> None:
    made = envelope([*levels, (0.01, -50.0)])
    sound = listen(made, [Span(start, start + length) for start, length in spans])
    edges = np.ravel(np.stack([sound.starts, sound.ends], axis=1))
    assert (np.diff(edges) >= 0).all()
    assert edges[0] == 0
    assert edges[-1] == pytest.approx(made.seconds)
    assert len(sound.starts) >= 2


def test_speech_is_counted_up_to_any_moment() -> None:
    sound = Sound(envelope([(10, -50)]), np.zeros(1), np.zeros(1), (Span(1.0, 2.0), Span(4.0, 6.0)))
    assert sound.speech_before(np.array([0.0, 1.5, 3.0, 5.0, 9.0])).tolist() == [0.0, 0.5, 1.0, 2.0, 3.0]


def test_the_outermost_of_the_quiet_moments_is_taken() -> None:
    made = envelope([(1.0, -60), (0.1, -20), (1.0, -60)])
    assert made.outermost_quiet(0.5, 0.9) == pytest.approx(0.9)
    assert made.outermost_quiet(0.9, 0.5) == pytest.approx(0.5)
    assert made.outermost_quiet(0.95, 1.05) == pytest.approx(1.0)
    assert made.outermost_quiet(0.5, 0.5) == 0.5

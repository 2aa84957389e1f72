"""Loudness is BS.1770's, whatever the blocks, and gain never clips."""

from __future__ import annotations

import numpy as np
import pyloudnorm
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.loudness import CEILING_DBFS, TARGET_LUFS, Loudness, LoudnessMeter, gain_to, measure_loudness


def noise(seconds: float, rate: int, level: float, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    swell = 1 + 0.9 * np.sin(np.arange(round(seconds * rate)) / rate)
    return (random.standard_normal(len(swell)) * level * swell).astype(np.float32)


@pytest.mark.parametrize("rate", [16_000, 22_050, 48_000])
def test_it_measures_what_pyloudnorm_measures(rate: int) -> None:
    samples = noise(20, rate, 0.05)
    samples[5 * rate : 9 * rate] *= 0.001  # a pause, for the gate
    expected = pyloudnorm.Meter(rate).integrated_loudness(samples.astype(np.float64))
    measured = measure_loudness([samples], rate)
    assert measured.lufs == pytest.approx(expected, abs=0.05)
    assert measured.peak == pytest.approx(np.abs(samples).max())


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 9000), min_size=1, max_size=8))
def test_blocks_of_any_size_give_the_same(sizes: list[int]) -> None:
    samples = noise(2, 16_000, 0.1)
    meter = LoudnessMeter(16_000)
    place = 0
    for size in [*sizes, len(samples)]:
        meter.feed(samples[place : place + size])
        place += size
    assert meter.result().lufs == pytest.approx(measure_loudness([samples], 16_000).lufs or 0, abs=1e-6)


def test_a_full_scale_sine_is_at_minus_three() -> None:
    sine = np.sin(2 * np.pi * 997 * np.arange(48_000 * 3) / 48_000).astype(np.float32)
    assert measure_loudness([sine], 48_000).lufs == pytest.approx(-3.01, abs=0.05)


def test_silence_has_no_loudness_and_is_left_alone() -> None:
    silent = measure_loudness([np.zeros(16_000, np.float32)], 16_000)
    assert silent == Loudness(None, 0.0)
    assert gain_to(silent) == 1.0
    assert measure_loudness([], 16_000).lufs is None


def test_something_shorter_than_a_block_has_a_loudness_too() -> None:
    assert measure_loudness([noise(0.2, 16_000, 0.1)], 16_000).lufs is not None


@settings(max_examples=25, deadline=None)
@given(st.floats(5e-3, 0.9), st.integers(0, 100))
def test_gain_reaches_the_target_or_the_ceiling_and_never_more(level: float, seed: int) -> None:
    samples = np.clip(noise(2, 16_000, level / 4, seed), -1, 1)
    before = measure_loudness([samples], 16_000)
    after = measure_loudness([samples * np.float32(gain_to(before))], 16_000)
    ceiling = 10 ** (CEILING_DBFS / 20)
    assert after.peak <= ceiling + 1e-4
    assert after.lufs is not None
    assert after.lufs == pytest.approx(TARGET_LUFS, abs=0.1) or after.peak == pytest.approx(ceiling, abs=1e-3)

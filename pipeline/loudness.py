"""Loudness after ITU-R BS.1770-4, streamed, and the gain that brings a recording to a loudness without clipping."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .audio import FloatArray

DoubleArray = npt.NDArray[np.float64]

TARGET_LUFS = -23.0  # EBU R 128's
CEILING_DBFS = -1.0  # no sample comes out above this
_ABSOLUTE_GATE = -70.0  # LUFS; quieter blocks don't count (BS.1770-4)
_RELATIVE_GATE = -10.0  # LU below the mean of what passed the absolute gate (BS.1770-4)
_OFFSET = -0.691  # dB; makes a 997 Hz sine at 0 dBFS measure -3.01 LUFS (BS.1770-4)


@dataclass(frozen=True)
class Loudness:
    """How loud a recording is."""

    lufs: float | None  # integrated and gated; None where there is nothing but silence
    peak: float  # largest sample, full scale being 1


@dataclass
class LoudnessMeter:
    """Measures mono blocks one after another; what it keeps is ten figures a second.

    The K-weighting filters are pyloudnorm's; blocks of 400 ms overlap by three quarters, so they are sums of four
    pieces of 100 ms. Unlike pyloudnorm's own meter this one needs no whole recording in memory.
    """

    sample_rate: int
    peak: float = 0.0
    _powers: list[DoubleArray] = field(default_factory=list)  # sums of squares of 100 ms each
    _rest: DoubleArray = field(default_factory=lambda: np.zeros(0))
    _sections: DoubleArray | None = None
    _state: DoubleArray | None = None

    def feed(self, block: FloatArray) -> None:
        """Add the samples that follow."""
        from scipy.signal import sosfilt

        if not len(block):
            return
        if self._sections is None:
            self._sections = _k_weighting(self.sample_rate)
            self._state = np.zeros((len(self._sections), 2))
        self.peak = max(self.peak, float(np.abs(block).max()))
        weighted, self._state = sosfilt(self._sections, block, zi=self._state)
        weighted = np.concatenate([self._rest, weighted])
        step = self._step
        whole = len(weighted) // step * step
        self._powers.append((weighted[:whole].reshape(-1, step) ** 2).sum(axis=1))
        self._rest = weighted[whole:]

    @property
    def _step(self) -> int:
        return max(1, round(self.sample_rate / 10))

    def result(self) -> Loudness:
        """Return the loudness of all that was fed."""
        powers = np.concatenate([*self._powers, np.zeros(0)])
        if len(powers) >= 4:
            blocks = np.convolve(powers, np.ones(4), "valid") / (4 * self._step)
        else:  # shorter than one block: all of it is the block
            samples = len(powers) * self._step + len(self._rest)
            blocks = np.array([(powers.sum() + (self._rest**2).sum()) / max(1, samples)])
        return Loudness(_gated(blocks), self.peak)


def _k_weighting(sample_rate: int) -> DoubleArray:
    """Return BS.1770's two filters for the rate as second-order sections [2, 6]."""
    from pyloudnorm import Meter

    filters = Meter(sample_rate)._filters.values()
    return np.stack([np.concatenate([one.passband_gain * one.b, one.a]) for one in filters])


def _gated(blocks: DoubleArray) -> float | None:
    levels = _OFFSET + 10 * np.log10(np.maximum(blocks, 1e-20))
    heard = blocks[levels >= _ABSOLUTE_GATE]
    if not len(heard):
        return None
    threshold = _OFFSET + 10 * np.log10(heard.mean()) + _RELATIVE_GATE
    loud = blocks[(levels > threshold) & (levels >= _ABSOLUTE_GATE)]
    return float(_OFFSET + 10 * np.log10(loud.mean()))


def measure_loudness(blocks: Iterable[FloatArray], sample_rate: int) -> Loudness:
    """Return the loudness of mono blocks at the rate."""
    meter = LoudnessMeter(sample_rate)
    for block in blocks:
        meter.feed(block)
    return meter.result()


def gain_to(loudness: Loudness, target: float = TARGET_LUFS, ceiling: float = CEILING_DBFS) -> float:
    """Return the factor that brings the recording to the target (LUFS), or as near as its peak (dBFS) allows.

    Nothing is compressed: a recording with one loud peak stays quieter than the target. Silence is left alone.
    """
    if loudness.lufs is None or loudness.peak <= 0:
        return 1.0
    wanted = 10 ** ((target - loudness.lufs) / 20)
    return float(min(wanted, 10 ** (ceiling / 20) / loudness.peak))

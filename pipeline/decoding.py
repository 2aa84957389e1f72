"""From a container's packets to mono blocks at a rate: the steps of decoding, each an iterator over the last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .records import Seconds

FloatArray = npt.NDArray[np.float32]

_MIX_SECONDS: Seconds = 2.0  # native sound is mixed down and resampled in pieces of this length
_SOUND = 1e-3  # RMS (-60 dBFS) from which a piece tells how its channels relate
_INVERTED = -0.8  # correlation with the loudest channel from which a channel counts as wired the wrong way round
_CUT_SHORT: Seconds = 0.5  # a file that ends this much before its header says is called cut short


def reason_of(fault: Exception) -> str:
    return str(getattr(fault, "strerror", None) or fault).rstrip(".").lower()


@dataclass
class Tally:
    """What goes wrong while a file is decoded, counted."""

    frames: int = 0
    seconds: Seconds = 0.0
    damaged: int = 0  # packets that couldn't be decoded
    not_numbers: int = 0  # samples that were NaN or infinite
    broke_off: str = ""  # why reading ended before the end of the file
    promised: Seconds = 0.0  # length by the header; 0 where that isn't known

    def notes(self) -> list[str]:
        """Return what a person should know about the file, a clause each."""
        found = []
        if self.damaged:
            found.append(f"{self.damaged} damaged pieces of it were skipped")
        if self.promised and self.seconds < self.promised - _CUT_SHORT:
            found.append(f"it is cut short: {self.seconds:.1f} s of the {self.promised:.1f} s it should have")
        elif self.broke_off:
            found.append(f"it is cut short after {self.seconds:.1f} s ({self.broke_off})")
        if self.not_numbers:
            found.append(f"{self.not_numbers} samples that aren't numbers were made silent")
        return found


def decode_frames(container: Any, tally: Tally) -> Iterator[Any]:
    """Decode the first audio track frame by frame, skipping packets that are damaged."""
    import av

    track = container.streams.audio[0]
    track.thread_type = "AUTO"
    packets = container.demux(track)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError as fault:
            tally.broke_off = reason_of(fault)
            return
        if packet is None:
            return
        try:
            frames = packet.decode()
        except (av.error.FFmpegError, ValueError):
            tally.damaged += 1
            continue
        for frame in frames:
            if frame.samples and frame.sample_rate:
                tally.frames += 1
                tally.seconds += frame.samples / frame.sample_rate
                yield frame


@dataclass(frozen=True)
class _Piece:
    """Some seconds of native sound: float32 [channels, samples]."""

    sample_rate: int
    layout: str
    samples: FloatArray


def join_frames(frames: Iterable[Any], tally: Tally) -> Iterator[_Piece]:
    """Join frames to pieces of _MIX_SECONDS. A change of rate, layout or format in mid-file begins a new piece."""
    held: list[Any] = []
    samples = 0
    for frame in frames:
        if held and _kind(frame) != _kind(held[0]):
            yield _join(held, tally)
            held, samples = [], 0
        held.append(frame)
        samples += frame.samples
        if samples >= _MIX_SECONDS * frame.sample_rate:
            yield _join(held, tally)
            held, samples = [], 0
    if held:
        yield _join(held, tally)


def _kind(frame: Any) -> tuple[int, str, str]:
    return frame.sample_rate, frame.layout.name, frame.format.name


def _join(frames: list[Any], tally: Tally) -> _Piece:
    raw = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)
    if not frames[0].format.is_planar:
        raw = raw.reshape(-1, len(frames[0].layout.channels)).T
    samples = _as_float(raw)
    # A sum is quicker than a look at each sample, and is no number as soon as one sample is none.
    if not np.isfinite(samples.sum()):
        bad = ~np.isfinite(samples)
        tally.not_numbers += int(bad.sum())
        samples = np.where(bad, np.float32(0), samples)
    return _Piece(frames[0].sample_rate, frames[0].layout.name, samples)


def _as_float(raw: npt.NDArray[Any]) -> FloatArray:
    """Return samples of any of FFmpeg's formats as float32, full scale being 1."""
    if raw.dtype.kind == "f":
        return raw.astype(np.float32)
    if raw.dtype == np.uint8:
        return (raw.astype(np.float32) - np.float32(128)) / np.float32(128)
    return raw.astype(np.float32) * np.float32(1 / 2 ** (8 * raw.dtype.itemsize - 1))


@dataclass
class _Downmix:
    """Mixes channels to one: their mean, so that it can't clip and nobody's microphone is lost.

    A channel wired the wrong way round would cancel the others: it is turned. That is decided once, at the first
    piece that has sound, so that the mix doesn't change within a recording.
    """

    signs: dict[tuple[str, int], FloatArray] = field(default_factory=dict)

    def __call__(self, piece: _Piece) -> FloatArray:
        samples = piece.samples
        if len(samples) == 1:
            return samples[0]
        if len(samples) >= 6:  # 5.1 and more: the fourth is the subwoofer's, which holds no speech
            samples = np.delete(samples, 3, axis=0)
        key = (piece.layout, piece.sample_rate)
        if key not in self.signs:
            signs = _channel_signs(samples)
            if signs is None:
                return samples.mean(axis=0)
            self.signs[key] = signs
        return self.signs[key] @ samples


def _channel_signs(samples: FloatArray) -> FloatArray | None:
    """Return each channel's weight in the mean, negative where it is inverted; None where it is too quiet to tell."""
    wide = samples.astype(np.float64)
    wide -= wide.mean(axis=1, keepdims=True)
    power = (wide**2).mean(axis=1)
    loudest = int(power.argmax())
    if power[loudest] < _SOUND**2:
        return None
    shared = (wide * wide[loudest]).mean(axis=1) / np.sqrt(np.maximum(power, 1e-20) * power[loudest])
    return (np.where(shared < _INVERTED, -1.0, 1.0) / len(samples)).astype(np.float32)


def resample(pieces: Iterable[_Piece], sample_rate: int) -> Iterator[FloatArray]:
    """Mix each piece to mono and bring it to the rate, without a seam between pieces."""
    import soxr

    mix = _Downmix()
    resampler: Any = None
    native = 0
    for piece in pieces:
        if native and piece.sample_rate != native and resampler is not None:
            yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)
            resampler = None
        native = piece.sample_rate
        mono = np.ascontiguousarray(mix(piece), np.float32)
        if native == sample_rate:
            yield mono
            continue
        if resampler is None:
            resampler = soxr.ResampleStream(native, sample_rate, 1, dtype="float32", quality="HQ")
        yield resampler.resample_chunk(mono)
    if resampler is not None:
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def rechunk(blocks: Iterable[FloatArray], size: int) -> Iterator[FloatArray]:
    """Give the same samples in blocks of exactly `size`, the last one shorter."""
    held: list[FloatArray] = []
    samples = 0
    for block in blocks:
        held.append(block)
        samples += len(block)
        while samples >= size:
            joined = np.concatenate(held)
            yield joined[:size]
            held = [joined[size:]]
            samples -= size
    if samples:
        yield np.concatenate(held)

"""Sound files in, samples out: PyAV decodes (it carries its own FFmpeg), soxr resamples, `wave` and pydub write.

Everything is streamed: an hour of sound needs no more memory than a minute. Samples are mono float32 in -1 to 1; what
the decoder gives is what counts, in time and in length, whatever the file's header promises.
"""

from __future__ import annotations

import hashlib
import os
import warnings
import wave
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .errors import AudioError
from .records import Recording, Seconds, Span
from .workspace import atomic_path

if TYPE_CHECKING:
    from pydub import AudioSegment

FloatArray = npt.NDArray[np.float32]

CLIP_RATE = 22_050  # XTTS learns from this rate
WHISPER_RATE = 16_000  # Whisper's, and Silero's
FADE_MS = 3  # at both ends of a clip: no click, and too short to be heard

_MIX_SECONDS: Seconds = 2.0  # native sound is mixed down and resampled in pieces of this length
_SOUND = 1e-3  # RMS (-60 dBFS) from which a piece tells how its channels relate
_INVERTED = -0.8  # correlation with the loudest channel from which a channel counts as wired the wrong way round
_CUT_SHORT: Seconds = 0.5  # a file that ends this much before its header says is called cut short
# Containers whose length FFmpeg only guesses from the bit rate: the packets have to be counted.
_LENGTH_GUESSED = frozenset({"mp3", "aac", "ac3", "eac3", "mpegts", "amr", "loas", "dts", "truehd"})
# Lists of other files or addresses: opening what they name is not what somebody who drops a recording expects.
_PLAYLISTS = frozenset({"hls", "concat", "dash", "rtsp", "sdp"})


# ---- What a file is -----------------------------------------------------------------------------------------------


def content_hash(path: Path) -> str:
    """Return the sha256 of the file's bytes: what a recording is known by, whatever its name."""
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    except OSError as fault:
        raise AudioError(f"“{Path(path).name}” can't be read: {fault.strerror or fault}.") from fault
    return digest.hexdigest()


def probe(path: Path) -> Recording:
    """Return what the file is, from its header and its first sound; never raises: `problem` says why it can't be used.

    `seconds` is what the header or the packets say; only decoding tells whether all of it is there.
    """
    path = Path(path)
    problem = _problem_of_path(path)
    if problem:
        return Recording(path, problem=problem)
    try:
        sha256 = content_hash(path)
    except AudioError as fault:
        return Recording(path, problem=str(fault))
    try:
        with _open(path) as container:
            track = container.streams.audio[0]
            context = track.codec_context
            seconds = _length(container, track)
            recording = Recording(
                path, sha256, seconds, context.sample_rate or 0, context.channels or 0, context.name or ""
            )
        with _open(path) as container:
            first = next(_frames(container, _Tally()), None)
    except AudioError as fault:
        return Recording(path, sha256, problem=_clause(fault))
    if first is None:
        return Recording(path, sha256, codec=recording.codec, problem="no sound in it can be decoded")
    return recording


def _problem_of_path(path: Path) -> str:
    """Say why this isn't even a file to open; empty where it is."""
    try:
        if path.is_symlink() and not path.exists():
            return "is a link to a file that isn't there"
        if path.is_dir():
            return "is a folder, not a file"
        if not path.exists():
            return "isn't there"
        if not path.is_file():
            return "isn't an ordinary file"
        if path.stat().st_size == 0:
            return "is empty (0 bytes)"
    except OSError as fault:
        return f"can't be read: {fault.strerror or fault}"
    return ""


def _clause(fault: AudioError) -> str:
    """Return the fault without the file's name before it and the full stop after it."""
    return str(fault).partition("” ")[2].rstrip(".") or str(fault)


def _open(path: Path) -> Any:
    """Return the opened container, known to have an audio track. Raises AudioError."""
    import av

    problem = _problem_of_path(path)
    if problem:
        raise AudioError(f"“{path.name}” {problem}.")
    try:
        # The whole path, so that a name such as “http:x.wav” is never taken for an address.
        container = av.open(os.path.abspath(path), options={"protocol_whitelist": "file"})  # noqa: PTH100
    except (av.error.FFmpegError, ValueError, OSError) as fault:
        raise AudioError(f"“{path.name}” isn't a sound file that can be read ({_reason(fault)}).") from fault
    if _PLAYLISTS & set(container.format.name.split(",")):
        container.close()
        raise AudioError(f"“{path.name}” is a playlist, not a recording.")
    if not container.streams.audio:
        container.close()
        raise AudioError(f"“{path.name}” has no sound: there is no audio track in it.")
    return container


def _reason(fault: Exception) -> str:
    return str(getattr(fault, "strerror", None) or fault).rstrip(".").lower()


def _length(container: Any, track: Any) -> Seconds:
    """Return how long the track is by its header, or by its packets where the header doesn't know."""
    import av

    guessed = bool(_LENGTH_GUESSED & set(container.format.name.split(",")))
    if not guessed and track.duration and track.time_base:
        return float(track.duration * track.time_base)
    if not guessed and container.duration:
        return container.duration / 1e6
    ticks = 0
    try:
        for packet in container.demux(track):
            ticks += packet.duration or 0
    except av.error.FFmpegError:
        pass  # cut short: what came before counts
    return float(ticks * track.time_base) if track.time_base else 0.0


# ---- Decoding -----------------------------------------------------------------------------------------------------


@dataclass
class _Tally:
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


def _frames(container: Any, tally: _Tally) -> Iterator[Any]:
    """Decode the first audio track frame by frame, skipping packets that are damaged."""
    import av

    track = container.streams.audio[0]
    track.thread_type = "AUTO"
    packets = container.demux(track)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError as fault:
            tally.broke_off = _reason(fault)
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


def _pieces(frames: Iterable[Any], tally: _Tally) -> Iterator[_Piece]:
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


def _join(frames: list[Any], tally: _Tally) -> _Piece:
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


def _resample(pieces: Iterable[_Piece], sample_rate: int) -> Iterator[FloatArray]:
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


def _rechunk(blocks: Iterable[FloatArray], size: int) -> Iterator[FloatArray]:
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


class AudioStream(Iterator[FloatArray]):
    """The blocks of a recording; when the last one has come, `notes` tells what was wrong with the file."""

    def __init__(self, path: Path, sample_rate: int, block_seconds: Seconds) -> None:
        self.path = Path(path)
        self._tally = _Tally()
        self._container = _open(self.path)
        track = self._container.streams.audio[0]
        if not _LENGTH_GUESSED & set(self._container.format.name.split(",")):
            self._tally.promised = _length(self._container, track) if track.duration else 0.0
        pieces = _pieces(_frames(self._container, self._tally), self._tally)
        self._blocks = _rechunk(_resample(pieces, sample_rate), max(1, round(block_seconds * sample_rate)))

    def __next__(self) -> FloatArray:
        try:
            return next(self._blocks)
        except StopIteration:
            self.close()
            if not self._tally.frames:
                raise AudioError(f"“{self.path.name}” holds no sound that can be decoded.") from None
            raise

    def close(self) -> None:
        """Let go of the file before the end is reached."""
        self._container.close()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know about the file, a clause each: cut short, damaged, samples that aren't numbers."""
        return tuple(self._tally.notes())


def stream(path: Path, sample_rate: int, block_seconds: Seconds = 30.0) -> AudioStream:
    """Return an iterator over the recording's mono blocks at the rate, the last one shorter. Raises AudioError."""
    return AudioStream(path, sample_rate, block_seconds)


def decode(path: Path, sample_rate: int) -> FloatArray:
    """Return the whole recording, mono, at the rate. Raises AudioError."""
    return np.concatenate(list(stream(path, sample_rate)))


# ---- Writing and shaping clips ------------------------------------------------------------------------------------


def to_pcm(samples: FloatArray) -> npt.NDArray[np.int16]:
    """Return samples as 16 bit, beyond full scale clipped. Sound that was 16 bit comes out as it was, bit for bit."""
    return np.clip(np.rint(samples * np.float32(32768)), -32768, 32767).astype("<i2")


def write_wav(path: Path, samples: FloatArray, sample_rate: int) -> None:
    """Write mono 16 bit PCM in one step: the old file or the new one is there, never a half."""
    with atomic_path(Path(path)) as beside, wave.open(str(beside), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(to_pcm(samples).tobytes())


def trim(samples: FloatArray, sample_rate: int, keep: Span, fade_ms: int = FADE_MS) -> FloatArray:
    """Return the stretch `keep` (to the millisecond) with a short fade at both ends."""
    part = _segment(samples, sample_rate)[round(keep.start * 1000) : round(keep.end * 1000)]
    return _samples(_faded(part, fade_ms))


def fade(samples: FloatArray, sample_rate: int, fade_ms: int = FADE_MS) -> FloatArray:
    """Return the clip with a short fade at both ends, so that it begins and ends without a click."""
    return _samples(_faded(_segment(samples, sample_rate), fade_ms))


def join(parts: Iterable[FloatArray], sample_rate: int, pause: Seconds = 0.0) -> FloatArray:
    """Return the parts one after another, with silence between them."""
    from_silence = np.zeros(round(pause * sample_rate), np.float32)
    whole = _segment(np.zeros(0, np.float32), sample_rate)
    for number, part in enumerate(parts):
        if number and len(from_silence):
            whole += _segment(from_silence, sample_rate)
        whole += _segment(part, sample_rate)
    return _samples(whole)


def _faded(part: AudioSegment, fade_ms: int) -> AudioSegment:
    fade_ms = min(fade_ms, len(part) // 2)
    return part.fade_in(fade_ms).fade_out(fade_ms) if fade_ms else part


def _segment(samples: FloatArray, sample_rate: int) -> AudioSegment:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydub looks for ffmpeg when imported; raw samples need none
        from pydub import AudioSegment

    return AudioSegment(to_pcm(samples).tobytes(), sample_width=2, frame_rate=sample_rate, channels=1)


def _samples(segment: AudioSegment) -> FloatArray:
    return np.frombuffer(segment.raw_data, "<i2").astype(np.float32) / np.float32(32768)

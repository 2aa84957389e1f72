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
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .decoding import FloatArray as FloatArray
from .decoding import Tally, decode_frames, join_frames, reason_of, rechunk, resample
from .errors import AudioError
from .records import Recording, Seconds, Span
from .workspace import atomic_path

if TYPE_CHECKING:
    from pydub import AudioSegment

CLIP_RATE = 22_050  # XTTS learns from this rate
WHISPER_RATE = 16_000  # Whisper's, and Silero's
FADE_MS = 3  # at both ends of a clip: no click, and too short to be heard

_EDGE: Seconds = 0.02  # of a clip is faded apart: whole samples and whole milliseconds at every usual rate
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
        return Recording(path, problem=_clause(path, fault))
    try:
        with _open(path) as container:
            track = container.streams.audio[0]
            context = track.codec_context
            seconds = _length(container, track)
            recording = Recording(
                path, sha256, seconds, context.sample_rate or 0, context.channels or 0, context.name or ""
            )
        with _open(path) as container:
            first = next(decode_frames(container, Tally()), None)
    except AudioError as fault:
        return Recording(path, sha256, problem=_clause(path, fault))
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


def _clause(path: Path, fault: AudioError) -> str:
    """Return the fault without the file's name before it and the full stop after it."""
    return str(fault).removeprefix(f"“{path.name}” ").rstrip(".")


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
        raise AudioError(f"“{path.name}” isn't a sound file that can be read ({reason_of(fault)}).") from fault
    if _PLAYLISTS & set(container.format.name.split(",")):
        container.close()
        raise AudioError(f"“{path.name}” is a playlist, not a recording.")
    if not container.streams.audio:
        container.close()
        raise AudioError(f"“{path.name}” has no sound: there is no audio track in it.")
    return container


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


def _promised(path: Path, container: Any, track: Any) -> Seconds:
    """Return how long the header says the track is; 0 where it says nothing that can be relied on."""
    formats = set(container.format.name.split(","))
    if formats & _LENGTH_GUESSED or not (track.duration and track.time_base):
        return 0.0
    seconds = float(track.duration * track.time_base)
    if "wav" in formats and (missing := _missing_bytes(path)):  # FFmpeg believes the file's size, not its header
        seconds *= 1 + missing / max(path.stat().st_size, 1)
    return seconds


def _missing_bytes(path: Path) -> int:
    """Return how many bytes a WAV file is shorter than its header says; 0 where the header says nothing."""
    with path.open("rb") as file:
        head = file.read(8)
    size = int.from_bytes(head[4:8], "little") + 8
    # Programs that write a stream before they know its length put the largest number there, or none.
    told = head[:4] == b"RIFF" and 8 < size < 0x7FFF0000
    return max(0, size - path.stat().st_size) if told else 0


# ---- Decoding -----------------------------------------------------------------------------------------------------


class AudioStream(Iterator[FloatArray]):
    """The blocks of a recording; when the last one has come, `notes` tells what was wrong with the file."""

    def __init__(self, path: Path, sample_rate: int, block_seconds: Seconds) -> None:
        self.path = Path(path)
        self._tally = Tally()
        self._container = _open(self.path)
        track = self._container.streams.audio[0]
        self._tally.promised = _promised(self.path, self._container, track)
        pieces = join_frames(decode_frames(self._container, self._tally), self._tally)
        self._blocks = rechunk(resample(pieces, sample_rate), max(1, round(block_seconds * sample_rate)))

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
    return fade(_samples(part), sample_rate, fade_ms)


def fade(samples: FloatArray, sample_rate: int, fade_ms: int = FADE_MS) -> FloatArray:
    """Return the clip with a short fade at both ends, so that it begins and ends without a click.

    Only the ends go through pydub, which counts in milliseconds: the clip keeps its length to the sample.
    """
    edge = min(round(_EDGE * sample_rate), len(samples) // 2)
    faded = samples.astype(np.float32)
    faded[:edge] = _fade_in(faded[:edge], sample_rate, fade_ms)
    faded[len(faded) - edge :] = _fade_in(faded[len(faded) - edge :][::-1], sample_rate, fade_ms)[::-1]
    return faded


def _fade_in(edge: FloatArray, sample_rate: int, fade_ms: int) -> FloatArray:
    segment = _segment(edge, sample_rate)
    faded = _samples(segment.fade_in(min(fade_ms, len(segment)))) if len(segment) and fade_ms else edge
    return np.pad(faded, (0, max(0, len(edge) - len(faded))))[: len(edge)]


def join(parts: Iterable[FloatArray], sample_rate: int, pause: Seconds = 0.0) -> FloatArray:
    """Return the parts one after another, with silence between them."""
    from_silence = np.zeros(round(pause * sample_rate), np.float32)
    whole = _segment(np.zeros(0, np.float32), sample_rate)
    for number, part in enumerate(parts):
        if number and len(from_silence):
            whole += _segment(from_silence, sample_rate)
        whole += _segment(part, sample_rate)
    return _samples(whole)


def _segment(samples: FloatArray, sample_rate: int) -> AudioSegment:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydub looks for ffmpeg when imported; raw samples need none
        from pydub import AudioSegment

    return AudioSegment(to_pcm(samples).tobytes(), sample_width=2, frame_rate=sample_rate, channels=1)


def _samples(segment: AudioSegment) -> FloatArray:
    return np.frombuffer(segment.raw_data, "<i2").astype(np.float32) / np.float32(32768)

"""Recordings for tests: synthetic voices as files, with what is said in them, and every kind of broken file."""

from __future__ import annotations

import struct
import wave
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import soundfile

from pipeline.audio import FloatArray, write_wav

from .speech import RATE, Spoken, story


@dataclass(frozen=True)
class Told:
    """A recording on disk, and the truth about it."""

    path: Path
    spoken: Spoken

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.spoken.words)


def record(folder: Path, name: str = "voice.wav", *, count: int = 6, seed: int = 0, language: str = "en") -> Told:
    """Write a story of some sentences as a WAV file."""
    spoken = story(language, count, seed)
    write_wav(folder / name, spoken.samples, RATE)
    return Told(folder / name, spoken)


def sentences_of(spoken: Spoken) -> list[tuple[float, float, str]]:
    """Return start, end and text of each sentence."""
    edges = [0, *(end + 1 for end in sorted(spoken.sentence_ends))]
    parts = [spoken.words[first:last] for first, last in pairwise(edges)]
    return [(part[0].start, part[-1].end, " ".join(word.text for word in part)) for part in parts]


def write_srt(told: Told) -> Path:
    """Write subtitles beside a recording, one a sentence."""
    path = told.path.with_suffix(".srt")
    cues = [
        f"{number}\n{_clock(start)} --> {_clock(end)}\n{text}\n"
        for number, (start, end, text) in enumerate(sentences_of(told.spoken), 1)
    ]
    path.write_text("\n".join(cues), encoding="utf-8")
    return path


def _clock(seconds: float) -> str:
    whole = round(seconds * 1000)
    return f"{whole // 3600000:02d}:{whole // 60000 % 60:02d}:{whole // 1000 % 60:02d},{whole % 1000:03d}"


# ---- Broken and unusual files -------------------------------------------------------------------------------------


def tone(seconds: float = 3.0, rate: int = 22_050, level: float = 0.3) -> FloatArray:
    time = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * 440 * time)).astype(np.float32)


def _video_without_sound(path: Path) -> None:
    with av.open(str(path), "w") as container:
        track = container.add_stream("mpeg4", rate=10)
        track.width, track.height, track.pix_fmt = 64, 64, "yuv420p"
        for _ in range(10):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            container.mux(track.encode(frame))
        container.mux(track.encode())


def encode(path: Path, samples: FloatArray, rate: int, codec: str) -> None:
    """Write a sound through one of FFmpeg's encoders; the container follows from the name."""
    with av.open(str(path), "w") as container:
        track = container.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray((samples * 32767).astype("<i2")[None], format="s16", layout="mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(
            format=track.format.name, layout="mono", rate=rate, frame_size=track.frame_size or 0
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(track.encode(piece))
        container.mux(track.encode())


def resample(samples: FloatArray, rate: int, wanted: int) -> FloatArray:
    import soxr

    return soxr.resample(samples, rate, wanted).astype(np.float32)


def _cut(path: Path, bytes_left: int) -> None:
    path.write_bytes(path.read_bytes()[:bytes_left])


def _header_only(path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(22_050)


def _lying_header(path: Path) -> None:
    """Write a WAV whose header promises an hour."""
    write_wav(path, tone(2), 22_050)
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, 4, 22_050 * 2 * 3600 + 36)
    struct.pack_into("<I", data, 40, 22_050 * 2 * 3600)
    path.write_bytes(data)


def broken_files() -> dict[str, Callable[[Path], object]]:
    """Return makers of files out of which no clip can come, by name."""
    random = np.random.default_rng(0)
    silence = np.zeros(22_050 * 3, np.float32)
    return {
        "zero bytes.wav": lambda path: path.write_bytes(b""),
        "zero bytes.mp3": lambda path: path.write_bytes(b""),
        "one byte.wav": lambda path: path.write_bytes(b"R"),
        "text.wav": lambda path: path.write_text("This is a letter, not a sound.", encoding="utf-8"),
        "text.mp3": lambda path: path.write_text("Neither is this.\n" * 100, encoding="utf-8"),
        "html.wav": lambda path: path.write_text("<!DOCTYPE html><title>404</title>", encoding="utf-8"),
        "noise bytes.wav": lambda path: path.write_bytes(random.bytes(20_000)),
        "noise bytes.flac": lambda path: path.write_bytes(random.bytes(20_000)),
        "noise bytes.ogg": lambda path: path.write_bytes(random.bytes(20_000)),
        "zeros.wav": lambda path: path.write_bytes(bytes(50_000)),
        "archive.zip": lambda path: path.write_bytes(b"PK\x03\x04" + random.bytes(2000)),
        "program.exe": lambda path: path.write_bytes(b"MZ" + random.bytes(2000)),
        "picture.png": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + random.bytes(500)),
        "video without sound.mp4": _video_without_sound,
        "header only.wav": _header_only,
        "half a header.wav": lambda path: (write_wav(path, tone(), 22_050), _cut(path, 20)),
        "cut flac.flac": lambda path: (soundfile.write(path, tone(), 22_050), _cut(path, 60)),
        "cut mp4.m4a": lambda path: (encode(path, tone(), 44_100, "aac"), _cut(path, 2000)),
        "silence.wav": lambda path: write_wav(path, silence, 22_050),
        "silence.flac": lambda path: soundfile.write(path, silence, 22_050),
        "silence 8 bit.wav": lambda path: soundfile.write(path, silence, 22_050, "PCM_U8"),
        "DC.wav": lambda path: soundfile.write(path, silence + 0.5, 22_050),
        "all NaN.wav": lambda path: soundfile.write(path, silence + np.nan, 22_050, "FLOAT"),
        "infinite.wav": lambda path: soundfile.write(path, silence + np.inf, 22_050, "FLOAT"),
        "hum.wav": lambda path: soundfile.write(path, tone(4), 22_050),
        "hum 192 kHz.wav": lambda path: soundfile.write(path, tone(2, 192_000), 192_000),
        "hiss.wav": lambda path: soundfile.write(path, (0.1 * random.standard_normal(66_150)), 22_050),
        "too short.wav": lambda path: soundfile.write(path, tone(0.05), 22_050),
        "one sample.wav": lambda path: soundfile.write(path, tone(1)[:1], 22_050),
        "lying header.wav": _lying_header,
        "folder.wav": lambda path: path.mkdir(),
        "dangling.wav": lambda path: path.symlink_to(path.with_name("nowhere.wav")),
        "🎙️ emoji.wav": lambda path: path.write_bytes(b"no sound"),
        "it's \"quoted\".wav": lambda path: path.write_bytes(b"no sound"),
        "pipe | and ; comma,.wav": lambda path: path.write_bytes(b"no sound"),
        "new\nline.wav": lambda path: path.write_bytes(b"no sound"),
        f"{'long' * 49}.wav": lambda path: path.write_bytes(b"no sound"),
        "no ending": lambda path: path.write_bytes(b"no sound"),
        "http:playlist.m3u8": lambda path: path.write_text("#EXTM3U\nhttp://localhost:1/a.ts\n", encoding="utf-8"),
        "playlist.m3u8": lambda path: path.write_text("#EXTM3U\nother.ts\n", encoding="utf-8"),
    }  # fmt: skip


def unusual_files(speech: FloatArray) -> dict[str, Callable[[Path], object]]:
    """Return makers of files with speech (at 22 050 Hz) that must be usable, whatever their form."""
    stereo = np.stack([speech, speech * 0.5], axis=1)
    surround = np.zeros((len(speech), 6), np.float32)
    surround[:, 2] = speech
    holes = speech.copy()
    holes[1000:1010] = np.nan
    return {
        "8 bit.wav": lambda path: soundfile.write(path, speech, RATE, "PCM_U8"),
        "24 bit.wav": lambda path: soundfile.write(path, speech, RATE, "PCM_24"),
        "float.wav": lambda path: soundfile.write(path, speech, RATE, "FLOAT"),
        "192 kHz.wav": lambda path: soundfile.write(path, resample(speech, RATE, 192_000), 192_000),
        "8 kHz.wav": lambda path: soundfile.write(path, resample(speech, RATE, 8_000), 8_000),
        "stereo.flac": lambda path: soundfile.write(path, stereo, RATE),
        "5.1.wav": lambda path: soundfile.write(path, surround, RATE),
        "out of phase.wav": lambda path: soundfile.write(path, np.stack([speech, -speech], 1), RATE),
        "NaN holes.wav": lambda path: soundfile.write(path, holes, RATE, "FLOAT"),
        "too loud.wav": lambda path: soundfile.write(path, speech * 8, RATE, "FLOAT"),
        "very quiet.wav": lambda path: soundfile.write(path, speech * 0.01, RATE, "PCM_24"),
        "with DC.wav": lambda path: soundfile.write(path, speech * 0.5 + 0.3, RATE, "FLOAT"),
        "wrong ending.mp3": lambda path: soundfile.write(path, speech, RATE, format="FLAC"),
        "no ending": lambda path: soundfile.write(path, speech, RATE, format="WAV"),
        "voice.ogg": lambda path: soundfile.write(path, speech, RATE),
        "voice.mp3": lambda path: soundfile.write(path, speech, RATE),
        "voice.m4a": lambda path: encode(path, speech, RATE, "aac"),
        "voice.webm": lambda path: encode(path, resample(speech, RATE, 48_000), 48_000, "libopus"),
        "🎙️ мой голос 我的声音.wav": lambda path: soundfile.write(path, speech, RATE),
        "it's \"quoted\" | piped; 100%.wav": lambda path: soundfile.write(path, speech, RATE),
        f"{'x' * 196}.wav": lambda path: soundfile.write(path, speech, RATE),
    }  # fmt: skip

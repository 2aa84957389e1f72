"""Sound files in, samples out: any container, streamed, never a surprise."""

from __future__ import annotations

import os
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.audio import (
    CLIP_RATE,
    WHISPER_RATE,
    content_hash,
    decode,
    fade,
    join,
    probe,
    stream,
    trim,
    write_wav,
)
from pipeline.errors import AudioError
from pipeline.records import Span
from tests.recordings import broken_files, encode, resample, tone, unusual_files

RATE = 22_050
BROKEN = broken_files()
UNUSUAL = unusual_files(tone(2.0, RATE))
# These hold sound, and only listening tells that nobody speaks.
SOUNDING = {
    "silence.wav", "silence.flac", "silence 8 bit.wav", "DC.wav", "all NaN.wav", "infinite.wav", "hum.wav",
    "hum 192 kHz.wav", "hiss.wav", "too short.wav", "one sample.wav", "lying header.wav",
}  # fmt: skip


def make(folder: Path, name: str, maker: object) -> Path:
    path = folder / name
    try:
        maker(path)  # type: ignore[operator]
    except OSError as fault:
        pytest.skip(f"this system has no file named {name!r}: {fault}")
    return path


# ---- What a file is -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_probing_never_fails_and_says_why_a_file_is_useless(name: str, tmp_path: Path) -> None:
    recording = probe(make(tmp_path, name, BROKEN[name]))
    if name in SOUNDING:
        assert recording.problem == ""
        return
    assert recording.problem
    assert recording.problem[0].islower()
    assert not recording.problem.endswith(".")
    assert str(tmp_path) not in recording.problem
    with pytest.raises(AudioError) as caught:
        decode(tmp_path / name, WHISPER_RATE)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("zero bytes.wav", "is empty (0 bytes)"),
        ("folder.wav", "is a folder, not a file"),
        ("dangling.wav", "is a link to a file that isn't there"),
        ("video without sound.mp4", "there is no audio track"),
        ("text.wav", "isn't a sound file that can be read"),
    ],
)
def test_the_reason_is_the_right_one(name: str, words: str, tmp_path: Path) -> None:
    assert words in probe(make(tmp_path, name, BROKEN[name])).problem


@pytest.mark.parametrize("name", sorted(UNUSUAL))
def test_whatever_holds_sound_is_decoded(name: str, tmp_path: Path) -> None:
    path = make(tmp_path, name, UNUSUAL[name])
    recording = probe(path)
    assert recording.problem == ""
    assert recording.seconds == pytest.approx(2.0, abs=0.1)
    assert recording.sample_rate
    assert recording.channels
    assert recording.sha256 == content_hash(path)
    for rate in (WHISPER_RATE, CLIP_RATE):
        samples = decode(path, rate)
        assert samples.dtype == np.float32
        assert samples.ndim == 1
        assert np.isfinite(samples).all()
        assert len(samples) / rate == pytest.approx(2.0, abs=0.1)
        middle = samples[len(samples) // 4 : -len(samples) // 4]
        spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
        spectrum[:5] = 0  # DC
        assert spectrum.argmax() * rate / len(middle) == pytest.approx(440, abs=3)


def test_the_length_of_an_mp3_is_counted_not_guessed(tmp_path: Path) -> None:
    quiet_then_loud = np.concatenate([np.zeros(RATE * 20, np.float32), tone(20, RATE)])
    soundfile.write(tmp_path / "a.mp3", quiet_then_loud, RATE)
    data = (tmp_path / "a.mp3").read_bytes()
    (tmp_path / "b.mp3").write_bytes(data[len(data) // 2 :])  # no header that knows
    recording = probe(tmp_path / "b.mp3")
    assert recording.seconds == pytest.approx(len(decode(tmp_path / "b.mp3", RATE)) / RATE, abs=0.1)


def test_content_is_known_whatever_the_name(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", tone(1), RATE)
    (tmp_path / "b.wav").write_bytes((tmp_path / "a.wav").read_bytes())
    assert probe(tmp_path / "a.wav").sha256 == probe(tmp_path / "b.wav").sha256
    with pytest.raises(AudioError):
        content_hash(tmp_path / "c.wav")


# ---- What was wrong with it ---------------------------------------------------------------------------------------


def notes_of(path: Path) -> str:
    blocks = stream(path, WHISPER_RATE)
    for _ in blocks:
        pass
    return "; ".join(blocks.notes)


def test_a_sound_file_gives_no_notes(tmp_path: Path) -> None:
    for name, maker in UNUSUAL.items():
        if name != "NaN holes.wav":
            assert notes_of(make(tmp_path, name, maker)) == "", name


def test_samples_that_are_no_numbers_become_silence_and_are_reported(tmp_path: Path) -> None:
    samples = tone(3)
    samples[100:110] = np.nan
    samples[30_000] = np.inf
    soundfile.write(tmp_path / "a.wav", samples, RATE, "FLOAT")
    decoded = decode(tmp_path / "a.wav", RATE)
    assert np.isfinite(decoded).all()
    assert (decoded[100:110] == 0).all()
    np.testing.assert_allclose(decoded[110:30_000], samples[110:30_000], atol=1e-4)
    assert "11 samples that aren't numbers" in notes_of(tmp_path / "a.wav")


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
def test_of_a_file_that_is_cut_short_what_is_there_is_used(name: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / name, tone(10) + 0.01 * np.random.default_rng(0).standard_normal(220_500), RATE)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    seconds = len(decode(tmp_path / name, RATE)) / RATE
    assert 3 < seconds < 7
    if name != "a.ogg":  # an Ogg file doesn't say how long it should be
        assert "cut short" in notes_of(tmp_path / name)


def test_damage_in_the_middle_is_skipped_and_reported(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.mp3", tone(10), RATE)
    data = bytearray((tmp_path / "a.mp3").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = np.random.default_rng(1).bytes(3000)
    (tmp_path / "a.mp3").write_bytes(data)
    assert 6 < len(decode(tmp_path / "a.mp3", RATE)) / RATE < 10.5
    assert "damaged" in notes_of(tmp_path / "a.mp3")


# ---- Mixing and resampling ----------------------------------------------------------------------------------------


def test_channels_are_averaged_without_clipping_or_loss(tmp_path: Path) -> None:
    left, right = tone(2, RATE, 0.9), tone(2, RATE, 0.9)
    soundfile.write(tmp_path / "both.wav", np.stack([left, right], 1), RATE, "FLOAT")
    np.testing.assert_allclose(decode(tmp_path / "both.wav", RATE), left, atol=1e-3)
    soundfile.write(tmp_path / "left.wav", np.stack([left, left * 0], 1), RATE, "FLOAT")
    np.testing.assert_allclose(decode(tmp_path / "left.wav", RATE), left / 2, atol=1e-3)


def test_a_channel_wired_the_wrong_way_round_cancels_nothing(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    voice = np.concatenate([np.zeros(RATE * 3), random.standard_normal(RATE * 3) * 0.1]).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", np.stack([voice, -0.9 * voice], 1), RATE, "FLOAT")
    mixed = decode(tmp_path / "a.wav", RATE)
    assert np.abs(mixed).max() == pytest.approx(0.95 * np.abs(voice).max(), rel=0.01)


def test_two_people_on_two_channels_are_both_heard(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    first, second = (random.standard_normal((2, RATE * 4)) * 0.1).astype(np.float32)
    first[RATE * 2 :] = 0
    second[: RATE * 2] = 0
    soundfile.write(tmp_path / "a.wav", np.stack([first, second], 1), RATE, "FLOAT")
    mixed = decode(tmp_path / "a.wav", RATE)
    assert np.abs(mixed[: RATE * 2]).mean() == pytest.approx(np.abs(mixed[RATE * 2 :]).mean(), rel=0.1)


@pytest.mark.parametrize("native", [8_000, 22_050, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("wanted", [WHISPER_RATE, CLIP_RATE])
def test_a_moment_stays_where_it_is_at_every_rate(native: int, wanted: int, tmp_path: Path) -> None:
    samples = np.zeros(native * 5, np.float32)
    samples[round(native * 3.1) : round(native * 3.1) + native // 1000] = 0.5
    soundfile.write(tmp_path / "a.wav", samples, native, "FLOAT")
    decoded = decode(tmp_path / "a.wav", wanted)
    assert np.abs(decoded).argmax() / wanted == pytest.approx(3.1005, abs=0.001)
    assert len(decoded) == pytest.approx(5 * wanted, abs=2)


@pytest.mark.parametrize("name", ["a.m4a", "a.mp3", "a.webm"])
def test_both_rates_see_the_same_timeline(name: str, tmp_path: Path) -> None:
    samples = np.zeros(48_000 * 4, np.float32)
    samples[48_000 * 2 : 48_000 * 3] = tone(1, 48_000)
    encode(tmp_path / name, samples, 48_000, {"m4a": "aac", "mp3": "libmp3lame", "webm": "libopus"}[name[2:]])
    starts = []
    for rate in (WHISPER_RATE, CLIP_RATE):
        decoded = decode(tmp_path / name, rate)
        starts.append(np.flatnonzero(np.abs(decoded) > 0.1)[0] / rate)
    assert starts[0] == pytest.approx(starts[1], abs=0.001)
    assert starts[0] == pytest.approx(2.0, abs=0.05)


def test_a_rate_that_changes_in_the_middle_is_followed(tmp_path: Path) -> None:
    for number, rate in enumerate((44_100, 24_000)):
        soundfile.write(tmp_path / f"{number}.mp3", tone(3, rate), rate)
    joined = (tmp_path / "0.mp3").read_bytes() + (tmp_path / "1.mp3").read_bytes()
    (tmp_path / "a.mp3").write_bytes(joined)
    assert len(decode(tmp_path / "a.mp3", RATE)) / RATE == pytest.approx(6.0, abs=0.3)


# ---- Streaming ----------------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(st.floats(0.01, 4.0))
def test_blocks_are_of_the_length_asked_for_and_lose_nothing(block_seconds: float) -> None:
    folder = Path(os.environ.get("PYTEST_TMP", "/tmp")) if os.name != "nt" else Path.cwd()
    path = folder / f"blocks-{os.getpid()}.flac"
    try:
        soundfile.write(path, np.stack([tone(5, 44_100)] * 2, 1), 44_100)
        blocks = list(stream(path, WHISPER_RATE, block_seconds))
        size = max(1, round(block_seconds * WHISPER_RATE))
        assert all(len(block) == size for block in blocks[:-1])
        assert 0 < len(blocks[-1]) <= size
        np.testing.assert_array_equal(np.concatenate(blocks), decode(path, WHISPER_RATE))
    finally:
        path.unlink(missing_ok=True)


def test_an_hour_needs_no_more_memory_than_a_minute(tmp_path: Path) -> None:
    """The long file is mostly a hole in the file system, so that making it costs nothing."""
    peaks = []
    for minutes in (1, 60):
        path = tmp_path / f"{minutes}.wav"
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 44_100, 44_100 * 60 * minutes, "NONE", ""))
            file.writeframesraw(b"")
        with path.open("r+b") as file:
            file.truncate(44 + 44_100 * 2 * 60 * minutes)
            for place, size in ((4, 36), (40, 0)):
                file.seek(place)
                file.write((44_100 * 2 * 60 * minutes + size).to_bytes(4, "little"))
        code = (
            "import resource, sys; from pathlib import Path; from pipeline.audio import stream;"
            "print(sum(len(block) for block in stream(Path(sys.argv[1]), 16000)) // 16000,"
            "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        done = subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True)
        seconds, peak = map(int, done.stdout.split())
        assert seconds == 60 * minutes
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 20_000  # kB


def test_a_stream_can_be_let_go(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", tone(5), RATE)
    blocks = stream(tmp_path / "a.wav", RATE, 0.5)
    next(blocks)
    blocks.close()
    (tmp_path / "a.wav").unlink()


# ---- Writing and shaping ------------------------------------------------------------------------------------------


def test_what_is_written_comes_back_bit_for_bit(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    samples = (random.integers(-32_768, 32_768, 5000) / 32_768).astype(np.float32)
    write_wav(tmp_path / "a.wav", samples, CLIP_RATE)
    np.testing.assert_array_equal(decode(tmp_path / "a.wav", CLIP_RATE), samples)
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (22_050, 1, 2)


def test_too_loud_samples_are_clipped_not_wrapped(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.array([2.0, -2.0, 0.0], np.float32), RATE)
    np.testing.assert_allclose(decode(tmp_path / "a.wav", RATE), [1, -1, 0], atol=1e-4)


def test_writing_leaves_nothing_half(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", tone(1), RATE)
    before = (tmp_path / "a.wav").read_bytes()
    with pytest.raises(TypeError):
        write_wav(tmp_path / "a.wav", None, RATE)  # type: ignore[arg-type]
    assert (tmp_path / "a.wav").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.wav"]


def test_trimming_keeps_what_is_asked_for_and_fades_its_ends() -> None:
    samples = tone(3)
    kept = trim(samples, RATE, Span(0.5, 2.0))
    assert len(kept) / RATE == pytest.approx(1.5, abs=0.001)
    assert abs(kept[0]) < 0.01
    assert abs(kept[-1]) < 0.02
    np.testing.assert_allclose(kept[200:-200], samples[11_025:][200 : len(kept) - 200], atol=1e-3)


def test_fading_changes_only_the_ends() -> None:
    samples = tone(1)
    faded = fade(samples, RATE)
    assert len(faded) == len(samples)
    np.testing.assert_allclose(faded[100:-100], samples[100:-100], atol=1e-4)
    assert abs(faded[0]) == 0
    assert len(fade(samples[:3], RATE)) == 3


def test_joining_puts_silence_between() -> None:
    joined = join([tone(1), tone(1)], RATE, pause=0.5)
    assert len(joined) / RATE == pytest.approx(2.5, abs=0.001)
    assert np.abs(joined[RATE + 100 : RATE + 10_000]).max() == 0
    assert len(join([], RATE)) == 0


def test_a_small_resampled_tone_is_still_that_tone() -> None:
    assert len(resample(tone(1), RATE, 16_000)) == pytest.approx(16_000, abs=2)

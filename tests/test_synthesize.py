"""The same seed says it the same way; a bad reference or text is refused in words; a resident voice answers."""

from __future__ import annotations

import functools
import subprocess
import sys
import time
import wave
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline import synthesize, voice_client
from pipeline.audio import CLIP_RATE, decode, write_wav
from pipeline.errors import (
    AudioError,
    FinetuneError,
    JobError,
    JobRunningError,
    ModelError,
    ModelMissingError,
    SettingError,
    Stopped,
)
from pipeline.jobs import end_job, read_job, running_job, start_job
from pipeline.options import SpeakOptions, VoiceOptions
from pipeline.progress import Progress
from pipeline.records import Voice
from pipeline.synthesize import SPEECH_RATE, Speaker, load_speaker, read_reference, speak
from pipeline.workspace import REPOSITORY, Workspace, write_text

from .models import demo_base, install_demo_base, make_clip

TEXT = "Hello there."


class Notes(Progress):
    """Remembers what it was told, and asks to stop when `stop_at` is said."""

    def __init__(self, stop_at: str = "") -> None:
        self.told: list[tuple[float | None, str]] = []
        self.logged: list[str] = []
        self._stop_at = stop_at

    def update(self, fraction: float | None, message: str) -> None:
        self.told.append((fraction, message))

    def log(self, message: str, kind: str = "General") -> None:
        self.logged.append(message)

    @property
    def stop_requested(self) -> bool:
        return bool(self._stop_at) and any(self._stop_at in message for _, message in self.told)


@functools.cache
def _speaker() -> Speaker:
    """Load the demo base once for all tests."""
    folder = demo_base()
    return load_speaker(Voice(folder / "model.pth", folder / "config.json", folder / "vocab.json"), "cpu")


@pytest.fixture
def reference(tmp_path: Path) -> str:
    return str(make_clip(tmp_path / "reference.wav", 1.0))


@pytest.fixture
def say(reference: str) -> Callable[..., SpeakOptions]:
    return lambda text=TEXT, **more: SpeakOptions(
        **{"model": "demo", "text": text, "references": (reference,), "device": "cpu", **more}
    )


# ---- Speaking -----------------------------------------------------------------------------------------------------


def test_speak_writes_a_wav_of_24_khz_and_16_bit_and_tells_its_length(
    ws: Workspace, say: Callable[..., SpeakOptions], tmp_path: Path
) -> None:
    install_demo_base(ws)
    notes = Notes()
    speech = speak(ws, say(out=str(tmp_path / "new" / "said.wav"), seed=3), notes)
    with wave.open(speech.path) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (24_000, 2, 1)
        assert speech.seconds == pytest.approx(file.getnframes() / 24_000, abs=0.001)
        assert file.getnframes() > 0
    assert speech.seed == 3
    assert notes.told[-1][0] == 1.0
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["said.wav"]


def test_without_an_output_file_each_speech_gets_a_new_one(ws: Workspace, say: Callable[..., SpeakOptions]) -> None:
    folder = ws.projects_folder / ".speech"
    written = [synthesize._write(_speaker(), say(), folder, Progress()) for _ in range(2)]
    assert len({speech.path for speech in written}) == len(list(folder.iterdir())) == 2


def test_the_same_seed_says_the_same_and_another_seed_another(say: Callable[..., SpeakOptions]) -> None:
    one, again, other = (_speaker().say(say(seed=seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert one.shape != other.shape or not np.allclose(one, other)


def test_torchs_random_state_is_left_as_it_was(say: Callable[..., SpeakOptions]) -> None:
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    _speaker().say(say())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_every_reference_counts(say: Callable[..., SpeakOptions], reference: str, tmp_path: Path) -> None:
    other = str(make_clip(tmp_path / "other.wav", 1.5, pitch=330.0))
    with torch.inference_mode():
        one, two, both = (_speaker()._listen(names) for names in ((reference,), (other,), (reference, other)))
    assert torch.allclose(both.latents, (one.latents + two.latents) / 2, atol=1e-6)
    assert torch.allclose(both.embedding, (one.embedding + two.embedding) / 2, atol=1e-6)
    assert not torch.allclose(one.latents, two.latents)


def test_one_reference_gives_what_coquis_own_method_gives(reference: str) -> None:
    model = _speaker().model
    audio = torch.from_numpy(decode(Path(reference), CLIP_RATE)).unsqueeze(0)
    with torch.inference_mode():
        ours = _speaker()._listen((reference,))
        latents = model.get_gpt_cond_latents(audio, CLIP_RATE, length=30, chunk_length=4)
        assert torch.equal(ours.latents, latents)
        assert torch.equal(ours.embedding, model.get_speaker_embedding(audio, CLIP_RATE))


def test_a_changed_reference_is_heard_again(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "voice.wav", 1.0)
    with torch.inference_mode():
        before = _speaker()._listen((str(path),))
        make_clip(path, 1.0, pitch=330.0)
        assert not torch.equal(_speaker()._listen((str(path),)).latents, before.latents)


def test_generation_is_capped_by_the_texts_length(say: Callable[..., SpeakOptions]) -> None:
    bias = _speaker().model.gpt.mel_head.bias
    kept = bias[1025].item()
    try:
        with torch.no_grad():
            bias[1025] = -1e4  # never stops by itself
        said = _speaker().say(say("Hi."))
    finally:
        with torch.no_grad():
            bias[1025] = kept
    assert 2.0 < len(said) / SPEECH_RATE < 2.7
    assert _speaker().model.gpt.max_gen_mel_tokens == 602


def test_speed_changes_the_length(say: Callable[..., SpeakOptions]) -> None:
    slow, fast = (_speaker().say(say(speed=speed)) for speed in (1.0, 2.0))
    assert len(fast) == pytest.approx(len(slow) / 2, rel=0.1)


def test_a_long_text_is_spoken_sentence_by_sentence_and_each_is_told(say: Callable[..., SpeakOptions]) -> None:
    notes = Notes()
    sentence = "This sentence is long enough to stand alone here. "
    _speaker().say(say(sentence * 2), notes)
    assert [told for told in notes.told if "sentence" in told[1]] == [
        (0.0, "Speaking sentence 1 of 2"),
        (0.5, "Speaking sentence 2 of 2"),
    ]


def test_numbers_that_grow_when_spelled_out_are_cut_to_what_the_model_takes(say: Callable[..., SpeakOptions]) -> None:
    pieces = _speaker()._pieces(say(" ".join(["987654321"] * 25)), Progress())
    assert len(pieces) > 1
    assert all(len(_speaker()._encode(piece, "en")) <= 400 for piece in pieces)
    assert " ".join(pieces).split() == ["987654321"] * 25


def test_a_text_over_the_limit_is_refused_where_it_may_not_be_split(say: Callable[..., SpeakOptions]) -> None:
    with pytest.raises(SettingError, match=r"300 characters.*250 of English"):
        _speaker().say(say("x" * 300, split_sentences=False))


def test_characters_the_model_does_not_know_are_named(say: Callable[..., SpeakOptions]) -> None:
    notes = Notes()
    _speaker().say(say("Hello ☃ and ☂."), notes)
    assert [line for line in notes.logged if "☃ ☂" in line]


def test_hindi_digits_which_coqui_cannot_read_are_told(say: Callable[..., SpeakOptions]) -> None:
    with pytest.raises(SettingError, match=r"write the numbers as words"):
        _speaker().say(say("नमस्ते 50", language="hi"))


def test_another_script_is_spoken(say: Callable[..., SpeakOptions]) -> None:
    assert len(_speaker().say(say("你好。", language="zh"))) > 0


# ---- Bad input ----------------------------------------------------------------------------------------------------


def test_references_that_are_no_voice_are_refused_by_name(tmp_path: Path) -> None:
    write_wav(tmp_path / "silent.wav", np.zeros(CLIP_RATE, np.float32), CLIP_RATE)
    make_clip(tmp_path / "short.wav", 0.2)
    (tmp_path / "text.wav").write_text("hello")
    for name in ("silent.wav", "short.wav", "text.wav", "none.wav"):
        with pytest.raises(AudioError, match=name):
            read_reference(tmp_path / name, 30.0)


def test_no_more_of_a_reference_is_read_than_the_model_listens_to(tmp_path: Path) -> None:
    make_clip(tmp_path / "long.wav", 9.0)
    assert len(read_reference(tmp_path / "long.wav", 3.0)) == 3 * CLIP_RATE


def test_a_model_that_learnt_nan_is_told_in_words(say: Callable[..., SpeakOptions]) -> None:
    bias = _speaker().model.gpt.mel_head.bias
    kept = bias.detach().clone()
    try:
        with torch.no_grad():
            bias.fill_(float("nan"))
        with pytest.raises(ModelError, match="NaN"):
            _speaker().say(say())
    finally:
        with torch.no_grad():
            bias.copy_(kept)


def test_what_cannot_be_spoken_leaves_no_file(ws: Workspace, say: Callable[..., SpeakOptions], tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match="“nobody”"):
        speak(ws, say(model="nobody", out=str(tmp_path / "said.wav")), Progress())
    with pytest.raises(SettingError, match=r"must end with \.wav"):
        speak(ws, say(out=str(tmp_path / "said.mp3")), Progress())
    assert not list(tmp_path.glob("said*"))


@pytest.mark.parametrize("stop_at", ["Listening", "sentence 1"])
def test_a_stop_ends_between_and_within_sentences(say: Callable[..., SpeakOptions], stop_at: str) -> None:
    start = time.monotonic()
    with pytest.raises(Stopped):
        _speaker().say(say("This sentence is long enough to stand alone here. " * 8), Notes(stop_at))
    assert time.monotonic() - start < 20


# ---- The resident voice -------------------------------------------------------------------------------------------


def _wait_for_reply(ws: Workspace, request: str, seconds: float = 120.0) -> voice_client.Reply:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        reply = voice_client.read_reply(ws, request)
        if reply.state != "waiting":
            return reply
        time.sleep(0.1)
    raise AssertionError("no reply came")


def _message_becomes(ws: Workspace, job: str, message: str, seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while read_job(ws, job).message != message and time.monotonic() < deadline:
        time.sleep(0.05)
    return read_job(ws, job).message == message


def test_a_resident_voice_answers_until_it_is_unloaded(
    ws: Workspace, say: Callable[..., SpeakOptions], tmp_path: Path
) -> None:
    install_demo_base(ws)
    with pytest.raises(JobError, match="No voice is loaded"):
        voice_client.request_speech(ws, say())
    job = voice_client.load_voice(ws, "demo", device="cpu")
    try:
        assert voice_client.load_voice(ws, "demo", device="cpu") == job  # is loaded: nothing starts again
        options = say(out=str(tmp_path / "one.wav"), seed=4)
        asked = [
            voice_client.request_speech(ws, options),
            voice_client.request_speech(ws, replace(options, references=(str(tmp_path / "none.wav"),))),
            voice_client.request_speech(ws, replace(options, model="nobody")),
            voice_client.request_speech(ws, replace(options, out=str(tmp_path / "two.wav"))),
        ]
        first, bad_reference, bad_model, last = (_wait_for_reply(ws, request) for request in asked)
        assert first.speech is not None
        assert first.speech.path == str(tmp_path / "one.wav")
        assert "none.wav" in bad_reference.error
        assert "nobody" in bad_model.error
        assert last.state == "done"  # a bad request ends nothing
        assert (tmp_path / "one.wav").read_bytes() == (tmp_path / "two.wav").read_bytes()
        assert _message_becomes(ws, job, "Ready to speak")
        with pytest.raises(JobError):
            voice_client.read_reply(ws, f"{job}/../request")
        with pytest.raises(JobError):
            voice_client.read_reply(ws, f"{job}/never")
        # Another job takes the memory: the voice gives way, and says so to who still asks.
        other = start_job(ws, "speak", options)
        assert read_job(ws, job).state in ("stopped", "died")
        with pytest.raises(JobRunningError):
            voice_client.load_voice(ws, "demo")
        with pytest.raises(JobError, match="No voice is loaded"):
            voice_client.request_speech(ws, options)
        end_job(ws, other, grace=0.0)
    finally:
        voice_client.unload_voice(ws)
    assert running_job(ws) is None


class InFolder(Notes):
    """Progress of a job in this process."""

    def __init__(self, folder: Path, stop_at: str = "") -> None:
        super().__init__(stop_at)
        self._folder = folder

    @property
    def folder(self) -> Path:
        return self._folder


def test_requests_that_cannot_be_read_are_answered_with_the_reason(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_demo_base(ws)
    monkeypatch.setattr(synthesize, "load_speaker", lambda voice, device: _speaker())
    monkeypatch.setattr(synthesize, "IDLE_LIMIT", 1.0)
    write_text(tmp_path / "requests" / "1.json", "{}")
    write_text(tmp_path / "requests" / "2.json", "not json")
    served = synthesize.serve_voice(ws, VoiceOptions(model="demo", device="cpu"), InFolder(tmp_path))
    assert served.requests == 0  # and it gave its memory back after its time of waiting
    for number in (1, 2):
        assert "error" in (tmp_path / "replies" / f"{number}.json").read_text(encoding="utf-8")


def test_a_resident_voice_needs_a_jobs_folder_and_a_voice(ws: Workspace, tmp_path: Path) -> None:
    with pytest.raises(FinetuneError, match="job's folder"):
        synthesize.serve_voice(ws, VoiceOptions(model="demo"), Progress())
    with pytest.raises(ModelMissingError):
        synthesize.serve_voice(ws, VoiceOptions(model="nobody"), InFolder(tmp_path))


def test_the_pages_side_needs_no_torch() -> None:
    script = "import sys, pipeline.voice_client; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.stdout.strip() == "False", done.stderr

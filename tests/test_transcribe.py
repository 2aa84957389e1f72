"""Whisper through faster-whisper: windows, words, models that are there, broken, or to be fetched."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.audio import WHISPER_RATE as RATE
from pipeline.audio import FloatArray, decode
from pipeline.errors import DeviceError, ModelError, ModelMissingError, SettingError
from pipeline.progress import Progress
from pipeline.records import Span
from pipeline.transcribe import WINDOW, Whisper, join_words, load_whisper, pick_compute_type, plan_windows
from pipeline.vad import find_speech
from pipeline.whisper_models import find_whisper, list_whisper_folders
from pipeline.workspace import DEMO_VOICE, DEMO_WHISPER, Workspace


@dataclass(frozen=True)
class Piece:
    """What faster-whisper calls a word."""

    word: str
    start: float = 0.0
    end: float = 0.1
    probability: float = 1.0


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Whisper:
    return load_whisper(Workspace(tmp_path_factory.mktemp("ws")), "demo", "mixed", "cpu", Progress())


@pytest.fixture(scope="module")
def voice() -> FloatArray:
    return decode(DEMO_VOICE, RATE)[: RATE * 60]


# ---- Windows ------------------------------------------------------------------------------------------------------

Gaps = list[tuple[float, float]]


@given(st.lists(st.tuples(st.floats(0.05, 5), st.floats(0.05, 70)), min_size=1, max_size=12))
def test_windows_fit_whisper_and_hold_all_speech_once(gaps: Gaps) -> None:
    speech, place = [], 0.0
    for gap, length in gaps:
        speech.append(Span(place + gap, place + gap + length))
        place += gap + length
    windows = plan_windows(speech, np.zeros(round((place + 1) * RATE), np.float32))
    assert all(0 < window.seconds <= WINDOW + 1e-6 for window in windows)
    assert all(one.end <= other.start + 1e-9 for one, other in pairwise(windows))
    for span in speech:
        for moment in np.linspace(span.start + 1e-3, span.end - 1e-3, 7):
            assert sum(window.start <= moment <= window.end for window in windows) == 1


def test_speech_without_a_pause_is_cut_where_it_is_quietest() -> None:
    samples = np.full(RATE * 40, 0.3, np.float32)
    samples[RATE * 25 : RATE * 25 + RATE // 5] = 0.001
    first, _ = plan_windows([Span(0.0, 40.0)], samples)
    assert 24.9 < first.end < 25.6


def test_no_speech_gives_no_windows_and_no_words(whisper: Whisper) -> None:
    assert plan_windows([], np.zeros(RATE, np.float32)) == []
    assert whisper.words(np.zeros(RATE, np.float32), [], "en") == []


# ---- Words --------------------------------------------------------------------------------------------------------


def test_pieces_without_a_space_belong_to_the_word_before() -> None:
    pieces = [Piece(" well"), Piece("-known", 0.1, 0.3, 0.5), Piece(" place."), Piece(" ")]
    words = join_words(pieces, "en", Span(0.0, 5.0))
    assert [word.text for word in words] == ["well-known", "place."]
    assert (words[0].end, words[0].probability) == (0.3, 0.5)
    assert [word.text for word in join_words([Piece("你"), Piece("好。")], "zh", Span(0, 5))] == ["你", "好。"]


def test_words_stay_inside_their_window() -> None:
    (word,) = join_words([Piece(" late", 9.0, 12.0)], "en", Span(5.0, 10.0))
    assert (word.start, word.end) == (9.0, 10.0)


def test_the_demo_voice_is_heard_with_times_in_order(whisper: Whisper, voice: FloatArray) -> None:
    told = []
    words = whisper.words(voice, find_speech([voice]), "en", told.append)
    assert len(words) > 100
    edges = [edge for word in words for edge in (word.start, word.end)]
    assert edges == sorted(edges)
    assert 0 <= edges[0] < edges[-1] <= len(voice) / RATE
    assert told == sorted(told)
    assert all(0 <= word.probability <= 1 for word in words)


def test_clips_heard_together_give_each_its_own_text(whisper: Whisper, voice: FloatArray) -> None:
    speech = find_speech([voice])[:6]
    clips = [voice[round(span.start * RATE) : round(span.end * RATE)] for span in speech]
    together = whisper.hear_all(clips, "en")
    assert together == [whisper.hear(clip, "en") for clip in clips]
    assert whisper.hear_all([], "en") == []


def test_a_batch_that_does_not_fit_is_halved(whisper: Whisper, voice: FloatArray, tmp_path: Path) -> None:
    small = load_whisper(Workspace(tmp_path), "demo", "float32", "cpu", Progress())
    original, sizes = small._hear_batch, []

    def crowded(samples, batch, language, times):  # type: ignore[no-untyped-def]
        sizes.append(len(batch))
        if len(batch) > 1:
            raise RuntimeError("CUDA failed with error out of memory")
        return original(samples, batch, language, times)

    small._hear_batch = crowded  # type: ignore[method-assign]
    assert len(small.hear_all([voice[:RATE], voice[RATE : 2 * RATE], voice[: 2 * RATE]], "en")) == 3
    assert sizes[0] > 1
    assert sizes[-3:] == [1, 1, 1]
    small.close()


def test_a_closed_model_says_so(tmp_path: Path) -> None:
    with load_whisper(Workspace(tmp_path), "demo", "mixed", "auto", Progress()) as loaded:
        pass
    with pytest.raises(RuntimeError, match="was closed"):
        loaded.hear(np.zeros(RATE, np.float32), "en")


def test_an_english_model_is_refused_for_another_language(whisper: Whisper) -> None:
    assert whisper.english_only
    whisper.check_language("en")
    with pytest.raises(SettingError, match="German"):
        whisper.check_language("de")


# ---- Precision and device -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("precision", "supported", "expected"),
    [
        ("mixed", {"int8", "int8_float16", "int8_float32", "float16", "float32"}, "int8_float16"),
        ("mixed", {"int8", "int8_float32", "float32"}, "int8_float32"),
        ("mixed", {"float32"}, "float32"),
        ("float16", {"int8", "float16", "float32"}, "float16"),
        ("float16", {"int8", "int8_float32", "float32"}, "float32"),
        ("float32", {"int8", "float16", "float32"}, "float32"),
    ],
)
def test_precision_is_what_the_device_can_do(precision: str, supported: set[str], expected: str) -> None:
    assert pick_compute_type(precision, supported) == expected


def test_a_gpu_that_is_not_there_is_refused_in_words(tmp_path: Path) -> None:
    import ctranslate2

    if ctranslate2.get_cuda_device_count():
        pytest.skip("this machine has a GPU")
    with pytest.raises(DeviceError, match="No NVIDIA GPU"):
        load_whisper(Workspace(tmp_path), "demo", "mixed", "cuda", Progress())


def test_a_gpu_without_its_libraries_gives_way_to_the_cpu_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline import transcribe

    original = transcribe._load

    def load(folder, name, precision, device):  # type: ignore[no-untyped-def]
        if device == "cuda":
            raise transcribe._DeviceUnusableError("Library libcublas.so.12 is not found or cannot be loaded")
        return original(folder, name, precision, device)

    class Log(Progress):
        lines: list[str] = []  # noqa: RUF012

        def log(self, message: str, kind: str = "General") -> None:
            self.lines.append(message)

    monkeypatch.setattr(transcribe, "_pick_device", lambda device: "cuda")
    monkeypatch.setattr(transcribe, "_load", load)
    with load_whisper(Workspace(tmp_path), "demo", "mixed", "auto", Log()) as loaded:
        assert loaded.device == "cpu"
    assert any(line.startswith("Warning: ") and "libcublas.so.12" in line for line in Log.lines)


# ---- Models -------------------------------------------------------------------------------------------------------


def test_a_folder_of_ones_own_is_a_model_by_path_and_by_name(ws: Workspace) -> None:
    shutil.copytree(DEMO_WHISPER, ws.whisper_models / "mine")
    assert find_whisper(ws, "mine", Progress()) == ws.whisper_models / "mine"
    assert find_whisper(ws, str(ws.whisper_models / "mine"), Progress()) == ws.whisper_models / "mine"
    assert list_whisper_folders(ws) == ["mine"]


def test_a_model_that_was_copied_in_by_its_name_is_not_fetched(ws: Workspace) -> None:
    shutil.copytree(DEMO_WHISPER, ws.whisper_models / "tiny.en")
    assert find_whisper(ws, "tiny.en", Progress()) == ws.whisper_models / "tiny.en"


@pytest.mark.parametrize("lost", ["model.bin", "config.json", "tokenizer.json", "vocabulary.json"])
def test_an_incomplete_folder_names_what_is_missing(ws: Workspace, lost: str) -> None:
    shutil.copytree(DEMO_WHISPER, ws.whisper_models / "mine")
    (ws.whisper_models / "mine" / lost).unlink()
    with pytest.raises(ModelError, match=lost):
        load_whisper(ws, "mine", "mixed", "cpu", Progress())
    assert list_whisper_folders(ws) == []


@pytest.mark.parametrize("name", ["model.bin", "config.json", "tokenizer.json"])
def test_a_broken_file_is_a_model_error_and_no_traceback(ws: Workspace, name: str) -> None:
    shutil.copytree(DEMO_WHISPER, ws.whisper_models / "mine")
    (ws.whisper_models / "mine" / name).write_bytes(b"broken")
    with pytest.raises(ModelError, match="can't be loaded"):
        load_whisper(ws, "mine", "mixed", "cpu", Progress())


def test_a_model_of_transformers_is_recognised(ws: Workspace) -> None:
    folder = ws.whisper_models / "hf"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="ct2-transformers-converter"):
        find_whisper(ws, "hf", Progress())


def test_an_unknown_name_lists_the_known_ones(ws: Workspace) -> None:
    with pytest.raises(ModelMissingError, match=r"large-v3"):
        find_whisper(ws, "huge", Progress())

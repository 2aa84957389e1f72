"""Validation: what differs is found, worst first, and leaves the list when it is corrected."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.audio import WHISPER_RATE, decode, write_wav
from pipeline.corrections import apply_correction, drop_clip, drop_missing
from pipeline.dataset_files import DatasetSettings, Manifest, commit, open_for_change
from pipeline.errors import DatasetError, DatasetMissingError, SettingError, Stopped
from pipeline.options import ValidateOptions
from pipeline.progress import Progress
from pipeline.records import Clip, Correction, Span, ValidationReport
from pipeline.transcribe import load_whisper
from pipeline.vad import find_speech
from pipeline.validate import heard_texts, read_validation, validate_dataset
from pipeline.workspace import DEMO_VOICE, Project, Workspace

CLIPS = 6


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, str]]:
    """Return clips of the bundled voice, and what the bundled Whisper hears in each."""
    folder = tmp_path_factory.mktemp("clips")
    voice = decode(DEMO_VOICE, WHISPER_RATE)
    spans = find_speech([voice[: WHISPER_RATE * 40]])[:CLIPS]
    sounds = [voice[round(span.start * WHISPER_RATE) : round(span.end * WHISPER_RATE)] for span in spans]
    with load_whisper(Workspace(folder), "demo", "mixed", "cpu", Progress()) as whisper:
        texts = whisper.hear_all(sounds, "en")
    for number, sound in enumerate(sounds):
        write_wav(folder / f"{number}.wav", sound, WHISPER_RATE)
    return [(folder / f"{number}.wav", text) for number, text in enumerate(texts)]


@pytest.fixture
def project(ws: Workspace, spoken: list[tuple[Path, str]]) -> Project:
    """Return a dataset whose texts are what Whisper hears, but for two of them."""
    project = ws.project("anna")
    project.wavs.mkdir(parents=True)
    clips = []
    for number, (path, text) in enumerate(spoken):
        shutil.copy(path, project.wavs / path.name)
        text = {1: f"{text} indeed", 4: "Nothing of the kind is said."}.get(number, text)
        clips.append(Clip(f"wavs/{path.name}", text, "anna", "eval" if number == 4 else "train"))
    settings = DatasetSettings("en", "demo", vad=True, min_seconds=1.0, max_seconds=10.0, loudness=True)
    with open_for_change(project):
        commit(project, Manifest("anna", settings, "anna", 0, 15.0, clips=tuple(clips)))
    return project


def validate(ws: Workspace, **known: str) -> ValidationReport:
    options = ValidateOptions(**{"project": "anna", "whisper_model": "demo", "device": "cpu", **known})
    return validate_dataset(ws, options, Progress())


def test_only_what_differs_is_listed_worst_first(ws: Workspace, project: Project) -> None:
    report = validate(ws)
    assert report.clips == CLIPS
    assert [(one.file, one.split) for one in report.mismatches] == [("wavs/4.wav", "eval"), ("wavs/1.wav", "train")]
    assert report.mismatches[0].score > report.mismatches[1].score > 0
    assert not report.missing


def test_case_punctuation_and_digits_do_not_count(
    ws: Workspace, project: Project, spoken: list[tuple[Path, str]]
) -> None:
    apply_correction(project, Correction("wavs/0.wav", spoken[0][1].upper().replace(".", "!!")))
    assert "wavs/0.wav" not in {one.file for one in validate(ws).mismatches}


def test_the_report_is_there_after_a_reload_and_follows_corrections(
    ws: Workspace, project: Project, spoken: list[tuple[Path, str]]
) -> None:
    assert read_validation(project) is None
    report = validate(ws)
    assert read_validation(project) == report
    assert len(heard_texts(project)) == CLIPS
    apply_correction(project, Correction("wavs/1.wav", spoken[1][1]))
    drop_clip(project, "wavs/4.wav")
    after = read_validation(project)
    assert after is not None
    assert (after.clips, after.mismatches) == (CLIPS - 1, ())
    apply_correction(project, Correction("wavs/2.wav", "Other words.", Span(0.0, 0.8)))  # not heard as it is now
    after = read_validation(project)
    assert after is not None
    assert after.mismatches == ()


def test_missing_and_broken_sounds_are_listed_and_the_rest_is_heard(ws: Workspace, project: Project) -> None:
    (project.wavs / "0.wav").unlink()
    (project.wavs / "2.wav").write_text("no sound", encoding="utf-8")
    report = validate(ws)
    assert report.missing == ("wavs/0.wav", "wavs/2.wav")
    assert [one.file for one in report.mismatches] == ["wavs/4.wav", "wavs/1.wav"]
    drop_missing(project)
    after = read_validation(project)
    assert after is not None
    assert (after.clips, after.missing) == (CLIPS - 1, ("wavs/2.wav",))


def test_a_dataset_of_ones_own_is_validated_by_its_paths(
    ws: Workspace, tmp_path: Path, spoken: list[tuple[Path, str]]
) -> None:
    sounds = tmp_path / "elsewhere"
    sounds.mkdir()
    rows = "".join(f"clips\\{path.name}|{text}\n" for path, text in spoken[:3])
    for path, _ in spoken[:3]:
        shutil.copy(path, sounds / path.name)
    table = tmp_path / "own.csv"
    table.write_text("audio_file|text\n" + rows + "clips/gone.wav|Gone.\n", encoding="utf-8")
    with pytest.raises(SettingError, match="language"):
        validate(ws, train_csv=str(table), audio_folder=str(sounds))
    report = validate(ws, train_csv=str(table), audio_folder=str(sounds), language="en")
    assert (report.clips, report.mismatches, report.missing) == (4, (), ("clips/gone.wav",))


def test_no_dataset_and_no_rows_say_so(ws: Workspace, tmp_path: Path) -> None:
    with pytest.raises(DatasetMissingError):
        validate(ws)
    table = tmp_path / "empty.csv"
    table.write_text("audio_file|text\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="no rows"):
        validate(ws, train_csv=str(table), language="en")
    with pytest.raises(DatasetError, match="can't be read"):
        validate(ws, train_csv=str(tmp_path / "nowhere.csv"), language="en")


def test_stopped_it_leaves_the_last_result(ws: Workspace, project: Project) -> None:
    validate(ws)
    before = project.validation.read_bytes()

    class Stop(Progress):
        @property
        def stop_requested(self) -> bool:
            return True

    with pytest.raises(Stopped):
        validate_dataset(ws, ValidateOptions("anna", whisper_model="demo", device="cpu"), Stop())
    assert project.validation.read_bytes() == before

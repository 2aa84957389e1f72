"""What was generated is found again with its settings; references are offered best first and remembered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.audio import CLIP_RATE, write_wav
from pipeline.errors import SettingError
from pipeline.options import SpeakOptions
from pipeline.workspace import Project, Workspace
from ui.speeches import keep_reference, list_speeches, prepare_speech


@pytest.fixture
def project(ws: Workspace) -> Project:
    return ws.project("anna")


def _sound(path: Path, seconds: float = 1.0) -> Path:
    write_wav(path, np.full(int(seconds * CLIP_RATE), 0.1, np.float32), CLIP_RATE)
    return path


def _options(text: str) -> SpeakOptions:
    return SpeakOptions(model="anna/run-1", text=text, references=("clip.wav",), seed=7)


def test_speeches_are_listed_newest_first_with_what_was_asked(project: Project) -> None:
    asked = [prepare_speech(project, _options(f"Text {number}.")) for number in range(12)]
    for options in asked:
        _sound(Path(options.out))
    listed = list_speeches(project)
    assert [one.options.text for one in listed] == [f"Text {number}." for number in reversed(range(12))]
    assert {one.options.seed for one in listed} == {7}
    assert len({one.path for one in listed}) == 12


def test_what_failed_is_not_listed_and_what_is_broken_is_passed_over(project: Project) -> None:
    prepare_speech(project, _options("This one failed."))
    (project.speech / "notes.json").write_text("{}")
    (project.speech / "broken.json").write_text("{")
    assert list_speeches(project) == []


def test_a_reference_from_the_browser_is_kept_with_the_project(project: Project, tmp_path: Path) -> None:
    own = _sound(tmp_path / "upload" / "my voice.wav")
    kept = keep_reference(project, own)
    assert kept.parent == project.speech / "references"
    assert kept.read_bytes() == own.read_bytes()
    assert keep_reference(project, own) == kept
    clip = _sound(project.wavs / "0.wav")
    assert keep_reference(project, clip) == clip


def test_asking_without_text_or_reference_is_refused_in_words() -> None:
    with pytest.raises(SettingError, match="Input Text is empty"):
        SpeakOptions(model="demo", text=" ", references=("clip.wav",))
    with pytest.raises(SettingError, match="no reference audio"):
        SpeakOptions(model="demo", text="Hello.")

"""References are ranked by what is known of them, sorted by length, and copied without replacing anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import AudioError, InvalidNameError, SettingError
from pipeline.records import Clip
from pipeline.references import (
    Reference,
    copy_references,
    describe_wavs,
    folder_for,
    list_references,
    rank_references,
    write_wavs,
)
from pipeline.workspace import Workspace

from .models import make_clips


def _reference(name: str, seconds: float, **known: object) -> Reference:
    clip = Clip(file=f"wavs/{name}", text="words", speaker="anna", split="train", **known)  # type: ignore[arg-type]
    return Reference(Path(name), seconds, "words", clip)


def test_only_clips_that_are_long_enough_are_listed(ws: Workspace) -> None:
    project = ws.project("anna")
    make_clips(project, {"short.wav": 2.0, "long.wav": 8.0, "longer.wav": 9.0})
    (project.wavs / "broken.wav").write_text("no sound")
    (project.wavs / "notes.txt").write_text("no sound")
    assert [clip.path.name for clip in list_references(project)] == ["longer.wav", "long.wav"]
    assert len(list_references(project, 1.0)) == 3


def test_a_project_without_clips_has_none(ws: Workspace) -> None:
    assert list_references(ws.project("nobody")) == []


def test_texts_come_from_the_dataset(ws: Workspace) -> None:
    project = ws.project("anna")
    make_clips(project, {"one.wav": 7.0, "two.wav": 8.0})
    project.train_csv.write_text("audio_file|text|speaker_name\nwavs/one.wav|Hello.|anna\n", encoding="utf-8")
    project.eval_csv.write_text("audio_file|text|speaker_name\nwavs/two.wav|Bye.|anna\n", encoding="utf-8")
    project.language_file.write_text("en\n", encoding="utf-8")
    assert {clip.path.name: clip.text for clip in list_references(project)} == {"one.wav": "Hello.", "two.wav": "Bye."}


def test_clean_clips_come_before_longer_ones_and_suitable_ones_first() -> None:
    clean = _reference("clean.wav", 7.0, snr=40.0, confidence=0.9, clipped=0.0)
    longer = _reference("longer.wav", 9.0, snr=35.0, confidence=0.9)
    noisy = _reference("noisy.wav", 12.0, snr=8.0)
    clipped = _reference("clipped.wav", 12.0, snr=40.0, clipped=0.01, flags=("clipped",))
    short = _reference("short.wav", 3.0, snr=50.0)
    ranked = rank_references([short, clipped, noisy, clean, longer])
    assert [one.path.name for one in ranked][:2] == ["longer.wav", "clean.wav"]
    assert ranked[-1] is clipped


@pytest.mark.parametrize(
    ("seconds", "folder"), [(5.99, "too_short"), (6.0, "suitable"), (30.0, "suitable"), (30.01, "too_long")]
)
def test_the_length_decides_the_folder(seconds: float, folder: str) -> None:
    assert folder_for(seconds) == folder


def test_every_clip_is_copied_and_in_the_report_with_its_length(ws: Workspace, tmp_path: Path) -> None:
    project = ws.project("anna")
    make_clips(project, {"a.wav": 3.0, "b.wav": 7.25, "c.wav": 31.0})
    references = list_references(project, 0.0)
    write_wavs(tmp_path / "wavs", references)
    copied = {path.relative_to(tmp_path).as_posix() for path in (tmp_path / "wavs").rglob("*.wav")}
    assert copied == {"wavs/too_short/a.wav", "wavs/suitable/b.wav", "wavs/too_long/c.wav"}
    report = (tmp_path / "wavs" / "audio_report.txt").read_text(encoding="utf-8")
    assert "7.25 s  b.wav" in report
    assert report.index("suitable/ (1") < report.index("b.wav") < report.index("too_short/ (1") < report.index("a.wav")
    assert "0.7 minutes" in report


def test_a_report_of_nothing_says_so() -> None:
    assert describe_wavs([]).count("(none)") == 3


def test_copies_never_replace_what_is_there(ws: Workspace) -> None:
    project = ws.project("anna")
    make_clips(project, {"a.wav": 2.0, "b.wav": 2.5})
    files = [project.wavs / "a.wav", project.wavs / "b.wav"]
    first = copy_references(ws, files, "Anna")
    second = copy_references(ws, files[:1], "Anna")
    assert [path.name for path in first + second] == ["Anna.wav", "Anna-2.wav", "Anna-3.wav"]
    assert first[1].read_bytes() == files[1].read_bytes()


def test_bad_copies_are_refused(ws: Workspace) -> None:
    with pytest.raises(InvalidNameError):
        copy_references(ws, [ws.root / "a.wav"], "../anna")
    with pytest.raises(SettingError):
        copy_references(ws, [], "anna")
    with pytest.raises(AudioError, match=r"a\.wav"):
        copy_references(ws, [ws.root / "a.wav"], "anna")
    assert not list(ws.voices.glob("*.wav"))

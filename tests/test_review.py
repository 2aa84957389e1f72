"""Going through a validation: what is decided leaves the list, changes the dataset, and stays decided."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.audio import CLIP_RATE, probe, write_wav
from pipeline.dataset_files import (
    DatasetSettings,
    Manifest,
    commit,
    csv_text,
    open_for_change,
    read_csv,
    read_dataset,
)
from pipeline.errors import DatasetError
from pipeline.options import ValidateOptions
from pipeline.records import Clip, Correction, Span, to_json
from pipeline.review import Review, decide, drop, move, open_review
from pipeline.validation_files import HeardClip, Validation, heard_texts, read_validation, rows_of, sound_size
from pipeline.workspace import Project, Workspace, write_text

TEXTS = ("The cat sat down.", "It was two o'clock.", "Nobody knew why.", "She said | nothing.")
HEARD = ("The bat sat down.", "It was two o'clock", "Somebody new fly.", "She said nothing.")


def _clips(folder: Path) -> tuple[Clip, ...]:
    """Write the sounds, three seconds each, and return their rows."""
    time = np.arange(CLIP_RATE * 3) / CLIP_RATE
    for number in range(len(TEXTS)):
        tone = 0.2 * np.sin(2 * np.pi * (200 + 60 * number) * time)
        write_wav(folder / "wavs" / f"{number}.wav", tone.astype(np.float32), CLIP_RATE)
    return tuple(
        Clip(f"wavs/{number}.wav", text, "anna", "eval" if number == 1 else "train", seconds=3.0)
        for number, text in enumerate(TEXTS)
    )


def _heard(project: Project, options: ValidateOptions, texts: tuple[str, ...] = HEARD) -> tuple[HeardClip, ...]:
    """Return what Whisper is said to have heard in the clips as they are now."""
    sizes = {row.file: sound_size(row) for row in rows_of(project, options)}
    files = [f"wavs/{number}.wav" for number in range(len(texts))]
    return tuple(HeardClip(file, text, sizes[file]) for file, text in zip(files, texts, strict=True))


def _validated(project: Project, options: ValidateOptions) -> None:
    heard = _heard(project, options)
    write_text(project.validation, to_json(Validation(options, "en", heard)))


@pytest.fixture
def own(ws: Workspace) -> Project:
    """Return a project whose own dataset was validated."""
    project = ws.project("anna")
    settings = DatasetSettings("en", "demo", vad=True, min_seconds=2.0, max_seconds=10.0, loudness=True)
    with open_for_change(project):
        commit(project, Manifest("anna", settings, "anna", 0, 15.0, clips=_clips(project.path)))
    _validated(project, ValidateOptions(project="anna", whisper_model="demo"))
    return project


@pytest.fixture
def foreign(ws: Workspace, tmp_path: Path) -> Project:
    """Return a project with which somebody else's dataset was validated."""
    folder = tmp_path / "elsewhere"
    clips = _clips(folder)
    write_text(folder / "train.csv", csv_text(clips, "train"))
    write_text(folder / "eval.csv", csv_text(clips, "eval"))
    project = ws.project("ben")
    options = ValidateOptions(
        project="ben",
        whisper_model="demo",
        train_csv=str(folder / "train.csv"),
        eval_csv=str(folder / "eval.csv"),
        language="en",
    )
    _validated(project, options)
    return project


def review_of(project: Project) -> Review:
    review = open_review(project)
    assert review is not None
    return review


def to_decide(project: Project) -> list[str]:
    return [entry.file for entry in review_of(project).entries if entry.score > 0 and not entry.decided]


def test_without_a_validation_there_is_nothing_to_review(ws: Workspace) -> None:
    assert open_review(ws.project("carla")) is None
    assert read_validation(ws.project("carla")) is None
    assert heard_texts(ws.project("carla")) == {}


@pytest.mark.parametrize("whose", ["own", "foreign"])
def test_entries_are_worst_first_and_those_that_agree_are_there_too(whose: str, request: pytest.FixtureRequest) -> None:
    project = request.getfixturevalue(whose)
    assert [entry.file for entry in review_of(project).entries] == [f"wavs/{number}.wav" for number in (2, 0, 1, 3)]
    assert to_decide(project) == ["wavs/2.wav", "wavs/0.wav"]


@pytest.mark.parametrize("whose", ["own", "foreign"])
def test_a_corrected_text_is_in_its_csv_and_leaves_the_list(whose: str, request: pytest.FixtureRequest) -> None:
    project = request.getfixturevalue(whose)
    review = review_of(project)
    decide(review, Correction("wavs/0.wav", "The bat sat down."))
    assert to_decide(project) == ["wavs/2.wav"]
    decide(review_of(project), Correction("wavs/2.wav", TEXTS[2]))  # the original is right after all
    assert to_decide(project) == []
    table = project.train_csv if review.own else Path(review.validation.options.train_csv)
    texts = [row.text for row in read_csv(table)]
    assert texts == ["The bat sat down.", "Nobody knew why.", "She said | nothing."]


def test_what_was_decided_is_asked_again_when_something_else_is_heard(own: Project) -> None:
    decide(review_of(own), Correction("wavs/2.wav", TEXTS[2]))
    assert to_decide(own) == ["wavs/0.wav"]
    options = ValidateOptions(project="anna", whisper_model="demo")
    heard = _heard(own, options, (TEXTS[0], TEXTS[1], "Nobody knows why.", TEXTS[3]))
    write_text(own.validation, to_json(Validation(options, "en", heard)))
    assert to_decide(own) == ["wavs/2.wav"]


@pytest.mark.parametrize("whose", ["own", "foreign"])
def test_a_trimmed_clip_is_shorter_and_its_original_is_kept(whose: str, request: pytest.FixtureRequest) -> None:
    project = request.getfixturevalue(whose)
    entry = review_of(project).find("wavs/0.wav")
    before = entry.path.read_bytes()
    decide(review_of(project), Correction("wavs/0.wav", "The cat.", Span(0.5, 2.0)))
    after = probe(entry.path)
    assert after.seconds == pytest.approx(1.5, abs=0.01)
    assert after.sample_rate == CLIP_RATE
    assert before in [path.read_bytes() for path in project.cache.rglob("*.wav")]


@pytest.mark.parametrize("whose", ["own", "foreign"])
@pytest.mark.parametrize(
    "bad",
    [Correction("wavs/0.wav", " . "), Correction("wavs/0.wav", "Hm.", Span(1.0, 1.1)), Correction("wavs/9.wav", "Hm.")],
)
def test_a_decision_that_cannot_be_changes_nothing(whose: str, bad: Correction, request: pytest.FixtureRequest) -> None:
    project = request.getfixturevalue(whose)
    entries = review_of(project).entries
    sounds = [entry.path.read_bytes() for entry in entries]
    with pytest.raises(DatasetError):
        decide(review_of(project), bad)
    assert review_of(project).entries == entries
    assert [entry.path.read_bytes() for entry in entries] == sounds


@pytest.mark.parametrize("whose", ["own", "foreign"])
def test_missing_rows_are_listed_and_can_be_dropped(whose: str, request: pytest.FixtureRequest) -> None:
    project = request.getfixturevalue(whose)
    review_of(project).find("wavs/3.wav").path.unlink()
    review = review_of(project)
    assert review.missing == ("wavs/3.wav",)
    assert drop(review, review.missing) == 1
    assert review_of(project).missing == ()
    assert len(review_of(project).entries) == 3


def test_clips_move_between_the_splits_of_the_own_dataset_only(own: Project, foreign: Project) -> None:
    assert move(review_of(own), "wavs/0.wav") == "eval"
    assert {clip.file: clip.split for clip in read_dataset(own)}["wavs/0.wav"] == "eval"
    with pytest.raises(DatasetError, match="can't be moved here"):
        move(review_of(foreign), "wavs/0.wav")


def test_other_columns_and_rows_of_a_foreign_table_stay(foreign: Project) -> None:
    table = Path(review_of(foreign).validation.options.train_csv)
    write_text(table, "audio_file|text|speaker_name|mood\nwavs/0.wav|The cat sat down.|x|calm\nwavs/2.wav|No.|y|\n")
    decide(review_of(foreign), Correction("wavs/0.wav", "The bat sat down."))
    lines = table.read_text().splitlines()
    assert lines == ["audio_file|text|speaker_name|mood", "wavs/0.wav|The bat sat down.|x|calm", "wavs/2.wav|No.|y|"]

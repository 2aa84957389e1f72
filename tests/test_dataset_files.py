"""A dataset on disk: whole after every change, whole after a kill at any moment of one, readable by Coqui."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.audio import CLIP_RATE, decode, write_wav
from pipeline.corrections import (
    apply_correction,
    drop_clips,
    drop_missing,
    find_missing,
    move_clip,
)
from pipeline.dataset_files import (
    DatasetSettings,
    Manifest,
    commit,
    csv_text,
    find_manifest,
    open_for_change,
    read_csv,
    read_dataset,
)
from pipeline.errors import DatasetError, DatasetMissingError
from pipeline.records import Clip, Correction, Span
from pipeline.workspace import REPOSITORY, Project, Workspace

from .killing import killed_at, needs_fork

SETTINGS = DatasetSettings("en", "demo", vad=True, min_seconds=2.0, max_seconds=10.0, loudness=True)
TEXTS = ('He said "yes".', '"No," she said, "never."', "Plain words.", "Ünïcödé, 你好, नमस्ते!", "It's 5 o'clock; go.")


def make_dataset(project: Project, texts: tuple[str, ...] = TEXTS) -> Manifest:
    """Write a small dataset with a tone of its own for each clip."""
    clips = []
    for number, text in enumerate(texts):
        time = np.arange(CLIP_RATE * 3) / CLIP_RATE
        write_wav(
            project.wavs / f"{number}.wav", (0.2 * np.sin(2e2 * (number + 2) * time)).astype(np.float32), CLIP_RATE
        )
        split = "eval" if number == 1 else "train"
        clips.append(Clip(f"wavs/{number}.wav", text, "anna", split, seconds=3.0, start=10.0, end=13.0))
    with open_for_change(project):
        return commit(project, Manifest(project.name, SETTINGS, "anna", 0, 15.0, clips=tuple(clips)))


@pytest.fixture
def project(ws: Workspace) -> Project:
    project = ws.project("anna")
    make_dataset(project)
    return project


def state_of(project: Project) -> dict[str, bytes]:
    """Return every file of the dataset that others read."""
    files = [project.train_csv, project.eval_csv, project.dataset_manifest, project.language_file]
    return {path.name: path.read_bytes() for path in [*files, *sorted(project.wavs.iterdir())]}


def check_whole(project: Project) -> None:
    """Assert what must be true at any moment: CSVs that read, and every row's sound in place."""
    for path in (project.train_csv, project.eval_csv):
        for row in read_csv(path):
            assert (project.path / row.file).is_file()
            assert row.text


def test_no_dataset_says_so(ws: Workspace) -> None:
    assert find_manifest(ws.project("nobody")) is None
    with pytest.raises(DatasetMissingError):
        read_dataset(ws.project("nobody"))


def test_what_is_written_is_read(project: Project) -> None:
    clips = read_dataset(project)
    assert tuple(clip.text for clip in clips) == TEXTS
    assert [clip.file for clip in clips if clip.split == "eval"] == ["wavs/1.wav"]
    assert project.language == "en"


def test_coqui_reads_the_tables(project: Project) -> None:
    from TTS.config.shared_configs import BaseDatasetConfig
    from TTS.tts.configs.shared_configs import BaseTTSConfig
    from TTS.tts.datasets import load_tts_samples

    dataset = BaseDatasetConfig(
        formatter="coqui",
        path=str(project.path),
        meta_file_train=project.train_csv.name,
        meta_file_val=project.eval_csv.name,
        language="en",
    )
    train, evaluation = load_tts_samples(BaseTTSConfig(datasets=[dataset]))
    assert sorted(item["text"] for item in train + evaluation) == sorted(TEXTS)
    assert all(Path(item["audio_file"]).is_file() and item["speaker_name"] == "anna" for item in train + evaluation)


def test_a_table_with_any_text_in_it_reads_back_the_same(tmp_path: Path) -> None:
    texts = ['"', '""quoted""', "a 'b' c", "semi; colon, comma", "\\backslash\\", "“curly”", " padded", "#hash", "=1+1"]
    path = tmp_path / "t.csv"
    clips = [Clip(f"wavs/{number}.wav", text, "s", "train") for number, text in enumerate(texts)]
    path.write_text(csv_text(clips, "train"), encoding="utf-8", newline="\n")
    assert [row.text for row in read_csv(path)] == texts
    with path.open(encoding="utf-8", newline="") as file:
        assert [row["text"] for row in csv.DictReader(file, delimiter="|")] == texts


def test_rows_edited_by_hand_count(project: Project) -> None:
    text = project.train_csv.read_text(encoding="utf-8").replace("Plain words.", "Other words.")
    project.train_csv.write_text(text, encoding="utf-8")
    assert [clip.text for clip in read_dataset(project)][2] == "Other words."
    lines = text.splitlines(keepends=True)
    project.train_csv.write_text("".join(lines[:2]), encoding="utf-8")
    assert {clip.file for clip in read_dataset(project)} == {"wavs/0.wav", "wavs/1.wav"}
    move_clip(project, "wavs/1.wav", "eval")  # any change takes over what was edited
    assert {row.file for row in read_csv(project.train_csv)} == {"wavs/0.wav"}


def test_tables_of_somebody_else_are_a_dataset_too(ws: Workspace) -> None:
    project = ws.project("foreign")
    project.path.mkdir(parents=True)
    project.train_csv.write_text("audio_file|text\nwavs/a.wav|One.\nwavs/b.wav|Two.\n", encoding="utf-8")
    assert [(clip.text, clip.split) for clip in read_dataset(project)] == [("One.", "train"), ("Two.", "train")]


@pytest.mark.parametrize("content", ["", "id|text\na|b\n", "audio_file|text|speaker_name\nwavs/a.wav\n"])
def test_a_broken_table_is_named(ws: Workspace, content: str) -> None:
    project = ws.project("broken")
    project.path.mkdir(parents=True)
    project.train_csv.write_text(content, encoding="utf-8")
    with pytest.raises(DatasetError, match=r"metadata_train\.csv"):
        read_dataset(project)


def test_a_correction_changes_text_and_sound_and_nothing_else(project: Project) -> None:
    before = state_of(project)
    clip = apply_correction(project, Correction("wavs/2.wav", "  Better |\n words. ", Span(0.5, 2.0)))
    assert (clip.text, clip.seconds, clip.start, clip.end) == ("Better words.", 1.5, 10.5, 12.0)
    assert len(decode(project.path / "wavs/2.wav", CLIP_RATE)) == pytest.approx(1.5 * CLIP_RATE, abs=2)
    after = state_of(project)
    assert {name for name in after if after[name] != before[name]} == {"2.wav", "metadata_train.csv", "dataset.json"}
    assert [clip.text for clip in read_dataset(project) if clip.file == "wavs/2.wav"] == ["Better words."]
    assert len(decode(project.cache / "originals/2.wav", CLIP_RATE)) == 3 * CLIP_RATE


@pytest.mark.parametrize(
    "correction",
    [
        Correction("wavs/9.wav", "Nowhere."),
        Correction("../outside.wav", "Nowhere."),
        Correction("wavs/0.wav", " ... "),
        Correction("wavs/0.wav", "Short.", Span(1.0, 1.2)),
        Correction("wavs/0.wav", "Beyond.", Span(5.0, 9.0)),
    ],
)
def test_a_correction_that_cannot_be_changes_nothing(project: Project, correction: Correction) -> None:
    before = state_of(project)
    with pytest.raises(DatasetError):
        apply_correction(project, correction)
    assert state_of(project) == before


def test_dropped_clips_leave_the_tables_and_their_sounds_are_kept_aside(project: Project) -> None:
    assert drop_clips(project, ["wavs/0.wav", "wavs/2.wav"]) == 2
    assert {clip.file for clip in read_dataset(project)} == {"wavs/1.wav", "wavs/3.wav", "wavs/4.wav"}
    assert {path.name for path in project.wavs.iterdir()} == {"1.wav", "3.wav", "4.wav"}
    assert {path.name for path in (project.cache / "dropped").iterdir()} == {"0.wav", "2.wav"}


def test_missing_sounds_are_listed_and_can_be_dropped(project: Project) -> None:
    (project.path / "wavs/3.wav").unlink()
    assert find_missing(project) == ("wavs/3.wav",)
    assert drop_missing(project) == ("wavs/3.wav",)
    check_whole(project)
    assert find_missing(project) == drop_missing(project) == ()


def test_a_clip_moves_between_the_splits_but_never_the_last_one(project: Project) -> None:
    move_clip(project, "wavs/0.wav", "eval")
    assert {row.file for row in read_csv(project.eval_csv)} == {"wavs/0.wav", "wavs/1.wav"}
    move_clip(project, "wavs/1.wav", "train")
    with pytest.raises(DatasetError, match="only clip for evaluation"):
        move_clip(project, "wavs/0.wav", "train")


@needs_fork
def test_killed_before_any_rename_the_dataset_is_whole_and_the_change_is_finished_or_never_was(
    ws: Workspace,
) -> None:
    project = ws.project("anna")

    def change() -> None:
        apply_correction(project, Correction("wavs/2.wav", "Better words.", Span(0.5, 2.0)))
        move_clip(project, "wavs/3.wav", "eval")
        drop_clips(project, ["wavs/0.wav"])

    seen = set()
    moment, killed = 0, True
    while killed:
        if project.path.exists():
            ws.delete(project.path)
        make_dataset(project)
        killed = killed_at(moment, change)
        check_whole(project)
        before = read_dataset(project)
        with open_for_change(project):  # the next who writes finishes what was begun
            pass
        check_whole(project)
        assert read_dataset(project) == before
        rows = {row.file: row.text for path in (project.train_csv, project.eval_csv) for row in read_csv(path)}
        assert rows == {clip.file: clip.text for clip in before}
        trimmed = len(decode(project.path / "wavs/2.wav", CLIP_RATE)) < 3 * CLIP_RATE
        assert trimmed == (rows["wavs/2.wav"] == "Better words.")
        seen.add(tuple(sorted(rows)))
        moment += 1
    assert moment > 20
    assert len(seen) == 2  # with wavs/0.wav and without


def test_two_who_change_at_once_lose_nothing(project: Project) -> None:
    code = (
        "import sys; from pathlib import Path; from pipeline.workspace import Workspace;"
        "from pipeline.corrections import apply_correction; from pipeline.records import Correction;"
        "project = Workspace(Path(sys.argv[1])).project('anna');"
        "[apply_correction(project, Correction(f'wavs/{sys.argv[2]}.wav', f'Text {n}.')) for n in range(10)]"
    )
    root = str(project.path.parent.parent)
    both = [subprocess.Popen([sys.executable, "-c", code, root, str(n)], cwd=REPOSITORY) for n in range(2)]
    assert [one.wait(timeout=120) for one in both] == [0, 0]
    assert [clip.text for clip in read_dataset(project)][:2] == ["Text 9.", "Text 9."]


def test_reading_imports_nothing_heavy() -> None:
    code = (
        "import sys; import pipeline.dataset, pipeline.corrections, pipeline.validate;"
        "heavy = {'torch', 'TTS', 'faster_whisper', 'transformers', 'gradio'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)

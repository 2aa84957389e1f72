"""Recordings are taken in under safe names and known by content; the table tells what there is."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.audio import CLIP_RATE, write_wav
from pipeline.dataset_files import DatasetSettings, Manifest, commit, find_manifest, open_for_change
from pipeline.records import Clip
from pipeline.workspace import Project, Workspace, check_name
from ui.dataset_view import ALL, FLAGGED, as_rows, summarize, whole_report
from ui.recordings import RecordingBook
from ui.tables import as_table
from ui.tabs.dataset import describe_recordings
from ui.uploads import add_samples, safe_file_name


def _sound(path: Path, seconds: float = 2.0, pitch: float = 220.0) -> Path:
    time_axis = np.arange(int(seconds * CLIP_RATE)) / CLIP_RATE
    write_wav(path, (0.3 * np.sin(2 * np.pi * pitch * time_axis)).astype(np.float32), CLIP_RATE)
    return path


# ---- Uploads ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("anna.wav", "anna.wav"),
        ("Grüße aus Köln.mp3", "Grüße aus Köln.mp3"),
        ("你好 世界.flac", "你好 世界.flac"),
        ("../../etc/passwd", "passwd"),
        ("C:\\voices\\anna.wav", "anna.wav"),
        ("take: 1?*.wav", "take_ 1.wav"),
        ("con.wav", "recording con.wav"),
        ("...", "recording."),
        ("🎤.ogg", "recording.ogg"),
        ("-rf.wav", "recording -rf.wav"),
        ("no ending", "no ending"),
    ],
)
def test_file_names_are_made_safe_and_stay_readable(name: str, kept: str) -> None:
    assert safe_file_name(name) == kept


@pytest.mark.parametrize("name", ["a" * 300 + ".wav", "你" * 200 + ".mp3", "a..b.wav", "LPT1.flac", "\t\n.wav", ".wav"])
def test_every_safe_name_can_be_a_folder_entry_anywhere(name: str) -> None:
    safe = safe_file_name(name)
    assert len(safe.encode()) <= 120
    assert check_name(safe.rpartition(".")[0] or safe)
    assert safe_file_name(safe) == safe


def test_uploads_are_known_by_content_and_replace_nothing(ws: Workspace, tmp_path: Path) -> None:
    first, other = _sound(tmp_path / "a" / "voice.wav"), _sound(tmp_path / "b" / "voice.wav", pitch=440)
    assert add_samples(ws, [first]) == (["voice.wav"], [])
    assert add_samples(ws, [first]) == ([], ["voice.wav"])
    assert add_samples(ws, [other]) == (["voice 2.wav"], [])
    assert add_samples(ws, [other]) == ([], ["voice 2.wav"])
    assert (ws.samples / "voice.wav").read_bytes() == first.read_bytes()
    assert (ws.samples / "voice 2.wav").read_bytes() == other.read_bytes()


# ---- The table of recordings --------------------------------------------------------------------------------------


def test_the_table_shows_every_file_with_what_is_wrong_and_the_total(ws: Workspace) -> None:
    _sound(ws.samples / "long.wav", 125)
    (ws.samples / "text.wav").write_text("this is no sound")
    book = RecordingBook(ws)
    shown = describe_recordings(book)
    assert "1 file, 2 min 05 s in all: enough to begin" in shown
    assert "Can&#x27;t be used: " in shown
    assert "22,050 Hz" in shown
    assert "mono" in shown


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "No recordings yet"), (30, "less than the minimum of 2 minutes"), (301, "good amount")],
)
def test_the_total_is_measured_against_minimum_and_recommendation(
    ws: Workspace, seconds: float | None, words: str
) -> None:
    if seconds:
        _sound(ws.samples / "voice.wav", seconds)
    assert words in describe_recordings(RecordingBook(ws))


def test_loudness_is_measured_once_and_then_known(ws: Workspace) -> None:
    _sound(ws.samples / "voice.wav")
    book = RecordingBook(ws)
    before = book.key()
    assert book.recordings()[0].loudness is None
    deadline = time.monotonic() + 30
    while book.key() == before and time.monotonic() < deadline:
        time.sleep(0.05)
    loudness = book.recordings()[0].loudness
    assert loudness is not None
    assert -20 < loudness < -8
    after = book.key()
    book.recordings()
    assert book.key() == after


def test_the_table_says_where_a_text_of_ones_own_is(ws: Workspace) -> None:
    _sound(ws.samples / "told.wav")
    (ws.samples / "told.srt").write_text("1\n00:00:00,000 --> 00:00:02,000\nHello there.\n")
    _sound(ws.samples / "heard.wav", pitch=330)
    shown = describe_recordings(RecordingBook(ws))
    assert "Text: told.srt" in shown
    assert shown.count("Text: ") == 1
    assert "2 files" in shown


def test_names_of_files_are_shown_as_text() -> None:
    assert "<script>" not in as_table(["<script>"], [["<script>alert(1)</script>"]])


# ---- The report ---------------------------------------------------------------------------------------------------


@pytest.fixture
def project(ws: Workspace) -> Project:
    """Return a project with a dataset of four clips, one of them flagged."""
    project = ws.project("anna")
    settings = DatasetSettings("en", "demo", vad=True, min_seconds=2.0, max_seconds=10.0, loudness=True)
    clips = []
    for number in range(4):
        _sound(project.wavs / f"{number}.wav", 3.0, 200 + 50 * number)
        flags = ("noisy",) if number == 2 else ()
        split = "eval" if number == 3 else "train"
        clips.append(Clip(f"wavs/{number}.wav", f"Text {number}.", "anna", split, seconds=3.0, flags=flags))
    with open_for_change(project):
        commit(project, Manifest("anna", settings, "anna", 0, 15.0, clips=tuple(clips)))
    return project


def test_the_report_counts_what_is_on_disk(project: Project) -> None:
    manifest = find_manifest(project)
    assert manifest is not None
    said = summarize(whole_report(manifest, None))
    assert "4 clips, 12 s" in said
    assert "3 for training, 1 for evaluation" in said
    assert "1 flagged" in said


def test_flagged_clips_come_first_and_alone_where_that_is_chosen(project: Project) -> None:
    manifest = find_manifest(project)
    assert [row[-1] for row in as_rows(manifest, ALL)] == ["wavs/2.wav", "wavs/0.wav", "wavs/1.wav", "wavs/3.wav"]
    assert [row[-1] for row in as_rows(manifest, FLAGGED)] == ["wavs/2.wav"]
    assert as_rows(None, ALL) == []

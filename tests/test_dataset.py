"""Step 1, from recordings to a dataset: what comes of good, bad, doubled, added and interrupted input."""

from __future__ import annotations

import dataclasses
import shutil
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.audio import CLIP_RATE, decode
from pipeline.corrections import apply_correction, drop_clip
from pipeline.dataset import create_dataset, list_recordings, read_dataset
from pipeline.dataset_files import find_manifest, read_csv
from pipeline.errors import AudioError, DatasetError, SettingError, Stopped
from pipeline.languages import CHARACTER_LIMITS
from pipeline.options import DatasetOptions
from pipeline.progress import Progress
from pipeline.records import Clip, Correction, DatasetReport
from pipeline.workspace import Project, Workspace, read_json

from .killing import killed_at, needs_fork
from .recordings import Told, broken_files, record, sentences_of, unusual_files, write_srt
from .speech import needs_espeak

pytestmark = needs_espeak

Tables = tuple[bytes, bytes]


def options(**known: Any) -> DatasetOptions:
    return DatasetOptions(**{"project": "anna", "whisper_model": "demo", "device": "cpu", **known})


def create(ws: Workspace, **known: Any) -> DatasetReport:
    return create_dataset(ws, options(**known), Progress())


def tables(project: Project) -> Tables:
    return project.train_csv.read_bytes(), project.eval_csv.read_bytes()


def check_whole(project: Project) -> list[str]:
    """Assert that every row's sound is there and right, and that no row is twice; return the files."""
    rows = [row for path in (project.train_csv, project.eval_csv) for row in read_csv(path)]
    files = [row.file for row in rows]
    assert len(set(files)) == len(files)
    for row in rows:
        with wave.open(str(project.path / row.file)) as sound:
            assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (CLIP_RATE, 1, 2)
            assert sound.getnframes() > CLIP_RATE // 2
        assert row.text.strip() == row.text != ""
    return files


@pytest.fixture(scope="session")
def stories(tmp_path_factory: pytest.TempPathFactory) -> list[Told]:
    """Return three recordings with subtitles, so that no Whisper is needed."""
    folder = tmp_path_factory.mktemp("stories")
    told = [record(folder, f"story {number}.wav", count=6, seed=number) for number in range(3)]
    for one in told:
        write_srt(one)
    return told


def put(ws: Workspace, *told: Told) -> None:
    """Copy recordings and what lies beside them into the samples folder."""
    for one in told:
        for path in one.path.parent.glob(f"{one.path.stem}.*"):
            shutil.copy(path, ws.samples / path.name)


# ---- What comes out -----------------------------------------------------------------------------------------------


def test_a_dataset_of_subtitled_recordings_holds_every_word_once(ws: Workspace, stories: list[Told]) -> None:
    put(ws, *stories)
    report = create(ws)
    project = ws.project("anna")
    files = check_whole(project)
    assert report.clips == len(files) == report.train + report.eval == report.added
    assert report.eval >= 1
    said = sorted(word for clip in report.rows for word in clip.text.split())
    left_out = [word for one in report.rejected for word in one.text.split()]
    assert sorted(said + left_out) == sorted(word for one in stories for word in one.text.split())
    assert len(left_out) < 0.05 * len(said)
    assert all(2.0 <= clip.seconds <= 10.0 and len(clip.text) <= CHARACTER_LIMITS["en"] for clip in report.rows)
    assert all(clip.ending == "sentence" for clip in report.rows)


def test_each_clip_holds_the_sound_of_its_words_and_no_neighbour(ws: Workspace, stories: list[Told]) -> None:
    put(ws, stories[0])
    report = create(ws, loudness=False)
    for clip in report.rows:
        inside = [
            word for word in stories[0].spoken.words if word.start < clip.end - 0.06 and word.end > clip.start + 0.06
        ]
        assert " ".join(word.text for word in inside) == clip.text
        sound = decode(ws.project("anna").path / clip.file, CLIP_RATE)
        start = round(clip.start * CLIP_RATE)
        original = stories[0].spoken.samples[start : start + len(sound)]
        assert np.abs(sound[100:-100] - original[100:-100]).max() < 1e-3


def test_the_demo_voice_is_heard_with_few_errors(ws: Workspace) -> None:
    from rapidfuzz.distance import Levenshtein

    from pipeline.workspace import DEMO_VOICE

    counts = Counts()
    report = create_dataset(ws, options(audio=(str(DEMO_VOICE),)), counts)
    assert counts.fractions == sorted(counts.fractions)
    known = (DEMO_VOICE.parent / "demo-sentences.txt").read_text(encoding="utf-8")
    ordered = sorted(report.rows, key=lambda clip: clip.start)
    bare = [
        ["".join(letter for letter in word.casefold() if letter.isalnum()) for word in text.split()]
        for text in (known, " ".join(clip.text for clip in ordered))
    ]
    assert Levenshtein.distance(*bare) / len(bare[0]) < 0.05
    assert report.seconds > 120
    assert not report.warnings
    check_whole(ws.project("anna"))


def test_loudness_is_brought_to_one_level_without_clipping(ws: Workspace, stories: list[Told]) -> None:
    put(ws, stories[0])
    report = create(ws)
    assert np.median([clip.loudness for clip in report.rows]) == pytest.approx(-23, abs=1.5)
    assert not any(clip.clipped for clip in report.rows)
    manifest = find_manifest(ws.project("anna"))
    assert manifest is not None
    assert manifest.sources[0].gain != 0
    assert manifest.sources[0].loudness == pytest.approx(-23 - manifest.sources[0].gain, abs=0.1)


def test_reports_tell_the_same_as_the_tables(ws: Workspace, stories: list[Told]) -> None:
    put(ws, stories[0])
    report = create(ws)
    written = read_json(ws.project("anna").path / "report.json")
    assert (written["clips"], written["train"], written["eval"]) == (report.clips, report.train, report.eval)
    assert sum(written["lengths"].values()) == report.clips
    rows = (ws.project("anna").path / "report.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == report.clips + 1


def test_little_audio_is_a_warning_that_says_how_much(ws: Workspace, stories: list[Told]) -> None:
    put(ws, stories[0])
    report = create(ws)
    assert any(f"{report.seconds:.0f} seconds" in warning for warning in report.warnings)


# ---- Own transcripts ----------------------------------------------------------------------------------------------


def test_a_plain_text_gives_the_words_and_whisper_only_their_times(ws: Workspace, tmp_path: Path) -> None:
    told = record(tmp_path, count=8, seed=5)
    put(ws, told)
    (ws.samples / "voice.txt").write_text(told.text, encoding="utf-8")
    report = create(ws)
    known = told.text.split()
    said = " ".join(clip.text for clip in sorted(report.rows, key=lambda clip: clip.start)).split()
    # Whisper may hear words that the text hasn't; nearly all of what is written is what was given.
    assert len(set(said) - set(known)) <= 0.05 * len(said)
    assert len(said) >= 0.9 * len(known)


def test_short_recordings_with_a_text_are_taken_as_they_are(ws: Workspace, tmp_path: Path) -> None:
    texts = {}
    for number in range(4):
        told = record(ws.samples, f"clip {number}.wav", count=2, seed=number)
        texts[told.path.name] = told.text
        (ws.samples / f"clip {number}.lab").write_text(told.text, encoding="utf-8")
    report = create(ws, whisper_model=str(tmp_path))  # no model is there: none is needed
    assert {clip.source: clip.text for clip in report.rows} == texts


def test_a_coqui_dataset_keeps_its_texts_and_its_split(ws: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    (folder / "wavs").mkdir(parents=True)
    told = [record(folder / "wavs", f"{number}.wav", count=2, seed=number) for number in range(4)]
    rows = [f"wavs/{one.path.name}|{one.text}|bert\n" for one in told]
    (folder / "metadata_train.csv").write_text("audio_file|text|speaker_name\n" + "".join(rows[:3]), encoding="utf-8")
    (folder / "metadata_eval.csv").write_text("audio_file|text|speaker_name\n" + rows[3], encoding="utf-8")
    report = create(ws, audio=(str(folder),))
    assert {clip.text: clip.split for clip in report.rows} == {
        one.text: "eval" if number == 3 else "train" for number, one in enumerate(told)
    }


def test_a_table_that_is_named_brings_its_recordings(ws: Workspace, tmp_path: Path) -> None:
    told = [record(tmp_path, f"{number}.wav", count=2, seed=number) for number in range(3)]
    rows = "".join(f"{one.path.name}|{one.text}\n" for one in told[:2])
    (tmp_path / "metadata_train.csv").write_text("audio_file|text\n" + rows, encoding="utf-8")
    report = create(ws, audio=(str(tmp_path / "metadata_train.csv"),))
    assert sorted(clip.text for clip in report.rows) == sorted(one.text for one in told[:2])


def test_an_ljspeech_folder_is_a_dataset(ws: Workspace, tmp_path: Path) -> None:
    (tmp_path / "lj" / "wavs").mkdir(parents=True)
    told = [record(tmp_path / "lj" / "wavs", f"LJ{number}.wav", count=2, seed=number) for number in range(3)]
    table = "".join(f"{one.path.stem}|raw|{one.text}\n" for one in told) + "LJ9|gone|gone\n"
    (tmp_path / "lj" / "metadata.csv").write_text(table, encoding="utf-8")
    report = create(ws, audio=(str(tmp_path / "lj"),))
    assert sorted(clip.text for clip in report.rows) == sorted(one.text for one in told)
    assert [one.source for one in report.rejected] == ["LJ9"]


def test_a_subtitle_longer_than_a_clip_is_divided_between_words(ws: Workspace, tmp_path: Path) -> None:
    told = record(tmp_path, count=6, seed=8)
    put(ws, told)
    start, end = told.spoken.words[0].start, told.spoken.words[-1].end
    (ws.samples / "voice.srt").write_text(f"1\n00:00:{start:06.3f} --> 00:00:{end:06.3f}\n{told.text}\n", "utf-8")
    report = create(ws)
    assert len(report.rows) >= 3
    ordered = sorted(report.rows, key=lambda clip: clip.start)
    left_out = sum(len(one.text.split()) for one in report.rejected)
    said = " ".join(clip.text for clip in ordered).split()
    assert len(said) + left_out == len(told.text.split())
    if not left_out:
        assert " ".join(said) == told.text


# ---- Bad input ----------------------------------------------------------------------------------------------------


def test_forty_broken_files_stop_nothing_and_each_is_named_with_its_reason(ws: Workspace, stories: list[Told]) -> None:
    made = broken_files()
    assert len(made) == 40
    for name, make in made.items():
        make(ws.samples / name)
    put(ws, stories[0])
    report = create(ws)
    assert {clip.source for clip in report.rows} == {stories[0].path.name}
    named = {one.source: one.reason for one in report.rejected}
    assert set(made) <= set(named)
    assert all(reason and "Traceback" not in reason for reason in named.values())
    check_whole(ws.project("anna"))


def test_speech_in_every_usual_and_unusual_form_is_used(ws: Workspace, stories: list[Told]) -> None:
    made = unusual_files(stories[0].spoken.samples)
    text = " ".join(sentence for _, _, sentence in sentences_of(stories[0].spoken))
    used: dict[str, DatasetReport] = {}
    for number, (name, make) in enumerate(made.items()):
        folder = ws.root / "forms" / str(number)
        folder.mkdir(parents=True)
        make(folder / name)
        shutil.copy(stories[0].path.with_suffix(".srt"), folder / f"{Path(name).stem}.srt")
        used[name] = create(ws, project=f"form {number}", audio=(str(folder),))
        check_whole(ws.project(f"form {number}"))
    short = {name: report for name, report in used.items() if len(_words(report)) < len(text.split())}
    assert not short
    assert any("numbers" in one.reason for one in used["NaN holes.wav"].rejected)


def _words(report: DatasetReport) -> list[str]:
    return [word for clip in report.rows for word in clip.text.split()]


def test_a_recording_that_is_cut_short_is_used_as_far_as_it_goes_and_named(ws: Workspace, stories: list[Told]) -> None:
    put(ws, stories[0])
    path = ws.samples / stories[0].path.name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    report = create(ws)
    assert report.clips >= 1
    assert any("cut short" in one.reason for one in report.rejected)


def test_nothing_usable_is_an_error_that_names_the_reasons_and_leaves_no_dataset(ws: Workspace) -> None:
    (ws.samples / "letter.wav").write_text("no sound", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"letter\.wav"):
        create(ws)
    assert not ws.project("anna").has_dataset


def test_an_empty_samples_folder_says_where_to_put_recordings(ws: Workspace) -> None:
    with pytest.raises(DatasetError, match="put-voice-samples-in-here"):
        create(ws)


def test_a_path_that_is_not_there_is_named(ws: Workspace) -> None:
    with pytest.raises(AudioError, match="nowhere"):
        create(ws, audio=("/nowhere/voice.wav",))


def test_a_whisper_that_hears_english_only_is_refused_for_another_language(ws: Workspace, tmp_path: Path) -> None:
    from pipeline.workspace import DEMO_WHISPER

    record(ws.samples, "voice.wav", count=2, language="de")
    with pytest.raises(SettingError, match="English only"):
        create(ws, language="de", whisper_model=str(DEMO_WHISPER))


def test_the_table_of_recordings_shows_what_can_be_used_and_what_not(ws: Workspace, stories: list[Told]) -> None:
    put(ws, stories[0])
    (ws.samples / "letter.wav").write_text("no sound", encoding="utf-8")
    found = {one.path.name: one for one in list_recordings(ws)}
    assert set(found) == {stories[0].path.name, "letter.wav"}
    assert found["letter.wav"].problem
    assert found[stories[0].path.name].seconds == pytest.approx(stories[0].spoken.seconds, abs=0.01)


# ---- Again, and more ----------------------------------------------------------------------------------------------


def test_the_same_command_twice_leaves_every_byte(ws: Workspace, stories: list[Told]) -> None:
    put(ws, *stories[:2])
    create(ws)
    project = ws.project("anna")
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in project.path.rglob("*") if path.is_file()}
    again = create(ws)
    assert again.added == 0
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before
    assert again.rows == read_dataset(project)


def test_the_same_recordings_give_the_same_tables_anywhere(tmp_path: Path, stories: list[Told]) -> None:
    made = []
    for name in ("one", "two"):
        ws = Workspace(tmp_path / name)
        ws.prepare()
        put(ws, *stories)
        create(ws)
        made.append(tables(ws.project("anna")))
    assert made[0] == made[1]


def test_more_audio_is_added_and_the_old_stays_bit_for_bit(ws: Workspace, stories: list[Told]) -> None:
    project = ws.project("anna")
    put(ws, stories[0])
    create(ws)
    first = read_dataset(project)
    apply_correction(project, Correction(first[0].file, "Corrected by hand."))
    drop_clip(project, first[1].file)
    old = read_dataset(project)
    before = tables(project)
    sounds = {path: path.read_bytes() for path in project.wavs.iterdir()}
    put(ws, *stories[1:])
    report = create(ws)
    assert report.added == report.clips - len(old) > 0
    for one, other in zip(before, tables(project), strict=True):
        assert other.startswith(one)
    assert [_without_flags(clip) for clip in report.rows[: len(old)]] == [_without_flags(clip) for clip in old]
    assert all(path.read_bytes() == content for path, content in sounds.items())
    assert first[1].file not in check_whole(project)
    assert report.seconds == pytest.approx(sum(clip.seconds for clip in report.rows), abs=0.01)


def _without_flags(clip: Clip) -> Clip:
    return dataclasses.replace(clip, flags=())


def test_the_same_audio_under_another_name_is_found(ws: Workspace, stories: list[Told]) -> None:
    put(ws, stories[0])
    shutil.copy(stories[0].path, ws.samples / "a copy.wav")
    report = create(ws)
    assert [one.source for one in report.rejected if "same audio" in one.reason] == [stories[0].path.name]
    (ws.samples / "a copy.wav").rename(ws.samples / "another name.wav")
    (ws.samples / stories[0].path.name).unlink()
    again = create(ws)
    assert again.added == 0
    assert [one.source for one in again.rejected if "same audio" in one.reason] == ["another name.wav"]


def test_the_same_audio_in_another_form_is_flagged_clip_by_clip(ws: Workspace, stories: list[Told]) -> None:
    import soundfile

    put(ws, stories[0])
    soundfile.write(ws.samples / "again.flac", stories[0].spoken.samples, CLIP_RATE)
    shutil.copy(stories[0].path.with_suffix(".srt"), ws.samples / "again.srt")
    report = create(ws)
    assert sum(any(flag.startswith("duplicate") for flag in clip.flags) for clip in report.rows) == report.clips / 2
    sides = {clip.text: {one.split for one in report.rows if one.text == clip.text} for clip in report.rows}
    assert all(len(side) == 1 for side in sides.values())


def test_other_settings_are_refused_unless_accepted_and_another_language_always(
    ws: Workspace, stories: list[Told]
) -> None:
    put(ws, stories[0])
    create(ws)
    before = tables(ws.project("anna"))
    put(ws, stories[1])
    with pytest.raises(DatasetError, match=r"max seconds 10\.0 → 12\.0"):
        create(ws, max_seconds=12.0)
    with pytest.raises(DatasetError, match="Spanish"):
        create(ws, language="es", whisper_model="tiny", accept_new_settings=True)
    assert tables(ws.project("anna")) == before
    report = create(ws, max_seconds=12.0, accept_new_settings=True)
    assert report.added > 0
    manifest = find_manifest(ws.project("anna"))
    assert manifest is not None
    assert [source.settings.max_seconds for source in manifest.sources] == [10.0, 12.0]


# ---- Interrupted --------------------------------------------------------------------------------------------------


class StopsAfter(Progress):
    """Asks to stop after so many questions whether it should."""

    def __init__(self, questions: int) -> None:
        self.left = questions

    @property
    def stop_requested(self) -> bool:
        self.left -= 1
        return self.left < 0


class Counts(Progress):
    """Notes which recordings are listened to."""

    def __init__(self) -> None:
        self.heard: set[str] = set()
        self.fractions: list[float] = []

    def update(self, fraction: float | None, message: str) -> None:
        assert fraction is None or 0 <= fraction <= 1
        self.fractions += [] if fraction is None else [fraction]
        if message.startswith("Listening to"):
            self.heard.add(message.partition("“")[2].partition("”")[0])


def test_stopped_anywhere_the_old_dataset_is_whole_and_the_next_run_finishes_it(
    tmp_path: Path, stories: list[Told]
) -> None:
    wanted = None
    for questions in (0, 3, 4, 6, 8, 9, 11, 13, 10_000):
        ws = Workspace(tmp_path / str(questions))
        ws.prepare()
        put(ws, stories[0])
        create(ws)
        before = tables(ws.project("anna"))
        put(ws, *stories[1:])
        try:
            create_dataset(ws, options(), StopsAfter(questions))
        except Stopped:
            assert tables(ws.project("anna")) == before
            check_whole(ws.project("anna"))
        create(ws)
        files = check_whole(ws.project("anna"))
        assert {f"wavs/{path.name}" for path in ws.project("anna").wavs.iterdir()} == set(files)
        wanted = wanted or tables(ws.project("anna"))
        assert tables(ws.project("anna")) == wanted


@needs_fork
def test_killed_anywhere_the_old_dataset_is_whole_and_finished_recordings_are_not_done_again(
    tmp_path: Path, stories: list[Told]
) -> None:
    origin = Workspace(tmp_path / "origin")
    origin.prepare()
    put(origin, stories[0])
    create(origin)
    put(origin, *stories[1:])
    before = tables(origin.project("anna"))
    wanted, moment, killed = None, 0, True
    while killed:
        ws = Workspace(tmp_path / str(moment))
        shutil.copytree(origin.root, ws.root)
        project = ws.project("anna")
        killed = killed_at(moment, lambda ws=ws: create(ws))
        check_whole(project)
        finished = len(list((project.cache / "finished").glob("*.json")))
        unchanged = tables(project) == before and not (project.cache / "dataset.journal.json").exists()
        counts = Counts()
        create_dataset(ws, options(), counts)
        assert len(counts.heard) == (2 - finished if unchanged else 0)
        files = check_whole(project)
        assert {f"wavs/{path.name}" for path in project.wavs.iterdir()} == set(files)
        wanted = wanted or tables(project)
        assert tables(project) == wanted
        shutil.rmtree(ws.root)
        moment += 2
    assert moment > 20

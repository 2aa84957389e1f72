"""Texts that somebody wrote down: found, read in any encoding, cleaned of what isn't said."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.transcripts import find_transcripts, parse_subtitles, read_any_text, read_table, read_transcript

SRT = """1
00:00:00,500 --> 00:00:02,000
- Hello <i>there</i>!

2
00:00:02,100 --> 00:00:04,000
[door slams]

3
00:00:04,000 --> 00:00:06,250
How are you &amp; yours,
my friend?
"""


def test_srt_cues_have_their_times_and_only_what_is_said() -> None:
    cues = parse_subtitles(SRT)
    assert [(cue.start, cue.end, cue.text) for cue in cues] == [
        (0.5, 2.0, "Hello there!"),
        (4.0, 6.25, "How are you & yours, my friend?"),
    ]


def test_vtt_headers_notes_settings_and_short_times_are_understood() -> None:
    text = (
        "WEBVTT - a title\n\nNOTE nobody says this\n\nSTYLE\n::cue { color: red }\n\n"
        "intro\n00:01.000 --> 00:02.500 align:start position:0%\n<v Anna>Good morning.</v>\n\n"
        "01:00:00.000 --> 01:00:01.000\nAn hour later.\n"
    )
    cues = parse_subtitles(text)
    assert [(cue.start, cue.text) for cue in cues] == [(1.0, "Good morning."), (3600.0, "An hour later.")]


def test_captions_that_roll_on_say_each_line_once() -> None:
    text = (
        "WEBVTT\n\n00:00.000 --> 00:02.000\nthe first line\n\n00:02.000 --> 00:02.010\nthe first line\n\n"
        "00:02.010 --> 00:04.000\nthe first line\nand <00:03.000><c>the second</c>\n"
    )
    assert " ".join(cue.text for cue in parse_subtitles(text)) == "the first line and the second"


def test_cues_that_overlap_are_put_one_after_another() -> None:
    cues = parse_subtitles("00:00:00,000 --> 00:00:03,000\na\n\n00:00:02,000 --> 00:00:04,000\nb\n")
    assert [(cue.start, cue.end) for cue in cues] == [(0.0, 2.0), (2.0, 4.0)]


@pytest.mark.parametrize("text", ["", "no times at all", "00:00:05,000 --> 00:00:01,000\nbackwards\n"])
def test_subtitles_without_a_usable_cue_give_none(text: str) -> None:
    assert parse_subtitles(text) == ()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "latin-1"])
def test_every_usual_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("Über die Brücke für zwölf Mädchen.".encode(encoding))
    assert read_any_text(path) == "Über die Brücke für zwölf Mädchen."


def test_a_text_of_another_alphabet_is_read_as_utf8(tmp_path: Path) -> None:
    path = tmp_path / "a.lab"
    path.write_text("Привет, мир. 你好。\n\nनमस्ते", encoding="utf-8")
    assert read_transcript(path).text == "Привет, мир. 你好。 नमस्ते"


def test_the_transcript_of_the_same_name_is_found_and_subtitles_go_first(tmp_path: Path) -> None:
    for name in ("a.wav", "b.mp3", "c.flac", "d.ogg"):
        (tmp_path / name).write_bytes(b"sound")
    (tmp_path / "a.srt").write_text(SRT, encoding="utf-8")
    (tmp_path / "a.txt").write_text("Not used.", encoding="utf-8")
    (tmp_path / "b.TXT").write_text("Loud.", encoding="utf-8")
    (tmp_path / "c.flac.lab").write_text("With both endings.", encoding="utf-8")
    found = find_transcripts(sorted(tmp_path.glob("?.*[3vcg]")), []).by_recording
    assert {path.name: transcript.file for path, transcript in found.items()} == {
        "a.wav": "a.srt",
        "b.mp3": "b.TXT",
        "c.flac": "c.flac.lab",
    }


def test_an_empty_transcript_is_told_and_not_used(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"sound")
    (tmp_path / "a.txt").write_text("  \n", encoding="utf-8")
    found = find_transcripts([tmp_path / "a.wav"], [])
    assert not found.by_recording
    assert [one.source for one in found.rejected] == ["a.txt"]


def test_ljspeech_rows_take_the_normalised_text_and_miss_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "wavs").mkdir()
    (tmp_path / "wavs" / "LJ001.wav").write_bytes(b"sound")
    table = tmp_path / "metadata.csv"
    table.write_text('LJ001|In 1465, "all".|In fourteen sixty-five, "all".\nLJ002|Gone.|Gone.\n', encoding="utf-8")
    found, rejected = read_table(table)
    assert {path.name: one.text for path, one in found.items()} == {"LJ001.wav": 'In fourteen sixty-five, "all".'}
    assert [one.source for one in rejected] == ["LJ002"]


def test_a_coqui_table_keeps_its_split_and_its_speakers(tmp_path: Path) -> None:
    (tmp_path / "wavs").mkdir()
    (tmp_path / "wavs" / "a.wav").write_bytes(b"sound")
    table = tmp_path / "metadata_eval.csv"
    table.write_text('audio_file|text|speaker_name\nwavs/a.wav|"""Yes"", he said."|anna\n', encoding="utf-8")
    found, rejected = read_table(table)
    (transcript,) = found.values()
    assert (transcript.text, transcript.split, transcript.speaker) == ('"Yes", he said.', "eval", "anna")
    assert not rejected


def test_a_table_that_points_outside_its_folder_reads_nothing_there(tmp_path: Path) -> None:
    (tmp_path / "secret.wav").write_bytes(b"sound")
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "metadata.csv").write_text("audio_file|text\n../secret.wav|No.\n", encoding="utf-8")
    found, rejected = read_table(inner / "metadata.csv")
    assert not found
    assert len(rejected) == 1


def test_any_other_table_tells_nothing_about_recordings(tmp_path: Path) -> None:
    table = tmp_path / "prices.csv"
    table.write_text("item;price\nbread;3\n", encoding="utf-8")
    assert read_table(table) == ({}, [])


def test_a_sentence_said_twice_is_kept_twice() -> None:
    cues = parse_subtitles(
        "1\n00:00:00,000 --> 00:00:02,000\nCome here.\n\n2\n00:00:02,100 --> 00:00:04,000\nCome here.\n\n"
        "3\n00:00:05,000 --> 00:00:06,000\nNow go.\n"
    )
    assert [cue.text for cue in cues] == ["Come here.", "Come here.", "Now go."]

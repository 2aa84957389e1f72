"""Texts that somebody wrote down already: subtitles, plain text, LJSpeech's and Coqui's tables."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from .records import Rejection, Seconds, Split
from .text import clean_text

SUBTITLES = (".srt", ".vtt")
TEXTS = (".txt", ".lab")
# What lies among recordings and is no sound: never listed as broken audio.
TRANSCRIPT_SUFFIXES = frozenset({*SUBTITLES, *TEXTS, ".csv", ".tsv", ".json", ".md"})
LJSPEECH = "metadata.csv"
_INSTEAD = "what Whisper hears is used"

_TIME = r"(?:(\d+):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_TIMES = re.compile(rf"^\s*{_TIME}\s*-->\s*{_TIME}")
_TAG = re.compile(r"<[^>]*>|\{\\[^}]*\}")  # <i>, <v Anna>, <00:00:01.000>, {\an8}
_NOT_SAID = re.compile(r"\[[^\]]*\]|［[^］]*］|【[^】]*】|[♪♫]+")  # [music], ♪
_ASIDE = re.compile(r"^\s*[(（][^)）]*[)）]\s*$")  # a line that is only (laughs)


@dataclass(frozen=True)
class Cue:
    """One subtitle: what is said between two times."""

    start: Seconds
    end: Seconds
    text: str


@dataclass(frozen=True)
class Transcript:
    """What somebody wrote down for one recording: subtitles with times, or one text for the whole."""

    file: str  # the transcript's file name
    text: str = ""
    cues: tuple[Cue, ...] = ()
    split: Split | None = None  # where a table of a dataset says so
    speaker: str = ""


@dataclass(frozen=True)
class FoundTranscripts:
    """The transcripts of a folder's recordings, and what is wrong with some."""

    by_recording: dict[Path, Transcript]
    rejected: tuple[Rejection, ...]


def find_transcripts(recordings: Iterable[Path], tables: Iterable[Path]) -> FoundTranscripts:
    """Return the transcript of each recording that has one: a file of the same name first, then a table's row.

    `tables` are the CSV files found among the recordings.
    """
    found: dict[Path, Transcript] = {}
    rejected: list[Rejection] = []
    paths = list(recordings)
    for table in tables:
        try:
            rows, faults = read_table(table)
        except OSError as fault:
            rejected.append(Rejection(table.name, f"can't be read: {fault.strerror or fault}"))
            continue
        found.update(rows)
        rejected += faults
    for path in paths:
        beside = next((file for suffix in (*SUBTITLES, *TEXTS) if (file := _beside(path, suffix)) is not None), None)
        if beside is None:
            continue
        try:
            transcript = read_transcript(beside)
        except OSError as fault:
            rejected.append(Rejection(beside.name, f"can't be read: {fault.strerror or fault}; {_INSTEAD}"))
            continue
        if transcript.text or transcript.cues:
            found[path] = transcript
        else:
            rejected.append(Rejection(beside.name, f"the transcript is empty; {_INSTEAD}"))
    return FoundTranscripts({path: found[path] for path in paths if path in found}, tuple(rejected))


def _beside(path: Path, suffix: str) -> Path | None:
    """Return the file of the same name with another ending: a.srt, A.SRT or a.wav.srt for a.wav."""
    for name in (path.stem + suffix, path.stem + suffix.upper(), path.name + suffix):
        if (path.parent / name).is_file():
            return path.parent / name
    return None


def read_transcript(path: Path) -> Transcript:
    """Read subtitles or a plain text, in whatever encoding."""
    text = read_any_text(path)
    if path.suffix.lower() in SUBTITLES:
        return Transcript(path.name, cues=parse_subtitles(text))
    return Transcript(path.name, text=clean_text(text))


def read_any_text(path: Path) -> str:
    """Return a text file's content: UTF-8 or UTF-16 with or without a mark, else the Western European of Windows."""
    data = path.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    if b"\0" in data[:200]:  # UTF-16 without a mark: in European texts every other byte is 0
        return data.decode("utf-16-le" if data[1:2] == b"\0" else "utf-16-be", errors="replace")
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")


# ---- Subtitles ----------------------------------------------------------------------------------------------------


def parse_subtitles(text: str) -> tuple[Cue, ...]:
    """Return the cues of an SRT or VTT text in order of time: without tags, sounds, or lines that roll on."""
    cues: list[Cue] = []
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n").replace("\r", "\n")):
        lines = block.strip("\n").split("\n")
        for number, line in enumerate(lines):
            times = _TIMES.match(line)
            if times is None:
                continue  # the cue's number, WEBVTT, NOTE, STYLE
            start, end = _seconds(*times.groups()[:4]), _seconds(*times.groups()[4:])
            if end > start:
                cues.append(Cue(start, end, "\n".join(lines[number + 1 :])))
            break
    said = _without_repeats(sorted(cues, key=lambda cue: cue.start))
    return _without_overlaps([cue for cue in said if cue.text])


def _seconds(hours: str | None, minutes: str, seconds: str, fraction: str) -> Seconds:
    return int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds) + int(fraction.ljust(3, "0")) / 1000


def _spoken_lines(text: str) -> list[str]:
    """Return a cue's lines as they are spoken."""
    lines = []
    for line in text.split("\n"):
        line = html.unescape(_TAG.sub("", line))
        line = "" if _ASIDE.match(line) else _NOT_SAID.sub(" ", line)
        line = re.sub(r"^\s*[-–—]\s*", "", line)  # the dash of a dialogue
        line = clean_text(line)
        if line:
            lines.append(line)
    return lines


def _without_repeats(cues: list[Cue]) -> list[Cue]:
    """Drop the lines that rolling captions carry over from the cue before.

    Captions roll where most cues begin with the line that the one before ended with. Where only some do, somebody
    said the same again.
    """
    if not cues:
        return []
    lines = [_spoken_lines(cue.text) for cue in cues]
    carried = [False, *(bool(one and other and other[0] == one[-1]) for one, other in pairwise(lines))]
    rolls = sum(carried) > (len(cues) - 1) / 2 and any(len(each) > 1 for each in lines)
    return [
        Cue(cue.start, cue.end, " ".join(said[1:] if rolls and again else said))
        for cue, said, again in zip(cues, lines, carried, strict=True)
    ]


def _without_overlaps(cues: list[Cue]) -> tuple[Cue, ...]:
    """End each cue where the next begins, at the latest; join cues that begin together."""
    result: list[Cue] = []
    for cue in cues:
        if result and cue.start - result[-1].start < 0.05:
            last = result[-1]
            result[-1] = Cue(last.start, max(last.end, cue.end), f"{last.text} {cue.text}")
            continue
        if result and result[-1].end > cue.start:
            result[-1] = Cue(result[-1].start, cue.start, result[-1].text)
        result.append(cue)
    return tuple(result)


# ---- Tables -------------------------------------------------------------------------------------------------------


def read_table(path: Path) -> tuple[dict[Path, Transcript], list[Rejection]]:
    """Read Coqui's CSV (`audio_file|text|…`) or LJSpeech's metadata.csv (`id|text|normalised`).

    Any other table tells nothing about recordings and gives nothing. Rows whose sound isn't there are rejected.
    """
    text = read_any_text(path)
    head = text.partition("\n")[0].strip().split("|")
    if {"audio_file", "text"} <= set(head):
        rows = _coqui_rows(path, text)
    elif path.name.lower() == LJSPEECH and len(head) in (2, 3):
        rows = _ljspeech_rows(path, text)
    else:
        return {}, []
    found: dict[Path, Transcript] = {}
    rejected = []
    for sound, name, transcript in rows:
        if sound is None:
            rejected.append(Rejection(name, f"is named in “{path.name}” and isn't there"))
        elif not transcript.text:
            rejected.append(Rejection(name, f"has no text in “{path.name}”"))
        else:
            found[sound] = transcript
    return found, rejected


_Row = tuple[Path | None, str, Transcript]


def _coqui_rows(table: Path, text: str) -> list[_Row]:
    """Return the rows of Coqui's CSV; one named …eval… or …val… holds clips for evaluation."""
    name = table.stem.lower()
    split: Split | None = "eval" if "val" in name else "train" if "train" in name else None
    rows: list[_Row] = []
    for row in csv.DictReader(io.StringIO(text, newline=""), delimiter="|"):
        file, said = row["audio_file"] or "", row["text"] or ""
        sound = _sound_file(table.parent, file)
        speaker = row.get("speaker_name") or ""
        rows.append((sound, file, Transcript(table.name, clean_text(said), split=split, speaker=speaker)))
    return rows


def _ljspeech_rows(table: Path, text: str) -> list[_Row]:
    """Return LJSpeech's rows: the third column has numbers and abbreviations as they are said."""
    rows: list[_Row] = []
    for line in text.splitlines():
        columns = [column.strip() for column in line.split("|")]
        if len(columns) < 2:
            continue
        said = columns[2] if len(columns) > 2 and columns[2] else columns[1]
        sound = _sound_file(table.parent / "wavs", columns[0]) or _sound_file(table.parent, columns[0])
        rows.append((sound, columns[0], Transcript(table.name, clean_text(said))))
    return rows


def _sound_file(folder: Path, name: str) -> Path | None:
    """Return the sound of that name, with or without its ending, inside the folder; None where there is none."""
    if not name or ".." in Path(name).parts or Path(name).is_absolute():
        return None
    for ending in ("", ".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a"):
        if (folder / (name + ending)).is_file():
            return folder / (name + ending)
    return None

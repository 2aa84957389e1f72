"""Corrections of a dataset that was made elsewhere: its CSVs and sounds are changed where they lie.

Only the row that is corrected changes; other columns and rows stay as they are. Sounds that are trimmed or dropped are
kept under the project's cache/ first.
"""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Collection
from pathlib import Path

import filelock

from .audio import CLIP_RATE, decode, trim, write_wav
from .dataset_files import read_csv
from .errors import DatasetError
from .records import Seconds, Span
from .workspace import Project, write_text

SHORTEST: Seconds = 0.5  # of a clip that training takes
_ORIGINALS = "foreign-originals"  # under cache/: sounds as they were


def set_text(table: Path, file: str, text: str) -> None:
    """Give the row of a clip another text. Raises DatasetError where the row isn't there or the text is empty."""
    text = checked_text(file, text)
    with filelock.FileLock(_lock_of(table)):
        rows = _read_rows(table)
        head = rows[0]
        place, column = head.index("audio_file"), head.index("text")
        changed = [row for row in rows[1:] if row[place] == file]
        if not changed:
            raise DatasetError(f"“{file}” isn't in “{table}” any more: run the validation again.")
        for row in changed:
            row[column] = text
        _write_rows(table, rows)


def checked_text(file: str, text: str) -> str:
    """Return the text on one line. Raises DatasetError where nothing is said in it."""
    text = " ".join(text.split())
    if not any(letter.isalnum() for letter in text):
        raise DatasetError(f"The text of “{file}” is empty: type what is said, or delete the clip.")
    return text


def drop_rows(table: Path, files: Collection[str]) -> int:
    """Take the rows of these clips out of the table and return how many; their sounds stay where they are."""
    with filelock.FileLock(_lock_of(table)):
        rows = _read_rows(table)
        place = rows[0].index("audio_file")
        kept = [row for row in rows[1:] if row[place] not in files]
        _write_rows(table, [rows[0], *kept])
    return len(rows) - 1 - len(kept)


def trim_sound(project: Project, sound: Path, keep: Span) -> None:
    """Keep only a part of a clip's sound, as 22,050 Hz mono; the original goes to the project's cache first.

    Raises DatasetError where too little would be left or the sound isn't a WAV.
    """
    if sound.suffix.lower() != ".wav":
        raise DatasetError(f"“{sound.name}” isn't a WAV file: only those can be trimmed here.")
    samples = decode(sound, CLIP_RATE)
    start, end = max(0.0, keep.start), min(len(samples) / CLIP_RATE, keep.end)
    if end - start < SHORTEST:
        raise DatasetError(f"Less than {SHORTEST} s of “{sound.name}” would be left: choose a longer part.")
    original = project.cache / _ORIGINALS / sound.name
    if not original.exists():
        original.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(sound, original)
    write_wav(sound, trim(samples, CLIP_RATE, Span(start, end)), CLIP_RATE)


def _lock_of(table: Path) -> Path:
    return table.with_name(f".{table.name}.lock")


def _read_rows(table: Path) -> list[list[str]]:
    """Return the table's rows, its head first, each as long as the head. Raises DatasetError."""
    read_csv(table)  # checks it
    reader = csv.reader(io.StringIO(table.read_text(encoding="utf-8-sig"), newline=""), delimiter="|")
    rows = [row for row in reader if row]
    return [[*row, *[""] * (len(rows[0]) - len(row))] for row in rows]


def _write_rows(table: Path, rows: list[list[str]]) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter="|", lineterminator="\n").writerows(rows)
    write_text(table, out.getvalue())

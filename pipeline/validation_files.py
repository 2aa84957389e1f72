"""What a validation heard, kept in validation.json, and what that says about the dataset as it is now.

Quick and without Whisper, so that the page can ask often: a corrected clip leaves the list without being heard again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from .compare import word_error_rate
from .dataset_files import read_csv, read_manifest
from .errors import DatasetError, SettingError
from .options import ValidateOptions
from .records import Mismatch, Split, ValidationReport, from_json
from .workspace import Project


@dataclass(frozen=True)
class Row:
    """A row of the dataset that is validated."""

    file: str  # as its CSV has it
    split: Split
    text: str
    path: Path


@dataclass(frozen=True)
class HeardClip:
    """What Whisper heard in a clip; `problem` where its sound can't be used."""

    file: str
    heard: str
    bytes: int  # of the sound: another number says that it was trimmed since, and wasn't heard as it is now
    problem: str = ""


@dataclass(frozen=True)
class Validation:
    """What a validation was about and what it heard: validation.json."""

    options: ValidateOptions
    language: str
    clips: tuple[HeardClip, ...]


def find_validation(project: Project) -> Validation | None:
    """Return what the last validation heard; None where there was none, or it is of another version."""
    if not project.validation.is_file():
        return None
    try:
        return from_json(Validation, project.validation.read_text(encoding="utf-8"))
    except (SettingError, OSError, UnicodeDecodeError):
        return None


def read_validation(project: Project) -> ValidationReport | None:
    """Return the last validation's report on the dataset as it is now; None where there was none.

    Clips that were corrected, dropped or moved since are compared as they are now.
    """
    validation = find_validation(project)
    if validation is None:
        return None
    try:
        return report_on(project, validation, rows_of(project, validation.options))
    except DatasetError:
        return None  # of a dataset that is gone


def heard_texts(project: Project) -> dict[str, str]:
    """Return what the last validation heard in each clip, by file: also in those that agree."""
    validation = find_validation(project)
    return {clip.file: clip.heard for clip in validation.clips if not clip.problem} if validation else {}


def rows_of(project: Project, options: ValidateOptions) -> list[Row]:
    """Return the rows to validate: the project's, or those of the CSVs that are named."""
    if not (options.train_csv or options.eval_csv):
        clips = read_manifest(project).clips
        return [Row(clip.file, clip.split, clip.text, project.path / clip.file) for clip in clips]
    rows = []
    named: tuple[tuple[Split, str], ...] = (("train", options.train_csv), ("eval", options.eval_csv))
    for split, name in named:
        if name:
            table = Path(name).expanduser()
            rows += [
                Row(row.file, split, row.text, find_sound(row.file, table, options.audio_folder))
                for row in read_csv(table)
            ]
    return rows


def find_sound(file: str, table: Path, audio_folder: str) -> Path:
    """Return where the sound of a row lies: in the audio folder if one is named, else beside its CSV."""
    relative = Path(file.replace("\\", "/"))
    if not audio_folder:
        return table.parent / relative
    folder = Path(audio_folder).expanduser()
    whole = folder / relative
    return whole if whole.is_file() else folder / relative.name


def heard_now(validation: Validation, rows: Sequence[Row]) -> dict[str, HeardClip]:
    """Return what was heard in the sounds that are still as they were then, by file."""
    known = {(clip.file, clip.bytes): clip for clip in validation.clips}
    return {row.file: clip for row in rows if (clip := known.get((row.file, sound_size(row)))) is not None}


def report_on(project: Project, validation: Validation, rows: Sequence[Row]) -> ValidationReport:
    """Compare the rows with what was heard; a row whose sound can't be decoded counts as missing."""
    heard = heard_now(validation, rows)
    missing = [row.file for row in rows if not row.path.is_file() or (row.file in heard and heard[row.file].problem)]
    mismatches = [
        Mismatch(row.file, row.split, row.text, heard[row.file].heard, round(score, 4))
        for row in rows
        if row.file in heard and row.file not in missing
        if (score := _score(row.text, heard[row.file].heard, validation.language)) > 0
    ]
    mismatches.sort(key=lambda one: (-one.score, one.file))
    return ValidationReport(project.name, len(rows), tuple(missing), tuple(mismatches))


@lru_cache(maxsize=1 << 14)
def _score(text: str, heard: str, language: str) -> float:
    """Return the word error rate, remembered: of thousands of clips one has changed since the page last asked."""
    return word_error_rate(text, heard, language)


def sound_size(row: Row) -> int:
    """Return the bytes of a row's sound; 0 where there is none."""
    return row.path.stat().st_size if row.path.is_file() else 0

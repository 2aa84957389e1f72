"""Stage “Dataset Validation”: every clip is transcribed again, and what is heard compared with its text.

What was heard is kept in validation.json; the report is made from it and the dataset as it is now, so that a corrected
clip leaves the list and a reloaded page shows the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .audio import WHISPER_RATE, FloatArray, decode
from .compare import word_error_rate
from .corrections import apply_correction as apply_correction
from .corrections import apply_corrections as apply_corrections
from .corrections import drop_clips as drop_clips
from .corrections import drop_missing as drop_missing
from .corrections import move_clip as move_clip
from .dataset_files import read_csv, read_manifest
from .errors import AudioError, DatasetError, SettingError
from .options import ValidateOptions, check_whisper_language
from .progress import Progress
from .records import Mismatch, Split, ValidationReport, from_json, to_json
from .transcribe import WINDOW, Whisper, load_whisper
from .workspace import Project, Workspace, write_text

TOGETHER = 16  # clips that are decoded and heard at once


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


def validate_dataset(ws: Workspace, options: ValidateOptions, progress: Progress) -> ValidationReport:
    """Transcribe every clip again and return where text and sound differ, worst first, and what is missing.

    Raises DatasetError where there is no dataset or nothing to hear, ModelError where Whisper can't be had, Stopped.
    """
    project = ws.project(options.project)
    rows = _rows(project, options)
    if not rows:
        raise DatasetError(f"The dataset of “{options.project}” has no rows: there is nothing to validate.")
    language = _language(project, options)
    check_whisper_language(options.whisper_model, language)
    there = [row for row in rows if row.path.is_file()]
    clips: list[HeardClip] = []
    if there:
        with load_whisper(ws, options.whisper_model, options.precision, options.device, progress) as whisper:
            whisper.check_language(language)
            clips = list(_hear(there, whisper, language, progress))
    validation = Validation(options, language, tuple(clips))
    write_text(project.validation, to_json(validation, indent=1) + "\n")
    report = _report(project, validation, rows)
    for one in report.mismatches:
        progress.log(f"{one.file}: “{one.text}” / “{one.heard}” ({one.score:.0%})", "Validation")
    progress.update(1.0, f"{len(report.mismatches)} of {report.clips} clips differ, {len(report.missing)} are missing")
    return report


def read_validation(project: Project) -> ValidationReport | None:
    """Return the last validation's report on the dataset as it is now; None where there was none.

    Clips that were corrected, dropped or moved since are compared as they are now.
    """
    if not project.validation.is_file():
        return None
    try:
        validation = from_json(Validation, project.validation.read_text(encoding="utf-8"))
        return _report(project, validation, _rows(project, validation.options))
    except (SettingError, DatasetError, OSError, UnicodeDecodeError):
        return None  # of another version, or of a dataset that is gone


def heard_texts(project: Project) -> dict[str, str]:
    """Return what the last validation heard in each clip, by file: also in those that agree."""
    if not project.validation.is_file():
        return {}
    try:
        validation = from_json(Validation, project.validation.read_text(encoding="utf-8"))
    except (SettingError, OSError, UnicodeDecodeError):
        return {}
    return {clip.file: clip.heard for clip in validation.clips if not clip.problem}


def _rows(project: Project, options: ValidateOptions) -> list[Row]:
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


def _language(project: Project, options: ValidateOptions) -> str:
    if options.language:
        return options.language
    table = options.train_csv or options.eval_csv
    beside = Path(table).expanduser().parent / "lang.txt" if table else project.language_file
    for file in (beside, project.language_file):
        if file.is_file():
            return file.read_text(encoding="utf-8").strip()
    raise SettingError("The language of this dataset isn't known: choose the Dataset Language.")


def _hear(rows: Sequence[Row], whisper: Whisper, language: str, progress: Progress) -> Iterator[HeardClip]:
    """Hear the clips, some at once."""
    for first in range(0, len(rows), TOGETHER):
        progress.check()
        progress.update(first / len(rows), f"Listening to clip {first + 1} of {len(rows)}")
        some = rows[first : first + TOGETHER]
        sounds = [_decode(row, progress) for row in some]
        whole = [sound for sound in sounds if isinstance(sound, np.ndarray)]
        texts = iter(whisper.hear_all(whole, language))
        for row, sound in zip(some, sounds, strict=True):
            if isinstance(sound, str):
                yield HeardClip(row.file, "", _size(row), sound)
            else:
                yield HeardClip(row.file, next(texts), _size(row))


def _size(row: Row) -> int:
    return row.path.stat().st_size if row.path.is_file() else 0


def _decode(row: Row, progress: Progress) -> FloatArray | str:
    """Return a clip's sound, at most as much as Whisper hears at once, or what is wrong with it."""
    try:
        samples = decode(row.path, WHISPER_RATE)
    except AudioError as fault:
        progress.log(f"Warning: {fault}", "Validation")
        return str(fault)
    return samples[: round(WINDOW * WHISPER_RATE)]


def _report(project: Project, validation: Validation, rows: Sequence[Row]) -> ValidationReport:
    """Compare the rows with what was heard; a row whose sound can't be decoded counts as missing."""
    known = {(clip.file, clip.bytes): clip for clip in validation.clips}
    heard = {row.file: clip for row in rows if (clip := known.get((row.file, _size(row)))) is not None}
    missing = [row.file for row in rows if not row.path.is_file() or (row.file in heard and heard[row.file].problem)]
    mismatches = [
        Mismatch(row.file, row.split, row.text, heard[row.file].heard, round(score, 4))
        for row in rows
        if row.file in heard and row.file not in missing
        if (score := word_error_rate(row.text, heard[row.file].heard, validation.language)) > 0
    ]
    mismatches.sort(key=lambda one: (-one.score, one.file))
    return ValidationReport(project.name, len(rows), tuple(missing), tuple(mismatches))

"""Stage “Dataset Validation”: every clip is transcribed again, and what is heard compared with its text.

What was heard is kept in validation.json; the report is made from it and the dataset as it is now, so that a corrected
clip leaves the list and a reloaded page shows the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from .audio import WHISPER_RATE, FloatArray, decode
from .corrections import apply_correction as apply_correction
from .corrections import apply_corrections as apply_corrections
from .corrections import drop_clips as drop_clips
from .corrections import drop_missing as drop_missing
from .corrections import move_clip as move_clip
from .errors import AudioError, DatasetError, SettingError
from .options import ValidateOptions, check_whisper_language
from .progress import Progress
from .records import ValidationReport, to_json
from .transcribe import WINDOW, Whisper, load_whisper
from .validation_files import HeardClip, Row, Validation, report_on, rows_of, sound_size
from .validation_files import heard_texts as heard_texts
from .validation_files import read_validation as read_validation
from .workspace import Project, Workspace, write_text

TOGETHER = 16  # clips that are decoded and heard at once


def validate_dataset(ws: Workspace, options: ValidateOptions, progress: Progress) -> ValidationReport:
    """Transcribe every clip again and return where text and sound differ, worst first, and what is missing.

    Raises DatasetError where there is no dataset or nothing to hear, ModelError where Whisper can't be had, Stopped.
    """
    project = ws.project(options.project)
    rows = rows_of(project, options)
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
    report = report_on(project, validation, rows)
    for one in report.mismatches:
        progress.log(f"{one.file}: “{one.text}” / “{one.heard}” ({one.score:.0%})", "Validation")
    progress.update(1.0, f"{len(report.mismatches)} of {report.clips} clips differ, {len(report.missing)} are missing")
    return report


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
                yield HeardClip(row.file, "", sound_size(row), sound)
            else:
                yield HeardClip(row.file, next(texts), sound_size(row))


def _decode(row: Row, progress: Progress) -> FloatArray | str:
    """Return a clip's sound, at most as much as Whisper hears at once, or what is wrong with it."""
    try:
        samples = decode(row.path, WHISPER_RATE)
    except AudioError as fault:
        progress.log(f"Warning: {fault}", "Validation")
        return str(fault)
    return samples[: round(WINDOW * WHISPER_RATE)]

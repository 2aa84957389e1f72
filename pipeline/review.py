"""Going through what a validation found: which clips are left to decide, and what a decision changes.

What was decided is kept in reviewed.json beside validation.json: a clip that was looked at and found right leaves the
list, until its text or what Whisper hears changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import corrections, foreign_dataset
from .errors import DatasetError, WorkspaceError
from .records import Correction, Mismatch, Split
from .validation_files import Row, Validation, find_validation, heard_now, report_on, rows_of
from .workspace import Project, read_json, write_json


@dataclass(frozen=True)
class Entry:
    """A clip as a person goes through it."""

    file: str  # as its CSV has it
    split: Split
    text: str
    heard: str
    score: float  # word error rate of `heard` against `text`; 0: they agree
    path: Path
    decided: bool = False


@dataclass(frozen=True)
class Review:
    """The last validation of a project on its dataset as it is now."""

    project: Project
    validation: Validation
    entries: tuple[Entry, ...]  # worst first
    missing: tuple[str, ...]  # rows whose sound isn't there or can't be used

    @property
    def own(self) -> bool:
        """Whether it is about the project's own dataset, and not about CSVs that were named."""
        return not (self.validation.options.train_csv or self.validation.options.eval_csv)

    def find(self, file: str) -> Entry:
        """Return the entry of a clip. Raises DatasetError where it isn't there any more."""
        for entry in self.entries:
            if entry.file == file:
                return entry
        raise DatasetError(f"“{file}” isn't in the list any more: choose another row.")


def reviewed_file(project: Project) -> Path:
    return project.path / "reviewed.json"


def open_review(project: Project) -> Review | None:
    """Return what the last validation found, as the dataset is now; None where there was none."""
    validation = find_validation(project)
    if validation is None:
        return None
    rows = rows_of(project, validation.options)
    report = report_on(project, validation, rows)
    different = {mismatch.file: mismatch for mismatch in report.mismatches}
    heard = heard_now(validation, rows)
    decided = _read_decided(project)
    entries = [
        _entry(row, different.get(row.file), heard[row.file].heard, decided)
        for row in rows
        if row.file in heard and row.file not in report.missing
    ]
    entries.sort(key=lambda entry: (-entry.score, entry.file))
    return Review(project, validation, tuple(entries), report.missing)


def _entry(row: Row, mismatch: Mismatch | None, heard: str, decided: dict[str, str]) -> Entry:
    score = mismatch.score if mismatch else 0.0
    return Entry(row.file, row.split, row.text, heard, score, row.path, decided.get(row.file) == _sign(row.text, heard))


# ---- Decisions ----------------------------------------------------------------------------------------------------


def decide(review: Review, correction: Correction) -> None:
    """Save a person's decision about a clip: its text, its trim, and that it was looked at.

    Raises DatasetError, with nothing changed, where the clip is gone, its text empty or too little of it left.
    """
    entry = review.find(correction.file)
    if review.own:
        text = corrections.apply_correction(review.project, correction).text
    else:
        text = foreign_dataset.checked_text(entry.file, correction.text)
        if correction.trim is not None:
            foreign_dataset.trim_sound(review.project, entry.path, correction.trim)
        foreign_dataset.set_text(_table_of(review, entry.split), entry.file, text)
    known = _read_decided(review.project)
    write_json(reviewed_file(review.project), {**known, entry.file: _sign(text, entry.heard)})


def drop(review: Review, files: Sequence[str]) -> int:
    """Take clips out of the dataset, missing ones too; return how many."""
    if review.own:
        return corrections.drop_clips(review.project, files)
    tables = {Path(name) for name in (review.validation.options.train_csv, review.validation.options.eval_csv) if name}
    return sum(foreign_dataset.drop_rows(table.expanduser(), files) for table in sorted(tables))


def move(review: Review, file: str) -> Split:
    """Move a clip from training to evaluation or back, and return where it is then."""
    if not review.own:
        raise DatasetError("Clips of another dataset can't be moved here: move the row from one CSV to the other.")
    split: Split = "train" if review.find(file).split == "eval" else "eval"
    return corrections.move_clip(review.project, file, split).split


def _table_of(review: Review, split: Split) -> Path:
    options = review.validation.options
    return Path(options.train_csv if split == "train" else options.eval_csv).expanduser()


def _sign(text: str, heard: str) -> str:
    """Return a short sign of what was decided about: it changes with the text and with what is heard."""
    return hashlib.sha256(f"{text}\n{heard}".encode()).hexdigest()[:16]


def _read_decided(project: Project) -> dict[str, str]:
    try:
        return dict(read_json(reviewed_file(project), {}))
    except (WorkspaceError, TypeError, ValueError):
        return {}  # broken: everything is to be decided again

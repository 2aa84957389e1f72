"""A dataset on disk: read it, change it, write it so that a kill at any moment leaves it whole.

The manifest (dataset.json) knows everything; the CSVs, lang.txt and the reports are made from it. A change is first
written whole to cache/dataset.journal.json. From then on it counts: what a kill left undone is done again from there
by the next who writes. The manifest takes its place last, and then the journal goes. Sounds that a change brings are
in wavs/ before it counts; sounds that it drops go to cache/dropped/ after.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock

from .errors import DatasetError, DatasetMissingError, SettingError
from .records import Clip, Record, Rejection, Seconds, Split, from_json, to_json
from .workspace import Project, write_text

HEADER = ("audio_file", "text", "speaker_name")  # Coqui's formatter `coqui`
VERSION = 1


@dataclass(frozen=True)
class DatasetSettings:
    """What clips are made with: clips of different settings aren't mixed unseen."""

    language: str
    whisper_model: str
    vad: bool
    min_seconds: Seconds
    max_seconds: Seconds
    loudness: bool


@dataclass(frozen=True)
class SourceEntry:
    """A recording that was made into clips."""

    name: str
    sha256: str
    seconds: Seconds
    settings: DatasetSettings
    transcript: str = ""  # whose words: a transcript's file name; empty: Whisper's
    loudness: float | None = None  # LUFS of the recording
    gain: float = 0.0  # dB by which its clips were made louder
    notes: tuple[str, ...] = ()
    rejected: tuple[Rejection, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """The whole of a dataset. Clips are in the order of the CSVs' rows."""

    project: str
    settings: DatasetSettings
    speaker: str
    seed: int
    eval_percent: float
    sources: tuple[SourceEntry, ...] = ()
    clips: tuple[Clip, ...] = ()
    csv_sha256: tuple[str, str] = ("", "")  # of the train and the eval CSV that belong to it
    version: int = VERSION


@dataclass(frozen=True)
class Move:
    """A sound that changes its place; both are relative to the project's folder."""

    source: str
    target: str


@dataclass(frozen=True)
class Journal:
    """A change that counts, and may not be wholly carried out yet."""

    manifest: Manifest
    bring: tuple[Move, ...] = ()  # before the CSVs name them
    drop: tuple[Move, ...] = ()  # after the CSVs name them no longer


def journal_of(project: Project) -> Path:
    return project.cache / "dataset.journal.json"


def report_files(project: Project) -> tuple[Path, Path]:
    """Return the dataset's report as JSON and as CSV."""
    return project.path / "report.json", project.path / "report.csv"


def _written(project: Project) -> tuple[Path, ...]:
    return (
        project.language_file,
        project.train_csv,
        project.eval_csv,
        project.dataset_manifest,
        *report_files(project),
    )


# ---- Reading ------------------------------------------------------------------------------------------------------


def read_dataset(project: Project) -> tuple[Clip, ...]:
    """Return the dataset's clips with all that is known of them, as the CSVs have them now.

    Raises DatasetMissingError where there is none, DatasetError where it can't be read.
    """
    return read_manifest(project).clips


def read_manifest(project: Project) -> Manifest:
    """Return the dataset. Rows that were changed in the CSVs by hand count as they are there."""
    manifest = find_manifest(project)
    if manifest is None:
        raise DatasetMissingError(project.name)
    return manifest


def find_manifest(project: Project) -> Manifest | None:
    """Return the dataset, or None where the project has none yet."""
    if journal_of(project).is_file():
        return _parse(Journal, journal_of(project)).manifest
    if project.dataset_manifest.is_file():
        manifest = _parse(Manifest, project.dataset_manifest)
        if _csv_hashes(project) == manifest.csv_sha256:
            return manifest
        return _as_edited(project, manifest)
    if project.has_dataset:
        return _as_edited(project, _foreign(project))
    return None


def _parse(kind: type[Record], path: Path) -> Record:
    try:
        return from_json(kind, path.read_text(encoding="utf-8"))
    except (SettingError, OSError, UnicodeDecodeError) as fault:
        raise DatasetError(
            f"“{path}” can't be read ({fault}): delete the dataset and create it again, or put a copy of the file back."
        ) from fault


def _foreign(project: Project) -> Manifest:
    """Return an empty manifest for CSVs that somebody else made."""
    language = project.language if project.language_file.is_file() else "en"
    settings = DatasetSettings(language, "", vad=False, min_seconds=0.0, max_seconds=0.0, loudness=False)
    return Manifest(project.name, settings, speaker=project.name, seed=0, eval_percent=0.0)


def _as_edited(project: Project, manifest: Manifest) -> Manifest:
    """Return the manifest with the texts, splits and rows that the CSVs have: somebody edited them by hand."""
    known = {clip.file: clip for clip in manifest.clips}
    clips: dict[str, Clip] = {}
    files: tuple[tuple[Split, Path], ...] = (("train", project.train_csv), ("eval", project.eval_csv))
    for split, path in files:
        for row in read_csv(path) if path.is_file() else ():
            clip = known.get(row.file, Clip(row.file, row.text, row.speaker, split, source=row.file))
            clips[row.file] = dataclasses.replace(clip, text=row.text, speaker=row.speaker, split=split)
    order = {file: place for place, file in enumerate(known)}
    rows = sorted(clips.values(), key=lambda clip: order.get(clip.file, len(order)))
    return dataclasses.replace(manifest, clips=tuple(rows))


@dataclass(frozen=True)
class CsvRow:
    """A row of a CSV in Coqui's format."""

    file: str
    text: str
    speaker: str = ""


def read_csv(path: Path) -> list[CsvRow]:
    """Return the rows of a CSV in Coqui's format, read as Coqui reads it. Raises DatasetError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as fault:
        raise DatasetError(f"“{path}” can't be read as a UTF-8 text file ({fault}).") from fault
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter="|")
    columns = reader.fieldnames or ()
    if not {"audio_file", "text"} <= set(columns):
        raise DatasetError(f"“{path}” has no columns audio_file and text: its first line must be {'|'.join(HEADER)}.")
    rows = []
    for row in reader:
        if row["audio_file"] is None or row["text"] is None:
            raise DatasetError(f"“{path}”, line {reader.line_num}: a column is missing; {'|'.join(HEADER)} is needed.")
        rows.append(CsvRow(row["audio_file"], row["text"], row.get("speaker_name") or ""))
    return rows


# ---- Writing ------------------------------------------------------------------------------------------------------


@contextmanager
def open_for_change(project: Project) -> Iterator[None]:
    """Keep others from changing the dataset meanwhile; finish first what a kill left undone."""
    project.cache.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(project.cache / "dataset.lock"):
        _recover(project)
        yield


def recover(project: Project) -> None:
    """Finish what a kill left undone, if there is a project at all."""
    if project.cache.is_dir():
        with open_for_change(project):
            pass


def _recover(project: Project) -> None:
    """Do again what the journal says, if there is one, and remove what a kill left half written."""
    for path in (journal_of(project), *_written(project)):
        for half_written in path.parent.glob(f".{path.name}.*.tmp"):
            half_written.unlink()
    if journal_of(project).is_file():
        _apply(project, _parse(Journal, journal_of(project)))


def commit(project: Project, manifest: Manifest, bring: Sequence[Move] = (), drop: Sequence[Move] = ()) -> Manifest:
    """Make the manifest the dataset, moving sounds with it. Call it within open_for_change."""
    hashes = (_sha256(csv_text(manifest.clips, "train")), _sha256(csv_text(manifest.clips, "eval")))
    manifest = dataclasses.replace(manifest, csv_sha256=hashes)
    journal = Journal(manifest, tuple(bring), tuple(drop))
    write_text(journal_of(project), to_json(journal) + "\n")
    _apply(project, journal)
    return manifest


def _apply(project: Project, journal: Journal) -> None:
    """Carry out what the journal says. What is carried out already does no harm a second time."""
    from .dataset_report import report_csv, report_json

    manifest = journal.manifest
    _move(project, journal.bring)
    _write_changed(project.language_file, manifest.settings.language + "\n")
    # The eval CSV first: a dataset counts as there when it has its train CSV.
    _write_changed(project.eval_csv, csv_text(manifest.clips, "eval"))
    _write_changed(project.train_csv, csv_text(manifest.clips, "train"))
    as_json, as_csv = report_files(project)
    _write_changed(as_json, report_json(manifest))
    _write_changed(as_csv, report_csv(manifest))
    _move(project, journal.drop)
    write_text(project.dataset_manifest, to_json(manifest, indent=1) + "\n")
    journal_of(project).unlink()


def _move(project: Project, moves: Iterable[Move]) -> None:
    for move in moves:
        source, target = project.path / move.source, project.path / move.target
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)


def _write_changed(path: Path, text: str) -> None:
    """Write a file unless it holds just that already: its time then tells when it changed."""
    if not path.is_file() or path.read_bytes() != text.encode():
        write_text(path, text)


def csv_text(clips: Iterable[Clip], split: Split) -> str:
    """Return a CSV as Coqui's formatter `coqui` reads it: | between columns, quotes where a text needs them."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter="|", lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows((clip.file, clip.text, clip.speaker) for clip in clips if clip.split == split)
    return out.getvalue()


def _csv_hashes(project: Project) -> tuple[str, str]:
    return _file_sha256(project.train_csv), _file_sha256(project.eval_csv)


def _file_sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# ---- Results of single recordings, kept until the dataset is written -----------------------------------------------


@dataclass(frozen=True)
class Finished:
    """What came of one recording."""

    entry: SourceEntry
    clips: tuple[Clip, ...]


def staged_file(project: Project, sha256: str, key: str) -> Path:
    """Return where the result of a recording waits for the others; `key` tells with which settings it was made."""
    return project.cache / "finished" / f"{sha256[:16]}-{key}.json"


def read_staged(path: Path, project: Project) -> Finished | None:
    """Return a result that waits, if it is there with all its sounds."""
    if not path.is_file():
        return None
    try:
        finished = from_json(Finished, path.read_text(encoding="utf-8"))
    except (SettingError, OSError, UnicodeDecodeError):
        return None  # of another version: made again
    return finished if all((project.path / clip.file).is_file() for clip in finished.clips) else None


def settings_key(*parts: object) -> str:
    """Return a short name for settings: another one if any of them differs."""
    return _sha256(json.dumps([str(part) for part in parts]))[:12]

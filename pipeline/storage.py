"""What of a workspace can be deleted as one: which files belong to it, their size, and whether a job uses them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from .errors import JobRunningError
from .jobs import RESIDENT_STAGES, running_job
from .review import reviewed_file
from .workspace import Project, Workspace, size_of

_STAYS = frozenset({"README.md", ".gitkeep"})  # what the samples folder itself comes with


def sample_files(ws: Workspace) -> list[Path]:
    """Return what lies in the samples folder: recordings, their transcripts, whole folders of them."""
    if not ws.samples.is_dir():
        return []
    return sorted(path for path in ws.samples.iterdir() if path.name not in _STAYS)


def dataset_files(project: Project) -> list[Path]:
    """Return a project's dataset and what was worked out from it, in the order in which they can go.

    The clips go last: a deletion that is interrupted leaves sounds without texts, never texts without sounds.
    """
    reports = [project.path / "report.json", project.path / "report.csv"]
    tables = [project.dataset_manifest, project.train_csv, project.eval_csv, project.language_file]
    return _there([project.cache, project.validation, reviewed_file(project), *tables, *reports, project.wavs])


def generated_files(project: Project) -> list[Path]:
    """Return all that was made for a project: dataset, runs and generated speech; its settings stay."""
    return _there([project.runs, project.speech, *dataset_files(project)])


def total_size(paths: Iterable[Path]) -> int:
    """Return the bytes that deleting these paths frees."""
    return sum(size_of(path) for path in paths)


def delete_all(ws: Workspace, paths: Iterable[Path]) -> int:
    """Delete these paths and return the bytes freed. Raises WorkspaceError."""
    return sum(ws.delete(path) for path in paths)


def check_not_in_use(ws: Workspace, project: str = "") -> None:
    """Raise JobRunningError while a job works on this project; without a name, while any job makes a dataset."""
    running = running_job(ws)
    if running is None or running.stage in RESIDENT_STAGES:
        return
    if project == running.project if project else running.stage in ("dataset", "demo"):
        raise JobRunningError(running.stage, running.project)


def _there(paths: Iterable[Path]) -> list[Path]:
    return [path for path in paths if path.exists()]

"""What a project has so far, in one record, read from its files in a moment."""

from __future__ import annotations

from dataclasses import dataclass

from .records import Seconds
from .workspace import Project, Workspace, read_json


@dataclass(frozen=True)
class ProjectSummary:
    """One line of the list of projects."""

    name: str
    path: str
    language: str  # empty without a dataset
    clips: int
    seconds: Seconds
    runs: tuple[str, ...]


def list_projects(ws: Workspace) -> list[ProjectSummary]:
    """Return a summary of every project, the one touched last first."""
    return [summarize(project) for project in ws.list_projects()]


def summarize(project: Project) -> ProjectSummary:
    """Read what there is of a project. A broken manifest counts as none: validation tells more."""
    manifest = read_json(project.dataset_manifest, {}) or {}
    clips = manifest.get("clips", [])
    runs = sorted(path.name for path in project.runs.glob("*") if path.is_dir()) if project.runs.is_dir() else []
    return ProjectSummary(
        name=project.name,
        path=str(project.path),
        language=project.language if project.has_dataset else "",
        clips=len(clips),
        seconds=round(sum(clip.get("seconds", 0.0) for clip in clips), 3),
        runs=tuple(runs),
    )

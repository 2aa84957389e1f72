"""A training run on disk: which files make it, and which runs a project has. Light enough for the page to ask often."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import TrainingError, WorkspaceError
from ..records import Run
from ..workspace import Project, Workspace, read_json


@dataclass(frozen=True)
class RunFiles:
    """What lies in a run's folder, <project>/runs/run-YYYYmmdd-HHMMSS/."""

    folder: Path

    @property
    def config(self) -> Path:
        """Coqui's config: with it and vocab.json stock coqui-tts loads best_model.pth."""
        return self.folder / "config.json"

    @property
    def vocab(self) -> Path:
        return self.folder / "vocab.json"

    @property
    def train_config(self) -> Path:
        """The settings the run was started with, and its base model's folder. Its presence makes the folder a run."""
        return self.folder / "train_config.json"

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.jsonl"

    @property
    def log(self) -> Path:
        return self.folder / "trainer_0_log.txt"

    @property
    def best_model(self) -> Path:
        """The weights of the best epoch, whole and nothing else."""
        return self.folder / "best_model.pth"

    @property
    def last_state(self) -> Path:
        """All that is needed to go on."""
        return self.folder / "last_state.pt"

    @property
    def standing(self) -> Path:
        """How far last_state.pt is, for those who can't open it."""
        return self.folder / "state.json"

    @property
    def audit(self) -> Path:
        return self.folder / "audit.json"

    @property
    def report(self) -> Path:
        return self.folder / "report.json"

    @property
    def samples(self) -> Path:
        return self.folder / "samples"

    def sample(self, epoch: int) -> Path:
        """The sentence spoken after that epoch."""
        return self.samples / f"epoch_{epoch:03d}.wav"


def list_runs(ws: Workspace, project: str) -> list[Run]:
    """Return the project's runs, the newest first. Raises InvalidNameError."""
    place = ws.project(project)
    if not place.runs.is_dir():
        return []
    folders = sorted((path for path in place.runs.iterdir() if path.is_dir()), key=lambda path: path.name, reverse=True)
    return [_read_run(place, RunFiles(path)) for path in folders if RunFiles(path).train_config.is_file()]


def _read_run(project: Project, files: RunFiles) -> Run:
    settings, standing = _read(files.train_config), _read(files.standing)
    return Run(
        name=files.folder.name,
        path=files.folder,
        project=project.name,
        base=str(settings.get("base", "")),
        epochs=int(standing.get("epochs", 0)),
        # A run that was killed before it first saved begins again from its start.
        can_continue=files.last_state.is_file() or not files.report.is_file(),
        has_best=files.best_model.is_file(),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(read_json(path, {}))
    except (WorkspaceError, TypeError, ValueError):
        return {}  # broken: the run is listed all the same


def find_run(ws: Workspace, project: str, name: str = "") -> Run:
    """Return the project's run of that name, or its newest. Raises TrainingError where there is none."""
    runs = list_runs(ws, project)
    if not runs:
        raise TrainingError(f"Project “{project}” has no training run to go on with: start one first.")
    found = [run for run in runs if name in ("", run.name)]
    if not found:
        raise TrainingError(f"Project “{project}” has no run “{name}”; it has {', '.join(run.name for run in runs)}.")
    return found[0]


def new_run_folder(project: Project) -> Path:
    """Return the folder of a new run, named by the time and made now, so that nobody else takes it."""
    stem = time.strftime("run-%Y%m%d-%H%M%S")
    number = 1
    while True:
        folder = project.runs / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1
        except OSError as fault:
            raise WorkspaceError(f"“{folder}” can't be made: {fault.strerror or fault}.") from fault

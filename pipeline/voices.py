"""Which files make a voice: found on disk by a name or path, without loading anything."""

from __future__ import annotations

from pathlib import Path

from .base_models import DEMO, resolve_base
from .errors import InvalidNameError, ModelError, ModelMissingError, WorkspaceError
from .records import Voice
from .training.runs import RunFiles, list_runs
from .workspace import Workspace, check_name, read_json


def find_voice(ws: Workspace, model: str) -> Voice:
    """Return the voice that a name or path means; nothing is loaded.

    `model` is, in this order: a path to a folder or .pth file; PROJECT/RUN; a folder's name in models/xtts; a project,
    for its latest run. Raises ModelMissingError where there is none or a file of it is missing.
    """
    wanted = model.strip()
    path = Path(wanted).expanduser()
    if path.is_absolute():
        return _voice_at(ws, path, wanted)
    parts = wanted.replace("\\", "/").split("/")
    if len(parts) == 2 and (run := _run_folder(ws, *parts)):
        return _voice_at(ws, run, wanted)
    if len(parts) == 1 and wanted:
        voice = _named(ws, wanted)
        if voice:
            return voice
    if path.exists() and wanted:
        return _voice_at(ws, path.resolve(), wanted)
    raise ModelMissingError(
        f"There is no voice “{wanted}”: give a folder's name in {ws.base_models}, a project with a training run, "
        "PROJECT/RUN, or a path."
    )


def _run_folder(ws: Workspace, project: str, run: str) -> Path | None:
    """Return the folder of a run, if there is one of that name."""
    try:
        folder = ws.project(project).runs / check_name(run, "run")
    except InvalidNameError:
        return None
    return folder if folder.is_dir() else None


def _named(ws: Workspace, name: str) -> Voice | None:
    """Return the voice of a model's folder or of a project, if there is one of that name."""
    try:
        folder = ws.base_model(name)
    except InvalidNameError:
        return None
    if folder.is_dir():
        return _voice_at(ws, folder, name)
    if ws.project(name).path.is_dir():
        return _voice_at(ws, latest_run(ws, name), name)
    if name == DEMO:
        return _voice_at(ws, resolve_base(ws, DEMO), name)
    return None


def latest_run(ws: Workspace, project: str) -> Path:
    """Return the folder of the project's newest run with a best model. Raises ModelMissingError where there is none."""
    for run in list_runs(ws, project):
        if run.has_best:
            return run.path
    raise ModelMissingError(f"Project “{project}” has no trained model yet: run “Step 2 - Training” first.")


def _voice_at(ws: Workspace, path: Path, wanted: str) -> Voice:
    """Return the voice in a folder, or of a .pth file with its config and vocabulary beside it."""
    if path.is_dir():
        folder = path
        best = RunFiles(folder).best_model
        weights = best if best.is_file() else folder / "model.pth"
    else:
        folder, weights = path.parent, path
        if path.is_file() and path.suffix != ".pth":
            raise ModelError(f"“{wanted}” isn't a model: give a folder or a .pth file.")
    lacking = [file for file in (weights, folder / "config.json", folder / "vocab.json") if not file.is_file()]
    if lacking:
        names = ", ".join(file.name for file in lacking)
        raise ModelMissingError(f"The voice “{wanted}” lacks {names} in {folder}.")
    return Voice(
        model=weights,
        config=folder / "config.json",
        vocab=folder / "vocab.json",
        speakers=_beside_or_base(ws, folder, "speakers_xtts.pth"),
        mel_stats=_beside_or_base(ws, folder, "mel_stats.pth"),
    )


def _beside_or_base(ws: Workspace, folder: Path, name: str) -> Path | None:
    """Return a file of the voice: in its folder, or for a run in the base it was trained from."""
    if (folder / name).is_file():
        return folder / name
    base = base_of(ws, folder)
    return base / name if base and (base / name).is_file() else None


def base_of(ws: Workspace, run: Path) -> Path | None:
    """Return the folder of the base a run was trained from, or None where that isn't recorded or is gone.

    A workspace that was moved is found again by the base's name.
    """
    try:
        recorded = str((read_json(RunFiles(run).train_config) or {}).get("base", ""))
    except (WorkspaceError, AttributeError):
        return None
    if not recorded:
        return None
    for folder in (Path(recorded), ws.base_models / recorded.replace("\\", "/").rstrip("/").split("/")[-1]):
        if folder.is_absolute() and folder.is_dir():
            return folder
    return None


def speech_folder(ws: Workspace, voice: Voice) -> Path:
    """Return where what this voice speaks is kept: with its project, or for other models beside the projects."""
    for project in ws.list_projects():
        if project.path in voice.model.parents:
            return project.speech
    return ws.projects_folder / ".speech"

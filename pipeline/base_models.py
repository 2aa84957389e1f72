"""The base models in models/xtts: what is there, whole or not, and the demo base, made when it is first wanted."""

from __future__ import annotations

from pathlib import Path

import filelock

from .errors import ModelMissingError, SettingError
from .progress import Progress
from .records import BaseModel
from .workspace import DEMO_MARKER, Workspace, check_name, read_json

# What training, speaking and exporting need of a base model.
REQUIRED_FILES = ("config.json", "model.pth", "vocab.json", "dvae.pth", "mel_stats.pth", "speakers_xtts.pth")
DEMO = "demo"


def list_base_models(ws: Workspace) -> list[BaseModel]:
    """Return the models of models/xtts by name, whole or with what is missing; `demo` is last, there or not yet."""
    found = []
    if ws.base_models.is_dir():
        for folder in sorted(ws.base_models.iterdir(), key=lambda path: path.name.casefold()):
            if folder.is_dir() and not folder.name.startswith(".") and folder.name != DEMO:
                found.append(inspect_model(folder))
    return [*found, BaseModel(DEMO, ws.base_models / DEMO, demo=True)]


def inspect_model(folder: Path) -> BaseModel:
    """Look at a model's folder: which of the needed files it lacks, and whether its weights are the demo's."""
    missing = tuple(name for name in REQUIRED_FILES if not _has_content(folder / name))
    return BaseModel(folder.name, folder, missing, demo=(folder / DEMO_MARKER).is_file())


def _has_content(file: Path) -> bool:
    return file.is_file() and file.stat().st_size > 0


def resolve_base(
    ws: Workspace, name_or_path: str, progress: Progress | None = None, *, seed: int | None = None
) -> Path:
    """Return the folder of a whole base model: a name in models/xtts, a path, or `demo`.

    Empty means the only whole model there is. The demo base is made where it isn't there, or where `seed` is another
    than it was made from. Raises ModelMissingError with what is missing.
    """
    progress = progress or Progress()
    wanted = name_or_path.strip() or _only_whole(ws)
    if wanted == DEMO:
        return _demo_base(ws, progress, seed)
    folder = _folder_of(ws, wanted)
    model = inspect_model(folder)
    if not folder.is_dir():
        names = ", ".join(base.name for base in list_base_models(ws))
        raise ModelMissingError(f"There is no base model “{wanted}” ({folder}); there is: {names}.")
    if not model.whole:
        raise ModelMissingError(f"The base model “{wanted}” lacks {', '.join(model.missing)} in {folder}: add it.")
    return folder


def _only_whole(ws: Workspace) -> str:
    """Return the name of the one whole model; what speaks noise doesn't count, for nobody trains on it unawares."""
    whole = [base.name for base in list_base_models(ws) if base.whole and not base.demo]
    if len(whole) == 1:
        return whole[0]
    if whole:
        raise SettingError(f"There are several base models: choose one of {', '.join(whole)}.")
    raise ModelMissingError(
        f"There is no whole base model in {ws.base_models}: copy XTTS v2 to a folder there "
        f"({', '.join(REQUIRED_FILES)}), or choose “{DEMO}” to try the program."
    )


def _folder_of(ws: Workspace, wanted: str) -> Path:
    """Take the wanted model for a path if it looks like one, else for a name."""
    path = Path(wanted).expanduser()
    if path.is_absolute() or len(path.parts) > 1:
        return path.resolve()
    return ws.base_models / check_name(wanted, "model")


def _demo_base(ws: Workspace, progress: Progress, seed: int | None) -> Path:
    """Return the demo base's folder, made now where it isn't whole or is of another seed."""
    folder = ws.base_models / DEMO
    ws.base_models.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(ws.base_models / f".{DEMO}.lock"):
        made = read_json(folder / DEMO_MARKER, {})
        if inspect_model(folder).whole and seed in (None, made.get("seed")):
            return folder
        progress.update(None, "Making the demo base model")
        progress.log(f"Making the demo base model (random weights, seed {seed or 0}): what it speaks is noise.")
        from .demo_base import make_demo_base

        make_demo_base(folder, seed or 0)
    return folder

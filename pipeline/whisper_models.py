"""Where Whisper models lie: bundled, in models/whisper/, in a folder of one's own, or on the hub."""

from __future__ import annotations

import threading
import warnings
from contextlib import suppress
from pathlib import Path

from .errors import ModelError, ModelMissingError
from .languages import WHISPER_MODELS
from .progress import Progress
from .workspace import DEMO_WHISPER, Workspace, size_of

# What a model in CTranslate2's format needs; one of the vocabulary files.
NEEDED = ("model.bin", "config.json", "tokenizer.json")
VOCABULARIES = ("vocabulary.json", "vocabulary.txt")


def find_whisper(ws: Workspace, name: str, progress: Progress) -> Path:
    """Return the folder of a Whisper model: `demo`, one of WHISPER_MODELS (fetched where it isn't there), or a path.

    Raises ModelMissingError where it can't be had, ModelError where a folder isn't a whole model.
    """
    if name == "demo":
        return _checked(DEMO_WHISPER)
    if name in WHISPER_MODELS:
        folder = ws.whisper_models / name
        if missing_files(folder):
            _download(name, folder, progress)
        return _checked(folder)
    for folder in (Path(name).expanduser(), ws.whisper_models / name):
        if folder.is_dir():
            return _checked(folder)
    raise ModelMissingError(
        f"There is no Whisper model “{name}”: choose one of {', '.join(WHISPER_MODELS)}, or give the folder of one."
    )


def missing_files(folder: Path) -> tuple[str, ...]:
    """Return the names of the files that the folder of a Whisper model lacks."""
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in VOCABULARIES):
        missing.append(VOCABULARIES[0])
    return tuple(missing)


def list_whisper_folders(ws: Workspace) -> list[str]:
    """Return the names of the models that lie in models/whisper/, whole."""
    if not ws.whisper_models.is_dir():
        return []
    return sorted(path.name for path in ws.whisper_models.iterdir() if path.is_dir() and not missing_files(path))


def _checked(folder: Path) -> Path:
    missing = missing_files(folder)
    if missing:
        hint = ""
        if (folder / "pytorch_model.bin").is_file() or (folder / "model.safetensors").is_file():
            hint = " (it looks like one of Transformers: convert it with ct2-transformers-converter)"
        raise ModelError(
            f"“{folder}” isn't a whole Whisper model in CTranslate2's format{hint}: {', '.join(missing)} is missing."
        )
    return folder


def _download(name: str, folder: Path, progress: Progress) -> None:
    """Fetch a model from its hub; what an interrupted download left is used.

    The hub's client can't be stopped, so it works in a thread that is left behind when the user asks to stop.
    """
    progress.log(f"Fetching the Whisper model “{name}” into {folder}", "Model Operations")
    faults: list[Exception] = []
    thread = threading.Thread(target=_fetch, args=(name, folder, faults), daemon=True)
    thread.start()
    while thread.is_alive():
        progress.check()
        with suppress(FileNotFoundError):  # a part may be renamed while it is looked at
            progress.update(None, f"Fetching the Whisper model “{name}”: {size_of(folder) / 1e6:.0f} MB")
        thread.join(0.5)
    if faults:
        reason = str(faults[0]).strip().split("\n")[0]
        raise ModelMissingError(
            f"The Whisper model “{name}” isn't in {folder.parent} and can't be fetched from huggingface.co ({reason}): "
            "check the connection and try again, copy the model there, or choose “demo”."
        ) from faults[0]


def _fetch(name: str, folder: Path, faults: list[Exception]) -> None:
    import faster_whisper

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # faster-whisper passes an argument that the hub's client ignores
            faster_whisper.download_model(name, output_dir=str(folder))
    except Exception as fault:  # the client lets errors of its HTTP library through, which changes with its version
        faults.append(fault)

"""Where everything lies: the only place that builds, checks, writes and deletes paths of the workspace.

finetune/put-voice-samples-in-here/     recordings waiting to become a dataset
finetune/<project>/                     wavs/, metadata_train.csv, metadata_eval.csv, lang.txt, dataset.json,
                                        settings.json, runs/<run>/, cache/, speech/
finetune/.jobs/<job>/                   what a job was asked, what it did (jobs.py)
models/xtts/<name>/                     base models and exported voices
models/whisper/<name>/                  Whisper models, downloaded or copied there
voices/                                 references chosen to be kept
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import DatasetMissingError, InvalidNameError, WorkspaceError

REPOSITORY = Path(__file__).resolve().parent.parent
DEMO_WHISPER = REPOSITORY / "assets" / "demo-whisper"
DEMO_VOICE = REPOSITORY / "assets" / "demo-voice.flac"
# Not beside the recording under its name: a transcript there would be used instead of Whisper.
DEMO_TRANSCRIPT = REPOSITORY / "assets" / "demo-sentences.txt"
DEMO_MARKER = "demo.json"  # lies in the demo base, with its seed, and in what was trained from it

_REMEMBERING = threading.Lock()

SAMPLES_FOLDER = "put-voice-samples-in-here"
# Names that Windows keeps for devices, whatever their ending.
_RESERVED = {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10)}


def check_name(name: str, what: str = "project") -> str:
    """Return the name, stripped and in NFC, if a folder may have it. Raises InvalidNameError."""
    name = unicodedata.normalize("NFC", name.strip())
    if not name:
        raise InvalidNameError(f"The {what} has no name: type one, such as “anna”.")
    if len(name.encode()) > 100:
        raise InvalidNameError(f"The {what} name “{name[:30]}…” is too long: 100 bytes at most.")
    # Letters, marks and digits of any language, and what joins them.
    good = all(letter in " -_." or unicodedata.category(letter)[0] in "LMN" for letter in name)
    stem = name.split(".")[0].strip().lower()
    if not (good and name[0].isalnum()) or ".." in name or name.endswith(".") or stem in _RESERVED:
        raise InvalidNameError(
            f"The {what} name “{name}” can't be used: begin with a letter or digit and use only letters, digits, "
            "spaces, - _ and . (no path, and no name that Windows reserves)."
        )
    if name.lower() == SAMPLES_FOLDER:
        raise InvalidNameError(f"“{name}” is the folder for voice samples: choose another {what} name.")
    return name


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write; it takes the place of `path` when the block ends well, else it vanishes.

    Raises WorkspaceError where the folder can't be written or the disk is full.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        with beside.open("r+b") as written:  # Windows syncs only what may be written
            os.fsync(written.fileno())
        beside.replace(path)
    except OSError as fault:
        raise WorkspaceError(f"“{path}” can't be written: {fault.strerror or fault}.") from fault
    finally:
        with suppress(OSError):  # where not even the folder could be made
            beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text in one step: the old file or the new one is there, never a half."""
    with atomic_path(path) as beside:
        beside.write_text(text, encoding="utf-8", newline="\n")


def read_json(path: Path, default: Any = None) -> Any:
    """Return what the JSON file holds, or `default` where there is none. Raises WorkspaceError where it is broken.

    Coqui's config.json may hold `Infinity`, which Python's reader takes.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return default
    except (OSError, ValueError) as fault:
        raise WorkspaceError(f"“{path}” can't be read: {fault}.") from fault


def write_json(path: Path, data: Any) -> None:
    write_text(path, json.dumps(data, ensure_ascii=False, indent=1) + "\n")


@contextmanager
def atomic_folder(folder: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a new folder beside `folder` to fill; it takes its place whole when the block ends well, else it vanishes.

    Raises WorkspaceError where `folder` is there and `overwrite` wasn't asked for.
    """
    if folder.exists() and not overwrite:
        raise WorkspaceError(f"“{folder}” is there already: choose another name, or overwrite it.")
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        yield beside
        if folder.exists():
            folder.replace(old)
        beside.replace(folder)
    except OSError as fault:
        if old.exists() and not folder.exists():
            old.replace(folder)
        raise WorkspaceError(f"“{folder}” can't be written: {fault.strerror or fault}.") from fault
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


@dataclass(frozen=True)
class Project:
    """One project's folder and what lies where in it. Get it from Workspace.project: the name is checked there."""

    name: str
    path: Path

    @property
    def wavs(self) -> Path:
        return self.path / "wavs"

    @property
    def train_csv(self) -> Path:
        return self.path / "metadata_train.csv"

    @property
    def eval_csv(self) -> Path:
        return self.path / "metadata_eval.csv"

    @property
    def language_file(self) -> Path:
        return self.path / "lang.txt"

    @property
    def dataset_manifest(self) -> Path:
        return self.path / "dataset.json"

    @property
    def validation(self) -> Path:
        return self.path / "validation.json"

    @property
    def settings_file(self) -> Path:
        return self.path / "settings.json"

    @property
    def runs(self) -> Path:
        return self.path / "runs"

    @property
    def cache(self) -> Path:
        return self.path / "cache"

    @property
    def speech(self) -> Path:
        return self.path / "speech"

    @property
    def has_dataset(self) -> bool:
        return self.train_csv.is_file()

    @property
    def language(self) -> str:
        """The dataset's language; raises DatasetMissingError where there is no dataset."""
        try:
            return self.language_file.read_text(encoding="utf-8").strip()
        except OSError:
            raise DatasetMissingError(self.name) from None

    def read_settings(self) -> dict[str, Any]:
        """What the page's settings of this project were; empty for a new project, and where the file is broken."""
        try:
            return dict(read_json(self.settings_file, {}))
        except (WorkspaceError, TypeError, ValueError):
            return {}

    def remember_settings(self, **settings: Any) -> None:
        """Add to the settings, or change some; the page calls this from many threads."""
        with _REMEMBERING:
            write_json(self.settings_file, {**self.read_settings(), **settings})


@dataclass(frozen=True)
class Workspace:
    """The folder everything lies in; by default the program's own."""

    root: Path = REPOSITORY

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root).expanduser().resolve())

    @property
    def projects_folder(self) -> Path:
        return self.root / "finetune"

    @property
    def samples(self) -> Path:
        return self.projects_folder / SAMPLES_FOLDER

    @property
    def jobs(self) -> Path:
        return self.projects_folder / ".jobs"

    @property
    def base_models(self) -> Path:
        return self.root / "models" / "xtts"

    @property
    def whisper_models(self) -> Path:
        return self.root / "models" / "whisper"

    @property
    def voices(self) -> Path:
        return self.root / "voices"

    def prepare(self) -> None:
        """Make the folders a person looks for. Raises WorkspaceError where that can't be."""
        try:
            for folder in (self.samples, self.base_models, self.whisper_models, self.voices):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise WorkspaceError(
                f"The workspace “{self.root}” can't be written: {fault.strerror or fault}. "
                "Choose another with --workspace DIR."
            ) from fault

    def project(self, name: str) -> Project:
        """Return the project of that name, there or not yet. Raises InvalidNameError."""
        name = check_name(name)
        return Project(name, self.projects_folder / name)

    def list_projects(self) -> list[Project]:
        """Return the projects there are, the one touched last first."""
        if not self.projects_folder.is_dir():
            return []
        found = []
        for folder in self.projects_folder.iterdir():
            if folder.is_dir() and folder.name != SAMPLES_FOLDER and not folder.name.startswith("."):
                try:
                    found.append(Project(check_name(folder.name), folder))
                except InvalidNameError:
                    continue  # a folder somebody put there: not ours
        return sorted(found, key=lambda project: project.path.stat().st_mtime, reverse=True)

    def base_model(self, name: str) -> Path:
        """Return the folder of a base or exported model of that name, there or not yet. Raises InvalidNameError."""
        return self.base_models / check_name(name, "model")

    def delete(self, path: Path) -> int:
        """Delete a file or folder of this workspace and return the bytes freed. Raises WorkspaceError.

        What lies outside the workspace, and the workspace's own folders, are never deleted.
        """
        path = Path(os.path.abspath(path))  # noqa: PTH100 - not resolved: a link goes, not what it points to
        kept = {self.root, self.projects_folder, self.root / "models", self.base_models, self.voices, self.jobs}
        if self.root not in path.parents or path in kept:
            raise WorkspaceError(f"“{path}” isn't deleted: it isn't part of a project or model of this workspace.")
        freed = size_of(path)
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as fault:
            raise WorkspaceError(f"“{path}” can't be deleted: {fault.strerror or fault}.") from fault
        return freed


def size_of(path: Path) -> int:
    """Return the bytes a file or folder takes; 0 where there is none."""
    if path.is_file() or path.is_symlink():
        return path.lstat().st_size
    return sum(file.lstat().st_size for file in path.rglob("*") if file.is_file() or file.is_symlink())

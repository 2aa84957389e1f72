"""What was generated in a project: each WAV of its speech folder with the settings it was spoken with beside it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Hashable
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.errors import SettingError
from pipeline.options import SpeakOptions
from pipeline.records import from_json, to_json
from pipeline.workspace import Project, write_text

from .context import stamp
from .uploads import keep_file


@dataclass(frozen=True)
class Generated:
    """One speech and what it was asked for with."""

    path: Path
    options: SpeakOptions

    @property
    def reference(self) -> Path:
        """The first of the references."""
        return Path(self.options.references[0])

    @property
    def when(self) -> str:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(self.path.stat().st_mtime))


def prepare_speech(project: Project, options: SpeakOptions) -> SpeakOptions:
    """Choose the file that will be written, and note the settings beside it; return the options to speak with."""
    stem = time.strftime("%Y%m%d-%H%M%S")
    names = (f"{stem}-{number:03d}" for number in itertools.count(1))  # they sort by time
    name = next(name for name in names if not (project.speech / f"{name}.json").exists())
    options = replace(options, out=str(project.speech / f"{name}.wav"))
    write_text(project.speech / f"{name}.json", to_json(options, indent=1) + "\n")
    return options


def keep_reference(project: Project, path: Path) -> Path:
    """Return a reference that will still be there tomorrow: what a browser sent is copied into the project."""
    if project.path in path.parents:
        return path
    return keep_file(project.speech / "references", path)[0]


def list_speeches(project: Project) -> list[Generated]:
    """Return what was generated, the newest first. What failed left no sound and isn't listed."""
    found = []
    for note in sorted(project.speech.glob("*.json"), reverse=True) if project.speech.is_dir() else ():
        try:
            options = from_json(SpeakOptions, note.read_text(encoding="utf-8"))
        except (SettingError, OSError, UnicodeDecodeError):
            continue  # not one of ours
        if note.with_suffix(".wav").is_file():
            found.append(Generated(note.with_suffix(".wav"), options))
    return found


def speeches_key(project: Project) -> Hashable:
    """Return what changes when a speech comes or goes."""
    return stamp(project.speech)

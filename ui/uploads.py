"""Files that a browser sent, put where the engine looks for recordings."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from pipeline.audio import content_hash
from pipeline.errors import InvalidNameError
from pipeline.workspace import Workspace, atomic_path, check_name

_LONGEST_NAME = 80  # bytes before the ending: with a number behind it every file system takes that


def add_samples(ws: Workspace, uploaded: Iterable[str | Path]) -> tuple[list[str], list[str]]:
    """Copy files into the samples folder; return the names of the new ones, and of those that were there already.

    Files are known by content: the same one isn't taken twice, and another one never replaces what is there.
    """
    new: list[str] = []
    known: list[str] = []
    for source in map(Path, uploaded):
        target, there = keep_file(ws.samples, source)
        (known if there else new).append(target.name)
    return new, known


def keep_file(folder: Path, source: Path) -> tuple[Path, bool]:
    """Copy a file into the folder under a safe name; return where it is, and whether it was there already."""
    target, there = _place_for(folder, source)
    if not there:
        with atomic_path(target) as beside:
            shutil.copyfile(source, beside)
    return target, there


def safe_file_name(name: str) -> str:
    """Return the name without what Windows, macOS or Linux refuse in one, its ending kept."""
    name = unicodedata.normalize("NFC", name.replace("\\", "/").rpartition("/")[2])
    kept = "".join(letter if letter in " -_." or unicodedata.category(letter)[0] in "LMN" else "_" for letter in name)
    stem, dot, ending = kept.rpartition(".")
    if not dot:
        stem, ending = kept, ""
    stem = stem.encode()[:_LONGEST_NAME].decode(errors="ignore").strip(" ._").replace("..", "_")
    try:
        stem = check_name(stem)
    except InvalidNameError:  # nothing left, a name that Windows reserves, or a sign in front
        stem = f"recording {stem}".strip()
    return stem + dot + ending.strip()


def _place_for(folder: Path, source: Path) -> tuple[Path, bool]:
    """Return where the file goes, and whether that very file is there already."""
    wanted = folder / safe_file_name(source.name)
    target, number = wanted, 1
    while target.exists():
        if _same_file(target, source):
            return target, True
        number += 1
        target = wanted.with_name(f"{wanted.stem} {number}{wanted.suffix}")
    return target, False


def _same_file(one: Path, other: Path) -> bool:
    if not one.is_file() or one.stat().st_size != other.stat().st_size:
        return False
    return content_hash(one) == content_hash(other)

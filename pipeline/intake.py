"""What there is to make a dataset of: recordings known by their content, with their transcripts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .audio import probe
from .errors import AudioError
from .progress import Progress
from .records import Recording, Rejection
from .transcripts import TRANSCRIPT_SUFFIXES, Transcript, find_transcripts, read_table
from .workspace import Workspace


@dataclass(frozen=True)
class Source:
    """A recording to make clips of, with the text somebody wrote for it, if there is one."""

    recording: Recording
    transcript: Transcript | None = None

    @property
    def name(self) -> str:
        return self.recording.path.name

    @property
    def sha256(self) -> str:
        return self.recording.sha256


@dataclass(frozen=True)
class Intake:
    """The recordings that can be used, in order of their names, and everything else with the reason."""

    sources: tuple[Source, ...]
    rejected: tuple[Rejection, ...]


def list_recordings(ws: Workspace) -> list[Recording]:
    """Return every file that waits in the samples folder, usable or with its problem: the table of the page."""
    if not ws.samples.is_dir():
        return []
    sounds, _ = _find_files([ws.samples])
    return [probe(path) for path in sounds]


def take_in(paths: Sequence[Path], progress: Progress) -> Intake:
    """Look at files and folders (with all below them): what can be used, what can't and why, what is there twice.

    Raises AudioError where a path that was named isn't there.
    """
    for path in paths:
        if not os.path.lexists(path):
            raise AudioError(f"There is no file or folder “{path}”: check the path of the recordings.")
    sounds, tables = _find_files(paths)
    transcripts = find_transcripts(sounds, tables)
    sources: list[Source] = []
    rejected = list(transcripts.rejected)
    names: dict[str, str] = {}  # content -> the first file that has it
    for number, path in enumerate(sounds):
        progress.check()
        progress.update(0.0, f"Looking at “{path.name}” ({number + 1} of {len(sounds)})")
        recording = probe(path)
        if recording.problem:
            rejected.append(Rejection(path.name, recording.problem))
        elif recording.sha256 in names:
            reason = f"is the same audio as “{names[recording.sha256]}”, under another name or in another folder"
            rejected.append(Rejection(path.name, reason))
            progress.log(f"“{path.name}” {reason}", "Duplicates")
        else:
            names[recording.sha256] = path.name
            sources.append(Source(recording, transcripts.by_recording.get(path)))
    return Intake(tuple(sources), tuple(rejected))


def _find_files(paths: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Return what may be sounds, and the tables among them, each once, in order of their paths.

    A table that is named itself brings the sounds it names.
    """
    sounds: dict[Path, None] = {}
    tables: dict[Path, None] = {}
    for path in paths:
        for file in _walk(path):
            if file.suffix.lower() == ".csv":
                tables[file] = None
                sounds.update(dict.fromkeys(read_table(file)[0] if file == path else ()))
            elif file.suffix.lower() not in TRANSCRIPT_SUFFIXES or file == path:
                sounds[file] = None
    return list(sounds), list(tables)


def _walk(path: Path) -> Iterator[Path]:
    """Yield a file, or every file below a folder but hidden ones; a folder that looks like a sound is one entry too."""
    if not path.is_dir():
        yield path
        return
    try:
        entries = sorted(path.iterdir(), key=lambda entry: entry.name)
    except OSError:
        yield path  # nobody may look into it: listed as a file that can't be used
        return
    for entry in entries:
        if entry.name.startswith((".", "~$")) or entry.name in ("Thumbs.db", "desktop.ini"):
            continue
        if entry.is_dir() and not entry.is_symlink():
            if entry.suffix.lower() in (".wav", ".mp3", ".flac"):
                yield entry  # a folder named x.wav: listed, and looked into
            yield from _walk(entry)
        else:
            yield entry

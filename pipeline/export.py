"""A trained voice as a folder of its own, which stock Coqui TTS and AllTalk load.

The folder is filled beside its place, tried in a fresh process, and moved there when it is whole; manifest.json, with
every file's size and hash, is written last.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from .audio import content_hash
from .base_models import DEMO, REQUIRED_FILES, inspect_model
from .errors import DatasetMissingError, InvalidNameError, ModelError, ModelMissingError, WorkspaceError
from .options import ExportRequest, SpeakOptions
from .progress import Progress
from .records import ExportedFile, ExportedVoice, to_json
from .references import Reference, list_references, write_wavs
from .sentences import SENTENCES
from .training.runs import RunFiles, list_runs
from .trial import Trial
from .voices import base_of, latest_run
from .workspace import (
    DEMO_MARKER,
    REPOSITORY,
    Project,
    Workspace,
    atomic_folder,
    read_json,
    size_of,
    write_json,
    write_text,
)

MANIFEST = "manifest.json"  # its presence makes a folder of models/xtts an exported voice
SPOKEN = "spoken.wav"  # the sentence the voice said when it was tried
FROM_BASE = ("dvae.pth", "mel_stats.pth", "speakers_xtts.pth")
_SPARE = 64 << 20  # bytes that stay free


@dataclass(frozen=True)
class _Parts:
    """Where everything comes from and goes to: decided and checked before anything is written."""

    project: Project
    run: Path
    checkpoint: Path
    base: Path
    target: Path
    references: tuple[Reference, ...]


def export_voice(ws: Workspace, request: ExportRequest, progress: Progress) -> ExportedVoice:
    """Write models/xtts/<name>/, try it, and return what is in it. Nothing is there until all of it is.

    Raises FinetuneError with what stands in the way; Stopped leaves nothing behind.
    """
    _clear_leftovers(ws.base_model(request.name))
    parts = _plan(ws, request)
    _check_space(parts, request)
    with atomic_folder(parts.target, overwrite=request.overwrite) as beside:
        progress.update(0.05, "Writing the weights")
        _write_weights(parts, beside, request.half)
        progress.check()
        progress.update(0.35, "Copying the clips")
        _copy_files(parts, beside)
        progress.check()
        progress.update(0.5, "Trying the exported voice")
        _try(parts, beside, request, progress)
        progress.update(0.9, "Writing the manifest")
        files = _list_files(beside)
        write_json(beside / MANIFEST, _manifest(parts, request, files))
        progress.check()
    progress.log(f"Exported to {parts.target}: it was loaded by Coqui TTS in a fresh process and spoke a sentence.")
    progress.update(1.0, f"Exported to {parts.target}")
    return ExportedVoice(str(parts.target), files, SPOKEN)


# ---- What is exported ---------------------------------------------------------------------------------------------


def _plan(ws: Workspace, request: ExportRequest) -> _Parts:
    """Find everything the export needs, or say what is missing."""
    project = ws.project(request.project)
    target = ws.base_model(request.name)
    run = _find_run(ws, project, request.run)
    checkpoint = _find_checkpoint(run, request.checkpoint)
    base = base_of(ws, run)
    if base is None:
        raise ModelMissingError(
            f"The base model that run “{run.name}” was trained from is gone, and {', '.join(FROM_BASE)} come from it: "
            f"put it back into {ws.base_models}."
        )
    lacking = [name for name in inspect_model(base).missing if name in FROM_BASE]
    lacking += [name for name in ("config.json", "vocab.json") if not (run / name).is_file()]
    if lacking:
        raise ModelMissingError(f"{', '.join(lacking)} is missing in {base if lacking[0] in FROM_BASE else run}.")
    _check_target(target, base, request)
    return _Parts(project, run, checkpoint, base, target, tuple(list_references(project, 0.0)))


def _find_run(ws: Workspace, project: Project, name: str) -> Path:
    if not project.path.is_dir():
        raise ModelMissingError(f"There is no project “{project.name}” in {ws.projects_folder}.")
    if not name:
        return latest_run(ws, project.name)
    runs = list_runs(ws, project.name)
    for run in runs:
        if run.name == name:
            return run.path
    there = ", ".join(run.name for run in runs) or "no run yet"
    raise ModelMissingError(f"Project “{project.name}” has no run “{name}”; it has {there}.")


def _find_checkpoint(run: Path, name: str) -> Path:
    """Return the checkpoint's path: a .pth file in the run's folder, by its name."""
    if not name:
        path = RunFiles(run).best_model
    elif Path(name).name != name and Path(name).parent != run:
        raise InvalidNameError(f"The checkpoint “{name}” isn't a file's name in {run}.")
    else:
        path = run / Path(name).name
    if path.suffix != ".pth" or not path.is_file():
        there = ", ".join(sorted(file.name for file in run.glob("*.pth"))) or "none yet"
        raise ModelMissingError(f"Run “{run.name}” has no checkpoint “{path.name}”; it has {there}.")
    return path


def _check_target(target: Path, base: Path, request: ExportRequest) -> None:
    """Refuse to replace what isn't an exported voice."""
    name = target.name
    if name.casefold() == DEMO:
        raise InvalidNameError(f"“{name}” is the demo base's folder: choose another folder name.")
    if not target.exists():
        return
    if not request.overwrite:
        raise WorkspaceError(f"“{target}” is there already: choose another folder name, or “Overwrite existing files”.")
    if target.resolve() == base.resolve():
        raise WorkspaceError(f"“{name}” is the model this voice was trained from: choose another folder name.")
    if not (target / MANIFEST).is_file():
        raise WorkspaceError(f"“{target}” isn't an exported voice and isn't replaced: choose another folder name.")


def _check_space(parts: _Parts, request: ExportRequest) -> None:
    """Raise WorkspaceError where the disk can't hold the export beside what it may replace."""
    weights = size_of(parts.checkpoint) // (2 if request.half else 1)
    others = sum(size_of(parts.base / name) for name in FROM_BASE)
    needed = weights + others + sum(size_of(reference.path) for reference in parts.references) + _SPARE
    parts.target.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(parts.target.parent).free
    if free < needed:
        raise WorkspaceError(
            f"The export needs {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free on the disk of "
            f"{parts.target.parent}: free some space, or export with half precision."
        )


def _clear_leftovers(target: Path) -> None:
    """Remove what killed exports of this name left; a folder that one was just replacing is put back."""
    pattern = re.compile(re.escape(f".{target.name}.") + r"(\d+)\.(new|old)")
    for folder in target.parent.glob(".*") if target.parent.is_dir() else ():
        match = pattern.fullmatch(folder.name)
        if not match or psutil.pid_exists(int(match[1])):
            continue
        if match[2] == "old" and not target.exists():
            folder.replace(target)
        else:
            shutil.rmtree(folder, ignore_errors=True)


# ---- Writing ------------------------------------------------------------------------------------------------------


def _write_weights(parts: _Parts, folder: Path, half: bool) -> None:
    """Write model.pth: the weights that speaking needs, and nothing else."""
    from .weights import halve, read_state, write_checkpoint

    state = read_state(parts.checkpoint)
    if "mel_stats" not in state:
        raise ModelError(f"“{parts.checkpoint}” lacks mel_stats, without which Coqui can't load it.")
    write_checkpoint(folder / "model.pth", halve(state) if half else state, read_json(parts.run / "config.json"))


def _copy_files(parts: _Parts, folder: Path) -> None:
    """Copy what goes with the weights, and the clips."""
    of_base = [parts.base / name for name in FROM_BASE]
    if inspect_model(parts.base).demo:
        of_base.append(parts.base / DEMO_MARKER)  # so that nobody takes the voice for one that can speak
    for source in (parts.run / "config.json", parts.run / "vocab.json", *of_base):
        shutil.copyfile(source, folder / source.name)
    write_wavs(folder / "wavs", parts.references)


def _list_files(folder: Path) -> tuple[ExportedFile, ...]:
    """Return every file of the folder with its size and hash: the model's first, then the others by name."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    order = {name: number for number, name in enumerate(REQUIRED_FILES)}
    paths.sort(key=lambda path: (order.get(path.name, len(order)), path.relative_to(folder).as_posix()))
    return tuple(
        ExportedFile(path.relative_to(folder).as_posix(), path.stat().st_size, content_hash(path)) for path in paths
    )


def _manifest(parts: _Parts, request: ExportRequest, files: Sequence[ExportedFile]) -> dict[str, object]:
    return {
        "name": parts.target.name,
        "project": parts.project.name,
        "run": parts.run.name,
        "checkpoint": parts.checkpoint.name,
        "base": parts.base.name,
        "demo": inspect_model(parts.base).demo,
        "half": request.half,
        "exported": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "files": [asdict(file) for file in files],
    }


# ---- Trying -------------------------------------------------------------------------------------------------------


def _try(parts: _Parts, folder: Path, request: ExportRequest, progress: Progress) -> None:
    """Have the folder loaded by stock Coqui in a fresh process and a sentence spoken. Raises ModelError."""
    from .device import pick_device

    language = _language(parts.project)
    with tempfile.TemporaryDirectory(prefix="xtts-trial-") as temporary:
        place = Path(temporary)
        options = SpeakOptions(
            model=str(folder),
            text=SENTENCES[language],
            references=(str(_trial_reference(parts, place)),),
            out=str(folder / SPOKEN),
            language=language,
            device=pick_device(request.device),
        )
        asked = place / "trial.json"
        write_text(asked, to_json(Trial(str(folder), options)))
        with _child([sys.executable, "-m", "pipeline.trial", str(asked)], place / "said.txt") as child:
            while child.poll() is None:
                progress.check()
                time.sleep(0.05)
        if child.returncode != 0 or not (folder / SPOKEN).is_file():
            raise ModelError(f"The exported voice was tried and doesn't work, so it isn't kept: {_why(place)}")


def _language(project: Project) -> str:
    try:
        language = project.language
    except DatasetMissingError:
        return "en"  # a run from a dataset elsewhere
    return language if language in SENTENCES else "en"


def _trial_reference(parts: _Parts, place: Path) -> Path:
    """Return the best clip to speak with; where the project has none, a hum, which any model can listen to."""
    from .audio import CLIP_RATE, write_wav

    if parts.references:
        return parts.references[0].path
    import numpy as np

    time_axis = np.arange(2 * CLIP_RATE, dtype=np.float32) / CLIP_RATE
    write_wav(place / "hum.wav", (0.1 * np.sin(2 * np.pi * 150 * time_axis)).astype(np.float32), CLIP_RATE)
    return place / "hum.wav"


@contextmanager
def _child(command: Sequence[str], output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that never outlives the block, whatever ends it."""
    with output.open("wb") as file:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd=REPOSITORY)
        try:
            yield child
        finally:
            if child.poll() is None:
                child.kill()
            child.wait()


def _why(place: Path) -> str:
    """Return the trial's own words for what went wrong, or its last line."""
    told = place / "trial.error"
    if told.is_file():
        return told.read_text(encoding="utf-8")
    lines = (place / "said.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "its process ended without a word; perhaps the memory is full."

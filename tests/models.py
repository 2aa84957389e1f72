"""The demo base for tests: made once a session, linked into the workspaces that need it."""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from pipeline.audio import CLIP_RATE, write_wav
from pipeline.base_models import DEMO
from pipeline.options import TrainConfig
from pipeline.records import to_json
from pipeline.training.runs import RunFiles
from pipeline.workspace import Project, Workspace


@functools.cache
def demo_base() -> Path:
    """Return a folder with the demo base of seed 0, made when first asked for. Tests don't change it."""
    from pipeline.demo_base import make_demo_base

    folder = Path(tempfile.mkdtemp(prefix="demo-base-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return make_demo_base(folder / DEMO)


def install_demo_base(ws: Workspace, name: str = DEMO) -> Path:
    """Put the demo base into the workspace's models under a name, by hard links where that goes, and return it."""
    folder = ws.base_models / name
    folder.mkdir(parents=True)
    for file in demo_base().iterdir():
        _link(file, folder / file.name)
    return folder


def make_run(ws: Workspace, project: str = "anna", name: str = "run-20240101-000000") -> RunFiles:
    """Make a run's folder as training leaves it, with the demo base's own weights as its best model.

    The workspace gets the demo base where it has none.
    """
    base = ws.base_models / DEMO
    if not base.is_dir():
        install_demo_base(ws)
    files = RunFiles(ws.project(project).runs / name)
    files.folder.mkdir(parents=True)
    _link(base / "model.pth", files.best_model)
    shutil.copy2(base / "config.json", files.config)
    shutil.copy2(base / "vocab.json", files.vocab)
    files.train_config.write_text(to_json(TrainConfig(project=project, base=str(base))), encoding="utf-8")
    files.standing.write_text(json.dumps({"epochs": 1, "step": 8, "seconds": 1.0}), encoding="utf-8")
    return files


def make_clip(path: Path, seconds: float, pitch: float = 150.0) -> Path:
    """Write a hum with overtones that swells and fades, and return its path."""
    time = np.arange(int(seconds * CLIP_RATE)) / CLIP_RATE
    hum = sum(np.sin(2 * np.pi * pitch * n * time) / n for n in range(1, 6))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_wav(path, (0.2 * hum * np.sin(np.pi * time / seconds)).astype(np.float32), CLIP_RATE)
    return path


def make_clips(project: Project, lengths: dict[str, float]) -> None:
    """Put hums of these lengths, by file name, into the project's wavs."""
    for name, seconds in lengths.items():
        make_clip(project.wavs / name, seconds)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)

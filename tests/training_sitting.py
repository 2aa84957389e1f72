"""One sitting of a training run in a process of its own, to be killed: what the tests of continuing start."""

from __future__ import annotations

import multiprocessing
import sys
import time
from pathlib import Path

from pipeline.options import TrainConfig
from pipeline.workspace import Workspace

# Modules that a fresh process would import for seconds: the server imports them once and forks each sitting.
PRELOADED = [
    "pipeline.training.run",
    "TTS.tts.models.xtts",
    "accelerate",
    "tensorboard.summary",
    "tests.training_sitting",
]


def sit(root: Path, config: TrainConfig) -> None:
    """Train, saving after every second step or so rather than once a minute."""
    import torch

    from pipeline.progress import Progress
    from pipeline.training import checkpoints
    from pipeline.training.run import train

    torch.set_num_threads(1)
    checkpoints.SAVE_EVERY, checkpoints.SAVE_SHARE = 0.0, 1
    train(Workspace(root), config, Progress())


def start_sitting(root: Path, config: TrainConfig) -> multiprocessing.process.BaseProcess:
    context = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
    if sys.platform != "win32":
        context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=sit, args=(root, config))
    process.start()
    return process


def kill_at(process: multiprocessing.process.BaseProcess, metrics: Path, step: int, timeout: float = 300) -> None:
    """Kill the process (SIGKILL) as soon as its metrics hold that step, or let it end."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline and process.is_alive():
        if metrics.is_file() and f'"step": {step},' in metrics.read_text(encoding="utf-8"):
            break
        time.sleep(0.01)
    process.kill()
    process.join()

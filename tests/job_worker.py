"""A worker with small stages of the tests' own: `python -m tests.job_worker JOB_FOLDER`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from pipeline import worker
from pipeline.errors import AudioError
from pipeline.options import CheckOptions, DemoOptions
from pipeline.progress import Progress
from pipeline.records import CheckReport, Speech
from pipeline.workspace import Workspace


def nap(ws: Workspace, options: DemoOptions, progress: Progress) -> Speech:
    """Work until asked to stop, at most `epochs` tenths of a second."""
    for done in range(options.epochs):
        progress.check()
        progress.update(done / options.epochs, f"Napping {done}")
        progress.log(f"breath {done}", "Audio")
        time.sleep(0.1)
    progress.update(1.0, "Rested")
    return Speech(path=str(ws.root), seconds=options.epochs / 10, seed=options.seed)


def stubborn(ws: Workspace, options: DemoOptions, progress: Progress) -> None:
    """Never look at the stop request, and have a child that doesn't either."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    progress.event("child", pid=child.pid)
    time.sleep(600)


def fail(ws: Workspace, options: DemoOptions, progress: Progress) -> None:
    raise AudioError("“a.wav” holds no sound: choose another file.")


def bug(ws: Workspace, options: DemoOptions, progress: Progress) -> None:
    raise KeyError("gremlin")


def die(ws: Workspace, options: DemoOptions, progress: Progress) -> None:
    print("about to fall over", flush=True)
    os._exit(9)


def light(ws: Workspace, options: CheckOptions, progress: Progress) -> CheckReport:
    return CheckReport(ok=True)


for name in ("nap", "stubborn", "fail", "bug", "die"):
    worker.STAGES[name] = ("DemoOptions", f"tests.job_worker:{name}")
worker.STAGES["voice"] = ("DemoOptions", "tests.job_worker:nap")
worker.STAGES["checks"] = ("CheckOptions", "tests.job_worker:light")

if __name__ == "__main__":
    sys.exit(worker.main(Path(sys.argv[1])))

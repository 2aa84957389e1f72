"""The process a stage runs in: `python -m pipeline.worker JOB_FOLDER` (jobs.py starts it)."""

from __future__ import annotations

import importlib
import json
import logging
import os
import re
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from .errors import FinetuneError, Stopped
from .progress import Progress
from .records import from_json, to_json
from .workspace import Workspace, read_json, write_json

# Stage -> (its options record in options.py, the function that does it: module:name).
STAGES: dict[str, tuple[str, str]] = {
    "checks": ("CheckOptions", "pipeline.preflight:run_checks"),
    "dataset": ("DatasetOptions", "pipeline.dataset:create_dataset"),
    "validate": ("ValidateOptions", "pipeline.validate:validate_dataset"),
    "train": ("TrainConfig", "pipeline.training.run:train"),
    "speak": ("SpeakOptions", "pipeline.synthesize:speak"),
    "voice": ("VoiceOptions", "pipeline.synthesize:serve_voice"),
    "export": ("ExportRequest", "pipeline.export:export_voice"),
    "demo": ("DemoOptions", "pipeline.demo:run_demo"),
}
PROGRESS_EVERY = 0.2  # seconds: more often than anyone can see


def run_stage(stage: str, ws: Workspace, options: Any, progress: Progress | None = None) -> Any:
    """Run a stage in this process and return its report. What scripts call, and the worker too."""
    module, function = STAGES[stage][1].split(":")
    return getattr(importlib.import_module(module), function)(ws, options, progress or Progress())


class FileProgress(Progress):
    """Progress that is written into the job's folder, line by line; a `stop` file or SIGTERM asks to stop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stop_file = folder / "stop"
        self._events = (folder / "events.jsonl").open("a", encoding="utf-8", buffering=1)
        self._next_progress, self._doing = 0.0, ""
        self._signalled = False

    def update(self, fraction: float | None, message: str) -> None:
        now = time.monotonic()
        doing = re.sub(r"[\d.,:]+", "", message)  # without its figures: what is being done, not how far
        if now >= self._next_progress or fraction == 1.0 or doing != self._doing:
            self._next_progress, self._doing = now + PROGRESS_EVERY, doing
            self._write("progress", fraction=fraction, message=message)

    def log(self, message: str, kind: str = "General") -> None:
        self._write("log", kind=kind, message=message)

    def event(self, name: str, **data: object) -> None:
        self._write(name, **data)

    @property
    def folder(self) -> Path:
        return self._folder

    @property
    def stop_requested(self) -> bool:
        return self._signalled or self._stop_file.exists()

    def signalled(self, *_: object) -> None:
        self._signalled = True

    def _write(self, event: str, /, **data: object) -> None:
        line = json.dumps({"t": round(time.time(), 3), "type": event, **data}, ensure_ascii=False, default=str)
        self._events.write(line + "\n")


def main(folder: Path) -> int:
    """Do what the job's request asks, and leave its outcome. Returns the exit status."""
    request = read_json(folder / "request.json")
    progress = FileProgress(folder)
    signal.signal(signal.SIGTERM, progress.signalled)
    signal.signal(signal.SIGINT, progress.signalled)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    outcome: dict[str, Any]
    try:
        from . import options as options_module

        kind = getattr(options_module, STAGES[request["stage"]][0])
        options = from_json(kind, json.dumps(request["options"]))
        report = run_stage(request["stage"], Workspace(Path(request["workspace"])), options, progress)
        outcome = {"state": "done", "result": json.loads(to_json(report))}
    except Stopped as stop:
        outcome = {"state": "stopped", "error": str(stop)}
    except FinetuneError as fault:
        outcome = {"state": "failed", "error": str(fault)}
    except MemoryError:
        outcome = {"state": "failed", "error": "The machine's memory is full: close other programs, or use less."}
    except Exception as fault:
        traceback.print_exc()
        outcome = {
            "state": "failed",
            "error": f"Something unexpected went wrong ({type(fault).__name__}: {fault}). "
            f"The details are in {folder / 'output.txt'}.",
        }
    write_json(folder / "outcome.json", {**outcome, "ended": time.time()})
    return 0 if outcome["state"] == "done" else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

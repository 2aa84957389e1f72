"""Watch a job from a terminal: progress and log on standard error, stop on Ctrl+C, the result at the end."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pipeline.errors import FinetuneError, Stopped
from pipeline.jobs import JobStatus, join_job, kill_job, read_job, start_job, stop_job, watch_job
from pipeline.records import Seconds
from pipeline.workspace import Workspace

# Seconds a stage has to stop by itself before its process is ended. Training saves its state first, and one step of
# a full-size model takes half a minute on a CPU.
GRACE: dict[str, Seconds] = {"train": 600.0, "demo": 60.0}
DEFAULT_GRACE: Seconds = 20.0
_STOP_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def run_job(ws: Workspace, stage: str, options: Any) -> dict[str, Any]:
    """Run a stage as a job, show what it does, and return its report as a dictionary.

    Ctrl+C (or SIGTERM) asks it to stop at the next safe point; a second one ends it at once. Raises FinetuneError with
    the job's own sentence where it failed, Stopped where it was stopped.
    """
    with _stop_signals() as signals:
        job = start_job(ws, stage, options)
        try:
            _watch(ws, job, signals)
        finally:
            if read_job(ws, job).running:
                kill_job(ws, job)
            join_job(ws, job)
    status = read_job(ws, job)
    if status.state == "stopped":
        raise Stopped(status.error)
    if status.state != "done":
        raise FinetuneError(status.error)
    return status.result


def _watch(ws: Workspace, job: str, signals: list[int]) -> None:
    """Follow the job's events until it ends, and pass on what the user's signals ask."""
    asked_at = 0.0
    with _display() as display:
        for event in watch_job(ws, job, ticks=True):
            display.show(event)
            if signals and not asked_at:
                asked_at = time.monotonic()
                stop_job(ws, job)
                display.say("Stopping at the next safe point; press Ctrl+C again to end it at once.")
            elif asked_at and (len(signals) > 1 or _out_of_patience(read_job(ws, job), asked_at)):
                kill_job(ws, job)


def _out_of_patience(status: JobStatus, asked_at: float) -> bool:
    return time.monotonic() - asked_at > GRACE.get(status.stage, DEFAULT_GRACE)


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collect the signals that ask to stop, instead of dying of them."""
    seen: list[int] = []
    before = {number: signal.signal(number, lambda received, _: seen.append(received)) for number in _STOP_SIGNALS}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Display:
    """A bar with the words of the latest progress above which the log runs; plain lines where it's no terminal."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._task = progress.add_task("Starting", total=1.0) if progress else None

    def show(self, event: dict[str, Any]) -> None:
        if event.get("type") == "log":
            self.say(event["message"])
        elif event.get("type") == "progress" and self._progress and self._task is not None:
            fraction = event["fraction"]
            self._progress.update(self._task, description=event["message"], completed=fraction or 0.0)

    def say(self, message: str) -> None:
        if self._progress:
            self._progress.console.print(message, markup=False, highlight=False)
        else:
            print(message, file=sys.stderr, flush=True)


@contextmanager
def _display() -> Iterator[_Display]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Display(None)
        return
    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Display(progress)

"""A stage in a process of its own: start it, watch it, stop it, find it again.

A job is a folder that two sides share. The starter writes `request.json` and, to stop it, `stop`. The worker writes
`events.jsonl` line by line and, last of all, `outcome.json`; what it prints lands in `output.txt`. `process.json`
holds the worker's id and start time, by which anyone can tell whether it still lives. So a page that is reloaded, or
an interface that is restarted, knows all by reading.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import filelock
import psutil

from .errors import JobError, JobRunningError
from .records import Seconds, to_json
from .workspace import REPOSITORY, Workspace, read_json, write_json, write_text

JobState = Literal["running", "done", "failed", "stopped", "died"]

# Stages whose process stays to serve requests: it gives way to any other job.
RESIDENT_STAGES = frozenset({"voice"})
# Stages that need little and may run beside others.
LIGHT_STAGES = frozenset({"checks"})
KEPT_JOBS = 50
WORKER = (sys.executable, "-m", "pipeline.worker")  # the job's folder follows


@dataclass(frozen=True)
class JobStatus:
    """All that is known of a job at this moment."""

    id: str
    stage: str
    project: str
    state: JobState
    fraction: float | None  # how far, 0 to 1; None where unknown
    message: str  # what is being done, or what became of it, in words
    started: float  # Unix time
    seconds: Seconds  # since it started, until now or until its end
    seconds_left: Seconds | None  # estimated
    stopping: bool  # asked to stop
    result: dict[str, Any] = field(default_factory=dict)  # the stage's report as `--json` prints it
    error: str = ""  # one sentence; empty unless failed or died

    @property
    def running(self) -> bool:
        return self.state == "running"


def start_job(ws: Workspace, stage: str, options: Any) -> str:
    """Start `stage` with its options record in a process of its own and return the job's id.

    Raises JobRunningError where another heavy job runs; light stages always start. A resident voice is stopped first.
    """
    ws.jobs.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(ws.jobs / "start.lock"):
        if stage not in LIGHT_STAGES:
            _make_room(ws)
        job = _new_id(stage)
        folder = ws.jobs / job
        folder.mkdir()
        request = {"stage": stage, "workspace": str(ws.root), "options": json.loads(to_json(options))}
        write_json(folder / "request.json", {**request, "started": time.time()})
        _spawn(folder)
        if stage not in LIGHT_STAGES:
            write_text(ws.jobs / "current", job)
        _forget_old_jobs(ws)
    return job


# Threads of OpenMP that wait for each other sleep instead of spinning: on a machine that is busy with anything else,
# spinning makes a training step on the CPU several times slower (3 to 4 times, measured with six processes a core).
_WAIT_ASLEEP = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}


def _new_id(stage: str) -> str:
    """Return an id by whose order jobs are in the order of their starts, to the millisecond."""
    now = time.time()
    moment = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    return f"{moment}-{int(now % 1 * 1000):03d}-{stage}-{os.urandom(3).hex()}"


def _make_room(ws: Workspace) -> None:
    """See to it that no heavy job runs: a resident voice gives way, anything else stands."""
    running = running_job(ws)
    if running and running.stage in RESIDENT_STAGES:
        end_job(ws, running.id, grace=10.0)
    elif running:
        raise JobRunningError(running.stage, running.project)


def _spawn(folder: Path) -> None:
    """Start the worker in a session of its own, so that a Ctrl+C in the terminal reaches only who watches."""
    detached: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        detached = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    with (folder / "output.txt").open("ab") as output:
        worker = subprocess.Popen(
            [*WORKER, str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=REPOSITORY,
            env={**_WAIT_ASLEEP, **os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
            **detached,
        )
    try:
        born = psutil.Process(worker.pid).create_time()
    except psutil.NoSuchProcess:
        born = 0.0
    _children[worker.pid] = worker
    write_json(folder / "process.json", {"pid": worker.pid, "born": born})


# Workers this process started: they must be waited for, or they stay as zombies.
_children: dict[int, subprocess.Popen[bytes]] = {}


def read_job(ws: Workspace, job: str) -> JobStatus:
    """Return the job's status. Raises JobError where there is no such job."""
    folder = ws.jobs / job
    request = read_json(folder / "request.json")
    if request is None:
        raise JobError(f"There is no job “{job}” in {ws.jobs}.")
    outcome = read_json(folder / "outcome.json")
    if outcome is None and not _alive(folder) and not _starting(folder, request):
        outcome = read_json(folder / "outcome.json") or _outcome_of_the_dead(folder)
    last = _last_progress(folder / "events.jsonl")
    started = float(request["started"])
    ended = float((outcome or {}).get("ended") or (last.get("t", started) if outcome else time.time()))
    fraction = last.get("fraction")
    elapsed = max(0.0, ended - started)
    error = (outcome or {}).get("error") or ""
    return JobStatus(
        id=job,
        stage=request["stage"],
        project=request["options"].get("project", ""),
        state=outcome["state"] if outcome else "running",
        fraction=fraction,
        message=error or last.get("message", "Starting"),
        started=started,
        seconds=elapsed,
        seconds_left=elapsed * (1 - fraction) / fraction if fraction and not outcome else None,
        stopping=(folder / "stop").exists(),
        result=(outcome or {}).get("result") or {},
        error=error,
    )


def running_job(ws: Workspace) -> JobStatus | None:
    """Return the heavy job that runs in this workspace, if one does."""
    try:
        job = (ws.jobs / "current").read_text(encoding="utf-8").strip()
        status = read_job(ws, job)
    except (OSError, JobError):
        return None
    return status if status.running else None


def stop_job(ws: Workspace, job: str) -> None:
    """Ask a job to stop at the next safe point. Returns at once; training saves its state first."""
    (ws.jobs / job / "stop").touch()


def kill_job(ws: Workspace, job: str) -> None:
    """End a job's process and all its children at once."""
    process = _process(ws.jobs / job)
    if process is None:
        return
    family = [*process.children(recursive=True), process]
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(family, timeout=10)


def join_job(ws: Workspace, job: str, timeout: Seconds = 30.0) -> None:
    """Wait until a job that has its outcome has left the machine too; what lingers longer is ended."""
    process = _process(ws.jobs / job)
    if process is not None:
        try:
            process.wait(timeout)
        except psutil.TimeoutExpired:
            kill_job(ws, job)


def end_job(ws: Workspace, job: str, grace: Seconds = 60.0) -> JobStatus:
    """Stop a job, first gracefully, then hard after `grace` seconds, and return what became of it."""
    stop_job(ws, job)
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline and _alive(ws.jobs / job):
        time.sleep(0.1)
    kill_job(ws, job)
    return read_job(ws, job)


def read_events(ws: Workspace, job: str, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Return the events written after byte `offset` of the job's file, and the offset to go on from."""
    try:
        with (ws.jobs / job / "events.jsonl").open("rb") as file:
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return [], offset
    whole = data[: data.rfind(b"\n") + 1]  # a line may be half written
    return [json.loads(line) for line in whole.splitlines()], offset + len(whole)


def watch_job(ws: Workspace, job: str, every: Seconds = 0.1, *, ticks: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the job's events as they come, until it has ended. Nothing happens to the job if this is left.

    With `ticks`, an empty event comes each time there was a look, so that the watcher can do something meanwhile.
    """
    offset = 0
    while True:
        running = read_job(ws, job).running  # asked before reading, so that the last events are not missed
        events, offset = read_events(ws, job, offset)
        yield from events
        if not running:
            return
        if ticks:
            yield {}
        time.sleep(every)


def _process(folder: Path) -> psutil.Process | None:
    """Return the worker's process if it lives: the same id and the same birth, for ids are used again."""
    known = read_json(folder / "process.json")
    if not known:
        return None
    child = _children.get(known["pid"])
    if child is not None and child.poll() is not None:
        del _children[known["pid"]]
        return None
    try:
        process = psutil.Process(known["pid"])
        if abs(process.create_time() - known["born"]) > 1.0 or process.status() == psutil.STATUS_ZOMBIE:
            return None
    except psutil.NoSuchProcess:
        return None
    return process


def _starting(folder: Path, request: dict[str, Any]) -> bool:
    """Tell whether the job's folder is there and its process not yet: between two lines of start_job."""
    return not (folder / "process.json").exists() and time.time() - float(request["started"]) < 10


def _alive(folder: Path) -> bool:
    return _process(folder) is not None


def _last_progress(events: Path, tail: int = 65536) -> dict[str, Any]:
    """Return the newest progress event, looking only at the end of the file."""
    try:
        with events.open("rb") as file:
            file.seek(max(0, events.stat().st_size - tail))
            lines = file.read().splitlines()
    except FileNotFoundError:
        return {}
    for line in reversed(lines):
        if b'"progress"' in line:
            try:
                event = json.loads(line)
            except ValueError:
                continue  # the first line of the tail, or one half written
            if event.get("type") == "progress":
                return dict(event)
    return {}


def _outcome_of_the_dead(folder: Path) -> dict[str, str]:
    """Say how a worker that left no outcome ended: on request, or of itself, with the last lines it printed."""
    if (folder / "stop").exists():
        return {"state": "stopped", "error": "Ended on request before it was finished; what was finished is kept."}
    try:
        lines = (folder / "output.txt").read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        lines = []
    said = " / ".join(line.strip() for line in lines if line.strip())[-500:]
    hint = f" Its last words: {said}" if said else ""
    sentence = f"The process ended without a word: it was killed, or the machine ran out of memory.{hint}"
    return {"state": "died", "error": sentence}


def _forget_old_jobs(ws: Workspace) -> None:
    """Keep the newest jobs' folders only, and that of the heavy job that may be running."""
    current = (ws.jobs / "current").read_text(encoding="utf-8").strip() if (ws.jobs / "current").exists() else ""
    for job in sorted(path.name for path in ws.jobs.glob("*-*") if path.is_dir())[:-KEPT_JOBS]:
        if job != current:
            ws.delete(ws.jobs / job)

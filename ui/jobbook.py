"""What the page knows of jobs, read from disk and kept, so that looking every second costs next to nothing."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import JobError, WorkspaceError
from pipeline.jobs import JobStatus, read_events, read_job
from pipeline.records import Seconds
from pipeline.workspace import Workspace, read_json

KEPT_LINES = 5000  # of one job's log, in memory
SHOWN_LINES = 300  # sent to a browser
FRESH: Seconds = 0.3  # how long a running job's status is taken as it was read
SETTLED: Seconds = 10.0  # after this a job without a process isn't just being started


@dataclass
class _Log:
    """A job's events as far as they have been read."""

    offset: int = 0
    count: int = 0
    lines: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))  # kind, line
    begun: tuple[float, float] | None = None  # when the first fraction was told, and what it was


class JobBook:
    """Jobs of one workspace, for all browsers. Safe to use from several threads."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws
        self._lock = threading.RLock()
        self._about: dict[str, tuple[str, str]] = {}  # id -> stage, project
        self._ended: dict[str, JobStatus] = {}
        self._fresh: dict[str, tuple[float, JobStatus]] = {}
        self._logs: dict[str, _Log] = {}

    def latest(self, stage: str, project: str = "") -> JobStatus | None:
        """Return the newest job of that stage and, where one is given, that project, running or ended."""
        with self._lock:
            for job in self._ids():
                if self._stage_and_project(job)[0] != stage:
                    continue
                if project in ("", self._stage_and_project(job)[1]):
                    return self.status(job)
        return None

    def running(self) -> JobStatus | None:
        """Return the job that runs in this workspace, if one does."""
        with self._lock:
            try:
                job = (self._ws.jobs / "current").read_text(encoding="utf-8").strip()
            except OSError:
                return None
            status = self.status(job)
        return status if status and status.running else None

    def status(self, job: str) -> JobStatus | None:
        """Return the job's status, at most `FRESH` seconds old; None where it has been forgotten."""
        with self._lock:
            if job in self._ended:
                return self._ended[job]
            read_at, status = self._fresh.get(job, (0.0, None))
            if status and time.monotonic() - read_at < FRESH:
                return status
            try:
                status = read_job(self._ws, job)
            except (JobError, WorkspaceError, KeyError):
                return None
            if status.state == "died" and self._is_being_started(status):
                status = dataclasses.replace(status, state="running", error="", message="Starting")
            if status.running:
                status = dataclasses.replace(status, seconds_left=self._seconds_left(status))
                self._fresh[job] = (time.monotonic(), status)
            else:
                self._ended[job] = status
                self._fresh.pop(job, None)
            return status

    def _seconds_left(self, status: JobStatus) -> Seconds | None:
        """Estimate from the pace since the first fraction: preparing, and what an earlier job did, don't count."""
        begun = self._read_log(status.id).begun
        if begun is None or status.fraction is None or status.fraction <= begun[1]:
            return None
        elapsed = status.started + status.seconds - begun[0]
        return max(0.0, elapsed * (1 - status.fraction) / (status.fraction - begun[1]))

    def _is_being_started(self, status: JobStatus) -> bool:
        """Whether the job has no process because it is just getting one."""
        known = (self._ws.jobs / status.id / "process.json").is_file()
        return not known and time.time() - status.started < SETTLED

    def log(self, job: str, kinds: tuple[str, ...] | None = None) -> str:
        """Return the last lines of the job's log, of the given kinds or of all."""
        with self._lock:
            lines = list(self._read_log(job).lines)
        shown = [line for kind, line in lines if kinds is None or kind in kinds]
        return "\n".join(shown[-SHOWN_LINES:])

    def log_count(self, job: str) -> int:
        """Return how many lines the job's log has by now: what tells whether there is something new."""
        with self._lock:
            return self._read_log(job).count

    def _ids(self) -> list[str]:
        """Return the jobs there are, newest first, and forget what is gone."""
        if not self._ws.jobs.is_dir():
            return []
        there = sorted((path.name for path in self._ws.jobs.glob("*-*")), reverse=True)
        caches: tuple[dict[str, Any], ...] = (self._about, self._ended, self._fresh, self._logs)
        for known in caches:
            for job in known.keys() - set(there):
                del known[job]
        return there

    def _stage_and_project(self, job: str) -> tuple[str, str]:
        if job not in self._about:
            request = _read_request(self._ws.jobs / job / "request.json")
            if not request:
                return "", ""  # being made just now
            self._about[job] = (request["stage"], request["options"].get("project", ""))
        return self._about[job]

    def _read_log(self, job: str) -> _Log:
        log = self._logs.setdefault(job, _Log())
        events, log.offset = read_events(self._ws, job, log.offset)
        for event in events:
            if event["type"] == "log":
                clock = time.strftime("%H:%M:%S", time.localtime(event["t"]))
                log.lines.append((event["kind"], f"{clock}  {event['message']}"))
                log.count += 1
            elif event["type"] == "progress" and event["fraction"] is not None and log.begun is None:
                log.begun = (event["t"], event["fraction"])
        return log


def _read_request(path: Path) -> dict[str, Any]:
    try:
        return dict(read_json(path, {}))
    except WorkspaceError:
        return {}

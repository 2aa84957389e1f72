"""What the page knows of training runs, read from disk and kept: only what is new is read again."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from pathlib import Path

from pipeline.records import Run, Seconds
from pipeline.training.metrics import Metrics, MetricsReader
from pipeline.training.runs import list_runs
from pipeline.workspace import Workspace

REDRAWN_EVERY: Seconds = 2.0  # figures of a growing run; more often than that nobody reads them
KEPT_READERS = 4  # runs whose figures stay in memory, about a megabyte each
TAIL_BYTES = 20_000  # of a log


class RunBook:
    """Runs of one workspace, for all browsers. Safe to use from several threads."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws
        self._lock = threading.RLock()
        self._readers: OrderedDict[Path, MetricsReader] = OrderedDict()
        self._versions: dict[Path, tuple[float, tuple[int, int]]] = {}

    def find(self, project: str, name: str = "") -> Run | None:
        """Return the project's run of that name, or its newest; None where there is none."""
        runs = list_runs(self._ws, project) if project else []
        return next((run for run in runs if name in ("", run.name)), None)

    def version(self, file: Path) -> tuple[int, int]:
        """Return what changes when the file has grown, but no more often than `REDRAWN_EVERY`."""
        with self._lock:
            looked_at, version = self._versions.get(file, (0.0, (0, 0)))
            now = time.monotonic()
            if now - looked_at < REDRAWN_EVERY:
                return version
            try:
                found = file.stat()
                current = (found.st_mtime_ns, found.st_size)
            except OSError:
                current = (0, 0)
            self._versions[file] = (now if current != version else looked_at, current)
            return current

    def metrics(self, file: Path) -> Metrics:
        """Return the figures of a metrics.jsonl as they are now. Raises WorkspaceError."""
        with self._lock:
            reader = self._readers.setdefault(file, MetricsReader(file))
            self._readers.move_to_end(file)
            if len(self._readers) > KEPT_READERS:
                self._readers.popitem(last=False)
            return reader.read()


def tail(file: Path) -> str:
    """Return the last lines of a text file; empty where there is none."""
    try:
        with file.open("rb") as log:
            log.seek(max(0, file.stat().st_size - TAIL_BYTES))
            whole = log.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    return whole if len(whole) < TAIL_BYTES else whole.partition("\n")[2]

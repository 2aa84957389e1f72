"""The figures of a run, a line each in metrics.jsonl: written by the training, read by the page while it grows.

A step's line holds `step, epoch, loss, loss_text_ce, loss_mel_ce, lr, grad_norm, step_time, loader_time` (seconds) and
`vram` (bytes, where there is a GPU); an evaluation's line `step, epoch, eval_loss, eval_loss_text_ce,
eval_loss_mel_ce, train_loss, best`. Steps and epochs count from 1. A value that is not a number is written as null, and
`not_finite` says which it was (`{"loss": "nan"}`): never as 0.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import WorkspaceError
from ..records import Seconds

FloatArray = NDArray[np.float64]

SERIES = ("loss", "loss_text_ce", "loss_mel_ce", "lr", "grad_norm", "step_time", "loader_time", "vram")
MAX_BUCKETS = 1024  # at most; more than a screen has columns for
CHUNK = 1 << 20  # bytes read at once: memory stays flat however long the file is
REMEMBERED_FAULTS = 100


@dataclass(frozen=True)
class StepPoint:
    """One optimizer step. Losses may be NaN or infinite."""

    step: int
    epoch: int
    loss: float
    loss_text_ce: float
    loss_mel_ce: float
    lr: float
    grad_norm: float  # before clipping
    step_time: Seconds
    loader_time: Seconds  # of it, spent waiting for data
    vram: int | None = None  # bytes, the most since the step before


@dataclass(frozen=True)
class EvaluationPoint:
    """One evaluation, after an epoch."""

    step: int
    epoch: int
    eval_loss: float
    eval_loss_text_ce: float
    eval_loss_mel_ce: float
    train_loss: float  # the epoch's mean
    best: bool = False  # the lowest evaluation loss so far


def to_line(point: StepPoint | EvaluationPoint) -> str:
    """Return the point as a line of strict JSON, without its end."""
    values = {name: value for name, value in dataclasses.asdict(point).items() if value is not None}
    broken = {name: str(value) for name, value in values.items() if not math.isfinite(value)}
    if broken:
        values = {**values, **dict.fromkeys(broken), "not_finite": broken}
    return json.dumps(values, allow_nan=False)


class MetricsWriter:
    """Appends points to a run's metrics.jsonl. Every line is handed to the system at once: a killed run loses none.

    Raises WorkspaceError where the file can't be written or the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab")
            self._cut(self._end_of_line(path.stat().st_size))  # a killed run may have left half a line
        except OSError as fault:
            raise self._error(fault) from fault

    @property
    def offset(self) -> int:
        """Bytes written so far: keep it in a checkpoint, and give it to `truncate` when going on from there."""
        return self._file.tell()

    def write(self, point: StepPoint | EvaluationPoint) -> None:
        try:
            self._file.write(to_line(point).encode() + b"\n")
            self._file.flush()
        except OSError as fault:
            raise self._error(fault) from fault

    def truncate(self, offset: int) -> None:
        """Forget what was written after byte `offset`: the steps that a continued run will take again."""
        try:
            self._cut(self._end_of_line(min(offset, self.offset)))
        except OSError as fault:
            raise self._error(fault) from fault

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> MetricsWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _cut(self, size: int) -> None:
        self._file.truncate(size)
        self._file.seek(size)

    def _end_of_line(self, offset: int) -> int:
        """Return the end of the last whole line within the first `offset` bytes."""
        with self._path.open("rb") as file:
            while offset > 0:
                start = max(0, offset - 4096)
                file.seek(start)
                found = file.read(offset - start).rfind(b"\n")
                if found >= 0:
                    return start + found + 1
                offset = start
        return 0

    def _error(self, fault: OSError) -> WorkspaceError:
        return WorkspaceError(f"“{self._path}” can't be written: {fault.strerror or fault}.")


@dataclass(frozen=True, eq=False)
class Band:
    """One series, downsampled: of each bucket of steps the mean, the lowest and the highest value; NaN where none."""

    mean: FloatArray
    low: FloatArray
    high: FloatArray

    @property
    def empty(self) -> bool:
        return bool(np.isnan(self.mean).all())


@dataclass(frozen=True)
class Fault:
    """A step with values that are no numbers."""

    step: int
    values: dict[str, str]  # which, and what they were: nan, inf, -inf


@dataclass(frozen=True, eq=False)
class Metrics:
    """All that is known of a run's figures at one moment. The same object is given again while nothing has changed."""

    step: NDArray[np.int32]  # shape (buckets,): the last step in each bucket
    series: dict[str, Band]  # by the names of SERIES
    evaluations: tuple[EvaluationPoint, ...]
    epoch_losses: dict[int, float]  # the mean training loss of each epoch so far, the running one included
    last: StepPoint | None
    steps: int  # lines of steps read
    steps_per_bucket: int
    faults: tuple[Fault, ...]  # the first REMEMBERED_FAULTS

    @property
    def empty(self) -> bool:
        return self.steps == 0 and not self.evaluations


class _Buckets:
    """Steps in at most MAX_BUCKETS buckets of 1, 2, 4 … steps each. When they are full, neighbours are merged."""

    def __init__(self) -> None:
        shape = (MAX_BUCKETS, len(SERIES))
        self.points = 0
        self.size = 1
        self.last_step = np.zeros(MAX_BUCKETS)
        self.sum = np.zeros(shape)
        self.count = np.zeros(shape)
        self.low = np.full(shape, np.nan)
        self.high = np.full(shape, np.nan)

    @property
    def used(self) -> int:
        return -(-self.points // self.size)

    def add(self, steps: FloatArray, values: FloatArray) -> None:
        """Add points in their order: `steps` of shape (points,), `values` (points, series) with NaN for no value."""
        while self.points + len(steps) > MAX_BUCKETS * self.size:
            self._merge()
        place = (self.points + np.arange(len(steps))) // self.size
        starts = np.flatnonzero(np.diff(place, prepend=-1))
        into = place[starts]
        there = ~np.isnan(values)
        self.sum[into] += np.add.reduceat(np.where(there, values, 0.0), starts)
        self.count[into] += np.add.reduceat(there.astype(float), starts)
        self.low[into] = np.fmin(self.low[into], np.fmin.reduceat(values, starts))
        self.high[into] = np.fmax(self.high[into], np.fmax.reduceat(values, starts))
        self.last_step[into] = np.maximum.reduceat(steps, starts)
        self.points += len(steps)

    def _merge(self) -> None:
        half = MAX_BUCKETS // 2
        self.size *= 2
        for name, join, empty in (
            ("sum", np.add, 0.0),
            ("count", np.add, 0.0),
            ("low", np.fmin, np.nan),
            ("high", np.fmax, np.nan),
            ("last_step", np.maximum, 0.0),
        ):
            old = getattr(self, name)
            new = np.full_like(old, empty)
            new[:half] = join(old[0::2], old[1::2])
            setattr(self, name, new)

    def band(self, name: str) -> Band:
        column, used = SERIES.index(name), self.used
        count = self.count[:used, column]
        mean = np.divide(self.sum[:used, column], count, out=np.full(used, np.nan), where=count > 0)
        return Band(mean, self.low[:used, column].copy(), self.high[:used, column].copy())


class MetricsReader:
    """Reads a metrics.jsonl while it grows, only what is new each time, into a picture of bounded size.

    A half-written last line is left for the next time. A file that was cut (a run continued from an earlier step) or
    replaced is noticed and read anew.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._forget()

    def _forget(self) -> None:
        self._offset = 0
        self._tail = b""  # the last bytes read: another run's file holds others in that place
        self._buckets = _Buckets()
        self._evaluations: list[EvaluationPoint] = []
        self._epochs: dict[int, tuple[float, int]] = {}
        self._faults: list[Fault] = []
        self._last: StepPoint | None = None
        self._snapshot: Metrics | None = None

    def read(self) -> Metrics:
        """Return the figures as they are now; of a file that isn't there yet, none. Raises WorkspaceError."""
        try:
            with self._path.open("rb") as file:
                if not self._same(file):
                    self._forget()
                file.seek(self._offset)
                rest = b""
                while block := file.read(CHUNK):
                    whole, _, rest = (rest + block).rpartition(b"\n")
                    if whole:
                        self._take(whole + b"\n")
        except FileNotFoundError:
            self._forget()
        except OSError as fault:
            raise WorkspaceError(f"“{self._path}” can't be read: {fault.strerror or fault}.") from fault
        if self._snapshot is None:
            self._snapshot = self._picture()
        return self._snapshot

    def _same(self, file: Any) -> bool:
        """Whether the file still holds, where reading ended, what it held then."""
        file.seek(max(0, self._offset - len(self._tail)))
        return bool(file.read(len(self._tail)) == self._tail)

    def _take(self, lines: bytes) -> None:
        self._offset += len(lines)
        self._tail = lines[-256:]
        self._snapshot = None
        rows = _parse(lines)
        steps = [row for row in rows if "loss" in row and "lr" in row]
        self._evaluations += [_point(EvaluationPoint, row) for row in rows if "eval_loss" in row]
        for row in rows:
            if "not_finite" in row and len(self._faults) < REMEMBERED_FAULTS:
                self._faults.append(Fault(row["step"], row["not_finite"]))
        if not steps:
            return
        self._last = _point(StepPoint, steps[-1])
        values = np.array([[row.get(name) for name in SERIES] for row in steps], dtype=float)  # None becomes NaN
        self._buckets.add(np.array([row["step"] for row in steps], dtype=float), values)
        epochs = np.array([row["epoch"] for row in steps])
        for epoch in np.unique(epochs).tolist():
            losses = values[epochs == epoch, 0]
            losses = losses[~np.isnan(losses)]
            total, count = self._epochs.get(epoch, (0.0, 0))
            self._epochs[epoch] = (total + float(losses.sum()), count + len(losses))

    def _picture(self) -> Metrics:
        buckets = self._buckets
        return Metrics(
            step=buckets.last_step[: buckets.used].astype(np.int32),
            series={name: buckets.band(name) for name in SERIES},
            evaluations=tuple(self._evaluations),
            epoch_losses={epoch: total / count for epoch, (total, count) in self._epochs.items() if count},
            last=self._last,
            steps=buckets.points,
            steps_per_bucket=buckets.size,
            faults=tuple(self._faults),
        )


def _parse(lines: bytes) -> list[dict[str, Any]]:
    """Return the rows of whole lines. Lines that are no JSON objects (a disk that was full) are left out."""
    try:
        rows = json.loads(b"[" + b",".join(line for line in lines.splitlines() if line) + b"]")  # four times as fast
    except ValueError:
        rows = [row for line in lines.splitlines() for row in _parse_line(line)]
    return [row for row in rows if isinstance(row, dict) and "step" in row and "epoch" in row]


def _parse_line(line: bytes) -> list[Any]:
    try:
        return [json.loads(line)]
    except ValueError:
        return []


def _point(kind: type[Any], row: dict[str, Any]) -> Any:
    """Return the row as a point: what was not finite is so again, what isn't there is NaN or the field's default."""
    broken = row.get("not_finite", {})
    known = {}
    for field in dataclasses.fields(kind):
        value = float(broken[field.name]) if field.name in broken else row.get(field.name)
        if value is not None:
            known[field.name] = value
        elif field.default is dataclasses.MISSING:
            known[field.name] = math.nan
    return kind(**known)

"""What a run tells: metrics.jsonl, TensorBoard files, and trainer_0_log.txt with the lines AllTalk's users know."""

from __future__ import annotations

import time
from pathlib import Path

from ..progress import Progress
from ..records import Seconds
from .checkpoints import Standing
from .metrics import EvaluationPoint, MetricsWriter, StepPoint
from .runs import RunFiles
from .tensorboard import TensorBoardWriter
from .verdict import Verdict


class RunLog:
    """Writes each figure and sentence of a run to where they are looked for."""

    def __init__(self, files: RunFiles, progress: Progress, metrics_bytes: int, step: int) -> None:
        """`metrics_bytes` and `step` are where a continued run stands: what lies beyond is forgotten."""
        self._progress = progress
        self._metrics = MetricsWriter(files.metrics)
        self._metrics.truncate(metrics_bytes)
        self._tensorboard = TensorBoardWriter(files.folder, purge_step=step + 1 if step else None)
        self._file: Path = files.log

    @property
    def metrics_bytes(self) -> int:
        return self._metrics.offset

    def close(self) -> None:
        self._metrics.close()
        self._tensorboard.close()

    def write(self, sentence: str, *, on_screen: bool = True) -> None:
        """Add a line to the log file, and to the job's log."""
        with self._file.open("a", encoding="utf-8") as file:
            file.write(f"{sentence}\n")
        if on_screen:
            self._progress.log(sentence.strip(), kind="Model Operations")

    def warn(self, sentence: str, standing: Standing) -> None:
        """Say what a person must know, now and in the report."""
        standing.warnings.append(sentence)
        self.write(f"Warning: {sentence}")

    def point(self, point: StepPoint | EvaluationPoint) -> None:
        """Add figures to metrics.jsonl and TensorBoard."""
        self._metrics.write(point)
        self._tensorboard.write(point)

    def epoch_begins(self, epoch: int, epochs: int) -> None:
        self.write(f"\n > EPOCH: {epoch}/{epochs}   ({time.strftime('%Y-%m-%d %H:%M:%S')})")

    def step(self, point: StepPoint, number: int, steps: int) -> None:
        self.write(
            f"   --> STEP: {number}/{steps} -- GLOBAL_STEP: {point.step}"
            f" | loss_text_ce: {point.loss_text_ce:.5f} | loss_mel_ce: {point.loss_mel_ce:.5f}"
            f" | loss: {point.loss:.5f} | grad_norm: {point.grad_norm:.4f} | current_lr: {point.lr:.3g}"
            f" | step_time: {point.step_time:.4f} | loader_time: {point.loader_time:.4f}",
            on_screen=False,
        )

    def epoch_ends(self, point: EvaluationPoint, verdict: Verdict, best_model: str) -> None:
        self.write(
            f"  --> EVAL PERFORMANCE | avg_loss_text_ce: {point.eval_loss_text_ce:.5f}"
            f" | avg_loss_mel_ce: {point.eval_loss_mel_ce:.5f} | avg_loss: {point.eval_loss:.5f}"
            f" | training avg_loss: {point.train_loss:.5f}"
        )
        if point.best:
            self.write(f" > BEST MODEL : {best_model} (epoch {point.epoch}, evaluation loss {point.eval_loss:.5f})")
        self.write(f" > {verdict.sentence}")
        self._tensorboard.flush()


class Pace:
    """How fast it goes: time for the report, and an estimate of what is left."""

    def __init__(self) -> None:
        self.between_epochs: Seconds = 0.0  # that the last evaluation took, with all that follows it
        self._since = time.monotonic()
        self._step: Seconds = 0.0

    def lap(self) -> Seconds:
        """Return the seconds since the last lap."""
        now = time.monotonic()
        seconds, self._since = now - self._since, now
        return seconds

    def estimate(self, step_seconds: Seconds, steps_left: int, epochs_left: int) -> Seconds:
        """Return what so many steps and epochs' ends will take, from a running mean of the steps before."""
        self._step = 0.9 * self._step + 0.1 * step_seconds if self._step else step_seconds
        return self._step * steps_left + self.between_epochs * epochs_left


def in_words(seconds: Seconds) -> str:
    """Return a length of time as a person says it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"

"""The same figures as metrics.jsonl, as TensorBoard event files."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

from .metrics import EvaluationPoint, StepPoint

# Where each figure is shown: TensorBoard makes a section of what stands before the slash.
STEP_TAGS = {
    "loss": "train/loss",
    "loss_text_ce": "train/loss_text_ce",
    "loss_mel_ce": "train/loss_mel_ce",
    "lr": "train/learning_rate",
    "grad_norm": "train/gradient_norm",
    "step_time": "time/step_seconds",
    "loader_time": "time/loader_seconds",
    "vram": "memory/vram_gib",
}
EVALUATION_TAGS = {
    "eval_loss": "evaluation/loss",
    "eval_loss_text_ce": "evaluation/loss_text_ce",
    "eval_loss_mel_ce": "evaluation/loss_mel_ce",
    "train_loss": "evaluation/train_loss",
}
GIB = 1 << 30


class TensorBoardWriter:
    """Writes points into event files in the run's folder. A run that goes on gets a further file there."""

    def __init__(self, folder: Path, purge_step: int | None = None) -> None:
        """`purge_step`: of a continued run its first step; TensorBoard forgets what earlier files hold from there."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder), purge_step=purge_step)

    def write(self, point: StepPoint | EvaluationPoint) -> None:
        tags = STEP_TAGS if isinstance(point, StepPoint) else EVALUATION_TAGS
        for name, value in dataclasses.asdict(point).items():
            if name in tags and value is not None and math.isfinite(value):
                self._writer.add_scalar(tags[name], value / GIB if name == "vram" else value, point.step)

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

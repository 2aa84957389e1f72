"""What a run keeps on disk: the best model, and once what is needed to go on.

best_model.pth    the weights of the best epoch, as stock Coqui loads them; nothing else
last_state.pt     the weights that are trained, the optimizer, scheduler and scaler, and the standing: place in the
                  epoch, best so far, evaluations, length of metrics.jsonl. No random states: all randomness follows
                  from the seed and the place (data.py, loop.py), so that the place is enough.

Both are written beside and renamed: the old one goes when the new one is whole.
"""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ..errors import TrainingError
from ..weights import write_tensors
from ..workspace import size_of, write_json
from .metrics import EvaluationPoint
from .runs import RunFiles

FORMAT = 1
GIB = 1 << 30
# Tensors of a parameter's size that the optimizer keeps for it; two unless said here.
_OPTIMIZER_TENSORS = {"SGD with Momentum": 1, "RMSprop": 1, "Adagrad": 1}
_RESERVE = 64 << 20  # bytes left for logs, samples and the system


@dataclass
class EpochSums:
    """Cross-entropies and tokens of an epoch so far, for its mean loss."""

    text: float = 0.0
    audio: float = 0.0
    text_tokens: int = 0
    audio_tokens: int = 0


@dataclass
class Standing:
    """Where a run is: all of it that isn't a tensor. Epochs and steps count from 1; `done` counts finished steps."""

    epoch: int = 1  # the running one
    done: int = 0  # steps finished of the running epoch
    step: int = 0  # steps finished in all
    seconds: float = 0.0  # spent training, in all sittings together
    batch_size: int = 0  # rows computed at once: halved when memory ran out
    data: str = ""  # fingerprint of the training clips
    eval_data: str = ""
    metrics_bytes: int = 0
    first: EvaluationPoint | None = None  # before any training
    best: EvaluationPoint | None = None
    evaluations: list[EvaluationPoint] = field(default_factory=list)
    sums: EpochSums = field(default_factory=EpochSums)
    stopped_early: bool = False
    warnings: list[str] = field(default_factory=list)

    @property
    def epochs(self) -> int:
        """Finished epochs."""
        return self.epoch - 1


def save_last(files: RunFiles, standing: Standing, tensors: dict[str, Any]) -> None:
    """Save what is needed to go on, whole or not at all. Raises WorkspaceError where the disk is full."""
    write_tensors(files.last_state, {"format": FORMAT, "standing": dataclasses.asdict(standing), **tensors})
    best = standing.best
    write_json(
        files.standing,
        {
            "epochs": standing.epochs,
            "step": standing.step,
            "seconds": round(standing.seconds, 1),
            "best_epoch": best.epoch if best else 0,
            "best_loss": best.eval_loss if best else None,
        },
    )


def load_last(files: RunFiles) -> tuple[Standing, dict[str, Any]] | None:
    """Return the saved standing and tensors, or None where nothing was saved yet. Raises TrainingError."""
    if not files.last_state.is_file():
        return None
    try:
        saved = torch.load(files.last_state, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, ValueError) as fault:
        raise TrainingError(
            f"“{files.last_state}” is broken, so run “{files.folder.name}” can't go on: start a new one, from its "
            "exported best model if you like."
        ) from fault
    if saved.pop("format", None) != FORMAT:
        raise TrainingError(f"“{files.last_state}” was written by another version of this program: start a new run.")
    return _to_standing(saved.pop("standing")), saved


def _to_standing(data: dict[str, Any]) -> Standing:
    def point(values: dict[str, Any] | None) -> EvaluationPoint | None:
        return EvaluationPoint(**values) if values else None

    return Standing(
        **{
            **data,
            "first": point(data["first"]),
            "best": point(data["best"]),
            "evaluations": [EvaluationPoint(**values) for values in data["evaluations"]],
            "sums": EpochSums(**data["sums"]),
        }
    )


# ---- Disk space ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SpaceNeeded:
    """Bytes that a run's checkpoints take."""

    best: int
    last: int

    @property
    def kept(self) -> int:
        """When the run has ended."""
        return self.best + self.last

    @property
    def peak(self) -> int:
        """While a file is written beside the one it replaces."""
        return self.kept + max(self.best, self.last)


def space_needed(model: nn.Module, optimizer: str) -> SpaceNeeded:
    """Return what the checkpoints of that model (an Xtts) with that optimizer will take."""
    everything = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    trained = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    return SpaceNeeded(best=everything, last=trained * (1 + _OPTIMIZER_TENSORS.get(optimizer, 2)))


def check_space(files: RunFiles, needed: SpaceNeeded) -> str:
    """Return a sentence on needed and free space. Raises TrainingError where it isn't enough."""
    there = size_of(files.best_model) + size_of(files.last_state)
    free = shutil.disk_usage(files.folder).free
    missing = needed.peak - there + _RESERVE - free
    if missing > 0:
        raise TrainingError(
            f"The disk is too full: the checkpoints need {needed.peak / GIB:.1f} GiB while they are written, and "
            f"{free / GIB:.1f} GiB are free in {files.folder}. "
            f"Free {missing / GIB:.1f} GiB or choose another workspace."
        )
    return (
        f"The checkpoints take {needed.kept / GIB:.2f} GiB ({needed.peak / GIB:.2f} GiB while they are written); "
        f"{free / GIB:.1f} GiB are free."
    )


def used_space(files: RunFiles) -> int:
    """Return the bytes that the run's checkpoints take now."""
    return size_of(files.best_model) + size_of(files.last_state)

"""What a run keeps on disk: the best model, and once what is needed to go on.

best_model.pth    the weights of the best epoch, as stock Coqui loads them; nothing else
last_state.pt     the weights that are trained, the optimizer, scheduler and scaler, and the standing: place in the
                  epoch, best so far, evaluations, length of metrics.jsonl. No random states: all randomness follows
                  from the seed and the place (data.py, loop.py), so that the place is enough.

Both are written beside and renamed: the old one goes when the new one is whole. They are written together, the best
first: what last_state.pt says of the best model is then true of the file, and a run that is killed in between makes
the same best model again. At full size they are gigabytes, so they are written only as often as little time goes into
it; until then the best weights wait in memory.
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..errors import TrainingError
from ..records import Seconds
from ..weights import write_tensors
from ..workspace import size_of, write_json
from .audit import TrainClip
from .lora import merged_state
from .metrics import EvaluationPoint
from .model import save_voice
from .objective import audio_targets, text_targets
from .optim import Scheduler
from .runs import RunFiles

if TYPE_CHECKING:
    from TTS.tts.models.xtts import Xtts

FORMAT = 1
GIB = 1 << 30

SAVE_EVERY: Seconds = 60.0  # within an epoch no save follows another sooner
SAVE_SHARE = 20  # nor, ever, sooner than so many times as long as saving takes: a twentieth of the time at most
# Tensors of a parameter's size that the optimizer keeps for it; two unless said here.
_OPTIMIZER_TENSORS = {"SGD with Momentum": 1, "RMSprop": 1, "Adagrad": 1}
_RESERVE = 64 << 20  # bytes left for logs, samples and the system


@dataclass(frozen=True)
class Tokens:
    """How many text and audio tokens some clips ask the model to predict: what their losses are means over."""

    text: int
    audio: int

    @classmethod
    def of(cls, clips: Sequence[TrainClip]) -> Tokens:
        text = sum(text_targets(len(clip.tokens)) for clip in clips)
        return cls(text, sum(audio_targets(clip.codes) for clip in clips))


@dataclass
class EpochSums:
    """Cross-entropies and tokens of an epoch so far, for its mean loss."""

    text: float = 0.0
    audio: float = 0.0
    text_tokens: int = 0
    audio_tokens: int = 0

    def add(self, text: float, audio: float, tokens: Tokens) -> None:
        self.text += text
        self.audio += audio
        self.text_tokens += tokens.text
        self.audio_tokens += tokens.audio

    @property
    def tokens(self) -> Tokens:
        return Tokens(self.text_tokens, self.audio_tokens)


@dataclass
class Standing:
    """Where a run is: all of it that isn't a tensor. Epochs and steps count from 1; `done` counts finished steps."""

    epoch: int = 1  # the running one
    done: int = 0  # steps finished of the running epoch
    step: int = 0  # steps finished in all
    seconds: Seconds = 0.0  # spent training, in all sittings together
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


@dataclass(frozen=True, eq=False)
class Trained:
    """What changes while training, and so has to be saved."""

    xtts: Xtts
    parameters: dict[str, nn.Parameter]  # of the GPT, those that take gradients
    optimizer: Any  # torch's or Accelerate's
    scheduler: Scheduler
    scaler: Any  # torch's GradScaler, or None


class Keeper:
    """Writes a run's checkpoints, and knows when it is time to."""

    def __init__(self, files: RunFiles, trained: Trained) -> None:
        self._files = files
        self._trained = trained
        self._best: dict[str, Tensor] | None = None  # waiting to be written
        self._saved_at = time.monotonic()
        self._took: Seconds = 0.0

    def remember_best(self) -> None:
        """Take the weights of this moment as the best; `save` writes them."""
        state = merged_state(self._trained.xtts.gpt)
        self._best = {name: tensor.detach().to("cpu", copy=True) for name, tensor in state.items()}

    def is_due(self, *, within_epoch: bool) -> bool:
        least = max(SAVE_EVERY if within_epoch else 0.0, SAVE_SHARE * self._took)
        return time.monotonic() - self._saved_at > least

    def weights_are_finite(self) -> bool:
        """Whether the weights may be saved: a state with NaN in it must not take the place of a good one."""
        finite = [parameter.detach().isfinite().all() for parameter in self._trained.parameters.values()]
        return bool(torch.stack(finite).all())

    def save(self, standing: Standing) -> None:
        """Write the best weights that wait, and all that is needed to go on. Raises WorkspaceError."""
        started = time.monotonic()
        if self._best is not None:
            save_voice(self._files.best_model, self._trained.xtts, self._best, self._files.config)
            self._best = None
        save_last(self._files, standing, self._tensors())
        self._saved_at = time.monotonic()
        self._took = self._saved_at - started

    def _tensors(self) -> dict[str, Any]:
        trained = self._trained
        return {
            "weights": {name: parameter.detach().cpu() for name, parameter in trained.parameters.items()},
            "optimizer": trained.optimizer.state_dict(),
            "scheduler": trained.scheduler.state_dict(),
            "scaler": trained.scaler.state_dict() if trained.scaler is not None else None,
        }

    def restore(self, tensors: dict[str, Any]) -> None:
        """Put saved tensors back into what is trained."""
        trained = self._trained
        with torch.no_grad():
            for name, parameter in trained.parameters.items():
                parameter.copy_(tensors["weights"][name])
        trained.optimizer.load_state_dict(tensors["optimizer"])
        trained.scheduler.load_state_dict(tensors["scheduler"])
        if trained.scaler is not None and tensors["scaler"] is not None:
            trained.scaler.load_state_dict(tensors["scaler"])


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
            "first_loss": standing.first.eval_loss if standing.first else None,
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
    everything, trained = _bytes_of(model)
    return SpaceNeeded(best=everything, last=trained * (1 + _OPTIMIZER_TENSORS.get(optimizer, 2)))


def memory_needed(model: nn.Module, optimizer: str) -> int:
    """Return the bytes of weights, gradients and optimizer on the device. What a batch needs comes on top."""
    everything, trained = _bytes_of(model)
    return everything + trained * (1 + _OPTIMIZER_TENSORS.get(optimizer, 2))


def _bytes_of(model: nn.Module) -> tuple[int, int]:
    """Return the bytes of all the model's tensors, and of those that are trained."""
    everything = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    return everything, sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)


def check_space(folder: Path, needed: SpaceNeeded, used: int = 0) -> str:
    """Return a sentence on needed and free space; `used` is what the run takes already.

    Raises TrainingError where it isn't enough.
    """
    free = shutil.disk_usage(folder).free
    missing = needed.peak - used + _RESERVE - free
    if missing > 0:
        raise TrainingError(
            f"The disk is too full: the checkpoints need {needed.peak / GIB:.1f} GiB while they are written, and "
            f"{free / GIB:.1f} GiB are free in {folder}. "
            f"Free {missing / GIB:.1f} GiB or choose another workspace."
        )
    return (
        f"The checkpoints will take {needed.kept / GIB:.2f} GiB ({needed.peak / GIB:.2f} GiB while they are written); "
        f"{free / GIB:.1f} GiB are free."
    )


def used_space(files: RunFiles) -> int:
    """Return the bytes that the run's checkpoints take now."""
    return size_of(files.best_model) + size_of(files.last_state)

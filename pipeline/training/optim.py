"""Optimizers and the scheduler of their learning rate, by the names on the screen."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import nn

from ..errors import SettingError, TrainingError
from ..options import OPTIMIZERS
from .schedule import StepPlan, rate_factor

# Only optimizers that keep the decay out of the gradient use it. Added to the gradient (Adam, RMSprop, Adagrad, SGD) it
# is divided by the gradient's own size, and where gradients are small, as in fine-tuning, it would outweigh them.
DECAYING = ("AdamW", "Rectified Adam", "Step Wise", "Noam")

PLATEAU_PATIENCE = 2  # evaluations that aren't better, before the rate is lowered
PLATEAU_BETTER = 1e-3  # relative: less counts as no better
PLATEAU_DROP = 0.5
PLATEAU_FLOOR = 0.01

_BUILDERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "AdamW": torch.optim.AdamW,
    "SGD with Momentum": lambda groups, **kw: torch.optim.SGD(groups, momentum=0.9, nesterov=True, **kw),
    # 0.9 as in Hinton's lecture: without bias correction the first steps, and those of rare rows of an embedding, are
    # 1 / sqrt(1 - alpha) times the rate: 3 times, where torch's 0.99 would make it 10.
    "RMSprop": lambda groups, **kw: torch.optim.RMSprop(groups, alpha=0.9, **kw),
    "Adagrad": torch.optim.Adagrad,
    "Adam": torch.optim.Adam,
    "Rectified Adam": lambda groups, **kw: torch.optim.RAdam(groups, decoupled_weight_decay=True, **kw),
    "Step Wise": torch.optim.AdamW,
    # Betas and epsilon of "Attention Is All You Need" (2017), section 5.3, which the Noam rate comes from.
    "Noam": lambda groups, **kw: torch.optim.AdamW(groups, betas=(0.9, 0.98), eps=1e-9, **kw),
}

Parameters: TypeAlias = nn.Module | Iterable[torch.Tensor] | Iterable[dict[str, Any]]


def build_optimizer(
    name: str, parameters: Parameters, learning_rate: float, weight_decay: float = 0.0
) -> torch.optim.Optimizer:
    """Return the optimizer of that name. Raises SettingError for an unknown name, TrainingError for nothing to train.

    Of a module the parameters that need gradients are taken, grouped by `group_parameters`. All groups have the one
    rate. "Step Wise" and "Noam" are AdamW; their rate is the schedule that `schedule.effective_schedule` names.
    """
    if name not in _BUILDERS:
        raise SettingError(f"The optimizer “{name}” isn't known: choose one of {', '.join(OPTIMIZERS)}.")
    decay = weight_decay if name in DECAYING else 0.0
    groups = group_parameters(parameters, decay) if isinstance(parameters, nn.Module) else list(parameters)
    if not groups:
        raise TrainingError("There is nothing to train: no parameter of the model takes a gradient.")
    return _BUILDERS[name](groups, lr=learning_rate, weight_decay=decay)


def group_parameters(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return the parameters that need gradients in two groups: matrices decay; biases, norms and embeddings don't.

    The order is the module's own, so that an optimizer's state fits again when a run is continued.
    """
    embeddings = {
        id(parameter)
        for part in module.modules()
        if isinstance(part, (nn.Embedding, nn.EmbeddingBag))
        for parameter in part.parameters(recurse=False)
    }
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    for parameter in module.parameters():
        if parameter.requires_grad:
            (spared if parameter.ndim < 2 or id(parameter) in embeddings else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": spared, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


@dataclass
class _Plateau:
    """Where Reduce on Plateau stands."""

    best: float = math.inf
    waited: int = 0  # evaluations since the best
    share: float = 1.0

    def evaluated(self, loss: float) -> None:
        if loss < self.best * (1.0 - PLATEAU_BETTER):
            self.best, self.waited = loss, 0
            return
        self.waited += 1
        if self.waited >= PLATEAU_PATIENCE:
            self.waited = 0
            self.share = max(self.share * PLATEAU_DROP, PLATEAU_FLOOR)


class Scheduler:
    """Sets the optimizer's rate for the step that comes next. `build_scheduler` makes one.

    The rate is a function of the number of steps taken, computed afresh each time, so nothing adds up and a run that
    is continued has exactly the rates it would have had. A run that is continued with other epochs is planned anew
    over all of them: the steps already taken keep their place, and the curve goes on from where the new plan is there
    (a cosine at its end rises again to the middle when the epochs are doubled).
    """

    def __init__(self, name: str, optimizer: torch.optim.Optimizer, plan: StepPlan) -> None:
        self.name = name
        self.plan = plan
        self.steps = 0
        self._optimizer = optimizer
        self._plateau = _Plateau()
        self._apply()

    @property
    def learning_rate(self) -> float:
        """The rate that the next step is taken with."""
        # The optimizer's defaults hold what was asked for; its groups would bring back the old rate of a loaded state.
        rate: float = self._optimizer.defaults["lr"]
        return rate * rate_factor(self.name, self.steps, self.plan) * self._plateau.share

    def step(self) -> None:
        """Count a step of the optimizer. Call it once after each."""
        self.steps += 1
        self._apply()

    def epoch(self, eval_loss: float) -> None:
        """Tell the loss of an evaluation. Reduce on Plateau acts on it, the others don't."""
        if self.name == "Reduce on Plateau":
            self._plateau.evaluated(eval_loss)
            self._apply()

    def replan(self, plan: StepPlan) -> None:
        """Take another plan in the middle of a run. The place in it is kept, by epochs where a step is now another."""
        if plan.steps_per_epoch != self.plan.steps_per_epoch:
            self.steps = round(self.steps * plan.steps_per_epoch / self.plan.steps_per_epoch)
        self.plan = plan
        self._apply()

    def state_dict(self) -> dict[str, Any]:
        return {
            "steps": self.steps,
            "steps_per_epoch": self.plan.steps_per_epoch,
            "plateau": {"best": self._plateau.best, "waited": self._plateau.waited, "share": self._plateau.share},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state, by this scheduler's name, plan and rate. Load the optimizer's state before."""
        plan = self.plan
        self.plan = StepPlan(plan.total_steps, state["steps_per_epoch"])
        self.steps = state["steps"]
        self._plateau = _Plateau(**state["plateau"])
        self.replan(plan)

    def _apply(self) -> None:
        rate = self.learning_rate
        for group in self._optimizer.param_groups:
            group["lr"] = rate


def build_scheduler(name: str, optimizer: torch.optim.Optimizer, plan: StepPlan) -> Scheduler:
    """Return the scheduler of that name and set the rate of the first step. Raises SettingError for an unknown name.

    For the optimizers "Step Wise" and "Noam" give the name that `schedule.effective_schedule` returns.
    """
    return Scheduler(name, optimizer, plan)

"""How the learning rate changes over a run: pure functions of the step, so that they can be drawn before it starts.

Every shape gives the share of the learning rate that was asked for. Progress runs from 0 at the first step after the
warm-up to 1 at the end of the run. All shapes start at 1 except One Cycle and Noam, which begin with a rise of their
own and so take no other warm-up.

None                            always 1
Cosine Annealing                half a cosine from 1 to 0
Cosine Annealing Warm Restarts  such half cosines one after another, each twice as long as the one before; as many as
                                let the first last an epoch (at least two), and the last ends with the run
Cyclic                          triangles between 1 and CYCLIC_TOP, four epochs each (at least two)
Exponential                     1 to EXPONENTIAL_END, the same ratio at each step
Multi Step                      times MULTI_STEP_DROP at 50, 75 and 90 % of the run
Reduce on Plateau               1 until optim.Scheduler, which sees the evaluations, lowers it
Step                            times STEP_DROP after each fifth of the run
One Cycle                       up from 1/ONE_CYCLE_START to 1 in the first 30 %, then down to 0, both half cosines
Step Wise                       1, 0.5, 0.3, 0.1, 0.05: a fifth of the run each (Coqui's StepwiseGradualLR)
Noam                            up in a line to 1, then down with the inverse square root (Coqui's NoamLR)

The last two are what the optimizers "Step Wise" and "Noam" bring with them: see `effective_schedule`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import SettingError

CYCLIC_TOP = (
    3.0  # Smith, "Cyclical Learning Rates for Training Neural Networks" (2017): the top is 3 to 4 times the base
)
CYCLIC_EPOCHS = 4
EXPONENTIAL_END = 0.1
MULTI_STEP_MARKS = (0.5, 0.75, 0.9)
MULTI_STEP_DROP = 0.3
STEP_MARKS = (0.2, 0.4, 0.6, 0.8)
STEP_DROP = 0.5
ONE_CYCLE_RISE = 0.3  # this and the next: torch.optim.lr_scheduler.OneCycleLR's defaults
ONE_CYCLE_START = 25.0
# Shares of the rate and where they begin: gradual_learning_rates of Coqui's Capacitron recipes, over the run's length.
STEP_WISE = ((0.0, 1.0), (0.2, 0.5), (0.4, 0.3), (0.6, 0.1), (0.8, 0.05))
WARMUP_SHARE = 0.1  # of all steps

# Optimizers whose names mean a rate of their own, which takes the place of whatever scheduler is chosen.
OPTIMIZERS_WITH_SCHEDULE = ("Step Wise", "Noam")
OWN_RISE = ("One Cycle", "Noam")

# What a rate means differs by optimizer. Adam and its kin move every weight by about the rate at each step: 5e-6 is
# what XTTS is usually fine-tuned with. SGD moves all weights together by the rate times the gradient's norm (clipped to
# 1) times 10 (momentum 0.9): for the 430 million weights of XTTS, which AdamW moves by up to 5e-6 * sqrt(430e6) = 0.1
# together, that takes about 5e-3. Adagrad divides by the root of the steps so far: about ten times more.
USUAL_RATE = 5e-6
USUAL_RATES = {"SGD with Momentum": 5e-3, "Adagrad": 5e-5}
LORA_TIMES = 20  # as the help of “Learning Rate” says
FAR = 30  # times more or less than usual is worth a word


@dataclass(frozen=True)
class StepPlan:
    """How many optimizer steps a run will take. All that a schedule needs to know."""

    total_steps: int
    steps_per_epoch: int
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        if min(self.total_steps, self.steps_per_epoch) < 1 or not 0 <= self.warmup_steps <= self.total_steps:
            raise SettingError(
                f"A run of {self.total_steps} steps, {self.steps_per_epoch} an epoch, {self.warmup_steps} of them "
                "warm-up, can't be planned: there must be at least one step, and no more warm-up than steps."
            )

    @property
    def epochs(self) -> float:
        return self.total_steps / self.steps_per_epoch


def plan_steps(epochs: int, steps_per_epoch: int, warmup: bool) -> StepPlan:
    """Return the plan of a whole run; with warm-up its first tenth is the ramp (at least a step)."""
    total = epochs * steps_per_epoch
    return StepPlan(total, steps_per_epoch, max(1, round(total * WARMUP_SHARE)) if warmup else 0)


def effective_schedule(optimizer: str, scheduler: str) -> str:
    """Return the name of the schedule that acts: the optimizer's own where its name means one, else the scheduler's."""
    return optimizer if optimizer in OPTIMIZERS_WITH_SCHEDULE else scheduler


def rate_advice(optimizer: str, learning_rate: float, lora: bool = False) -> str:
    """Return a sentence where the learning rate lies far from what is usual with this optimizer; else nothing."""
    usual = USUAL_RATES.get(optimizer, USUAL_RATE) * (LORA_TIMES if lora else 1)
    if usual / FAR <= learning_rate <= usual * FAR:
        return ""
    effect = "the model will hardly learn" if learning_rate < usual else "training may break the model"
    return (
        f"A learning rate of {learning_rate:g} is far from the {usual:g} usual for {optimizer}"
        f"{' with LoRA' if lora else ''}: {effect}."
    )


def rate_factor(name: str, step: int, plan: StepPlan) -> float:
    """Return the share of the learning rate at `step`, counted from 0. Raises SettingError for an unknown name.

    Beyond the plan's end it stays what it was there.
    """
    if name not in _SHAPES:
        raise SettingError(f"The learning rate scheduler “{name}” isn't known: choose one of {', '.join(_SHAPES)}.")
    warmup = 0 if name in OWN_RISE else plan.warmup_steps
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (min(step, plan.total_steps) - warmup) / max(1, plan.total_steps - warmup)
    return _SHAPES[name](progress, plan)


def _cosine(progress: float) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def _dropped(progress: float, marks: tuple[float, ...], drop: float) -> float:
    return drop ** sum(progress >= mark for mark in marks)


def _warm_restarts(progress: float, plan: StepPlan) -> float:
    cycles = max(2, int(math.log2(plan.epochs + 1)))
    # With the first cycle as the unit they begin at 0, 1, 3, 7 … and the last one ends at 2**cycles - 1.
    place = progress * (2**cycles - 1) + 1e-9  # so that rounding puts no restart a step late
    cycle = min(int(math.log2(place + 1)), cycles - 1)
    return _cosine((place - (2**cycle - 1)) / 2**cycle)


def _cyclic(progress: float, plan: StepPlan) -> float:
    cycles = max(2, round(plan.epochs / CYCLIC_EPOCHS))
    place = progress * cycles % 1.0
    return 1.0 + (CYCLIC_TOP - 1.0) * (1.0 - abs(2.0 * place - 1.0))


def _one_cycle(progress: float, plan: StepPlan) -> float:
    if progress < ONE_CYCLE_RISE:
        start = 1.0 / ONE_CYCLE_START
        return 1.0 - (1.0 - start) * _cosine(progress / ONE_CYCLE_RISE)
    return _cosine((progress - ONE_CYCLE_RISE) / (1.0 - ONE_CYCLE_RISE))


def _step_wise(progress: float, plan: StepPlan) -> float:
    return next(share for mark, share in reversed(STEP_WISE) if progress >= mark)


def _noam(progress: float, plan: StepPlan) -> float:
    """Vaswani et al., "Attention Is All You Need" (2017), eq. 3, scaled so that its top is 1."""
    warmup = plan.warmup_steps or max(1, round(plan.total_steps * WARMUP_SHARE))
    step = progress * plan.total_steps + 1
    return min(step / warmup, math.sqrt(warmup / step))


_SHAPES: dict[str, Callable[[float, StepPlan], float]] = {
    "None": lambda progress, plan: 1.0,
    "Cosine Annealing": lambda progress, plan: _cosine(progress),
    "Cosine Annealing Warm Restarts": _warm_restarts,
    "Cyclic": _cyclic,
    "Exponential": lambda progress, plan: EXPONENTIAL_END**progress,
    "Multi Step": lambda progress, plan: _dropped(progress, MULTI_STEP_MARKS, MULTI_STEP_DROP),
    "Reduce on Plateau": lambda progress, plan: 1.0,
    "Step": lambda progress, plan: _dropped(progress, STEP_MARKS, STEP_DROP),
    "One Cycle": _one_cycle,
    "Step Wise": _step_wise,
    "Noam": _noam,
}

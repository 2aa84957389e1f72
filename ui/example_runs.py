"""Made runs for the training guide: how good and bad ones look in “Training against evaluation loss”.

The curves are formulas with a little seeded noise, drawn like real ones, so that a reader finds them again.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from pipeline.options import SCHEDULERS
from pipeline.training.metrics import EvaluationPoint
from pipeline.training.schedule import StepPlan, rate_factor

from .plots import BLUE, GREEN, ORANGE, PURPLE, RED, TEXT, Axes, FloatArray, draw, train_against_eval

NOISE = 0.004  # relative: what evaluation on a dozen clips shows
SHOWN_SCHEDULES = ("Cosine Annealing", "Cosine Annealing Warm Restarts", "One Cycle")  # at first; the others on a click
Curve = Callable[[int], float]


@dataclass(frozen=True)
class ExampleRun:
    """A run as it might be, and what is to be said of it."""

    title: str
    text: str  # what to see in it, and what to do
    evaluations: tuple[EvaluationPoint, ...]

    @property
    def figure(self) -> go.Figure:
        return train_against_eval(self.evaluations).update_layout(title_text=self.title, uirevision=self.title)


def example_runs() -> tuple[ExampleRun, ...]:
    """Return the examples of the guide in its order."""
    return (
        good_run_example(),
        levelled_off_run_example(),
        overtrained_run_example(),
        rate_too_high_example(),
        rate_too_low_example(),
    )


def good_run_example() -> ExampleRun:
    return _make(
        "Good: both losses fall",
        "Training and evaluation loss fall together, fast at first and slowly later. Let it go on; more epochs will "
        "still help.",
        train=lambda epoch: 2.6 + 1.5 * math.exp(-epoch / 6),
        evaluation=lambda epoch: 2.95 + 1.1 * math.exp(-epoch / 7),
        epochs=15,
    )


def levelled_off_run_example() -> ExampleRun:
    return _make(
        "Finished: the evaluation loss has levelled off",
        "The evaluation loss hardly changes any more. Nothing is wrong: the model has learnt what these clips teach. "
        "Take the best model and listen; more, or more varied, recordings help more than more epochs.",
        train=lambda epoch: 2.7 + 1.4 * math.exp(-epoch / 3.5) - 0.004 * epoch,
        evaluation=lambda epoch: 3.1 + 0.9 * math.exp(-epoch / 3),
        epochs=30,
    )


def overtrained_run_example() -> ExampleRun:
    return _make(
        "Overtrained: the evaluation loss turns",
        "From epoch 6 on the evaluation loss rises while the training loss falls on: the model learns these clips by "
        "heart. The best model is the one at the star and is kept; stop, and use it. Next time take fewer epochs, a "
        "lower learning rate, or more recordings.",
        train=lambda epoch: 0.9 + 3.2 * math.exp(-epoch / 14),
        evaluation=lambda epoch: 2.9 + 1.2 * math.exp(-epoch / 4) + 0.045 * max(0, epoch - 6),
        epochs=30,
    )


def rate_too_high_example() -> ExampleRun:
    return _make(
        "Learning rate too high: both losses rise",
        "Both losses rise from early on, and the gradient norm climbs with them: each step jumps too far and the model "
        "forgets how to speak. Start again with a tenth of the learning rate, or with warm-up.",
        train=lambda epoch: 3.4 + 0.5 * math.exp(-epoch) + 0.16 * max(0, epoch - 2) ** 0.9,
        evaluation=lambda epoch: 3.6 + 0.4 * math.exp(-epoch) + 0.17 * max(0, epoch - 2) ** 0.9,
        epochs=15,
    )


def rate_too_low_example() -> ExampleRun:
    return _make(
        "Learning rate too low: both losses creep",
        "Both losses fall, but by so little that it would take hundreds of epochs. Raise the learning rate to about "
        "five times as much, and look again after three epochs.",
        train=lambda epoch: 4.05 - 0.012 * epoch,
        evaluation=lambda epoch: 4.1 - 0.011 * epoch,
        epochs=15,
        noise=NOISE / 8,
    )


def _make(title: str, text: str, *, train: Curve, evaluation: Curve, epochs: int, noise: float = NOISE) -> ExampleRun:
    dice = random.Random(title)
    points: list[EvaluationPoint] = []
    for epoch in range(1, epochs + 1):
        loss = evaluation(epoch) * (1 + dice.gauss(0, noise))
        best = loss < min((point.eval_loss for point in points), default=math.inf)
        text_part = 0.01 * loss
        points.append(EvaluationPoint(epoch * 40, epoch, loss, text_part, loss - text_part, train(epoch), best))
    return ExampleRun(title, text, tuple(points))


def schedules_example(epochs: int = 10, steps_per_epoch: int = 30) -> go.Figure:
    """What each scheduler makes of a learning rate of 1; a click on a name shows or hides it."""
    plan = StepPlan(epochs * steps_per_epoch, steps_per_epoch)
    at = np.arange(plan.total_steps)
    colors = (TEXT, GREEN, BLUE, PURPLE, RED)
    traces = [
        go.Scatter(
            x=((at + 1) / steps_per_epoch).astype(np.float32),
            y=np.array([rate_factor(name, step, plan) for step in at.tolist()], dtype=np.float32),
            name=name,
            mode="lines",
            line={
                "width": 2,
                "color": colors[number % len(colors)],
                "dash": "solid" if number < len(colors) else "dot",
            },
            visible=True if name in SHOWN_SCHEDULES else "legendonly",
        )
        for number, name in enumerate(SCHEDULERS)
    ]
    axes = Axes(f"The learning rate over {epochs} epochs", "epoch", "share of the learning rate")
    return draw(axes, traces).update_layout(margin_t=84).update_yaxes(rangemode="tozero")


def minima_example() -> go.Figure:
    """A loss with a local and a global minimum, and where small and large steps end from the same start."""
    x = np.linspace(0, 10, 300)
    small, large = np.array([1.2, 1.6, 2.0, 2.35, 2.55, 2.6]), np.array([1.2, 2.9, 4.6, 6.1, 7.0, 7.2])
    minima = np.array([2.6, 7.2])
    traces = [
        go.Scatter(x=x, y=_landscape(x), name="loss", mode="lines", line={"color": TEXT, "width": 2}),
        _walk(small, "small steps", ORANGE),
        _walk(large, "larger steps at first", BLUE),
        go.Scatter(
            x=minima,
            y=_landscape(minima) - 0.15,
            text=["local minimum", "global minimum"],
            textfont={"color": [RED, GREEN]},
            textposition="bottom center",
            mode="text",
            showlegend=False,
            hoverinfo="skip",
        ),
    ]
    figure = draw(Axes("Local and global minima", "all the ways the model could be", "loss"), traces)
    figure.update_layout(hovermode="closest").update_xaxes(showticklabels=False)
    return figure.update_yaxes(showticklabels=False, range=[0.6, 3.9])


def _walk(places: FloatArray, name: str, color: str) -> go.Scatter:
    return go.Scatter(x=places, y=_landscape(places), name=name, mode="lines+markers", line={"color": color})


def _landscape(x: FloatArray) -> FloatArray:
    """A valley at 2.6 and a deeper one at 7.2."""
    return 3.4 - 1.1 * np.exp(-((x - 2.6) ** 2) / 1.2) - 2.2 * np.exp(-((x - 7.2) ** 2) / 2.5) + 0.03 * x

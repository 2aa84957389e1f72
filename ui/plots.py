"""The figures of the page, drawn with Plotly from what the pipeline wrote. Pure: records in, figures out.

Every figure has the same traces in the same order whatever data there is, and keeps its name as `uirevision`, so that
a figure drawn again over itself keeps zoom and hidden lines. Backgrounds are transparent and all colours are readable
on light and dark. Put them on the page with live_plot.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from pipeline.records import Clip, Limits
from pipeline.training.metrics import EvaluationPoint, Metrics

FloatArray = NDArray[np.float64]

# Each has at least 3:1 against white and against the page's dark background (WCAG 2.1, 1.4.11).
BLUE, ORANGE, GREEN, RED, PURPLE = "#3b82f6", "#d97706", "#0d9f6e", "#e5484d", "#9061f9"
TEXT = "#748094"
GRID = "rgba(128, 140, 160, 0.22)"
FAINT_BLUE = "rgba(59, 130, 246, 0.18)"
HEIGHT = 320  # pixels
MOST_DRAWN = 1500  # clips in a scatter, so that it stays quick
GIB = 1 << 30


@dataclass(frozen=True)
class Axes:
    """What a figure is called and what its axes say."""

    title: str
    x: str
    y: str
    log_y: bool = False


TRAINING_FIGURES = {
    "average_losses": Axes("Average losses by epoch", "epoch", "evaluation loss (nats per token)"),
    "step_losses": Axes("Losses by step", "step", "training loss (nats per token)"),
    "learning_rate": Axes("Learning rate", "step", "learning rate"),
    "gradient_norm": Axes("Gradient norm", "step", "norm before clipping", log_y=True),
    "times": Axes("Step and loader time", "step", "seconds"),
    "train_against_eval": Axes("Training against evaluation loss", "epoch", "loss (nats per token)"),
    "vram": Axes("VRAM", "step", "GiB"),
}


def training_figures(metrics: Metrics, run: str = "") -> dict[str, go.Figure]:
    """Return the graphs of a run by the names of TRAINING_FIGURES, in their order.

    `run` tells one run from another: the zoom is kept while it stays the same.
    """
    figures = {
        "average_losses": average_losses(metrics),
        "step_losses": step_losses(metrics),
        "learning_rate": learning_rate(metrics),
        "gradient_norm": gradient_norm(metrics),
        "times": times(metrics),
        "train_against_eval": train_against_eval(metrics.evaluations, metrics.epoch_losses),
        "vram": vram(metrics),
    }
    for name, figure in figures.items():
        figure.layout.uirevision = f"{name} {run}"
    return figures


# ---- Training -----------------------------------------------------------------------------------------------------


def average_losses(metrics: Metrics) -> go.Figure:
    """The parts of the evaluation loss, an epoch a point."""
    points = metrics.evaluations
    epochs = [point.epoch for point in points]
    traces = [
        _line(epochs, [point.eval_loss for point in points], "loss", BLUE, markers=True),
        _line(epochs, [point.eval_loss_mel_ce for point in points], "speech", ORANGE, markers=True, dash="dot"),
        _line(epochs, [point.eval_loss_text_ce for point in points], "text (right)", GREEN, markers=True, dash="dot"),
    ]
    note = "The first point comes after the first epoch."
    figure = _text_on_the_right(_figure("average_losses", traces, empty=not points, note=note))
    return _whole_epochs(figure, max(epochs, default=1))


def step_losses(metrics: Metrics) -> go.Figure:
    """Training losses: smoothed lines over the band in which the loss moved; steps without a number as crosses."""
    loss = metrics.series["loss"]
    faults = [fault.step for fault in metrics.faults if "loss" in fault.values]
    ground = float(np.nanmin(loss.low)) if not loss.empty else 0.0
    traces = [
        *_band(metrics, "loss", FAINT_BLUE),
        _line(metrics.step, smoothed(loss.mean), "loss", BLUE),
        _line(metrics.step, smoothed(metrics.series["loss_mel_ce"].mean), "speech", ORANGE, dash="dot"),
        _line(metrics.step, smoothed(metrics.series["loss_text_ce"].mean), "text (right)", GREEN, dash="dot"),
        go.Scatter(
            x=faults,
            y=[ground] * len(faults),
            name="not a number",
            mode="markers",
            marker={"color": RED, "symbol": "x", "size": 9},
            showlegend=bool(faults),
        ),
    ]
    return _text_on_the_right(_figure("step_losses", traces, empty=metrics.steps == 0))


def _text_on_the_right(figure: go.Figure) -> go.Figure:
    """Give the text loss an axis of its own: it counts a hundredth of the loss and would lie flat on the ground."""
    figure.update_traces(yaxis="y2", selector={"name": "text (right)"})
    side = {"overlaying": "y", "side": "right", "showgrid": False, "zeroline": False, "nticks": 5, "tickmode": "auto"}
    return figure.update_layout(
        yaxis2={**side, "title": {"text": "text loss, weighted", "standoff": 12}, "automargin": True}, margin_r=72
    )


def _whole_epochs(figure: go.Figure, last: int) -> go.Figure:
    """Keep the axis from naming an epoch twice where there are few: ticks at whole numbers only."""
    return figure.update_xaxes(dtick=1 if last <= 10 else None)


def learning_rate(metrics: Metrics) -> go.Figure:
    rate = metrics.series["lr"].mean
    figure = _figure("learning_rate", [_line(metrics.step, rate, "learning rate", BLUE)], empty=metrics.steps == 0)
    return figure.update_yaxes(exponentformat="e", rangemode="tozero")


def gradient_norm(metrics: Metrics) -> go.Figure:
    norm = metrics.series["grad_norm"]
    traces = [*_band(metrics, "grad_norm", FAINT_BLUE), _line(metrics.step, smoothed(norm.mean), "norm", BLUE)]
    return _figure("gradient_norm", traces, empty=norm.empty)


def times(metrics: Metrics) -> go.Figure:
    """Seconds a step takes, and how many of them it waits for data."""
    traces = [
        _line(metrics.step, smoothed(metrics.series["step_time"].mean), "step", BLUE),
        _line(metrics.step, smoothed(metrics.series["loader_time"].mean), "waiting for data", ORANGE),
    ]
    return _figure("times", traces, empty=metrics.steps == 0).update_yaxes(rangemode="tozero")


def train_against_eval(
    evaluations: Sequence[EvaluationPoint], epoch_losses: dict[int, float] | None = None
) -> go.Figure:
    """The two losses that tell learning from learning by heart; the best epoch is marked.

    Without evaluations the training loss is drawn from `epoch_losses`, by epoch.
    """
    train = {**(epoch_losses or {}), **{point.epoch: point.train_loss for point in evaluations}}
    epochs = [point.epoch for point in evaluations]
    losses = [point.eval_loss for point in evaluations]
    best = [min(evaluations, key=lambda point: point.eval_loss)] if evaluations else []
    traces = [
        _line(sorted(train), [train[epoch] for epoch in sorted(train)], "training", BLUE, markers=True),
        _line(epochs, losses, "evaluation", ORANGE, markers=True),
        go.Scatter(
            x=[point.epoch for point in best],
            y=[point.eval_loss for point in best],
            name="best model",
            mode="markers",
            marker={"color": GREEN, "symbol": "star", "size": 14},
        ),
    ]
    note = "The first point comes after the first epoch."
    return _whole_epochs(_figure("train_against_eval", traces, empty=not train, note=note), max(train, default=1))


def vram(metrics: Metrics) -> go.Figure:
    used = metrics.series["vram"]
    traces = [_line(metrics.step, used.high / GIB, "most in use", PURPLE)]
    note = "No GPU was used." if metrics.steps else ""
    return _figure("vram", traces, empty=used.empty, note=note).update_yaxes(rangemode="tozero")


def smoothed(values: FloatArray) -> FloatArray:
    """Return the running mean over a fiftieth of the values to either side; NaN is left out, gaps stay gaps."""
    reach = len(values) // 50
    there = ~np.isnan(values)
    if reach == 0 or not there.any():
        return values
    sums = np.concatenate([[0.0], np.cumsum(np.where(there, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(there)])
    at = np.arange(len(values))
    first, end = np.maximum(at - reach, 0), np.minimum(at + reach + 1, len(values))
    with np.errstate(invalid="ignore"):
        means = (sums[end] - sums[first]) / (counts[end] - counts[first])
    return np.where(there, means, np.nan)


# ---- Dataset ------------------------------------------------------------------------------------------------------


def clip_lengths(clips: Iterable[Clip], limits: Limits | None = None) -> go.Figure:
    """How many clips of which length there are, training and evaluation on top of each other."""
    rows = list(clips)
    traces = [
        go.Histogram(
            x=[clip.seconds for clip in rows if clip.split == split],
            name=name,
            marker={"color": color, "line": {"width": 0}},
            xbins={"start": 0.0, "size": 0.5},
            hovertemplate="%{x} s: %{y} clips<extra></extra>",
        )
        for split, name, color in (("train", "training", BLUE), ("eval", "evaluation", ORANGE))
    ]
    figure = draw(Axes("Lengths of the clips", "length (s)", "clips"), traces, empty=not rows)
    figure.update_layout(barmode="stack", bargap=0.06, hovermode="closest")
    for border in (limits.min_seconds, limits.max_seconds) if limits else ():
        figure.add_vline(x=border, line={"color": TEXT, "dash": "dot", "width": 1.5})
    return figure


def loudness_and_noise(clips: Iterable[Clip]) -> go.Figure:
    """Each clip by loudness and signal-to-noise ratio; those that were flagged stand out and say why."""
    rows = [clip for clip in clips if clip.loudness is not None and clip.snr is not None]
    calm = [clip for clip in rows if not clip.flags]
    flagged = [clip for clip in rows if clip.flags]
    traces = [
        _clip_points(calm[:: 1 + len(calm) // MOST_DRAWN], "clips", BLUE, 6),
        _clip_points(flagged[:: 1 + len(flagged) // MOST_DRAWN], "flagged", RED, 9),
    ]
    axes = Axes("Loudness and noise", "loudness (LUFS)", "signal-to-noise ratio (dB)")
    figure = draw(axes, traces, empty=not rows, note="No clip has been measured yet.")
    return figure.update_layout(hovermode="closest")


def _clip_points(clips: list[Clip], name: str, color: str, size: int) -> go.Scatter:
    return go.Scatter(
        x=[clip.loudness for clip in clips],
        y=[clip.snr for clip in clips],
        name=name,
        mode="markers",
        marker={"color": color, "size": size, "opacity": 0.75},
        customdata=[[clip.file, _shortened(clip.text), ", ".join(clip.flags)] for clip in clips],
        hovertemplate="%{customdata[0]}<br>%{customdata[1]}<br>%{x:.1f} LUFS, %{y:.0f} dB<br>"
        "%{customdata[2]}<extra></extra>",
    )


def _shortened(text: str, most: int = 60) -> str:
    """Return the text for a hover label, where Plotly would take < for a tag."""
    text = text if len(text) <= most else text[: most - 1] + "…"
    return text.replace("&", "&amp;").replace("<", "&lt;")


# ---- Parts --------------------------------------------------------------------------------------------------------


def _line(
    x: Sequence[float] | NDArray[Any],
    y: Sequence[float] | FloatArray,
    name: str,
    color: str,
    *,
    dash: str = "solid",
    markers: bool = False,
) -> go.Scatter:
    return go.Scatter(
        x=x,
        y=np.asarray(y, dtype=np.float32),  # half the bytes to send, and more than a screen can show
        name=name,
        mode="lines+markers" if markers else "lines",
        line={"color": color, "width": 2, "dash": dash},
        marker={"size": 5},
        hovertemplate="%{y:.4g}",
    )


def _band(metrics: Metrics, name: str, color: str) -> list[go.Scatter]:
    """The range between the lowest and the highest value, as two traces: the floor, and what fills up from it."""
    band = metrics.series[name]
    there = ~np.isnan(band.low)
    common = {"x": metrics.step[there], "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
    return [
        go.Scatter(y=band.low[there].astype(np.float32), name=f"{name} lowest", **common),
        go.Scatter(
            y=band.high[there].astype(np.float32), name=f"{name} highest", fill="tonexty", fillcolor=color, **common
        ),
    ]


def _figure(name: str, traces: list[go.Scatter], *, empty: bool, note: str = "") -> go.Figure:
    return draw(TRAINING_FIGURES[name], traces, empty=empty, note=note)


def draw(axes: Axes, traces: Sequence[Any], *, empty: bool = False, note: str = "") -> go.Figure:
    """Return a figure in the look that all have; an empty one says `note` instead of showing bare axes."""
    figure = go.Figure(traces)
    line = {"gridcolor": GRID, "linecolor": GRID, "zeroline": False, "automargin": True}
    figure.update_layout(
        template="none",
        title={"text": axes.title, "x": 0.01, "xanchor": "left", "y": 0.97, "yanchor": "top", "font": {"size": 14}},
        font={"color": TEXT, "size": 12, "family": "system-ui, sans-serif"},
        height=HEIGHT,
        margin={"l": 56, "r": 16, "t": 62, "b": 44},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.01,
            "yanchor": "bottom",
            "traceorder": "normal",
            "font": {"size": 11},
        },
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": TEXT, "activecolor": BLUE},
        hovermode="x unified",
        # Plotly draws its labels on the trace's colour or on white: both themes need one background that carries TEXT.
        hoverlabel={"bgcolor": "#1f2937", "bordercolor": "#1f2937", "font": {"color": "#f3f4f6"}},
        uirevision=axes.title,
        xaxis={**line, "title": {"text": axes.x}, "rangemode": "normal"},
        yaxis={**line, "title": {"text": axes.y, "standoff": 10}, "type": "log" if axes.log_y else "linear"},
    )
    if axes.x in ("epoch", "step"):
        figure.update_xaxes(tickformat="d")
    if empty:
        figure.update_xaxes(showticklabels=False).update_yaxes(showticklabels=False)
        figure.add_annotation(
            text=note or "Nothing to show yet.", x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False
        )
    return figure

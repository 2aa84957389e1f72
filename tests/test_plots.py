"""The figures of the page, from metrics, clips and made runs."""

from __future__ import annotations

import base64
import json
import math
import random
import re
from pathlib import Path

import numpy as np
import pytest

from pipeline.records import Clip, Limits
from pipeline.training.metrics import EvaluationPoint, Metrics, MetricsReader, MetricsWriter, StepPoint
from pipeline.training.verdict import judge
from ui import plots
from ui.example_runs import example_runs, minima_example
from ui.live_plot import plotly_js, show

WHITE, DARK = "#ffffff", "#0b0f19"


def run(folder: Path, steps: int, *, vram: int | None = 3 << 30, nan_at: int = 0) -> Metrics:
    dice = random.Random(4)
    with MetricsWriter(folder / "metrics.jsonl") as writer:
        for step in range(1, steps + 1):
            loss = math.nan if step == nan_at else 5 / step**0.1 + dice.gauss(0, 0.1)
            point = StepPoint(step, (step - 1) // 20 + 1, loss, 0.04, 3.0, 5e-6, dice.random(), 0.3, 0.01, vram)
            writer.write(point)
            if step % 20 == 0:
                epoch = step // 20
                writer.write(EvaluationPoint(step, epoch, 3 + abs(epoch - 3) / 10, 0.04, 3.0, 4 / epoch, epoch <= 3))
    return MetricsReader(folder / "metrics.jsonl").read()


def clip(number: int, **changes) -> Clip:
    dice = random.Random(number)
    values = {"seconds": dice.uniform(2, 10), "loudness": dice.gauss(-23, 2), "snr": dice.gauss(30, 5), **changes}
    split = "eval" if number % 5 == 0 else "train"
    return Clip(f"wavs/{number}.wav", f"clip {number}", "anna", split, **values)


def values(array: object) -> list[float]:
    """Return the numbers of a trace as plotly sends them: a list, or its typed arrays in base64."""
    if isinstance(array, dict):
        return np.frombuffer(base64.b64decode(array["bdata"]), dtype=array["dtype"]).tolist()
    return list(array)


def traces(figure) -> dict[str, dict]:
    return {trace["name"]: trace for trace in json.loads(show(figure))["data"]}


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.1."""

    def luminance(color: str) -> float:
        channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


# ---- Training -----------------------------------------------------------------------------------------------------


def test_the_six_graphs_and_the_vram_show_what_was_written(tmp_path):
    metrics = run(tmp_path, 100)
    figures = plots.training_figures(metrics)
    assert list(figures) == list(plots.TRAINING_FIGURES)
    assert values(traces(figures["average_losses"])["loss"]["x"]) == [1, 2, 3, 4, 5]
    assert values(traces(figures["average_losses"])["loss"]["y"]) == pytest.approx([3.2, 3.1, 3.0, 3.1, 3.2])
    assert values(traces(figures["step_losses"])["loss"]["x"]) == list(range(1, 101))
    assert values(traces(figures["learning_rate"])["learning rate"]["y"]) == pytest.approx([5e-6] * 100)
    assert values(traces(figures["times"])["waiting for data"]["y"]) == pytest.approx([0.01] * 100)
    assert values(traces(figures["vram"])["most in use"]["y"]) == pytest.approx([3.0] * 100)
    best = traces(figures["train_against_eval"])["best model"]
    assert (values(best["x"]), values(best["y"])) == ([3], [3.0])
    assert values(traces(figures["train_against_eval"])["training"]["y"]) == pytest.approx([4, 2, 4 / 3, 1, 0.8])


@pytest.mark.parametrize("steps", [0, 1, 19, 20, 3000])
@pytest.mark.parametrize("vram", [None, 1 << 30])
def test_figures_keep_their_traces_and_their_name_whatever_there_is_to_show(tmp_path, steps, vram):
    empty = plots.training_figures(MetricsReader(tmp_path / "none").read(), "run")
    drawn = plots.training_figures(run(tmp_path, steps, vram=vram), "run")
    for name, figure in drawn.items():
        assert [trace.name for trace in figure.data] == [trace.name for trace in empty[name].data]
        assert figure.layout.uirevision == empty[name].layout.uirevision
        assert len(show(figure)) < 60_000
    other = plots.training_figures(MetricsReader(tmp_path / "none").read(), "another run")
    assert all(drawn[name].layout.uirevision != other[name].layout.uirevision for name in drawn)


def test_a_figure_without_data_says_so(tmp_path):
    empty = plots.training_figures(MetricsReader(tmp_path / "none").read())
    assert all(len(figure.layout.annotations) == 1 for figure in empty.values())
    assert plots.vram(run(tmp_path, 3, vram=None)).layout.annotations[0].text == "No GPU was used."


def test_before_the_first_evaluation_the_training_loss_is_there(tmp_path):
    drawn = traces(plots.training_figures(run(tmp_path, 10))["train_against_eval"])
    assert values(drawn["training"]["x"]) == [1]
    assert values(drawn["evaluation"]["x"]) == []


def test_steps_without_a_number_are_marked_and_leave_a_gap(tmp_path):
    drawn = traces(plots.step_losses(run(tmp_path, 60, nan_at=30)))
    assert values(drawn["not a number"]["x"]) == [30]
    assert math.isnan(values(drawn["loss"]["y"])[29])
    assert 30 not in values(drawn["loss highest"]["x"])


def test_peaks_of_a_long_run_stay_in_the_band(tmp_path):
    with MetricsWriter(tmp_path / "metrics.jsonl") as writer:
        for step in range(1, 5001):
            writer.write(StepPoint(step, 1, 50.0 if step == 2500 else 3.0, 0.0, 3.0, 1e-6, 1.0, 0.1, 0.0))
    drawn = traces(plots.step_losses(MetricsReader(tmp_path / "metrics.jsonl").read()))
    assert max(values(drawn["loss highest"]["y"])) == 50.0
    assert max(values(drawn["loss"]["y"])) < 5.0


def test_smoothing_keeps_constants_and_lengths_and_gaps():
    constant = np.full(500, 3.0)
    constant[100:120] = np.nan
    smooth = plots.smoothed(constant)
    assert np.array_equal(np.isnan(smooth), np.isnan(constant))
    assert np.nanmax(np.abs(smooth - 3.0)) < 1e-9
    noisy = np.random.default_rng(1).normal(size=500)
    assert plots.smoothed(noisy).std() < noisy.std() / 3
    assert plots.smoothed(np.array([])).tolist() == []
    assert plots.smoothed(np.array([1.0, 5.0])).tolist() == [1.0, 5.0]


def test_every_figure_has_axes_that_say_what_they_show_and_no_background(tmp_path):
    drawn = list(plots.training_figures(run(tmp_path, 40)).values())
    drawn += [plots.clip_lengths([clip(1)]), plots.loudness_and_noise([clip(1)]), minima_example()]
    drawn += [example.figure for example in example_runs()]
    for figure in drawn:
        layout = figure.layout
        assert layout.xaxis.title.text
        assert layout.yaxis.title.text
        assert layout.title.text
        assert layout.paper_bgcolor == layout.plot_bgcolor == "rgba(0,0,0,0)"


def test_lines_and_texts_can_be_seen_on_light_and_on_dark():
    for color in (plots.BLUE, plots.ORANGE, plots.GREEN, plots.RED, plots.PURPLE, plots.TEXT):
        assert contrast(color, WHITE) >= 3
        assert contrast(color, DARK) >= 3


# ---- Dataset ------------------------------------------------------------------------------------------------------


def test_clip_lengths_count_every_clip_and_show_the_limits():
    figure = plots.clip_lengths([clip(number) for number in range(50)], Limits(min_seconds=2, max_seconds=10))
    drawn = traces(figure)
    assert len(values(drawn["training"]["x"])) == 40
    assert len(values(drawn["evaluation"]["x"])) == 10
    assert [shape.x0 for shape in figure.layout.shapes] == [2, 10]


def test_flagged_clips_stand_out_and_say_why():
    rows = [clip(1), clip(2, flags=("too quiet", "noise")), clip(3, loudness=None)]
    drawn = traces(plots.loudness_and_noise(rows))
    assert len(drawn["clips"]["x"]) == 1
    assert drawn["flagged"]["customdata"] == [["wavs/2.wav", "clip 2", "too quiet, noise"]]


def test_texts_of_clips_can_hold_no_markup():
    row = Clip("wavs/1.wav", "<b>a</b> & b", "anna", "train", seconds=3, loudness=-20, snr=30)
    text = traces(plots.loudness_and_noise([row]))["clips"]["customdata"][0][1]
    assert text == "&lt;b>a&lt;/b> &amp; b"


def test_a_large_dataset_is_thinned_but_its_flagged_clips_are_not():
    rows = [clip(number) for number in range(6000)] + [clip(number, flags=("noise",)) for number in range(40)]
    drawn = traces(plots.loudness_and_noise(rows))
    assert 500 <= len(drawn["clips"]["x"]) <= plots.MOST_DRAWN
    assert len(drawn["flagged"]["x"]) == 40


# ---- The guide's pictures -----------------------------------------------------------------------------------------


def test_the_example_runs_are_what_their_titles_say_by_the_programs_own_verdict():
    found = [judge(example.evaluations, 3) for example in example_runs()]
    assert [verdict.kind for verdict in found] == [
        "improving",
        "levelled off",
        "overtrained",
        "overtrained",
        "improving",
    ]
    overtrained = example_runs()[2]
    assert f"From epoch {found[2].epoch} on" in overtrained.text
    assert "the learning rate is too high" in found[3].sentence
    for example in example_runs():
        assert [point.best for point in example.evaluations].index(True) == 0
        assert len(example.figure.data[0].x) == len(example.evaluations)


def test_the_library_for_browsers_is_on_this_machine():
    assert re.match(rb"/\*\*\s+\* plotly\.js v\d", plotly_js().read_bytes()[:40])

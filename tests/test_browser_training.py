"""Training watched in a real browser: graphs that fill, a reload, a stop, going on; and nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.training.runs import RunFiles
from pipeline.workspace import Workspace

from .browser import Visitor, open_browser, serve, wait_until
from .models import install_demo_base
from .training_data import ClipSpec, make_project

EPOCHS = 12
CLIPS = 12
BATCH = 2
GRAPHS = 6  # the seventh, VRAM, has nothing to show without a GPU

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def filled_graphs(visitor: Visitor) -> int:
    """Return how many of the graphs in view have at least one line with points."""
    script = "plots => plots.filter(plot => plot.querySelector('.scatterlayer .js-line, .scatterlayer .point')).length"
    return int(visitor.visible(".js-plotly-plot").evaluate_all(script))


def metrics_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (RunFiles(run).metrics).read_text(encoding="utf-8").splitlines()]


def start(visitor: Visitor) -> None:
    visitor.press("Step 2 - Run the training")
    visitor.wait_for_job("running", "Epoch")


def reload(visitor: Visitor) -> None:
    visitor.page.reload()
    visitor.visible("#steps").first.wait_for()
    wait_until(lambda: visitor.field("Project").input_value() == "anna")


def test_a_run_is_watched_stopped_and_continued_and_loses_nothing(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    ws.prepare()
    install_demo_base(ws)
    project = make_project(ws, "anna", [ClipSpec(2, 5)] * CLIPS, [ClipSpec(2, 5)] * 2)
    with open_browser() as browser, serve(tmp_path) as server:
        page = browser.new_page(viewport={"width": 1360, "height": 1000})
        page.goto(f"{server.url}?project=anna&tab=training")
        visitor = Visitor(page)
        visitor.visible("#steps").first.wait_for()
        visitor.go_to_tab("💻 Step 2 - Training")
        visitor.choose("Select the Model to train", "demo")
        visitor.fill("Number of epochs", str(EPOCHS))
        visitor.fill("Batch size", str(BATCH))
        visitor.choose("Learning Rate", "1e-3")
        start(visitor)
        wait_until(lambda: filled_graphs(visitor) >= GRAPHS, 180)
        reload(visitor)
        wait_until(lambda: filled_graphs(visitor) >= GRAPHS)
        visitor.press("Stop and save")
        visitor.wait_for_job("ok")
        run = next(project.runs.glob("run-*"))
        stopped = metrics_of(run)
        report = json.loads(RunFiles(run).report.read_text(encoding="utf-8"))
        assert report["stopped"]
        assert report["steps"] < EPOCHS * CLIPS // BATCH
        visitor.page.get_by_label("Continue Previous Project").filter(visible=True).first.check()
        start(visitor)
        reload(visitor)
        visitor.wait_for_job("ok", f"{EPOCHS} epochs")
        assert not visitor.errors
    assert list(project.runs.glob("run-*")) == [run]
    lines = metrics_of(run)
    assert lines[: len(stopped)] == stopped
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, EPOCHS * CLIPS // BATCH + 1))
    assert [line["epoch"] for line in lines if "eval_loss" in line] == list(range(1, EPOCHS + 1))

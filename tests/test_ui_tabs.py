"""What the tabs say of the machine, of models and of runs, and what they refuse at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import DatasetMissingError, InvalidNameError, ModelMissingError
from pipeline.options import TrainConfig
from pipeline.records import BaseModel, Check, CheckReport, Run, to_json
from pipeline.training.metrics import EvaluationPoint, MetricsWriter, StepPoint
from pipeline.training.runs import RunFiles
from pipeline.workspace import Workspace

gr = pytest.importorskip("gradio")

from pipeline.base_models import REQUIRED_FILES  # noqa: E402 - needs gradio
from pipeline.jobs import JobStatus  # noqa: E402
from ui.context import Page  # noqa: E402
from ui.tabs import preflight, training  # noqa: E402
from ui.training_view import RunView, run_names  # noqa: E402


def status_of(*checks: Check) -> JobStatus:
    result = json.loads(to_json(CheckReport(ok=True, checks=checks)))
    return JobStatus("id", "checks", "", "done", 1.0, "Checked", 0.0, 3.0, None, False, result)


# ---- Pre-flight ---------------------------------------------------------------------------------------------------


def test_every_check_is_a_box_with_what_was_found_what_is_needed_and_the_remedy() -> None:
    shown = preflight._show_checks("", status_of(Check("RAM", "failed", "2 GB <free>", "8 GB", "Close programs.")))
    assert "<div class='box failed'>" in shown
    for words in ("RAM", "2 GB &lt;free&gt;", "Needed: 8 GB", "Close programs."):
        assert words in shown


def test_the_verdict_names_what_is_missing_first() -> None:
    good, note, bad = Check("RAM", "ok", "…"), Check("CUDA", "warning", "…"), Check("TTS version", "failed", "…")
    assert "Ready: everything" in preflight._show_checks("", status_of(good))
    assert "something to know about: CUDA" in preflight._show_checks("", status_of(good, note))
    assert "Not ready: TTS version" in preflight._show_checks("", status_of(good, note, bad))
    assert preflight._show_checks("", None) == ""


def test_a_base_model_is_shown_whole_or_with_what_is_missing() -> None:
    whole = preflight._model_box(BaseModel("v2", Path("models/xtts/v2")))
    broken = preflight._model_box(BaseModel("v1", Path("models/xtts/v1"), ("vocab.json", "dvae.pth")))
    demo = preflight._model_box(BaseModel("demo", Path("models/xtts/demo"), demo=True))
    assert "box ok" in whole
    assert "box warning" in broken
    assert "vocab.json, dvae.pth" in broken
    assert "noise" in demo


# ---- Training -----------------------------------------------------------------------------------------------------


def build_form(ws: Workspace) -> tuple[Page, Any, dict[str, Any]]:
    with gr.Blocks():
        page = Page(ws)
        form = training._build_settings(page)
    return page, form, {name: control.value for name, control in form.fields.items()}


def add_dataset(ws: Workspace, project: str) -> None:
    path = ws.project(project)
    path.path.mkdir(parents=True)
    for csv in (path.train_csv, path.eval_csv):
        csv.write_text("audio_file|text|speaker_name\n")


def add_model(ws: Workspace, name: str) -> None:
    for file in REQUIRED_FILES:
        path = ws.base_models / name / file
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")


def test_the_tab_has_every_setting_of_training(ws: Workspace) -> None:
    _, form, _ = build_form(ws)
    from pipeline.settings import describe

    assert set(form.fields) == set(describe(TrainConfig)) - {"project"}


def test_what_is_plainly_missing_is_refused_before_a_job_is_started(ws: Workspace) -> None:
    page, form, values = build_form(ws)
    with pytest.raises(InvalidNameError, match="No project is chosen"):
        training._record(page, form, "", *values.values())
    page.make_project("empty")
    with pytest.raises(DatasetMissingError):
        training._record(page, form, "empty", *values.values())
    add_dataset(ws, "anna")
    with pytest.raises(ModelMissingError, match="choose “demo”"):
        training._record(page, form, "anna", *values.values())


def test_the_projects_own_dataset_goes_by_no_path_and_anothers_does(ws: Workspace) -> None:
    page, form, values = build_form(ws)
    add_dataset(ws, "anna")
    add_model(ws, "v2.0.3")
    own = training._suggest(page, page.open("anna"))
    assert own["base"] == "v2.0.3"
    config = training._record(page, form, "anna", *{**values, **own}.values())
    assert (config.project, config.base, config.train_csv, config.eval_csv) == ("anna", "v2.0.3", "", "")
    config = training._record(page, form, "anna", *{**values, **own, "train_csv": "/data/other.csv"}.values())
    assert (config.train_csv, config.eval_csv) == ("/data/other.csv", "")


def test_the_demo_is_never_chosen_for_anybody(ws: Workspace) -> None:
    page, _, _ = build_form(ws)
    page.make_project("anna")
    assert training._base_models(page) == ["demo"]
    assert "base" not in training._suggest(page, page.open("anna"))


# ---- A run --------------------------------------------------------------------------------------------------------


def make_run(ws: Workspace, project: str, name: str, epochs: int = 3) -> RunFiles:
    files = RunFiles(ws.project(project).runs / name)
    files.folder.mkdir(parents=True)
    files.train_config.write_text(json.dumps({"base": "/models/v2", "epochs": 10, "patience": 3}))
    rejected = [{"source": "wavs/long.wav", "reason": "it is 30 s long", "text": "<b>Hm</b>"}]
    audit = {"train": 25, "eval": 4, "seconds": 150.0, "steps_per_epoch": 2, "steps": 20, "rejected": rejected}
    files.audit.write_text(json.dumps(audit))
    with MetricsWriter(files.metrics) as metrics:
        for epoch in range(1, epochs + 1):
            for step in (2 * epoch - 1, 2 * epoch):
                metrics.write(StepPoint(step, epoch, 3 / step, 0.1, 2.0, 5e-6, 1.0, 0.5, 0.01))
            metrics.write(EvaluationPoint(2 * epoch, epoch, 4 / epoch, 0.1, 2.0, 3 / epoch, True))
    return files


def run_view(ws: Workspace) -> RunView:
    with gr.Blocks():
        return RunView(Page(ws))


def test_the_latest_run_is_shown_unless_another_is_chosen(ws: Workspace) -> None:
    make_run(ws, "anna", "run-20260101-120000")
    make_run(ws, "anna", "run-20260102-120000", epochs=5)
    view = run_view(ws)
    summary, whole, left_out, table, *figures = view._show_figures("anna", "")
    assert "run-20260102-120000" in summary
    assert "25 clips (2 min 30 s) to train on, 4 to evaluate" in summary
    assert "epoch 5 of 10, step 10" in summary
    assert "Still improving" in summary
    assert whole.visible
    assert left_out.visible
    assert "&lt;b&gt;Hm&lt;/b&gt;" in table
    assert len(figures) == 7
    assert all(json.loads(figure)["data"] for figure in figures[:6])
    assert not figures[6].visible, "without a GPU there is no VRAM to draw"
    assert "run-20260101-120000" in view._show_figures("anna", "run-20260101-120000")[0]
    with gr.Blocks():
        assert run_names(Page(ws), "anna") == ["run-20260102-120000", "run-20260101-120000"]


def test_a_project_without_a_run_says_so(ws: Workspace) -> None:
    view = run_view(ws)
    summary, whole, *rest = view._show_figures("anna", "")
    assert "been trained yet" in summary
    assert not whole.visible
    assert all(value == gr.skip() for value in rest)
    assert view._show_figures("", "")[0] == summary


def test_what_went_wrong_in_a_run_is_told_in_words(ws: Workspace) -> None:
    files = make_run(ws, "anna", "run-20260101-120000")
    with MetricsWriter(files.metrics) as metrics:
        metrics.write(StepPoint(7, 4, float("nan"), 0.1, 2.0, 5e-6, 1.0, 0.5, 0.01))
    files.report.write_text(json.dumps({"warnings": ["Memory ran out: the batch was halved."]}))
    summary = run_view(ws)._show_figures("anna", "")[0]
    assert "At step 7 a value was not a number: loss." in summary
    assert "Memory ran out: the batch was halved." in summary
    files.report.write_text("{broken")
    assert "At step 7" in run_view(ws)._show_figures("anna", "")[0]


def test_samples_are_found_newest_first_and_handed_out_as_copies(ws: Workspace) -> None:
    files = make_run(ws, "anna", "run-20260101-120000")
    view = run_view(ws)
    assert view._spoken("anna", "") == []
    files.samples.mkdir()
    for epoch in (1, 2, 10):
        files.sample(epoch).write_bytes(b"RIFF")
    row, chooser = view._show_spoken("anna", "")
    assert row.visible
    assert [name for name, _ in chooser.choices] == ["epoch 10", "epoch 2", "epoch 1"]
    assert chooser.value == "epoch_010.wav"
    sound = view._show_sound("anna", "", "epoch_002.wav")
    assert sound is not None
    assert Path(sound).read_bytes() == b"RIFF"
    assert view._show_sound("anna", "", "../../../secret.wav") is None


def test_a_run_is_a_record_of_what_lies_on_disk(ws: Workspace) -> None:
    files = make_run(ws, "anna", "run-20260101-120000")
    found = run_view(ws)._find("anna", "")
    assert isinstance(found, Run)
    assert found.path == files.folder

"""The tab “💻 Step 2 - Training”: which model, which dataset, how; then the run, live."""

from __future__ import annotations

from typing import Any

import gradio as gr

from pipeline.base_models import DEMO, list_base_models
from pipeline.errors import DatasetMissingError, ModelMissingError
from pipeline.options import TrainConfig
from pipeline.workspace import Project

from .. import training_guide
from ..context import Page
from ..controls import Form
from ..feedback import JobPanel, help_box
from ..training_view import RunView, run_names

LEARNING_RATES = ("1e-6", "5e-6", "1e-5", "2e-5", "5e-5", "1e-4", "5e-4", "1e-3")


def build(page: Page) -> None:
    with gr.Tabs():
        with gr.Tab("Training the model"):
            help_box("training_settings", TrainConfig)
            form = _build_settings(page)
            panel = JobPanel(
                page,
                "train",
                "Step 2 - Run the training",
                stop="Stop and save",
                idle="Training goes on when this page is closed; opened again, it is found here.",
            )
            panel.starts(lambda project, *values: _record(page, form, project, *values), form.inputs)
            RunView(page)
            panel.show_log()
            page.next_step("Next: listen to the voice", "testing")
        with gr.Tab("Training Guide"):
            training_guide.build()


def _build_settings(page: Page) -> Form:
    form = Form(page, "train", TrainConfig, lambda project: _suggest(page, project), forget=("continue_run", "run"))
    with gr.Row():
        page.project_field("Project Name")
        _add_base_model(page, form)
    with gr.Row():
        form.add("train_csv")
        form.add("eval_csv")
    with gr.Row():
        form.add("epochs")
        form.add("batch_size")
        form.add(
            "learning_rate",
            choices=[(rate, float(rate)) for rate in LEARNING_RATES],
            allow_custom_value=True,
            elem_id="learning-rate",
        )
    with gr.Row():
        form.add("continue_run")
        form.add("early_stopping")
        form.add("lora")
    with gr.Accordion("More settings", open=False):
        _build_more(page, form)
    return form


def _build_more(page: Page, form: Form) -> None:
    for names in (
        ("optimizer", "scheduler", "warmup"),
        ("grad_accumulation", "max_audio_seconds", "precision"),
        ("gradient_clip", "weight_decay", "conditioning"),
        ("lora_rank", "patience", "seed"),
        ("workers", "device", "disable_shared_memory"),
        ("speak_samples", "sample_text"),
    ):
        with gr.Row():
            for name in names:
                form.add(name)
    run = form.add("run", choices=[("The latest", "")], value="")
    page.watch(
        lambda project: run_names(page, project),
        lambda project: gr.Dropdown(choices=[("The latest", ""), *run_names(page, project)]),
        [run],
    )
    form.add_rest(skip=("project",))


def _add_base_model(page: Page, form: Form) -> None:
    """Add the choice among the whole models of models/xtts, or the path of a folder."""
    field = form.add("base", choices=_base_models(page), allow_custom_value=True)
    page.watch(
        lambda project: _base_models(page),
        lambda project: gr.Dropdown(choices=_base_models(page)),
        [field],
    )


def _base_models(page: Page) -> list[str]:
    return [model.name for model in list_base_models(page.ws) if model.whole]


def _real_models(page: Page) -> list[str]:
    """Return the whole models whose weights aren't the demo's."""
    return [model.name for model in list_base_models(page.ws) if model.whole and not model.demo]


def _suggest(page: Page, project: Project) -> dict[str, Any]:
    """Return the project's own dataset, once there is one, and the base model, if only one can be meant."""
    real = _real_models(page)
    suggested = {"base": real[0]} if len(real) == 1 else {}
    if project.has_dataset:
        suggested |= {"train_csv": str(project.train_csv), "eval_csv": str(project.eval_csv)}
    return suggested


def _record(page: Page, form: Form, project: str, *values: Any) -> TrainConfig:
    """Return the options; the project's own dataset goes by no path, so that a moved workspace finds it.

    What is plainly missing is refused at once, rather than after the seconds that the worker needs to start.
    """
    opened = page.open(project)
    given = form.values(*values)
    if not given["train_csv"] and not opened.has_dataset:
        raise DatasetMissingError(opened.name)
    if not given["base"] and not given["continue_run"] and not _real_models(page):
        raise ModelMissingError(
            f"There is no whole base model in {page.ws.base_models}: copy XTTS v2 to a folder there, or choose "
            f"“{DEMO}” under “Select the Model to train” to try the program."
        )
    for name, own in (("train_csv", opened.train_csv), ("eval_csv", opened.eval_csv)):
        if given[name] == str(own):
            given[name] = ""
    return TrainConfig(project=opened.name, **given)

"""The tab “💻 Step 2 - Training”: settings, the run, its graphs and its verdict."""

from __future__ import annotations

from typing import Any

import gradio as gr

from pipeline.base_models import list_base_models
from pipeline.options import TrainConfig
from pipeline.workspace import Project

from ..context import Page
from ..controls import Form
from ..feedback import JobPanel, help_box


def build(page: Page) -> None:
    with gr.Tabs():
        with gr.Tab("Training the model"):
            _build_training(page)


def _build_training(page: Page) -> None:
    help_box("preflight")
    page.project_field("Project Name")
    form = Form(page, "train", TrainConfig, _dataset_paths)
    form.add("base", choices=["demo"], allow_custom_value=True)
    form.add_rest(skip=("project",))
    panel = JobPanel(page, "train", "Step 2 - Run the training", stop="Stop and save")
    panel.starts(form.record, form.inputs)
    panel.show_log()
    page.next_step("Next: listen to the voice", "testing")


def _dataset_paths(project: Project) -> dict[str, Any]:
    """Return the paths of the project's own dataset, once there is one."""
    if not project.has_dataset:
        return {}
    return {"train_csv": str(project.train_csv), "eval_csv": str(project.eval_csv)}

"""The tab “🚀 Pre-flight Checklist”: can this machine do it, and what is missing."""

from __future__ import annotations

import html
from typing import Any

import gradio as gr

from pipeline.base_models import list_base_models
from pipeline.jobs import JobStatus
from pipeline.options import CheckOptions
from pipeline.records import BaseModel

from ..context import Page, stamp
from ..controls import Form
from ..feedback import JobPanel, help_box, notice

STATUS_WORDS = {"ok": "OK", "warning": "Note", "failed": "Missing", "skipped": "Not tried"}


def build(page: Page) -> None:
    help_box("preflight")
    panel = JobPanel(
        page, "checks", "Run System Checks", of_project=False, idle="The checks haven't been run on this machine yet."
    )
    result = gr.HTML(elem_id="check-boxes", padding=False)
    panel.starts(lambda project: CheckOptions(deep=False))
    panel.when_changed(_show_checks, [result])
    with gr.Accordion("Try the models too", open=False):
        form = Form(page, "checks", CheckOptions)
        with gr.Row():
            form.add("language")
            form.add("whisper_model")
            form.add("device")
        every = gr.Button("Run all checks (tries the models)")
        panel.starts(lambda project, *values: CheckOptions(deep=True, **form.values(*values)), form.inputs, every)
    gr.Markdown("### Base models")
    models = gr.HTML(elem_id="base-models", padding=False)
    page.watch(lambda project: _models_key(page), lambda project: _describe_models(list_base_models(page.ws)), [models])
    panel.show_log()
    page.next_step("Next: generate the dataset", "dataset")


def _show_checks(project: str, status: JobStatus | None) -> str:
    """Return the verdict and the boxes as HTML."""
    checks = status.result.get("checks", []) if status else []
    if not checks:
        return ""
    failed = [check["name"] for check in checks if check["status"] == "failed"]
    warned = [check["name"] for check in checks if check["status"] == "warning"]
    if failed:
        verdict = notice(f"Not ready: {', '.join(failed)}. The boxes below say what to do.", "failed")
    elif warned:
        verdict = notice(f"Ready, with something to know about: {', '.join(warned)}.", "warning")
    else:
        verdict = notice("Ready: everything that was checked is as it should be.", "ok")
    return f'{verdict}<div class="boxes">{"".join(_box(check) for check in checks)}</div>'


def _box(check: dict[str, Any]) -> str:
    """Return one check as HTML: what was found, what is needed, what to do."""
    said = {part: html.escape(str(check.get(part) or "")) for part in ("name", "status", "detail", "needed", "remedy")}
    needed = f"<div class='needed'>Needed: {said['needed']}</div>" if said["needed"] else ""
    remedy = f"<div class='remedy'>{said['remedy']}</div>" if said["remedy"] and said["status"] != "ok" else ""
    return (
        f"<div class='box {said['status']}'><div class='box-title'><b>{said['name']}</b>"
        f"<span class='badge'>{STATUS_WORDS.get(said['status'], said['status'])}</span></div>"
        f"<div>{said['detail']}</div>{needed}{remedy}</div>"
    )


def _models_key(page: Page) -> Any:
    """Return what changes when a model comes, goes or gets a file."""
    folder = page.ws.base_models
    if not folder.is_dir():
        return ()
    return sorted((path.name, stamp(path)) for path in folder.iterdir() if not path.name.startswith("."))


def _describe_models(models: list[BaseModel]) -> str:
    return f'<div class="boxes">{"".join(_model_box(model) for model in models)}</div>'


def _model_box(model: BaseModel) -> str:
    if model.missing:
        status, badge = "warning", "Incomplete"
        detail = f"Missing: {', '.join(model.missing)}. Put them into {model.path}."
    elif model.demo:
        status, badge = "skipped", "Demo"
        detail = "Tiny and made from a seed when it is first used. It has never learnt to speak: what it says is noise."
    else:
        status, badge, detail = "ok", "Whole", str(model.path)
    return (
        f"<div class='box {status}'><div class='box-title'><b>{html.escape(model.name)}</b>"
        f"<span class='badge'>{badge}</span></div><div>{html.escape(detail)}</div></div>"
    )

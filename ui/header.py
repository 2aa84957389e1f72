"""The top of the page, the same on every tab: name, project, what is running, light and dark."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import gradio as gr

from pipeline.jobs import RESIDENT_STAGES, JobStatus

from .context import TABS, Page
from .feedback import STAGE_TITLES, duration, job_key, progress_bar, stop_or_kill
from .style import FLIP_THEME, REMEMBER_PROJECT


def build(page: Page) -> None:
    """Build the header, and follow the project and the running job."""
    with gr.Row(elem_id="header", equal_height=True):
        gr.HTML("<h1>XTTS Finetune</h1><p>From voice samples to a voice</p>", elem_id="brand", padding=False)
        chooser = gr.Dropdown([], label="Project", elem_id="project-chooser", interactive=True, scale=1, min_width=200)
        new = gr.Textbox(
            label="New project", placeholder="Type a name, such as anna", submit_btn="Create",
            elem_id="new-project", scale=1, min_width=200, max_lines=1,
        )  # fmt: skip
        theme = gr.Button("◐ Light / dark", elem_id="theme-switch", size="sm", scale=0, min_width=120)
    with gr.Row(elem_id="now", equal_height=True):
        now = gr.HTML(_describe_now(None), elem_id="now-running", padding=False)
        stop = gr.Button("Stop", size="sm", scale=0, min_width=110, visible=False, elem_id="now-stop")
    theme.click(None, js=FLIP_THEME)
    _follow_project(page, chooser, new)
    _follow_job(page, now, stop)


def opener(page: Page) -> Callable[[gr.Request], tuple[Any, Any]]:
    """Return what finds the project and tab that the address names, else the project touched last and the first tab."""

    def open_page(request: gr.Request) -> tuple[Any, Any]:
        names = [project.name for project in page.ws.list_projects()]
        project = request.query_params.get("project", "")
        if project not in names:
            project = names[0] if names else ""
        tab = request.query_params.get("tab", "")
        return project, gr.Tabs(selected=tab) if tab in TABS else gr.skip()

    return open_page


def _follow_project(page: Page, chooser: gr.Dropdown, new: gr.Textbox) -> None:
    def names(project: str) -> list[str]:
        return sorted(found.name for found in page.ws.list_projects())

    def show(project: str) -> Any:
        known = names(project)
        return gr.Dropdown(choices=known, value=project if project in known else None)

    page.watch(names, show, [chooser])
    page.on(chooser.input, lambda project, chosen: chosen or project, [chooser], [page.project])
    page.on(new.submit, lambda project, name: (page.make_project(name), ""), [new], [page.project, new])
    page.project.change(None, [page.project], js=REMEMBER_PROJECT)


def _follow_job(page: Page, now: gr.HTML, stop: gr.Button) -> None:
    def show(project: str) -> tuple[Any, Any]:
        status = page.jobs.running()
        label = "Stop" if not status or not status.stopping else "End it at once"
        return _describe_now(status), gr.Button(label, visible=status is not None, interactive=True)

    def end(project: str) -> Any:
        status = page.jobs.running()
        if status is not None:
            stop_or_kill(page, status)
        return gr.Button(interactive=False)

    page.watch(lambda project: job_key(page.jobs.running()), show, [now, stop])
    page.on(stop.click, end, (), [stop])


def _describe_now(status: JobStatus | None) -> str:
    """Say in one line what is running."""
    if status is None:
        return '<div class="now-line">Nothing is running.</div>'
    title = STAGE_TITLES.get(status.stage, status.stage)
    whose = f" · {status.project}" if status.project else ""
    if status.stage in RESIDENT_STAGES:
        return f'<div class="now-line"><b>{title}{html.escape(whose)}</b> is loaded.</div>'
    left = f" · about {duration(status.seconds_left)} left" if status.seconds_left is not None else ""
    percent = f" · {100 * status.fraction:.0f} %" if status.fraction is not None else ""
    return (
        f'<div class="now-line"><b>{title}{html.escape(whose)}</b>{percent}{left}</div>{progress_bar(status.fraction)}'
    )

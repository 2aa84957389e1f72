"""What the page says about its work: progress in words and time, notices, logs, help."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from pipeline.errors import FinetuneError
from pipeline.jobs import JobStatus, kill_job, start_job, stop_job
from pipeline.records import Seconds
from pipeline.settings import REQUIRED, describe

from .context import Page

HELP_FOLDER = Path(__file__).parent / "help"

# What a stage is called on the screen.
STAGE_TITLES: dict[str, str] = {
    "checks": "System checks",
    "dataset": "Creating the dataset",
    "validate": "Validation",
    "train": "Training",
    "speak": "Speaking",
    "voice": "Voice",
    "export": "Export",
    "demo": "Demo",
}


def duration(seconds: Seconds) -> str:
    """Say a length of time as a person would: “48 s”, “3 min 05 s”, “2 h 07 min”."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(count: float) -> str:
    """Say a number of bytes as a person would: “820 KB”, “1.9 GB”."""
    for unit in ("bytes", "KB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def notice(sentence: str, kind: str = "info") -> str:
    """Return a sentence as HTML; kind is info, ok, warning or failed."""
    return f'<div class="notice {kind}" role="status">{html.escape(sentence)}</div>' if sentence else ""


def progress_bar(fraction: float | None, kind: str = "running") -> str:
    """Return a bar as HTML, filled as far as `fraction` says; a moving one where that isn't known."""
    if fraction is None:
        return f'<div class="bar {kind} unknown" role="progressbar"><span></span></div>'
    percent = f"{100 * fraction:.1f}"
    return (
        f'<div class="bar {kind}" role="progressbar" aria-valuenow="{percent}" aria-valuemin="0" aria-valuemax="100">'
        f'<span style="width:{percent}%"></span></div>'
    )


def describe_job(status: JobStatus | None, idle: str = "") -> str:
    """Return what a job does, or what became of it, as HTML: a sentence, a bar, the time."""
    if status is None:
        return f'<div class="job idle">{html.escape(idle)}</div>' if idle else ""
    sentence, kind = _sentence(status)
    time_words = f"{duration(status.seconds)} so far" if status.running else f"Took {duration(status.seconds)}"
    if status.running and status.seconds_left is not None:
        time_words += f", about {duration(status.seconds_left)} left"
    percent = f"{100 * status.fraction:.0f} %" if status.running and status.fraction is not None else ""
    bar = progress_bar(status.fraction, kind) if status.running else ""
    return (
        f'<div class="job {kind}"><div class="job-words"><span>{html.escape(sentence)}</span>'
        f"<b>{percent}</b></div>{bar}<div class='job-time'>{time_words}</div></div>"
    )


def _sentence(status: JobStatus) -> tuple[str, str]:
    """Return what is to be said of a job, and in which colour: running, ok, warning or failed."""
    if status.running:
        return (f"Stopping: {status.message}" if status.stopping else status.message), "running"
    if status.state == "done":
        return (_trained(status.result) if status.stage == "train" else "Done."), "ok"
    if status.state == "stopped":
        return status.error or "Stopped on request; what was finished is kept.", "warning"
    return status.error or "It ended without a word.", "failed"


def _trained(report: dict[str, Any]) -> str:
    """Say what came of a training run, by its report."""
    sentence = f"Trained {report['epochs']} epochs, {report['steps']} steps; best evaluation loss "
    sentence += f"{report['best_loss']:.3f}, after epoch {report['best_epoch']}."
    if report["stopped"]:
        sentence = f"Stopped, and everything is saved. {sentence} “Continue Previous Project” goes on from here."
    return sentence


def job_key(status: JobStatus | None) -> tuple[Any, ...]:
    """Return what of a job's status is visible: it changes when there is something new to show."""
    if status is None:
        return ()
    shown = round(status.fraction, 3) if status.fraction is not None else None
    return (status.id, status.state, status.stopping, shown, status.message, int(status.seconds))


class JobPanel:
    """A stage on its tab: the main button, stop, what it is doing and for how long, its log."""

    def __init__(
        self, page: Page, stage: str, label: str, *, stop: str = "Stop", of_project: bool = True, idle: str = ""
    ) -> None:
        """`of_project` says that the job shown is the project's latest; else the latest of all."""
        self._page = page
        self._stage = stage
        self._of_project = of_project
        self._idle = idle
        self._stop_label = stop
        with gr.Row(elem_classes="job-buttons"):
            self.start = gr.Button(label, variant="primary", scale=3)
            self.stop = gr.Button(stop, interactive=False, scale=1)
        self.status = gr.HTML(describe_job(None, idle), elem_classes="job-panel", padding=False)
        page.watch(lambda project: job_key(self.job(project)), self._show, [self.status, self.start, self.stop])
        page.on(self.stop.click, self._stop, (), [self.stop])

    def job(self, project: str) -> JobStatus | None:
        """Return the job this panel shows."""
        if self._of_project and not project:
            return None
        return self._page.jobs.latest(self._stage, project if self._of_project else "")

    def starts(self, record: Callable[..., Any], inputs: Sequence[Any] = (), button: gr.Button | None = None) -> Any:
        """Start the stage on a click with the options that `record(project, *inputs)` returns."""

        def begin(project: str, *values: Any) -> Any:
            try:
                start_job(self._page.ws, self._stage, record(project, *values))
            except FinetuneError as fault:
                gr.Warning(str(fault), duration=15)
                return notice(str(fault), "failed"), gr.skip()
            return '<div class="job running">Starting …</div>', gr.Button(interactive=False)

        return self._page.on((button or self.start).click, begin, inputs, [self.status, self.start])

    def when_changed(
        self, show: Callable[..., Any], outputs: Sequence[Any], also: Callable[[str], Any] | None = None
    ) -> None:
        """Call `show(project, status)` when there is another job to show, or the job's state has changed.

        That is on loading the page, on changing the project, when the job starts and when it ends. `also(project)`
        may name a further cheap key, such as the stamp of a file.
        """

        def key(project: str) -> tuple[Any, ...]:
            status = self.job(project)
            return (status and status.id, status and status.state, also(project) if also else None)

        self._page.watch(key, lambda project: show(project, self.job(project)), outputs)

    def show_log(self, kinds: Any = None) -> gr.Textbox:
        """Put the folded log here. `kinds` is a component whose value is the list of kinds to show."""
        with gr.Accordion("Log", open=False):
            log = gr.Textbox(
                show_label=False, lines=12, max_lines=12, interactive=False, autoscroll=True, buttons=["copy"],
                elem_classes="log", placeholder="Nothing has been written yet.",
            )  # fmt: skip
        chosen = [kinds] if kinds is not None else []
        self._page.watch(self._log_key, self._log_lines, [log], chosen)
        return log

    def _log_key(self, project: str, kinds: Any = None) -> Any:
        status = self.job(project)
        return (status.id, self._page.jobs.log_count(status.id), kinds) if status else ()

    def _log_lines(self, project: str, kinds: Any = None) -> str:
        status = self.job(project)
        return self._page.jobs.log(status.id, None if kinds is None else tuple(kinds)) if status else ""

    def _show(self, project: str) -> tuple[Any, ...]:
        status = self.job(project)
        running = bool(status and status.running)
        stop_label = "End it at once" if status and running and status.stopping else self._stop_label
        return (
            describe_job(status, self._idle),
            gr.Button(interactive=not running),
            gr.Button(stop_label, interactive=running, variant="stop" if running else "secondary"),
        )

    def _stop(self, project: str) -> Any:
        status = self.job(project)
        if status is not None and status.running:
            stop_or_kill(self._page, status)
        return gr.Button(interactive=False)


def stop_or_kill(page: Page, status: JobStatus) -> None:
    """Ask a job to stop; asked again, end it at once."""
    if status.stopping:
        kill_job(page.ws, status.id)
    else:
        stop_job(page.ws, status.id)


def help_box(name: str, *options: type[Any], title: str = "Help: every setting on this tab") -> None:
    """Put the folded help of a tab here: ui/help/<name>.md, then a table of the settings of the options records."""
    with gr.Accordion(title, open=False, elem_classes="help"):
        gr.Markdown(_read_help(name), elem_classes="guide")
        for kind in options:
            gr.Markdown(settings_table(kind), elem_classes="guide")


def settings_table(options: type[Any]) -> str:
    """Return a Markdown table of an options record: each setting, its default, what it does."""
    rows = ["| Setting | Default | What it does |", "|---|---|---|"]
    for about in describe(options).values():
        default = about.default
        if default is REQUIRED or default in ("", ()):
            default = "–"
        elif isinstance(default, bool):
            default = "on" if default else "off"
        elif isinstance(default, float):
            default = f"{default:g}"
        rows.append(f"| **{about.label}** | {default} {about.unit} | {about.help} |")
    return "\n".join(rows)


def guide(name: str) -> None:
    """Put a guide here: ui/help/<name>.md, a drop-down for each `## ` section; the first is open."""
    for number, section in enumerate(re.split(r"^## ", _read_help(name), flags=re.MULTILINE)[1:]):
        title, _, body = section.partition("\n")
        with gr.Accordion(title.strip(), open=number == 0, elem_classes="help"):
            gr.Markdown(body, elem_classes="guide")


def _read_help(name: str) -> str:
    return (HELP_FOLDER / f"{name}.md").read_text(encoding="utf-8")

"""A training run as the page shows it: verdict, graphs, spoken samples, log; live while it runs."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from pipeline.errors import WorkspaceError
from pipeline.records import Run
from pipeline.training.metrics import Metrics
from pipeline.training.runs import RunFiles, list_runs
from pipeline.training.verdict import Verdict, judge
from pipeline.workspace import read_json

from .context import Page, stamp
from .feedback import notice
from .live_plot import live_plot, show
from .plots import TRAINING_FIGURES, training_figures
from .runbook import RunBook, tail

LATEST = ""
COLORS = {"improving": "ok", "levelled off": "info", "overtrained": "warning", "too early to tell": "info"}


class RunView:
    """The run that is looked at: the project's latest, or the one chosen here."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._book = RunBook(page.ws)
        with gr.Row(equal_height=True):
            gr.Markdown("### The run")
            self._which = gr.Dropdown(
                [("The latest run", LATEST)], value=LATEST, show_label=False, container=False, interactive=True,
                elem_id="which-run", scale=0, min_width=280,
            )  # fmt: skip
        self._summary = gr.HTML(_no_run(), padding=False, elem_id="verdict")
        with gr.Column(visible=False) as self._whole:
            self._build_figures()
            self._build_samples()
            self._build_log()
        page.watch(self._names, self._show_names, [self._which])
        page.watch(self._figures_key, self._show_figures, [self._summary, self._whole, *self._figures], [self._which])

    def _find(self, project: str, which: str | None) -> Run | None:
        return self._book.find(project, which or LATEST)

    def _names(self, project: str) -> list[str]:
        return run_names(self._page, project)

    def _show_names(self, project: str) -> Any:
        choices = [("The latest run", LATEST), *((name, name) for name in self._names(project))]
        return gr.Dropdown(choices=choices, value=LATEST)

    # ---- Figures and verdict ----

    def _build_figures(self) -> None:
        names = list(TRAINING_FIGURES)
        self._figures: list[Any] = []
        for pair in (names[at : at + 2] for at in range(0, len(names), 2)):
            with gr.Row():
                for name in pair:
                    self._figures.append(live_plot(elem_id=f"figure-{name}", elem_classes="figure", padding=False))

    def _figures_key(self, project: str, which: str | None) -> Any:
        run = self._find(project, which)
        if run is None:
            return None
        files = RunFiles(run.path)
        return run.name, self._book.version(files.metrics), stamp(files.audit), stamp(files.report)

    def _show_figures(self, project: str, which: str | None) -> list[Any]:
        run = self._find(project, which)
        if run is None:
            return [_no_run(), gr.Column(visible=False), *[gr.skip()] * len(self._figures)]
        metrics = self._book.metrics(RunFiles(run.path).metrics)
        drawn = training_figures(metrics)
        values = [show(drawn[name]) for name in TRAINING_FIGURES]
        values[-1] = gr.HTML(values[-1], visible=not metrics.series["vram"].empty)
        return [_describe_run(run, metrics), gr.Column(visible=True), *values]

    # ---- Spoken samples ----

    def _build_samples(self) -> None:
        with gr.Row(visible=False, equal_height=True, elem_id="samples") as self._samples:
            self._epoch = gr.Dropdown([], label="Spoken after", interactive=True, scale=1, min_width=180)
            self._sound = gr.Audio(label="Sample", interactive=False, scale=4, elem_id="sample", buttons=["download"])
        self._page.watch(self._spoken, self._show_spoken, [self._samples, self._epoch], [self._which])
        self._page.watch(self._sound_key, self._show_sound, [self._sound], [self._which, self._epoch])

    def _spoken(self, project: str, which: str | None) -> list[str]:
        """Return the names of the samples there are, the newest last."""
        run = self._find(project, which)
        return sorted(path.name for path in RunFiles(run.path).samples.glob("epoch_*.wav")) if run else []

    def _show_spoken(self, project: str, which: str | None) -> tuple[Any, Any]:
        names = self._spoken(project, which)
        choices = [(f"epoch {int(Path(name).stem.split('_')[1])}", name) for name in reversed(names)]
        return gr.Row(visible=bool(names)), gr.Dropdown(choices=choices, value=names[-1] if names else None)

    def _sound_key(self, project: str, which: str | None, epoch: str | None) -> Any:
        run = self._find(project, which)
        return (run.name, epoch, stamp(RunFiles(run.path).samples / epoch)) if run and epoch else None

    def _show_sound(self, project: str, which: str | None, epoch: str | None) -> str | None:
        if epoch not in self._spoken(project, which):
            return None
        run = self._find(project, which)
        return self._page.playable(RunFiles(run.path).samples / epoch) if run and epoch else None

    # ---- Log ----

    def _build_log(self) -> None:
        with gr.Accordion("Training log (trainer_0_log.txt)", open=False):
            log = gr.Textbox(
                show_label=False, lines=16, max_lines=16, interactive=False, autoscroll=True, buttons=["copy"],
                elem_classes="log", elem_id="training-log",
            )  # fmt: skip
        self._page.watch(self._log_key, self._show_log, [log], [self._which])

    def _log_key(self, project: str, which: str | None) -> Any:
        run = self._find(project, which)
        return (run.name, self._book.version(RunFiles(run.path).log)) if run else None

    def _show_log(self, project: str, which: str | None) -> str:
        run = self._find(project, which)
        return tail(RunFiles(run.path).log) if run else ""


def run_names(page: Page, project: str) -> list[str]:
    """Return the names of the project's runs, the newest first."""
    return [run.name for run in list_runs(page.ws, project)] if project else []


def _no_run() -> str:
    return notice("This project hasn't been trained yet. Its graphs will be here.")


def _describe_run(run: Run, metrics: Metrics) -> str:
    """Return what is to be said of a run: how far it is, the verdict, what was left out, what went wrong."""
    files = RunFiles(run.path)
    settings = _read(files.train_config)
    asked = settings.get("epochs") or settings.get("config", {}).get("epochs")
    last = metrics.last
    facts = [f"Base model: {Path(run.base).name}"] if run.base else []
    if last is not None:
        facts.append(f"epoch {last.epoch}{f' of {asked}' if asked else ''}, step {last.step}")
        facts.append(f"training loss {last.loss:.3f}")
    lines = [f"<p class='facts'><b>{html.escape(run.name)}</b> · {html.escape(' · '.join(facts))}</p>"]
    verdict = judge(metrics.evaluations, int(settings.get("patience") or 3))
    lines.append(_verdict(verdict))
    if metrics.faults:
        first = metrics.faults[0]
        lines.append(notice(f"At step {first.step} a loss was not a number: training stopped there.", "failed"))
    lines += [notice(warning, "warning") for warning in _warnings(files)]
    return "".join(lines)


def _verdict(verdict: Verdict) -> str:
    return notice(verdict.sentence, COLORS[verdict.kind])


def _warnings(files: RunFiles) -> Sequence[str]:
    return [str(warning) for warning in _read(files.report).get("warnings", ())]


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(read_json(path, {}))
    except (WorkspaceError, TypeError, ValueError):
        return {}  # being written, or broken: the graphs are shown all the same

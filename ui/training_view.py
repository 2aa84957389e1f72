"""A training run as the page shows it: verdict, graphs, spoken samples, log; live while it runs."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from pipeline.errors import WorkspaceError
from pipeline.options import TrainConfig
from pipeline.records import Run
from pipeline.training.metrics import Metrics
from pipeline.training.runs import RunFiles, list_runs
from pipeline.training.verdict import Verdict, judge
from pipeline.workspace import read_json

from .context import Page, stamp
from .feedback import duration, notice
from .live_plot import live_plot, show
from .plots import TRAINING_FIGURES, training_figures
from .runbook import RunBook, tail
from .tables import as_table

LATEST = ""
DEFAULT_PATIENCE = TrainConfig.patience
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
            with gr.Accordion("Left out of training", open=False, visible=False) as self._left_out:
                self._rejected = gr.HTML(padding=False, elem_id="left-out-of-training")
            self._build_log()
        page.watch(self._names, self._show_names, [self._which])
        shown = [self._summary, self._whole, self._left_out, self._rejected, *self._figures]
        page.watch(self._figures_key, self._show_figures, shown, [self._which])

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
            return [_no_run(), gr.Column(visible=False), *[gr.skip()] * (2 + len(self._figures))]
        metrics = self._book.metrics(RunFiles(run.path).metrics)
        drawn = training_figures(metrics)
        values = [show(drawn[name]) for name in TRAINING_FIGURES]
        values[-1] = gr.HTML(values[-1], visible=not metrics.series["vram"].empty)
        rejected = _read(RunFiles(run.path).audit).get("rejected", [])
        left_out = gr.Accordion(f"Left out of training ({len(rejected)})", visible=bool(rejected))
        return [_describe_run(run, metrics), gr.Column(visible=True), left_out, _rejected_table(rejected), *values]

    # ---- Spoken samples ----

    def _build_samples(self) -> None:
        with gr.Row(visible=False, equal_height=False, elem_id="samples") as self._samples:
            self._epoch = gr.Dropdown([], label="Spoken after", interactive=True, scale=1, min_width=180)
            self._sound = gr.Audio(label="Sample", interactive=False, scale=4, elem_id="sample", buttons=["download"])
        self._page.watch(self._spoken, self._show_spoken, [self._samples, self._epoch], [self._which])
        self._page.watch(self._sound_key, self._show_sound, [self._sound], [self._which, self._epoch])

    def _spoken(self, project: str, which: str | None) -> list[str]:
        """Return the names of the samples there are, the newest last."""
        run = self._find(project, which)
        names = (path.name for path in RunFiles(run.path).samples.glob("epoch_*.wav")) if run else ()
        return sorted(names, key=lambda name: (len(name), name))  # epoch_1000 after epoch_999

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
    """Return what is to be said of a run: on what and how far, the verdict, what went wrong."""
    files = RunFiles(run.path)
    settings = _read(files.train_config)
    patience = int(settings.get("patience") or DEFAULT_PATIENCE)
    lines = [f"<p class='facts'><b>{html.escape(run.name)}</b>{html.escape(_facts(run, metrics, settings))}</p>"]
    lines.append(_verdict(judge(metrics.evaluations, patience)))
    if metrics.faults:
        first = metrics.faults[0]
        lines.append(notice(f"At step {first.step} a value was not a number: {', '.join(first.values)}.", "failed"))
    lines += [notice(warning, "warning") for warning in _warnings(files)]
    return "".join(lines)


def _facts(run: Run, metrics: Metrics, settings: dict[str, Any]) -> str:
    """Return in a line: base model, dataset, how far."""
    audit = _read(RunFiles(run.path).audit)
    facts = [f"from {Path(run.base).name}"] if run.base else []
    if audit:
        facts.append(f"{audit['train']} clips ({duration(audit['seconds'])}) to train on, {audit['eval']} to evaluate")
    last = metrics.last
    if last is not None:
        asked = f" of {settings['epochs']}" if settings.get("epochs") else ""
        facts.append(f"epoch {last.epoch}{asked}, step {last.step}")
    return "".join(f" · {fact}" for fact in facts)


def _rejected_table(rejected: Sequence[dict[str, Any]]) -> str:
    rows = [(row.get("source", ""), row.get("reason", ""), row.get("text", "")) for row in rejected]
    return as_table(("Clip", "Why", "Text"), rows, {0: "name"})


def _verdict(verdict: Verdict) -> str:
    return notice(verdict.sentence, COLORS[verdict.kind])


def _warnings(files: RunFiles) -> Sequence[str]:
    return [str(warning) for warning in _read(files.report).get("warnings", ())]


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(read_json(path, {}))
    except (WorkspaceError, TypeError, ValueError):
        return {}  # broken: the graphs are shown all the same

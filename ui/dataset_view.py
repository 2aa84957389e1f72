"""The dataset as the page shows it: totals, plots, every clip to hear and drop, and what was left out."""

from __future__ import annotations

import dataclasses
import html
from typing import Any

import gradio as gr

from pipeline.corrections import drop_clip
from pipeline.dataset_files import Manifest, find_manifest, read_dataset
from pipeline.dataset_report import make_report
from pipeline.errors import DatasetError
from pipeline.jobs import JobStatus
from pipeline.records import Clip, DatasetReport, Limits, Rejection

from .context import Page, stamp
from .feedback import JobPanel, duration, notice
from .live_plot import live_plot, show
from .plots import clip_lengths, loudness_and_noise
from .tables import as_table

CLIP_COLUMNS = ("Flags", "Text", "Length", "Part", "Ends at", "Words/s", "LUFS", "SNR", "File")
FILE_COLUMN = CLIP_COLUMNS.index("File")
REJECTED_COLUMNS = ("Recording", "From", "To", "Reason", "Text")
PARTS = {"train": "training", "eval": "evaluation"}
FLAGGED, ALL = "Flagged clips", "All clips"


def build_report(page: Page, panel: JobPanel) -> None:
    """Put the report of the project's dataset here."""
    summary = gr.HTML(padding=False, elem_id="dataset-summary")
    with gr.Column(visible=False) as whole:
        with gr.Row():
            with gr.Column(min_width=320):
                lengths = live_plot()
            with gr.Column(min_width=320):
                loudness = live_plot()
        gr.Markdown("### Clips")
        which = gr.Radio([ALL, FLAGGED], value=ALL, show_label=False, container=False, elem_id="which-clips")
        table = gr.Dataframe(
            headers=list(CLIP_COLUMNS), interactive=False, max_height=380, show_label=False, wrap=True,
            show_search="search", elem_id="clips", buttons=["fullscreen"],
            column_widths=["190px", "360px", "75px", "95px", "95px", "80px", "70px", "65px", "140px"],
        )  # fmt: skip
        _build_listening(page, table)
        with gr.Accordion("Left out", open=False) as left_out:
            rejected = gr.HTML(elem_id="rejected")

    panel.when_changed(
        lambda project, status: _show_report(page, project, status),
        [summary, whole, lengths, loudness, left_out, rejected],
        also=lambda project: _dataset_stamp(page, project),
    )
    page.watch(
        lambda project, which: (_dataset_stamp(page, project), which),
        lambda project, which: _clip_rows(page, project, which),
        [table],
        [which],
    )


def _dataset_stamp(page: Page, project: str) -> Any:
    if not project:
        return ()
    opened = page.open(project)
    return stamp(opened.dataset_manifest), stamp(opened.train_csv), stamp(opened.eval_csv)


def _read(page: Page, project: str) -> Manifest | None:
    return find_manifest(page.open(project)) if project else None


def _show_report(page: Page, project: str, status: JobStatus | None) -> tuple[Any, ...]:
    nothing = (gr.Column(visible=False), None, None, gr.skip(), gr.skip())
    try:
        manifest = _read(page, project)
    except DatasetError as fault:
        return (notice(str(fault), "failed"), *nothing)
    if manifest is None:
        return (notice("This project has no dataset yet.") if project else "", *nothing)
    report = whole_report(manifest, status)
    settings = manifest.settings
    limits = Limits(min_seconds=settings.min_seconds, max_seconds=settings.max_seconds)
    rows = [_rejected_row(one) for one in report.rejected]
    return (
        summarize(report),
        gr.Column(visible=True),
        show(clip_lengths(report.rows, limits if settings.max_seconds else None)),
        show(loudness_and_noise(report.rows)),
        gr.Accordion(f"Left out ({len(rows)})", visible=bool(rows)),
        as_table(REJECTED_COLUMNS, rows, {0: "name", 1: "number", 2: "number"}),
    )


def whole_report(manifest: Manifest, status: JobStatus | None) -> DatasetReport:
    """Return what is known on disk, and of the last job what only it knows: the files it couldn't use at all."""
    report = make_report(manifest)
    told = status.result if status and status.state == "done" else {}
    lost = tuple(Rejection(**one) for one in told.get("rejected", ()))
    files = tuple(one for one in lost if one not in report.rejected)
    current = told.get("clips") == report.clips
    return dataclasses.replace(
        report,
        added=told.get("added", 0) if current else 0,
        rejected=(*files, *report.rejected),
        warnings=tuple(told.get("warnings", ())) if current else report.warnings,
    )


def summarize(report: DatasetReport) -> str:
    """Say in a line what there is, and each warning in a line of its own."""
    flagged = sum(bool(clip.flags) for clip in report.rows)
    parts = [
        f"{report.clips} clips, {duration(report.seconds)}",
        f"{report.train} for training, {report.eval} for evaluation",
        f"{flagged} flagged" if flagged else "none flagged",
    ]
    if report.added and report.added != report.clips:
        parts.insert(1, f"{report.added} of them new")
    return notice(" · ".join(parts), "ok") + "".join(notice(warning, "warning") for warning in report.warnings)


def _rejected_row(one: Rejection) -> list[str]:
    start, end = (f"{time:.1f} s" if time is not None else "–" for time in (one.start, one.end))
    return [one.source, start, end, one.reason, one.text]


def _clip_rows(page: Page, project: str, which: str) -> Any:
    try:
        manifest = _read(page, project)
    except DatasetError:
        manifest = None  # the summary says what is wrong
    return gr.Dataframe(as_rows(manifest, which), headers=list(CLIP_COLUMNS))


def as_rows(manifest: Manifest | None, which: str) -> list[list[Any]]:
    """Return the table of clips: those that stand out first, then in the order of the recordings."""
    clips = sorted(manifest.clips if manifest else (), key=lambda clip: not clip.flags)
    return [_clip_row(clip) for clip in clips if clip.flags or which == ALL]


def _clip_row(clip: Clip) -> list[Any]:
    flags = "; ".join((*clip.flags, *([clip.note] if clip.note else [])))
    figures = [clip.words_per_second, clip.loudness, clip.snr]
    shown = [round(figure, 1) if figure is not None else None for figure in figures]
    return [flags, clip.text, round(clip.seconds, 2), PARTS[clip.split], clip.ending, *shown, clip.file]


# ---- One clip -----------------------------------------------------------------------------------------------------


def _build_listening(page: Page, table: gr.Dataframe) -> None:
    """Put the chosen clip here: its sound, its text, and the button that drops it."""
    chosen = gr.State("")  # the clip's file
    hint = gr.HTML(notice("Choose a row to hear the clip."), padding=False)
    with gr.Row(visible=False, equal_height=False) as row:
        sound = gr.Audio(label="Clip", interactive=False, scale=3, elem_id="chosen-clip", buttons=["download"])
        with gr.Column(scale=2):
            about = gr.HTML(padding=False, elem_id="about-chosen")
            drop = gr.Button("Drop this clip", size="sm", elem_classes="fit")
    shown = [chosen, row, hint, sound, about]

    def choose(project: str, event: gr.SelectData) -> tuple[Any, ...]:
        return _show_clip(page, project, event.row_value[FILE_COLUMN])

    page.on(table.select, choose, (), shown)
    page.on(drop.click, lambda project, file: _drop(page, project, file), [chosen], shown)
    page.on(page.project.change, lambda project: _no_clip(), (), shown)


def _no_clip() -> tuple[Any, ...]:
    return "", gr.Row(visible=False), gr.HTML(visible=True), None, ""


def _show_clip(page: Page, project: str, file: str) -> tuple[Any, ...]:
    opened = page.open(project)
    clip = next((clip for clip in read_dataset(opened) if clip.file == file), None)
    if clip is None:
        raise DatasetError(f"The clip “{file}” isn't in the dataset of “{project}” any more.")
    sound = page.playable(opened.path / clip.file)
    if sound is None:
        raise DatasetError(f"The sound of “{file}” isn't there: run the validation, which lists missing files.")
    return file, gr.Row(visible=True), gr.HTML(visible=False), sound, _describe_clip(clip)


def _describe_clip(clip: Clip) -> str:
    """Return a clip's text, where it is from, and why it stands out, as HTML."""
    origin = f"{clip.source}, {clip.start:.1f} to {clip.end:.1f} s" if clip.end else clip.source
    confidence = f" · Whisper's confidence {clip.confidence:.0%}" if clip.confidence is not None else ""
    flags = "".join(notice(flag[:1].upper() + flag[1:], "warning") for flag in clip.flags)
    return (
        f"<p class='clip-text'>{html.escape(clip.text)}</p>"
        f"<p class='subdued'>{html.escape(origin)}{confidence}</p>{flags}"
    )


def _drop(page: Page, project: str, file: str) -> tuple[Any, ...]:
    drop_clip(page.open(project), file)
    gr.Info(f"“{file}” is no longer in the dataset.", duration=5)
    return _no_clip()

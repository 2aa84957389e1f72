"""The tab “📁 Step 1 - Generating the dataset”: recordings in, clips with their texts and figures out."""

from __future__ import annotations

import html
from collections.abc import Sequence

import gradio as gr

from pipeline.dataset_report import GOOD_TOTAL, MIN_TOTAL
from pipeline.errors import WorkspaceError
from pipeline.options import DatasetOptions
from pipeline.progress import LOG_KINDS
from pipeline.records import Recording
from pipeline.storage import check_not_in_use, dataset_files, delete_all, sample_files, total_size

from ..choices import LANGUAGE_NAMES, add_whisper_model
from ..confirm import confirmed_button
from ..context import Page
from ..controls import Form
from ..dataset_view import build_report
from ..feedback import JobPanel, duration, guide, help_box, notice, size
from ..recordings import RecordingBook
from ..tables import as_table
from ..uploads import add_samples

RECORDING_COLUMNS = ("File", "Duration", "Rate", "Channels", "Format", "Loudness", "Note")


def build(page: Page) -> None:
    with gr.Tabs():
        with gr.Tab("Generate Dataset"):
            help_box("dataset_settings")
            _build_intake(page)
            _build_work(page)
        with gr.Tab("Dataset Generation Guide"):
            guide("dataset")


# ---- Recordings ---------------------------------------------------------------------------------------------------


def _build_intake(page: Page) -> None:
    book = RecordingBook(page.ws)
    gr.Markdown("### Recordings")
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=260):
            upload = gr.File(
                label="Upload New Audio Samples", file_count="multiple", height=170, elem_id="upload-samples"
            )
            gr.HTML(f'<p class="subdued">Or copy files into {html.escape(str(page.ws.samples))}.</p>')
        with gr.Column(scale=5):
            table = gr.HTML(elem_id="recordings")
    page.watch(lambda project: book.key(), lambda project: describe_recordings(book), [table])
    page.on(upload.upload, lambda project, files: _take_in(page, files), [upload], [upload])
    with gr.Row():
        confirmed_button(
            page,
            "Delete Existing Audio Samples",
            lambda project: _ask_samples(page),
            lambda project: _delete_samples(page),
        )
        confirmed_button(
            page,
            "Delete Existing Training Dataset",
            lambda project: _ask_dataset(page, project),
            lambda project: _delete_dataset(page, project),
        )


def _take_in(page: Page, files: Sequence[str] | None) -> None:
    """Copy what the browser sent, and empty the upload field: the table shows it from now on."""
    new, known = add_samples(page.ws, files or ())
    if new:
        gr.Info(f"Added: {', '.join(new)}.", duration=6)
    if known:
        gr.Info(f"There already, and not added again: {', '.join(known)}.", duration=8)


def describe_recordings(book: RecordingBook) -> str:
    """Return the table of recordings, with the total against what is needed above it, as HTML."""
    recordings = book.recordings()
    texts = book.transcripts()
    rows = [_recording_row(one, book.is_measured(one), texts.get(one.path, "")) for one in recordings]
    looks = {0: "name", 1: "number", 2: "number", 3: "short", 4: "short", 5: "number"}
    return _total(recordings) + as_table(RECORDING_COLUMNS, rows, looks)


def _recording_row(recording: Recording, measured: bool, transcript: str) -> list[str]:
    """Return one file as the table shows it."""
    name = recording.path.name
    if recording.problem:
        return [name, "–", "–", "–", recording.codec or "–", "–", f"Can't be used: {recording.problem}"]
    channels = {1: "mono", 2: "stereo"}.get(recording.channels, f"{recording.channels}")
    loudness = f"{recording.loudness:.1f} LUFS" if recording.loudness is not None else "silent" if measured else "…"
    rate = f"{recording.sample_rate:,} Hz"
    return [
        name,
        duration(recording.seconds),
        rate,
        channels,
        recording.codec,
        loudness,
        f"Text: {transcript}" if transcript else "",
    ]


def _total(recordings: Sequence[Recording]) -> str:
    """Say how much there is against what is needed."""
    usable = [recording for recording in recordings if not recording.problem]
    if not recordings:
        return notice(
            f"No recordings yet. At least {MIN_TOTAL / 60:.0f} minutes of one voice are needed, "
            f"{GOOD_TOTAL / 60:.0f} minutes and more are recommended."
        )
    seconds = sum(recording.seconds for recording in usable)
    files = f"{len(usable)} file" + ("s" if len(usable) != 1 else "")
    if seconds < MIN_TOTAL:
        words, kind = f"less than the minimum of {MIN_TOTAL / 60:.0f} minutes", "warning"
    elif seconds < GOOD_TOTAL:
        words, kind = f"enough to begin; {GOOD_TOTAL / 60:.0f} minutes and more are recommended", "info"
    else:
        words, kind = "a good amount", "ok"
    unusable = len(recordings) - len(usable)
    rest = f" {unusable} can't be used: the table says why." if unusable else ""
    return notice(f"{files}, {duration(seconds)} in all: {words}.{rest}", kind)


def _ask_samples(page: Page) -> str:
    check_not_in_use(page.ws)
    files = sample_files(page.ws)
    if not files:
        raise WorkspaceError("There are no audio samples to delete.")
    return (
        f"This deletes {len(files)} files from {page.ws.samples.name} and frees {size(total_size(files))}. Datasets "
        "that were made from them stay."
    )


def _delete_samples(page: Page) -> str:
    check_not_in_use(page.ws)
    return f"Deleted; {size(delete_all(page.ws, sample_files(page.ws)))} freed."


def _ask_dataset(page: Page, project: str) -> str:
    opened = page.open(project)
    check_not_in_use(page.ws, opened.name)
    files = dataset_files(opened)
    if not files:
        raise WorkspaceError(f"Project “{opened.name}” has no dataset to delete.")
    return (
        f"This deletes the dataset of “{opened.name}” with all corrections and frees {size(total_size(files))}. Its "
        "training runs, exported models and the audio samples stay."
    )


def _delete_dataset(page: Page, project: str) -> str:
    opened = page.open(project)
    check_not_in_use(page.ws, opened.name)
    return f"The dataset of “{opened.name}” is deleted; {size(delete_all(page.ws, dataset_files(opened)))} freed."


# ---- Settings, work, report ---------------------------------------------------------------------------------------


def _build_work(page: Page) -> None:
    gr.Markdown("### Settings")
    form = Form(page, "dataset", DatasetOptions)
    with gr.Row():
        page.project_field("Training Project Name")
        form.add("language", names=LANGUAGE_NAMES)
        add_whisper_model(page, form)
    with gr.Row():
        form.add("eval_percent")
        form.add("min_seconds", step=0.5)
        form.add("max_seconds", step=0.5)
    with gr.Accordion("More settings", open=False):
        with gr.Row():
            form.add("precision")
            form.add("device")
        with gr.Row():
            form.add("vad")
            form.add("loudness")
            form.add("accept_new_settings")
        with gr.Row():
            form.add("speaker")
            form.add("seed")
        form.add_rest(skip=("project", "audio"))
    panel = JobPanel(
        page, "dataset", "Step 1 - Create dataset", idle="Recordings become clips with their texts: press the button."
    )
    panel.starts(form.record, form.inputs)
    build_report(page, panel)
    with gr.Accordion("Debug Settings", open=False):
        kinds = _build_debug_settings(page)
    panel.show_log(kinds)
    page.next_step("Next: listen and correct", "validation")


def _build_debug_settings(page: Page) -> gr.CheckboxGroup:
    """Build the choice of the kinds of message that the log shows."""
    kinds = gr.CheckboxGroup(list(LOG_KINDS), value=list(LOG_KINDS), label="What the log shows", interactive=True)
    with gr.Row():
        every = gr.Button("Select All", size="sm")
        none = gr.Button("Clear All", size="sm")
    page.on(every.click, lambda project: list(LOG_KINDS), (), [kinds])
    page.on(none.click, lambda project: [], (), [kinds])
    return kinds

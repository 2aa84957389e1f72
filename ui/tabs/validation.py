"""The tab “📊 Dataset Validation”: every clip heard again, what differs listed, corrected one after another."""

from __future__ import annotations

import functools
import html
from pathlib import Path
from typing import Any

import gradio as gr

from pipeline.dataset_files import find_manifest
from pipeline.errors import DatasetError
from pipeline.jobs import JobStatus
from pipeline.options import ValidateOptions
from pipeline.records import Correction
from pipeline.references import SOUND_SUFFIXES
from pipeline.review import Entry, Review, decide, drop, move, open_review, reviewed_file
from pipeline.workspace import Project

from ..choices import LANGUAGE_NAMES, add_whisper_model
from ..confirm import confirmed_button
from ..context import Page, stamp
from ..controls import Form
from ..differences import mark_differences
from ..feedback import JobPanel, help_box, notice
from ..trim import find_kept_part

COLUMNS = ("Original Text", "Whisper Text", "Filename", "Score")
FILE_COLUMN = COLUMNS.index("Filename")
TO_DECIDE, DIFFERENT, ALL = "To decide", "All that differ", "All clips"
ORIGINAL, WHISPER, MANUAL = "Use Original", "Use Whisper", "Edit Manually"
PARTS = {"train": "training", "eval": "evaluation"}


def build(page: Page) -> None:
    help_box("validation")
    form = Form(page, "validate", ValidateOptions, _suggestions)
    with gr.Row():
        page.project_field("Project Name")
        add_whisper_model(page, form)
        form.add("language", names={"": "The dataset's", **LANGUAGE_NAMES})
    with gr.Accordion("Another dataset", open=False), gr.Row():
        form.add("train_csv")
        form.add("eval_csv")
        form.add("audio_folder")
    with gr.Accordion("More settings", open=False), gr.Row():
        form.add_rest(skip=("project",))
    panel = JobPanel(
        page, "validate", "Run Validation", idle="Whisper hears every clip again, and what differs is listed."
    )
    panel.starts(form.record, form.inputs)
    which = _build_results(page, panel)
    _Editor(page, which)
    panel.show_log()
    page.next_step("Next: train", "training")


def _suggestions(project: Project) -> dict[str, Any]:
    """Return the Whisper model that the dataset was made with: it is on this machine already."""
    model = _whisper_of(project, stamp(project.dataset_manifest))
    return {"whisper_model": model} if model else {}


@functools.lru_cache(maxsize=32)
def _whisper_of(project: Project, state: tuple[int, int]) -> str:
    """Return the model's name; asked every second, so it is read once for each `state` of the file."""
    try:
        manifest = find_manifest(project)
    except DatasetError:
        return ""
    return manifest.settings.whisper_model if manifest else ""


# ---- What was found -----------------------------------------------------------------------------------------------


def _build_results(page: Page, panel: JobPanel) -> tuple[gr.Radio, gr.Dataframe]:
    """Put the summary, missing files and the table here; return the choice of rows, and the table."""
    summary = gr.HTML(elem_id="validation-summary")
    with gr.Column(visible=False) as lost:
        missing = gr.HTML()
        confirmed_button(
            page,
            "Drop Missing Rows",
            lambda project: _ask_missing(page, project),
            lambda project: _drop_missing(page, project),
            yes="Yes, drop",
        )
    with gr.Column(visible=False) as whole:
        which = gr.Radio([TO_DECIDE, DIFFERENT, ALL], value=TO_DECIDE, show_label=False, container=False)
        table = gr.Dataframe(
            headers=list(COLUMNS), datatype=["html", "html", "str", "str"], interactive=False, max_height=380,
            show_label=False, wrap=True, show_search="search", elem_id="mismatches", buttons=["fullscreen"],
            column_widths=["440px", "440px", "210px", "80px"],
        )  # fmt: skip

    def show(project: str, status: JobStatus | None) -> tuple[Any, ...]:
        return _show_summary(_open(page, project), status)

    panel.when_changed(show, [summary, lost, missing, whole], also=lambda project: _stamp(page, project))
    page.watch(
        lambda project, which: (which, _stamp(page, project)),
        lambda project, which: _rows(_open(page, project), which),
        [table],
        [which],
    )
    return which, table


def _stamp(page: Page, project: str) -> Any:
    """Return what changes when there is something else to show."""
    if not project:
        return ()
    opened = page.open(project)
    files = [opened.validation, reviewed_file(opened), opened.dataset_manifest, opened.train_csv, opened.eval_csv]
    return [stamp(path) for path in (*files, opened.wavs)]


def _open(page: Page, project: str) -> Review | None:
    """Return the last validation of the project; None where there was none or its dataset is gone."""
    try:
        return open_review(page.open(project)) if project else None
    except DatasetError:
        return None


def _needed(page: Page, project: str) -> Review:
    review = open_review(page.open(project))
    if review is None:
        raise DatasetError(f"Project “{project}” wasn't validated yet: press “Run Validation”.")
    return review


def _show_summary(review: Review | None, status: JobStatus | None) -> tuple[Any, ...]:
    if review is None:
        return "", gr.Column(visible=False), "", gr.Column(visible=False)
    different = [entry for entry in review.entries if entry.score > 0]
    left = sum(not entry.decided for entry in different)
    options = review.validation.options
    whose = "" if review.own else f" of {options.train_csv or options.eval_csv}"
    words = (
        f"{len(review.entries)} clips{whose} heard with {options.whisper_model} · {len(different)} differ · "
        f"{left} to decide"
    )
    lost = notice(f"{len(review.missing)} rows have no sound that can be used: {_some(review.missing)}.", "warning")
    return (
        notice(words, "warning" if left else "ok"),
        gr.Column(visible=bool(review.missing)),
        lost,
        gr.Column(visible=True),
    )


def _some(names: tuple[str, ...], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _chosen_entries(review: Review | None, which: str) -> list[Entry]:
    entries = review.entries if review else ()
    if which == ALL:
        return list(entries)
    return [entry for entry in entries if entry.score > 0 and (which == DIFFERENT or not entry.decided)]


def _rows(review: Review | None, which: str) -> Any:
    entries = _chosen_entries(review, which)
    language = review.validation.language if review else "en"
    rows = [
        [*mark_differences(entry.text, entry.heard, language), entry.file, f"{entry.score:.0%}"] for entry in entries
    ]
    return gr.Dataframe(rows, headers=list(COLUMNS))


def _ask_missing(page: Page, project: str) -> str:
    missing = _needed(page, project).missing
    return f"This takes {len(missing)} rows out of the dataset: {_some(missing)}."


def _drop_missing(page: Page, project: str) -> str:
    review = _needed(page, project)
    return f"{drop(review, review.missing)} rows were taken out of the dataset."


# ---- One clip -----------------------------------------------------------------------------------------------------


class _Editor:
    """The chosen clip: its sound to trim, both texts, the text that will be saved, and where to go next."""

    def __init__(self, page: Page, results: tuple[gr.Radio, gr.Dataframe]) -> None:
        self._page = page
        which, table = results
        self.chosen = gr.State("")  # the clip's file
        self.following = gr.State("")  # the file after it in the list
        self.hint = gr.HTML(visible=False)
        with gr.Column(visible=False) as self.whole:
            self._build()
        page.on(table.select, self._choose_row, [which], self.shown)
        page.on(self.skip.click, self._show, [which, self.following], self.shown)
        # Into a new player: the one of the clip before would keep its selection (Gradio 6.31).
        emptied = page.on(self.chosen.change, lambda project: None, (), [self.sound])
        page.on(emptied.then, self._load_sound, [self.chosen], [self.sound])
        page.on(self.use.input, self._use, [self.use, self.original, self.whisper, self.text], [self.text])
        # Not `input`: Gradio 6.31 sends that for keys only, and a text can be pasted with the mouse.
        page.on(self.text.change, self._which_text, [self.use, self.original, self.whisper, self.text], [self.use])
        inputs = [which, self.chosen, self.following, self.sound, self.text]
        page.on(self.save.click, self._save, inputs, self.shown)
        page.on(self.move.click, self._move, [which, self.chosen], self.shown)
        page.on(page.project.change, lambda project: self._nothing(""), (), self.shown)
        self._deletes(which)

    def _build(self) -> None:
        self.about = gr.HTML(elem_id="about-clip")
        self.sound = gr.Audio(
            label="Clip", type="filepath", interactive=True, sources=["upload"], elem_id="clip-sound",
            buttons=["download"],
        )  # fmt: skip
        with gr.Row():
            self.original = gr.Textbox(label="Original Text", interactive=False, lines=3)
            self.whisper = gr.Textbox(label="Whisper Text", interactive=False, lines=3)
        self.use = gr.Radio([ORIGINAL, WHISPER, MANUAL], value=ORIGINAL, label="Which text is right?")
        self.text = gr.Textbox(label="Text to save", lines=3, interactive=True, elem_id="text-to-save")
        with gr.Row():
            self.save = gr.Button("Save Audio and Correction", variant="primary", scale=3)
            self.skip = gr.Button("Next clip", scale=1)
            self.move = gr.Button("Move to evaluation", scale=1)

    @property
    def shown(self) -> list[Any]:
        """The components that `_show` fills; the sound follows the chosen clip by itself."""
        return [
            self.chosen, self.following, self.hint, self.whole, self.about, self.original, self.whisper, self.use,
            self.text, self.move,
        ]  # fmt: skip

    def _deletes(self, which: gr.Radio) -> None:
        page = self._page
        confirmed_button(
            page,
            "Delete Clip",
            self._ask_delete,
            self._delete,
            [self.chosen],
            done=lambda event: page.on(
                event.then, self._after_delete, [which, self.chosen, self.following], self.shown
            ),
        )

    # ---- showing ----

    def _choose_row(self, project: str, which: str, event: gr.SelectData) -> tuple[Any, ...]:
        return self._show(project, which, str(event.row_value[FILE_COLUMN]))

    def _show(self, project: str, which: str, file: str) -> tuple[Any, ...]:
        if not file:
            return self._nothing("That was the last one of this list.")
        review = _needed(self._page, project)
        entry = review.find(file)
        files = [one.file for one in _chosen_entries(review, which)]
        place = files.index(file) + 1 if file in files else 0
        before = files[: place - 1] if which == TO_DECIDE and place else []  # what was passed over comes again
        following = next(iter([*files[place:], *before]), "")
        other = "training" if entry.split == "eval" else "evaluation"
        return (
            file,
            following,
            gr.HTML(visible=False),
            gr.Column(visible=True),
            _describe(entry, place, len(files)),
            entry.text,
            entry.heard,
            ORIGINAL,
            entry.text,
            gr.Button(f"Move to {other}", visible=review.own),
        )

    def _nothing(self, words: str) -> tuple[Any, ...]:
        hint = gr.HTML(notice(words, "ok"), visible=bool(words))
        return "", "", hint, gr.Column(visible=False), "", "", "", ORIGINAL, "", gr.skip()

    def _load_sound(self, project: str, file: str) -> str | None:
        if not file:
            return None
        review = _needed(self._page, project)
        return _playable(self._page, review, review.find(file))

    def _use(self, project: str, use: str, original: str, whisper: str, text: str) -> str:
        return {ORIGINAL: original, WHISPER: whisper}.get(use, text)

    def _which_text(self, project: str, use: str, original: str, whisper: str, text: str) -> Any:
        """Say which text it is by now: what somebody types is their own."""
        if text == {ORIGINAL: original, WHISPER: whisper}.get(use, text):
            return gr.skip()
        return ORIGINAL if text == original else WHISPER if text == whisper else MANUAL

    # ---- deciding ----

    def _save(
        self, project: str, which: str, file: str, following: str, sound: str | None, text: str
    ) -> tuple[Any, ...]:
        """Save the decision and go to the next clip of the list."""
        review = _needed(self._page, project)
        entry = review.find(file)
        kept = find_kept_part(entry.path, Path(sound)) if sound else None
        decide(review, Correction(file, text, kept))
        gr.Info(f"Saved: {file}" + (f", {kept.seconds:.1f} s of it" if kept else "") + ".", duration=4)
        return self._show(project, which, following)

    def _move(self, project: str, which: str, file: str) -> tuple[Any, ...]:
        split = move(_needed(self._page, project), file)
        gr.Info(f"“{file}” is in {PARTS[split]} now.", duration=4)
        return self._show(project, which, file)

    def _ask_delete(self, project: str, file: str) -> str:
        entry = _needed(self._page, project).find(file)
        return f"This takes “{file}” out of the dataset: “{entry.text}”"

    def _delete(self, project: str, file: str) -> str:
        drop(_needed(self._page, project), [file])
        return f"“{file}” is no longer in the dataset."

    def _after_delete(self, project: str, which: str, file: str, following: str) -> tuple[Any, ...]:
        """Go on to the next clip if this one is gone; else it stays."""
        review = _open(self._page, project)
        there = review is not None and any(entry.file == file for entry in review.entries)
        return self._show(project, which, file if there else following)


def _playable(page: Page, review: Review, entry: Entry) -> str | None:
    """Return a copy of the clip's sound that the browser may fetch."""
    if review.own:
        return page.playable(entry.path)
    from gradio.processing_utils import save_file_to_cache
    from gradio.utils import get_upload_folder

    if entry.path.suffix.lower() not in SOUND_SUFFIXES:  # a CSV may name any file of the machine
        raise DatasetError(f"“{entry.path.name}” isn't a sound file.")
    return str(save_file_to_cache(entry.path, cache_dir=get_upload_folder()))


def _describe(entry: Entry, place: int, count: int) -> str:
    where = f"{place} of {count} · " if place else ""
    words = "they agree" if entry.score == 0 else f"{entry.score:.0%} of the words differ"
    return f"<p class='subdued'>{where}{html.escape(entry.file)} · {PARTS[entry.split]} · {words}</p>"

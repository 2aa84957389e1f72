"""What the tabs share: the page's project, and how a page follows what lies on disk.

How a tab is written. One file a tab, `ui/tabs/<name>.py`, with one function, called inside its `gr.Tab`:

    def build(page: Page) -> None:
        help_box("dataset")                                    # feedback.py: the folded help, ui/help/dataset.md
        with gr.Tabs():
            with gr.Tab("Generate Dataset"):
                form = Form(page, "dataset", DatasetOptions)   # controls.py: components from the options record
                page.project_field("Training Project Name")
                form.add("language", names=LANGUAGES)
                with gr.Accordion("More settings", open=False):
                    form.add_rest(skip=("project", "audio"))
                panel = JobPanel(page, "dataset", "Step 1 - Create dataset")   # feedback.py: start, stop, progress
                panel.starts(form.record, form.inputs)         # click -> record(project, *values) -> start_job
                table = gr.Dataframe(...)
                panel.when_changed(show_report, [table])       # now, on reload, on project switch, when a job ends
                panel.show_log()                               # where the folded log belongs: last
                page.next_step("Next: listen and correct", "validation")
            with gr.Tab("Dataset Generation Guide"):
                guide("dataset")

- `page.watch(key, show, outputs, inputs)` is how anything gets on the screen. About once a second, after a reload and
  after a change of project, `key(project, *inputs)` is asked; where its answer differs from what this browser has
  seen, `show(project, *inputs)` gives the new values of `outputs`. So the state is on disk only, several browsers
  show the same, and nothing flickers. Keys must be cheap (a file's size and time: `stamp(path)`), inputs small.
- `page.on(button.click, do, inputs, outputs)` calls `do(project, *inputs)`. A FinetuneError becomes a notice in
  words; the outputs stay as they were.
- `project` is the name as str, "" while there is none; `page.open(project)` gives the Project, or raises in words.
- Sounds are given to `gr.Audio` through `page.playable(path)`: only what a tab hands out can be fetched by a browser.
- All handlers get and give plain values; long work goes into a job, never into a handler.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from pipeline.errors import FinetuneError, InvalidNameError, WorkspaceError
from pipeline.records import Seconds
from pipeline.workspace import Project, Workspace

from .jobbook import JobBook
from .style import FILLED, OPENED

POLL_EVERY: Seconds = 1.0
PLAYABLE = frozenset({".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus", ".webm", ".zip", ".txt", ".csv", ".json"})

# The tabs in the order of the work: id -> title.
TABS: dict[str, str] = {
    "preflight": "🚀 Pre-flight Checklist",
    "dataset": "📁 Step 1 - Generating the dataset",
    "validation": "📊 Dataset Validation",
    "training": "💻 Step 2 - Training",
    "testing": "✅ Step 3 - Testing",
    "export": "📦 Model Export",
}


def stamp(path: Path) -> tuple[int, int]:
    """Return what tells one state of a file or folder from another, cheaply; (0, 0) where there is none."""
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)


def told(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a handler: what a user is to be told becomes a notice, and the outputs stay as they were."""

    @functools.wraps(handler)
    def telling(*values: Any) -> Any:
        try:
            return handler(*values)
        except FinetuneError as fault:
            gr.Warning(str(fault), duration=15)
        except Exception:  # of one part of the page, which must not take the others with it
            logging.exception("A part of the page failed")
            gr.Warning("Something unexpected went wrong; the details are where the program was started.", duration=15)
        return gr.skip()

    return telling


@dataclass(frozen=True)
class _Watch:
    """Something on the screen that follows the disk."""

    key: Callable[..., Any]
    show: Callable[..., Any]
    outputs: Sequence[Any]
    inputs: Sequence[Any]

    def values(self, project: str, *inputs: Any) -> list[Any]:
        """Return a value for each output. Raises RuntimeError where `show` gave another number of them."""
        new = self.show(project, *inputs)
        if len(self.outputs) == 1:
            return [new]
        if not isinstance(new, list | tuple):
            return [new] * len(self.outputs)
        if len(new) != len(self.outputs):
            raise RuntimeError(f"{self.show!r} gave {len(new)} values for {len(self.outputs)} outputs.")
        return list(new)


class Page:
    """What a tab is given to build itself on. Made inside gr.Blocks."""

    def __init__(self, ws: Workspace) -> None:
        self.ws = ws
        self.jobs = JobBook(ws)
        self.project = gr.Textbox(visible="hidden", elem_id="project-name", show_label=False, container=False)
        self.tabs: gr.Tabs  # set by app.py, before the tabs are built
        self._watches: list[_Watch] = []
        self._before_listening: list[Callable[[], None]] = []

    # ---- the project ----

    def open(self, project: str | None) -> Project:
        """Return the project of that name. Raises InvalidNameError, also where none is chosen."""
        if not (project or "").strip():
            raise InvalidNameError("No project is chosen: type a name in “New project” at the top of the page.")
        return self.ws.project(project or "")

    def make_project(self, name: str) -> str:
        """Make the project's folder if it isn't there, and return the name as it is on disk. Raises in words."""
        project = self.ws.project(name)
        try:
            project.path.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise WorkspaceError(f"“{project.path}” can't be made: {fault.strerror or fault}.") from fault
        return project.name

    def project_field(self, label: str) -> gr.Textbox:
        """Show the project's name in a field of the tab; typing another one changes to it on all tabs."""
        field = gr.Textbox(label=label, info="One name on all tabs; type another to change or begin a project.")
        self.watch(lambda project: True, lambda project: project, [field])
        for event in (field.submit, field.blur):
            self.on(event, self._rename, [field], [self.project])
        return field

    def _rename(self, project: str, name: str) -> Any:
        return gr.skip() if name.strip() in ("", project) else self.make_project(name)

    # ---- what happens on the page ----

    def on(
        self,
        event: Callable[..., Any],
        do: Callable[..., Any],
        inputs: Sequence[Any] = (),
        outputs: Sequence[Any] = (),
        **more: Any,
    ) -> Any:
        """Call `do(project, *inputs)` when the event happens; a FinetuneError becomes a notice.

        `more` goes to Gradio. Returns what `.then` can be called on.
        """
        return event(told(do), [self.project, *inputs], list(outputs) or None, **{**self._quietly, **more})

    @property
    def _quietly(self) -> dict[str, Any]:
        """How all events of the page go. Progress is shown by the page itself.

        Gradio 6.31 walks through the whole page for every component that may show progress, at every message of every
        event; so that is one component, or each second would cost the browser a good part of itself.
        """
        return {"show_progress": "hidden", "show_progress_on": [self.project], "api_visibility": "private"}

    def watch(
        self,
        key: Callable[..., Any],
        show: Callable[..., Any],
        outputs: Sequence[Any],
        inputs: Sequence[Any] = (),
    ) -> None:
        """Keep `outputs` as `show(project, *inputs)` says, anew whenever `key(project, *inputs)` changes."""
        self._watches.append(_Watch(key, show, outputs, inputs))

    def next_step(self, label: str, tab: str) -> gr.Button:
        """Show a button that goes to another tab."""
        button = gr.Button(label, variant="secondary", elem_classes="next-step")
        button.click(lambda: gr.Tabs(selected=tab), None, [self.tabs], **self._quietly)
        return button

    def before_listening(self, do: Callable[[], None]) -> None:
        """Call `do` when all tabs are built: for wiring that needs to know all components."""
        self._before_listening.append(do)

    def listen(self, blocks: gr.Blocks, open_page: Callable[..., Any], opened: Sequence[Any]) -> None:
        """Begin to follow the disk. Called once, when all tabs are built."""
        for do in self._before_listening:
            do()
        inputs = [self.project, *(item for watch in self._watches for item in watch.inputs)]
        outputs = [item for watch in self._watches for item in watch.outputs]
        there = gr.State([])  # the keys as they are
        shown = gr.State([])  # the keys of what this browser shows
        look = {"fn": self._look, "inputs": inputs, "outputs": [there], **self._quietly}
        opening = blocks.load(open_page, None, list(opened), **self._quietly)
        opening.then(None, js=OPENED).then(**look)
        self.project.change(**look)
        gr.Timer(POLL_EVERY).tick(**look)
        filled = there.change(self._show, [there, shown, *inputs], [shown, *outputs], **self._quietly)
        filled.then(None, js=FILLED)

    def _look(self, project: str, *values: Any) -> list[str]:
        """Return the keys as they are now, in the order of the watches."""
        keys = []
        for watch, mine in self._each(values):
            try:
                keys.append(repr((project, watch.key(project or "", *mine))))
            except Exception as fault:  # `show` will meet the same, once, and tell it
                keys.append(repr((project, repr(fault))))
        return keys

    def _show(self, there: list[str], shown: list[str], project: str, *values: Any) -> list[Any]:
        """Return the values of all outputs: new ones where the key has changed, else none."""
        shown = shown or [""] * len(self._watches)
        values_shown: list[Any] = []
        for (watch, mine), key, known in zip(self._each(values), there, shown, strict=True):
            new = told(watch.values)(project or "", *mine) if key != known else gr.skip()
            values_shown += new if isinstance(new, list) else [gr.skip()] * len(watch.outputs)
        return [there, *values_shown]

    def _each(self, values: Sequence[Any]) -> Iterator[tuple[_Watch, Sequence[Any]]]:
        """Yield each watch with its own of the values."""
        for watch in self._watches:
            yield watch, values[: len(watch.inputs)]
            values = values[len(watch.inputs) :]

    # ---- what a browser may fetch ----

    def playable(self, path: Path | str | None) -> str | None:
        """Return a copy of a sound or report of this workspace that browsers may fetch; None where there is none.

        Nothing of the workspace is served by its own address: only copies that a tab hands out, in Gradio's cache.
        Raises WorkspaceError for what isn't a sound or a report of this workspace.
        """
        if path is None or not Path(path).is_file():
            return None
        from gradio.processing_utils import save_file_to_cache
        from gradio.utils import get_upload_folder

        whole = Path(path).resolve()
        if self.ws.root not in whole.parents or whole.suffix.lower() not in PLAYABLE:
            raise WorkspaceError(f"“{path}” isn't a sound or a report of this workspace.")
        return save_file_to_cache(whole, cache_dir=get_upload_folder())

"""The choice of references: clips of the dataset that are long enough, several at once, or a file of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from pipeline.records import Seconds
from pipeline.references import SHORTEST, Reference, list_references
from pipeline.workspace import Project

from .context import Page, stamp

_SHOWN_TEXT = 70


class ReferenceChoice:
    """Components that choose references. What is chosen is remembered with the project, by file name."""

    def __init__(self, page: Page, remembered_as: str, refresh: gr.Button | None = None) -> None:
        self._page = page
        self._key = remembered_as
        self._refresh = refresh
        self.inputs: list[Any] = []

    def build(self, label: str, *, with_own: bool = False, preselect: bool = True) -> None:
        """Put the components here; `with_own` adds a file of one's own, `preselect` the best clip to begin with."""
        averaged = " Several are averaged." if with_own else ""
        with gr.Row(equal_height=False):
            with gr.Column(scale=3):
                clips = gr.Dropdown(
                    [], label=label, multiselect=True, elem_id=self._key.replace("_", "-"),
                    info=f"Clips of the dataset, the best first.{averaged}",
                )  # fmt: skip
                shortest = gr.Slider(3, 10, value=SHORTEST, step=0.5, label="Min Audio Length (seconds)")
            own = gr.Audio(
                label="Own reference file", type="filepath", sources=["upload", "microphone"], scale=2,
                visible=with_own, elem_id="own-reference",
            )  # fmt: skip
        self.inputs = [clips, own]

        def choices(project: str, least: Seconds) -> Any:
            return self._choices(project, least, preselect)

        page = self._page
        page.watch(lambda project, least: (least, self._stamp(project)), choices, [clips], [shortest])
        page.on(clips.input, self._remember, [clips])
        if self._refresh is not None:
            page.on(self._refresh.click, choices, [shortest], [clips])

    def paths(self, project: Project, clips: Sequence[str] | None, own: str | None = None) -> list[Path]:
        """Return the files that were chosen: one's own file, else the clips."""
        return [Path(own)] if own else [project.wavs / Path(name).name for name in clips or ()]

    def _stamp(self, project: str) -> Any:
        if not project:
            return ()
        opened = self._page.open(project)
        return stamp(opened.train_csv), stamp(opened.eval_csv), stamp(opened.wavs)

    def _choices(self, project: str, shortest: Seconds, preselect: bool) -> Any:
        opened = self._page.open(project) if project else None
        found = list_references(opened, shortest) if opened else []
        there = [clip.path.name for clip in found]
        saved = opened.read_settings().get(self._key, []) if opened else []
        chosen = [name for name in saved if name in there] or (there[:1] if preselect else [])
        return gr.Dropdown(choices=[(_label(clip), clip.path.name) for clip in found], value=chosen)

    def _remember(self, project: str, clips: Sequence[str]) -> None:
        if project:
            self._page.open(project).remember_settings(**{self._key: list(clips or ())})


def _label(clip: Reference) -> str:
    text = clip.text if len(clip.text) <= _SHOWN_TEXT else clip.text[:_SHOWN_TEXT].rstrip() + "…"
    return f"{clip.seconds:.1f} s · {text or clip.path.name}"

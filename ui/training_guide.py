"""The training guide: ui/help/training.md, a drop-down a section, with figures where the text has a marker."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import gradio as gr

from .example_runs import example_runs, minima_example, schedules_example
from .feedback import HELP_FOLDER
from .live_plot import live_plot, show

_MARKER = re.compile(r"<!-- figures: (\w+) -->")


@dataclass(frozen=True)
class Section:
    """A section of a guide: its heading, and text and names of figures by turns, beginning with text."""

    title: str
    parts: tuple[str, ...]


def build() -> None:
    """Put the guide here; its first section is open."""
    text = (HELP_FOLDER / "training.md").read_text(encoding="utf-8")
    for number, section in enumerate(read_sections(text)):
        with gr.Accordion(section.title, open=number == 0, elem_classes="help"):
            for place, part in enumerate(section.parts):
                if place % 2:
                    FIGURES[part]()
                elif part.strip():
                    gr.Markdown(part, elem_classes="guide")


def read_sections(text: str) -> list[Section]:
    """Return the sections of a guide, each begun by a `## ` heading."""
    sections = []
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title, _, body = section.partition("\n")
        sections.append(Section(title.strip(), tuple(_MARKER.split(body))))
    return sections


def _show_example_runs() -> None:
    examples = example_runs()
    for pair in (examples[at : at + 2] for at in range(0, len(examples), 2)):
        with gr.Row():
            for example in pair:
                with gr.Column(min_width=360):
                    live_plot(value=show(example.figure))
                    gr.Markdown(example.text, elem_classes="guide")


def _show_schedules() -> None:
    live_plot(value=show(schedules_example()))


def _show_minima() -> None:
    live_plot(value=show(minima_example()))


# By the names in the text's markers.
FIGURES: dict[str, Callable[[], None]] = {
    "examples": _show_example_runs,
    "schedules": _show_schedules,
    "minima": _show_minima,
}

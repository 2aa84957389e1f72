"""A button that asks before it acts: the second click does it, and to nothing but what the question named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from pipeline.errors import FinetuneError

from .context import Page
from .feedback import notice


def confirmed_button(
    page: Page,
    label: str,
    ask: Callable[..., str],
    do: Callable[..., str],
    inputs: Sequence[Any] = (),
    *,
    yes: str = "Yes, delete",
    done: Callable[[Any], None] = lambda event: None,
) -> gr.Button:
    """Put a button here that shows `ask(project, *inputs)` and, after a second click, does `do(project, *inputs)`.

    `do` gets the very values that the question was about, whatever was chosen since; what it returns is told in a
    notice. `done` is given the event after it, to go on with `.then` or `.success`. A FinetuneError of either is
    told in words.
    """
    with gr.Column(min_width=180, elem_classes="confirm"):
        button = gr.Button(label, size="sm")
        with gr.Group(visible=False) as question:
            sentence = gr.HTML(padding=False)
            with gr.Row():
                confirm = gr.Button(yes, size="sm", variant="stop")
                keep = gr.Button("Keep", size="sm")
    about = gr.State()  # (project, *values) that the question named

    def begin(project: str, *values: Any) -> Any:
        return notice(ask(project, *values), "warning"), gr.Group(visible=True), (project, *values)

    def finish(project: str, asked: tuple[Any, ...] | None) -> Any:
        if asked is not None:
            try:
                gr.Info(do(*asked), duration=8)
            except FinetuneError as fault:
                gr.Warning(str(fault), duration=15)
        return gr.Group(visible=False), None

    page.on(button.click, begin, inputs, [sentence, question, about])
    done(page.on(confirm.click, finish, [about], [question, about]))
    for event in (keep.click, page.project.change):
        page.on(event, lambda project: (gr.Group(visible=False), None), (), [question, about])
    return button

"""Choices that several tabs offer: languages by their names, Whisper models with those in models/whisper."""

from __future__ import annotations

from typing import Any

import gradio as gr

from pipeline.languages import LANGUAGES, WHISPER_MODELS
from pipeline.whisper_models import list_whisper_folders

from .context import Page, stamp
from .controls import Form

LANGUAGE_NAMES = {code: f"{name} ({code})" for code, name in LANGUAGES.items()}


def add_whisper_model(page: Page, form: Form) -> Any:
    """Add the choice of a Whisper model: by name, of models/whisper, or the path of a folder."""
    field = form.add("whisper_model", choices=_whisper_models(page), allow_custom_value=True)
    page.watch(
        lambda project: stamp(page.ws.whisper_models),
        lambda project: gr.Dropdown(choices=_whisper_models(page)),
        [field],
    )
    return field


def _whisper_models(page: Page) -> list[str]:
    own = [name for name in list_whisper_folders(page.ws) if name not in WHISPER_MODELS]
    return [*WHISPER_MODELS, *own]

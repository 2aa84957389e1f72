"""Every setting is on the page as it is described, and comes back as it was."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from pipeline import options as options_module
from pipeline.errors import SettingError
from pipeline.options import DatasetOptions, TrainConfig
from pipeline.settings import REQUIRED, Setting, describe
from pipeline.workspace import Workspace

gr = pytest.importorskip("gradio")

from ui.context import Page  # noqa: E402 - needs gradio
from ui.controls import Form, make_control, read_value  # noqa: E402

OPTIONS = [kind for kind in vars(options_module).values() if dataclasses.is_dataclass(kind) and describe(kind)]  # type: ignore[arg-type]
SETTINGS = [
    pytest.param(about, id=f"{kind.__name__}.{name}")  # type: ignore[union-attr]
    for kind in OPTIONS
    for name, about in describe(kind).items()  # type: ignore[arg-type]
    if not isinstance(about.default, tuple)
]


@pytest.mark.parametrize("about", SETTINGS)
def test_every_setting_has_a_control_that_shows_its_label_help_and_default(about: Setting) -> None:
    control = make_control(about)
    assert control.label == about.label
    if about.default is REQUIRED:
        return
    assert read_value(about, control.value) == about.default
    if about.choices:
        assert [value for _, value in control.choices] == list(about.choices)


@pytest.mark.parametrize("given", [None, "", "many"])
def test_a_number_that_is_none_is_told_with_its_label(given: Any) -> None:
    with pytest.raises(SettingError, match=r"Batch size.*type a number"):
        read_value(describe(TrainConfig)["batch_size"], given)


def test_values_come_back_in_the_types_of_the_record() -> None:
    about = describe(TrainConfig)
    assert read_value(about["learning_rate"], "3e-5") == 3e-5
    assert read_value(about["epochs"], 12.0) == 12
    assert isinstance(read_value(about["epochs"], 12.0), int)
    assert read_value(about["base"], None) == ""


def build_form(ws: Workspace, **more: Any) -> tuple[Page, Form]:
    page = Page(ws)
    form = Form(page, "dataset", DatasetOptions, **more)
    for name in ("language", "min_seconds", "seed", "vad"):
        form.add(name)
    return page, form


def test_a_project_remembers_its_settings_and_no_others(ws: Workspace) -> None:
    with gr.Blocks():
        page, form = build_form(ws, forget=("seed",))
    page.make_project("anna")
    page.make_project("bert")
    page.open("anna").remember_settings(dataset={"seed": 3})
    assert form._show("anna")[2] == 0
    form._remember("anna", "de", 3.5, 7, False)
    assert form._show("anna") == ["de", 3.5, 0, False]
    assert form._show("bert") == ["en", 2.0, 0, True]
    assert form._show("") == ["en", 2.0, 0, True]


def test_a_remembered_choice_that_is_no_longer_offered_gives_way_to_the_default(ws: Workspace) -> None:
    with gr.Blocks():
        page, form = build_form(ws)
    page.make_project("anna")
    page.open("anna").remember_settings(dataset={"language": "klingon", "seed": 3, "gone": 1})
    assert form._show("anna") == ["en", 2.0, 3, True]


def test_what_the_project_suggests_is_shown_but_not_remembered(ws: Workspace) -> None:
    with gr.Blocks():
        page, form = build_form(ws, defaults=lambda project: {"language": "fr"})
    page.make_project("anna")
    assert form._show("anna")[0] == "fr"
    form._remember("anna", "fr", 2.0, 0, True)
    assert "language" not in page.open("anna").read_settings()["dataset"]
    form._remember("anna", "de", 2.0, 0, True)
    assert form._show("anna")[0] == "de"


def test_the_record_is_checked_and_names_the_project(ws: Workspace) -> None:
    with gr.Blocks():
        _, form = build_form(ws)
    record = form.record("anna", "de", 3.5, 7, False)
    assert (record.project, record.language, record.min_seconds, record.vad) == ("anna", "de", 3.5, False)
    with pytest.raises(SettingError, match="Min Audio Length"):
        form.record("anna", "de", 9.0, 7, False)
    with pytest.raises(options_module.SettingError, match="English only"):
        form.record("anna", "de", 2.0, 0, True, whisper_model="tiny.en")

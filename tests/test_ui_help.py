"""Every setting a tab shows is explained in its help, by the label it has on the screen."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pipeline.options import DatasetOptions, ExportRequest, SpeakOptions, ValidateOptions
from pipeline.settings import describe
from ui.feedback import HELP_FOLDER

HELP: dict[str, tuple[type[Any], set[str]]] = {
    "dataset_settings": (DatasetOptions, set()),
    "validation": (ValidateOptions, {"project"}),
    "testing_settings": (SpeakOptions, {"out", "references"}),
    "export": (ExportRequest, {"project"}),
}


def _read(name: str) -> str:
    return (HELP_FOLDER / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(HELP))
def test_the_help_names_every_setting_on_the_tab(name: str) -> None:
    options, not_shown = HELP[name]
    text = _read(name)
    labels = {about.label for field, about in describe(options).items() if field not in not_shown}
    assert {label for label in labels if label not in text} == set()


@pytest.mark.parametrize("name", [*sorted(HELP), "dataset", "testing"])
def test_a_guide_begins_with_a_section_and_its_tables_are_whole(name: str) -> None:
    text = _read(name)
    assert text.startswith("## ")
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(widths) == 1, table

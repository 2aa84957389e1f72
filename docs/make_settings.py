"""Write docs/settings.md from pipeline/options.py: `python -m docs.make_settings`, in the project's folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from pipeline import options
from pipeline.settings import Setting, describe

PAGE = Path(__file__).resolve().parent / "settings.md"

PARTS: dict[str, type[Any]] = {
    "Step 1 - Generating the dataset (`dataset`)": options.DatasetOptions,
    "Dataset Validation (`validate`)": options.ValidateOptions,
    "Step 2 - Training (`train`)": options.TrainConfig,
    "Step 3 - Testing (`say`)": options.SpeakOptions,
    "Model Export (`export`)": options.ExportRequest,
    "Pre-flight Checklist (`doctor`)": options.CheckOptions,
    "Demo (`demo`)": options.DemoOptions,
}
HEAD = """# Settings

Every setting of the page and the command line, as `pipeline/options.py` describes it; `python -m docs.make_settings`
makes this file. An option in capitals is given by its position.
"""


def make_page() -> str:
    """Return the whole page."""
    parts = [f"## {title}\n\n{_table(kind)}" for title, kind in PARTS.items()]
    return "\n".join([HEAD, *parts])


def _table(kind: type[Any]) -> str:
    rows = ["| setting | option | default | may be | what it does |", "|---|---|---|---|---|"]
    rows += [_row(about) for about in describe(kind).values()]
    return "\n".join(rows) + "\n"


def _row(about: Setting) -> str:
    cells = [about.label, f"`{_option(about)}`", _default(about), _range(about), about.help.replace("<", "&lt;")]
    return f"| {' | '.join(cells)} |"


def _option(about: Setting) -> str:
    if about.default is dataclasses.MISSING:
        return about.name.upper()
    if about.name == "references":
        return "--reference"
    name = about.name.replace("_", "-")
    return f"--{name}, --no-{name}" if about.default is True else f"--{name}"


def _default(about: Setting) -> str:
    if about.default is dataclasses.MISSING:
        return "must be given"
    if isinstance(about.default, bool):
        return "on" if about.default else "off"
    if about.default in ("", ()):
        return ""
    text = f"{about.default:g}" if isinstance(about.default, float) else str(about.default)
    return f"{text} {about.unit}".rstrip()


def _range(about: Setting) -> str:
    if about.choices:
        return ", ".join(choice or "(empty)" for choice in about.choices)
    if about.low is not None and about.high is not None:
        return f"{about.low:g} to {about.high:g} {about.unit}".rstrip()
    return ""


def main() -> None:
    PAGE.write_text(make_page(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()

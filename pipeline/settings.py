"""Settings described once: the label, help, limits and choices that the page, the command line and the docs show."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from .errors import SettingError


@dataclass(frozen=True)
class Setting:
    """What a person is told about one field of an options record."""

    name: str  # the field: `batch_size`; on the command line `--batch-size`
    label: str  # on the screen: “Batch size”
    help: str  # what it does and when to change it
    default: Any
    low: float | None = None
    high: float | None = None
    unit: str = ""
    choices: tuple[str, ...] = ()


def setting(
    default: Any,
    label: str,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    unit: str = "",
    choices: tuple[str, ...] = (),
) -> Any:
    """Declare a field of an options record with all that is shown of it."""
    about = {"label": label, "help": help, "low": low, "high": high, "unit": unit, "choices": choices}
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=about)
    return dataclasses.field(default=default, metadata=about)


REQUIRED = dataclasses.MISSING  # as the default: the field must be given


def describe(options: type[Any]) -> dict[str, Setting]:
    """Return the settings of an options record by field name, in their order."""
    return {
        field.name: Setting(field.name, default=field.default, **field.metadata)
        for field in dataclasses.fields(options)
        if "label" in field.metadata
    }


def check_settings(options: Any) -> None:
    """Raise SettingError for the first field that lies outside its limits or choices."""
    for about in describe(type(options)).values():
        value = getattr(options, about.name)
        if about.choices and value not in about.choices:
            raise SettingError(f"{about.label} “{value}” isn't known: choose one of {', '.join(about.choices)}.")
        if about.low is not None and about.high is not None and not about.low <= value <= about.high:
            between = f"between {about.low:g} and {about.high:g} {about.unit}".rstrip()
            raise SettingError(f"{about.label} is {value:g}; it must be {between}.")

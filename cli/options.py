"""Command-line options made from the settings records: same names, defaults and help as on the screen."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

from pipeline.settings import Setting, describe

Options = TypeVar("Options")

# Fields that are given by position, not by a flag.
POSITIONAL = ("project", "name", "model", "text")


def takes_settings(options: type[Any], **flags: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command whose last parameter is `**settings` an option for each setting of the record.

    `flags` renames: `references="--reference"`.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        own = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in inspect.signature(command, eval_str=True).parameters.values()
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        hints = typing.get_type_hints(options)
        made = [_parameter(about, hints[about.name], flags.get(about.name)) for about in describe(options).values()]
        positional = [parameter for parameter in made if parameter.default is inspect.Parameter.empty]
        named = [parameter for parameter in made if parameter.default is not inspect.Parameter.empty]
        command.__signature__ = inspect.Signature(positional + own + named)  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in positional + own + named}
        return command

    return decorate


def _parameter(about: Setting, kind: Any, flag: str | None) -> inspect.Parameter:
    many = typing.get_origin(kind) is tuple
    kind = list[typing.get_args(kind)[0]] if many else kind  # type: ignore[misc]
    default: Any = [] if many else about.default
    if about.name in POSITIONAL and about.default is dataclasses.MISSING:
        default = inspect.Parameter.empty
        how: Any = typer.Argument(help=f"{about.label}. {about.help}", show_default=False)
    else:
        names = [flag or f"--{about.name.replace('_', '-')}"]
        if kind is bool:
            names = [f"{names[0]}/--no-{names[0][2:]}"]
        how = typer.Option(*names, help=_help(about), show_default=default not in ("", []))
    return inspect.Parameter(
        about.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, how]
    )


def _help(about: Setting) -> str:
    limits = f" From {about.low:g} to {about.high:g} {about.unit}".rstrip() + "." if about.low is not None else ""
    choices = f" One of: {', '.join(choice or '(empty)' for choice in about.choices)}." if about.choices else ""
    return f"{about.label}: {about.help}{limits}{choices}"


def build(options: type[Options], settings: dict[str, Any]) -> Options:
    """Return the record of these settings; lists become tuples. Raises SettingError."""
    return options(**{name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()})

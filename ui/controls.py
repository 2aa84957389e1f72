"""Controls made from options records: one description serves the page, the command line and the docs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import gradio as gr

from pipeline.errors import SettingError
from pipeline.settings import REQUIRED, Setting, describe
from pipeline.workspace import Project

from .context import Page

PRECISION_NAMES = {"mixed": "Mixed", "float16": "FP16", "float32": "FP32"}


def make_control(about: Setting, **changes: Any) -> Any:
    """Return the component for a setting: label and help as described, the kind by what the value is.

    `changes` go to the component, except `names` (choice -> what is shown for it) and `kind` (another component).
    """
    names: Mapping[str, str] = changes.pop("names", {})
    kind = changes.pop("kind", None)
    default = None if about.default is REQUIRED else about.default
    common = {"label": about.label, "info": about.help, "interactive": True, **changes}
    if "choices" in common or about.choices:
        choices = common.pop("choices", about.choices)
        shown = [(names.get(choice, choice), choice) if isinstance(choice, str) else choice for choice in choices]
        return (kind or gr.Dropdown)(choices=shown, value=common.pop("value", default), **common)
    if isinstance(default, bool):
        return (kind or gr.Checkbox)(value=common.pop("value", default), **common)
    if isinstance(default, int | float):
        if about.unit in ("s", "%") or kind is gr.Slider:
            step = 1 if isinstance(default, int) or about.unit == "%" else 0.1
            limits = {"minimum": about.low, "maximum": about.high, "step": step}
            return gr.Slider(value=common.pop("value", default), **{**limits, **common})
        precision = 0 if isinstance(default, int) else None
        return gr.Number(value=common.pop("value", default), precision=precision, **common)
    return (kind or gr.Textbox)(value=common.pop("value", default or ""), **common)


def read_value(about: Setting, value: Any) -> Any:
    """Return what came from a component in the type of the setting. Raises SettingError where it can't be."""
    if isinstance(about.default, bool):
        return bool(value)
    if isinstance(about.default, tuple):
        return tuple(value or ())
    if isinstance(about.default, int | float):
        try:
            return type(about.default)(value)
        except (TypeError, ValueError):
            given = f"is “{value}”" if value not in (None, "") else "is empty"
            raise SettingError(f"{about.label} {given}: type a number, such as {about.default:g}.") from None
    return str(value or "").strip()


class Form:
    """The settings of one stage on the page. A project remembers them under `stage`, and they come back with it."""

    def __init__(
        self,
        page: Page,
        stage: str,
        options: type[Any],
        defaults: Callable[[Project], dict[str, Any]] | None = None,
        forget: Iterable[str] = (),
    ) -> None:
        """`defaults` gives what the project itself suggests, such as the paths of its dataset.

        `forget` are settings for this once: they aren't remembered.
        """
        self._page = page
        self._stage = stage
        self._options = options
        self._defaults = defaults or (lambda project: {})
        self._about = describe(options)
        self._forget = frozenset(forget)
        self.fields: dict[str, Any] = {}
        page.before_listening(self._connect)

    @property
    def inputs(self) -> list[Any]:
        """The components in their order: what `record` takes after the project."""
        return list(self.fields.values())

    def add(self, name: str, **changes: Any) -> Any:
        """Add the control of one setting here on the page; `changes` as in make_control."""
        if name == "precision" and "mixed" in self._about[name].choices:
            changes = {"names": PRECISION_NAMES, **changes}
        self.fields[name] = make_control(self._about[name], **changes)
        return self.fields[name]

    def add_rest(self, skip: Iterable[str] = ()) -> None:
        """Add the controls of all settings that aren't here yet."""
        for name, about in self._about.items():
            if name not in self.fields and name not in skip and not isinstance(about.default, tuple):
                self.add(name)

    def values(self, *values: Any) -> dict[str, Any]:
        """Return what the components hold, by field. Raises SettingError."""
        return {name: read_value(self._about[name], value) for name, value in zip(self.fields, values, strict=True)}

    def record(self, project: str, *values: Any, **more: Any) -> Any:
        """Return the options record, checked. Raises SettingError, and InvalidNameError for the project."""
        known = {"project": self._page.open(project).name} if "project" in self._about else {}
        return self._options(**known, **self.values(*values), **more)

    def _connect(self) -> None:
        """Fill the controls when the project changes, and remember every change of a person."""
        if not self.fields:
            return
        self._page.watch(self._suggested, self._show, self.inputs)
        gr.on(
            [control.input for control in self.inputs],
            self._remember,
            [self._page.project, *self.inputs],
            None,
            show_progress="hidden",
            api_visibility="private",
            trigger_mode="always_last",
        )

    def _suggested(self, project: str) -> str:
        return repr(self._defaults(self._page.open(project))) if project else ""

    def _show(self, project: str) -> Any:
        values = {name: "" if about.default is REQUIRED else about.default for name, about in self._about.items()}
        if project:
            opened = self._page.open(project)
            saved = opened.read_settings().get(self._stage, {})
            values |= {name: value for name, value in saved.items() if self._offers(name, value)}
            values |= {name: value for name, value in self._defaults(opened).items() if not saved.get(name)}
        shown = [values[name] for name in self.fields]
        return shown[0] if len(shown) == 1 else shown

    def _offers(self, name: str, value: Any) -> bool:
        about = self._about.get(name)
        return about is not None and name not in self._forget and (not about.choices or value in about.choices)

    def _remember(self, project: str, *values: Any) -> None:
        if project:
            opened = self._page.open(project)
            suggested = self._defaults(opened)  # not remembered: it may change with the project
            settings = dict(zip(self.fields, values, strict=True))
            changed = {name: value for name, value in settings.items() if value != suggested.get(name)}
            changed = {name: value for name, value in changed.items() if name not in self._forget}
            opened.remember_settings(**{self._stage: changed})

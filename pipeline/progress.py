"""How a stage tells what it is doing and learns that it should stop."""

from __future__ import annotations

from pathlib import Path

from .errors import Stopped

# The kinds of message of "Debug Settings": which of them the log shows is a choice on the page.
LOG_KINDS = (
    "GPU Memory",
    "Model Operations",
    "Data Processing",
    "General",
    "Audio",
    "Segments",
    "Duplicates",
    "Validation",
)


class Progress:
    """Told by a stage while it works. This one is silent: the base of the others, and enough for scripts.

    Stages call `update` often (it is cheap), `log` for what a person may want to read later, `event` for figures
    that something draws, and `check` wherever stopping is safe.
    """

    def update(self, fraction: float | None, message: str) -> None:
        """Say what is being done, and how far the whole stage is (0 to 1; None where that isn't known)."""

    def log(self, message: str, kind: str = "General") -> None:
        """Add a line to the log. `kind` is one of LOG_KINDS; warnings start with "Warning: "."""

    def event(self, name: str, **data: object) -> None:
        """Record figures under a name of the stage's own, for whoever watches."""

    @property
    def folder(self) -> Path | None:
        """The folder of the job this stage runs as, shared with whoever watches; None outside a job."""
        return None

    @property
    def stop_requested(self) -> bool:
        """Whether the user asked to stop."""
        return False

    def check(self) -> None:
        """Stop here if the user asked to: raises Stopped."""
        if self.stop_requested:
            raise Stopped()

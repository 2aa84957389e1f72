"""Tables to read: plain HTML that wraps where it must. For rows to choose there is gr.Dataframe."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

# A column's place in the row -> how it looks: "number" is set to the right, "code" in a fixed width and small.
Looks = dict[int, str]


def as_table(headers: Sequence[str], rows: Iterable[Sequence[object]], looks: Looks | None = None) -> str:
    """Return rows as an HTML table that scrolls within its box; empty where there is none. Cells are shown as text."""
    looks = looks or {}
    body = "".join(f"<tr>{_cells('td', row, looks)}</tr>" for row in rows)
    if not body:
        return ""
    head = f"<thead><tr>{_cells('th', headers, looks)}</tr></thead>"
    return f'<div class="plain-table" tabindex="0"><table>{head}<tbody>{body}</tbody></table></div>'


def _cells(tag: str, cells: Sequence[object], looks: Looks) -> str:
    return "".join(
        f'<{tag} class="{looks.get(place, "")}">{html.escape(str(cell))}</{tag}>' for place, cell in enumerate(cells)
    )

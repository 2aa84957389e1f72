"""Two texts side by side, with the words marked in which they differ."""

from __future__ import annotations

import difflib
import html

from pipeline.languages import UNSPACED


def mark_differences(text: str, heard: str, language: str) -> tuple[str, str]:
    """Return both texts as HTML with <mark> around what differs; case and punctuation don't count."""
    ours, theirs = _pieces(text, language), _pieces(heard, language)
    matcher = difflib.SequenceMatcher(None, [_bare(p) for p in ours], [_bare(p) for p in theirs], autojunk=False)
    left, right = [], []
    for kind, first, last, other_first, other_last in matcher.get_opcodes():
        left.append(_marked(ours[first:last], kind != "equal", language))
        right.append(_marked(theirs[other_first:other_last], kind != "equal", language))
    glue = _glue(language)
    return glue.join(part for part in left if part), glue.join(part for part in right if part)


def _pieces(text: str, language: str) -> list[str]:
    """Cut a text into words, or where none are written into signs."""
    return list("".join(text.split())) if language in UNSPACED else text.split()


def _glue(language: str) -> str:
    return "" if language in UNSPACED else " "


def _bare(piece: str) -> str:
    return "".join(letter for letter in piece.casefold() if letter.isalnum())


def _marked(pieces: list[str], differs: bool, language: str) -> str:
    said = html.escape(_glue(language).join(pieces))
    return f"<mark>{said}</mark>" if differs and said and any(map(_bare, pieces)) else said

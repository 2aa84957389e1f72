"""Text to speak, cut into pieces the model can say in one breath. Pure functions."""

from __future__ import annotations

import re

from .languages import CHARACTER_LIMITS

# A sentence ends at these marks, with what closes after them; Western ones only before a space, so that 3.5 stays.
_SENTENCE_END = re.compile(r"(?:[.!?…؟।]+[\"'”’»)\]]*(?=\s)|[。！？]+[”」』）]*|\n+)\s*")
_CLAUSE_END = re.compile(r"(?:[,;:،؛–—]+[\"'”’»)]*(?=\s)|[，；：、]+)\s*")
_SPACE = re.compile(r"\s+")
# Pieces shorter than this share of the limit are joined to the next: XTTS adds noise after very short ones.
_SHORT = 1 / 6


def split_text(text: str, language: str, limit: int | None = None) -> list[str]:
    """Return the text in pieces of at most `limit` characters (the language's own unless given), in order.

    Pieces end at sentence ends; a sentence over the limit is cut at clauses, then at spaces, then anywhere.
    """
    limit = limit or CHARACTER_LIMITS[language]
    sentences: list[str] = []
    for sentence in _parts(_one_spaced(text), _SENTENCE_END):
        sentences.extend(_fit(sentence, limit, (_CLAUSE_END, _SPACE)))
    return [piece.strip() for piece in _join_short(sentences, limit, int(limit * _SHORT))]


def _one_spaced(text: str) -> str:
    """Return the text with single spaces; line ends stay, for a sentence ends there."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def _parts(text: str, ends: re.Pattern[str]) -> list[str]:
    """Cut after every end. The spaces there stay with what they follow, so that joined parts are the text again."""
    parts, start = [], 0
    for end in ends.finditer(text):
        parts.append(text[start : end.end()].replace("\n", " "))
        start = end.end()
    return [part for part in [*parts, text[start:]] if part.strip()]


def _fit(text: str, limit: int, ends: tuple[re.Pattern[str], ...]) -> list[str]:
    """Cut a text over the limit at the first kind of end that helps, filling each piece as far as it goes."""
    if len(text.strip()) <= limit:
        return [text]
    if not ends:
        return [text[start : start + limit] for start in range(0, len(text), limit)]
    small = [piece for part in _parts(text, ends[0]) for piece in _fit(part, limit, ends[1:])]
    return _join_short(small, limit, limit)


def _join_short(pieces: list[str], limit: int, short: int) -> list[str]:
    """Join neighbours as long as one of them is shorter than `short` and both fit the limit."""
    joined: list[str] = []
    for piece in pieces:
        fits = joined and len((joined[-1] + piece).strip()) <= limit
        if fits and min(len(joined[-1].strip()), len(piece.strip())) < short:
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined

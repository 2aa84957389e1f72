"""Text to speak, cut into pieces the model can say in one breath. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from .languages import CHARACTER_LIMITS
from .text import Break, find_breaks

# Chinese and Japanese marks, with what closes after them: no space follows, so a "word" may hold several.
_WIDE_MARKS = re.compile(r"[。！？．｡，；：、]+[”’」』）》】〉]*")
# Pieces shorter than this share of the limit are joined to the next: XTTS adds noise after very short ones.
_SHORT = 1 / 6


@dataclass(frozen=True)
class _Unit:
    """A word with the space before it, and what ends after it."""

    text: str
    ends: Break


def split_text(text: str, language: str, limit: int | None = None) -> list[str]:
    """Return the text in pieces of at most `limit` characters (the language's own unless given), in order.

    Pieces end at sentence ends; a sentence over the limit is cut at clauses, then at spaces, then anywhere.
    """
    limit = limit or CHARACTER_LIMITS[language]
    sentences = _groups(_units(text, language), ("sentence",))
    pieces = [piece for sentence in sentences for piece in _fit(sentence, limit)]
    return [piece.strip() for piece in _join_short(pieces, limit, int(limit * _SHORT))]


def _units(text: str, language: str) -> Iterator[_Unit]:
    """Yield the text's words. The end of a line ends a sentence, whatever stands there."""
    for line in text.splitlines():
        words = [(part, not number) for word in line.split() for number, part in enumerate(_parts(word))]
        breaks = find_breaks([word for word, _ in words], language)
        for number, ((word, spaced), ends) in enumerate(zip(words, breaks, strict=True)):
            yield _Unit(f" {word}" if spaced else word, "sentence" if number == len(words) - 1 else ends)


def _parts(word: str) -> list[str]:
    """Cut a stretch without spaces after its wide marks."""
    cuts = [0, *(mark.end() for mark in _WIDE_MARKS.finditer(word)), len(word)]
    return [word[start:end] for start, end in pairwise(cuts) if start < end]


def _groups(units: Iterable[_Unit], ends: Sequence[Break]) -> list[list[_Unit]]:
    """Cut after every unit that ends one of these."""
    groups: list[list[_Unit]] = [[]]
    for unit in units:
        groups[-1].append(unit)
        if unit.ends in ends:
            groups.append([])
    return [group for group in groups if group]


def _fit(sentence: list[_Unit], limit: int) -> list[str]:
    """Cut a sentence over the limit at clauses, filling each piece as far as it goes; long clauses at words."""
    whole = "".join(unit.text for unit in sentence)
    if len(whole.strip()) <= limit:
        return [whole]
    clauses = _groups(sentence, ("clause",))
    if len(clauses) > 1:
        return _join_short([piece for clause in clauses for piece in _fit(clause, limit)], limit, limit)
    words = [
        unit.text[start : start + limit] for unit in sentence for start in range(0, len(unit.text), limit)
    ]  # a word over the limit is cut anywhere
    return _join_short(words, limit, limit)


def _join_short(pieces: Sequence[str], limit: int, short: int) -> list[str]:
    """Join neighbours as long as one of them is shorter than `short` and both fit the limit."""
    joined: list[str] = []
    for piece in pieces:
        fits = joined and len((joined[-1] + piece).strip()) <= limit
        if fits and min(len(joined[-1].strip()), len(piece.strip())) < short:
            joined[-1] += piece
        elif piece.strip():
            joined.append(piece)
    return joined

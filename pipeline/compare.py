"""Two texts of the same speech compared: case, punctuation, and numbers as words or digits don't count. Pure functions.

Chinese, Japanese and Korean are compared by characters, for where their words end is a matter of taste.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

from .languages import UNSPACED

_BY_CHARACTER = UNSPACED | {"ko"}
_NUMBER = re.compile(r"\d+(?:[.,'’\u00a0\u202f]\d{3})*(?:[.,]\d+)?")
_ENGLISH_ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)\b", re.IGNORECASE)
_POINT_IS_DECIMAL = frozenset({"en", "zh", "ja", "ko", "hi", "ar"})
_WITHOUT_NUMBERS = frozenset({"hi"})  # num2words doesn't know them: digits are compared with digits
_LONGEST_NUMBER = 15  # digits; what is longer is a code, and is said digit by digit

# Signs that are said.
_SIGNS: dict[str, dict[str, str]] = {
    "en": {"%": "percent", "&": "and"},
    "es": {"%": "por ciento", "&": "y"},
    "fr": {"%": "pour cent", "&": "et"},
    "de": {"%": "prozent", "&": "und"},
    "it": {"%": "percento", "&": "e"},
    "pt": {"%": "por cento", "&": "e"},
    "pl": {"%": "procent", "&": "i"},
    "tr": {"%": "yüzde", "&": "ve"},
    "ru": {"%": "процентов", "&": "и"},
    "nl": {"%": "procent", "&": "en"},
    "cs": {"%": "procent", "&": "a"},
    "ar": {"%": "في المئة", "&": "و"},
    "zh": {"%": "百分之", "&": "和"},
    "hu": {"%": "százalék", "&": "és"},
    "ko": {"%": "퍼센트", "&": "그리고"},
    "ja": {"%": "パーセント", "&": "と"},
    "hi": {"%": "प्रतिशत", "&": "और"},
}
# Letters that are written in more than one way.
_SAME_LETTERS: dict[str, dict[int, int | str | None]] = {
    "ru": {ord("ё"): "е", ord("Ё"): "Е"},
    "ar": {
        **dict(zip(map(ord, "أإآٱىة"), "اااايه", strict=True)),
        0x0640: None,
        **dict.fromkeys(range(0x064B, 0x0653)),
    },
    "hi": {0x0901: "\u0902", 0x093C: None},
    "tr": {ord("İ"): "i", ord("I"): "ı"},
}
# An apostrophe parts two words there, elsewhere it is part of one.
_PARTING_APOSTROPHE = frozenset({"fr", "it"})
_APOSTROPHES = "'’ʼ`´"


@dataclass(frozen=True)
class Piece:
    """A word of a text (a character of Chinese, Japanese, Korean) as it is written, and whether the other has it."""

    text: str
    same: bool


@dataclass(frozen=True)
class Comparison:
    """What differs between a text and what was heard."""

    score: float  # wrong, missing and added words for each word of the text
    text: tuple[Piece, ...]
    heard: tuple[Piece, ...]


def normalize(text: str, language: str) -> str:
    """Return the text as it is compared: small letters, no punctuation, numbers as words."""
    return " ".join(token for tokens in _tokens(_split(text, language), language, frozenset()) for token in tokens)


def word_error_rate(text: str, heard: str, language: str) -> float:
    """Return the wrong, missing and added words of `heard` for each word of `text`; 0 where both say the same."""
    return compare_texts(text, heard, language).score


def compare_texts(text: str, heard: str, language: str) -> Comparison:
    """Return how far `heard` is from `text`, and which words of both differ."""
    from rapidfuzz.distance import Levenshtein

    pieces = _split(text, language), _split(heard, language)
    ours, theirs = _both(pieces, language)
    flat, owners = zip(*(_flatten(tokens) for tokens in (ours, theirs)), strict=True)
    steps = Levenshtein.opcodes(flat[0], flat[1])
    wrong: tuple[set[int], set[int]] = (set(), set())
    errors = 0
    for step in steps:
        if step.tag == "equal":
            continue
        errors += max(step.src_end - step.src_start, step.dest_end - step.dest_start)
        wrong[0].update(owners[0][step.src_start : step.src_end])
        wrong[1].update(owners[1][step.dest_start : step.dest_end])
    marked = (
        tuple(Piece(piece, number not in wrong[side]) for number, piece in enumerate(pieces[side])) for side in (0, 1)
    )
    return Comparison(errors / max(len(flat[0]), 1), *marked)


def _split(text: str, language: str) -> list[str]:
    """Return the pieces that are compared, as written: words, or characters with Latin words left whole."""
    if language not in _BY_CHARACTER:
        return text.split()
    pieces = []
    for whole, letters in groupby(text, key=_is_western):
        run = "".join(letters)
        pieces += [run] if whole else [letter for letter in run if not letter.isspace()]
    return pieces


def _is_western(letter: str) -> bool:
    return unicodedata.normalize("NFKC", letter).isascii() and not letter.isspace()


_Tokens = list[list[str]]  # of each piece


def _both(pieces: tuple[list[str], list[str]], language: str) -> tuple[_Tokens, _Tokens]:
    """Return the tokens of both texts. Of a number's spoken forms that one is taken which the other text has."""
    rough = [_tokens(one, language, frozenset()) for one in pieces]
    said = [frozenset(_grams([token for tokens in one for token in tokens])) for one in rough]
    return _tokens(pieces[0], language, said[1]), _tokens(pieces[1], language, said[0])


def _grams(tokens: Sequence[str], longest: int = 12) -> list[str]:
    return [
        " ".join(tokens[start : start + length])
        for length in range(1, longest + 1)
        for start in range(len(tokens) - length + 1)
    ]


def _flatten(tokens: _Tokens) -> tuple[list[str], list[int]]:
    """Return all tokens, and for each the number of its piece."""
    owners = [number for number, own in enumerate(tokens) for _ in own]
    return [token for own in tokens for token in own], owners


def _tokens(pieces: Sequence[str], language: str, said: frozenset[str]) -> _Tokens:
    return [_tokens_of(piece, language, said) for piece in pieces]


def _tokens_of(piece: str, language: str, said: frozenset[str]) -> list[str]:
    text = unicodedata.normalize("NFKC", piece)
    if any(letter.isdecimal() for letter in text):
        text = "".join(str(int(letter)) if letter.isdecimal() else letter for letter in text)
        if language == "en":
            text = _ENGLISH_ORDINAL.sub(lambda found: f" {_say(found[1], language, said, ('ordinal',))} ", text)
        text = _NUMBER.sub(lambda found: f" {_say(found[0], language, said)} ", text)
    for sign, word in _SIGNS.get(language, {}).items():
        text = text.replace(sign, f" {word} ")
    return _bare(text, language)


def _bare(text: str, language: str) -> list[str]:
    """Return the words in small letters without punctuation."""
    text = unicodedata.normalize("NFC", text.translate(_SAME_LETTERS.get(language, {})).casefold())
    text = text.translate(_SAME_LETTERS.get(language, {}))
    between = " " if language in _PARTING_APOSTROPHE else ""
    kept = "".join(
        letter if unicodedata.category(letter)[0] in "LMN" else between if letter in _APOSTROPHES else " "
        for letter in text
    )
    if language not in _BY_CHARACTER:
        return kept.split()
    return [token for word in kept.split() for token in ([word] if word.isascii() else word)]


def _say(digits: str, language: str, said: frozenset[str], forms: tuple[str, ...] = ()) -> str:
    """Return the number as it is said: in the form the other text has it in, else as the plain number."""
    spoken = _spoken_forms(digits, language, forms or ("cardinal", "year", "ordinal"))
    for form in spoken:
        if " ".join(_bare(form, language)) in said:
            return form
    return spoken[0]


@lru_cache(maxsize=4096)
def _spoken_forms(digits: str, language: str, forms: tuple[str, ...]) -> tuple[str, ...]:
    """Return the number in words, in the forms that num2words knows; the digits where it knows none."""
    plain = _plain(digits, language)
    if language in _WITHOUT_NUMBERS or len(plain) > _LONGEST_NUMBER:
        return (" ".join(plain.replace(".", " ")) if len(plain) > _LONGEST_NUMBER else plain,)
    if language == "zh":
        return _chinese(plain), "".join(_CHINESE_DIGITS[int(digit)] for digit in plain if digit.isdigit())
    from num2words import num2words

    number = float(plain) if "." in plain else int(plain)
    found = []
    for form in forms:
        if (form == "year" and not 1000 <= number < 2200) or (form == "ordinal" and isinstance(number, float)):
            continue
        try:
            found.append(num2words(number, lang=language, to=form))
        except (NotImplementedError, ValueError, TypeError, OverflowError, KeyError, IndexError):
            continue  # a form this language hasn't got
    return tuple(found) or (plain,)


def _plain(digits: str, language: str) -> str:
    """Return the number with a point before its decimals and nothing between its thousands."""
    decimal = "." if language in _POINT_IS_DECIMAL else ","
    whole, _, rest = digits.partition(decimal)
    whole = re.sub(r"\D", "", whole)
    rest = re.sub(r"\D", "", rest)
    return f"{whole}.{rest}" if rest else whole


_CHINESE_DIGITS = "零一二三四五六七八九"


def _chinese(plain: str) -> str:
    """Return the number as Chinese says it (num2words doesn't know it)."""
    whole, _, rest = plain.partition(".")
    text = _chinese_whole(int(whole))
    return text + ("点" + "".join(_CHINESE_DIGITS[int(digit)] for digit in rest) if rest else "")


def _chinese_whole(number: int) -> str:
    for value, unit in ((10**8, "亿"), (10**4, "万"), (1000, "千"), (100, "百"), (10, "十")):
        if number >= value:
            many, rest = divmod(number, value)
            head = "" if value == 10 and many == 1 else _chinese_whole(many)
            zero = "零" if 0 < rest < value // 10 else ""
            return head + unit + (zero + _chinese_whole(rest) if rest else "")
    return _CHINESE_DIGITS[number]

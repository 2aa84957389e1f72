"""What texts tell: where sentences and clauses end, how words join, how long they take to say. Pure functions.

Comparing texts is in compare.py.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from .languages import UNSPACED

Break = Literal["sentence", "clause", "none"]

SENTENCE_MARKS = frozenset("!?…。！？．｡؟۔।॥‼⁇⁈⁉‽")  # the full stop has rules of its own
CLAUSE_MARKS = frozenset(",;:،؛、，；：·—–")
CLOSERS = "\"'”’»›“‘«‹)]}」』】）〉》〕］＂＇*_"
OPENERS = "\"'“‘„‚«‹»›([{「『【（〈《〔［¿¡-–—*_"

# After these a full stop never ends a sentence: titles, and what wants something behind it.
_ABBREVIATIONS: dict[str, frozenset[str]] = {
    language: frozenset(text.split())
    for language, text in {
        "en": "mr mrs ms dr prof st sr gen col capt lt sgt maj rev hon gov sen rep messrs mme vs fig vol approx",
        "es": "sr sra srta dr dra d dña prof profa ud uds núm pág av gral fig vol",
        "fr": "m mm mme mlle dr pr st ste me mgr fig vol av",
        "de": "hr fr dr prof st nr bzw ca vgl sog evtl ggf inkl bspw str tel abs geb fig bd ing dipl",
        "it": "sig sigg sig.ra dott dr prof ing avv geom ss pag fig vol",
        "pt": "sr sra srta dr dra prof profa d exmo exma nº pág av fig vol",
        "pl": "dr prof mgr inż hab ks św np tj tzn tzw ul al nr str por p pp pt m.in ww",
        "tr": "dr prof doç av sn müh alb yrd bkz vb örn hz sok cad mah",
        "ru": "г-н г-жа г гг ул д кв пр стр св проф акад см ср напр тыс млн млрд руб коп",
        "nl": "dhr mevr mw dr drs prof ir ing mr st nr bijv blz ca vgl resp z.g evt",
        "cs": "p pí dr mudr judr ing mgr bc prof doc sv ul č čís str tzv tj např resp popř cca obr",
        "hu": "dr prof id ifj özv st kb pl ill ún vö u sz",
        "hi": "डॉ श्री प्रो",
        "ar": "د أ م",
    }.items()
}
# A number with a full stop is an ordinal there: am 3. Mai, 2. patro, 21. wiek, 5. osztály, 3. sınıf.
_ORDINAL_LANGUAGES = frozenset({"de", "cs", "pl", "hu", "tr"})
_LETTERS_WITH_STOPS = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]?\.?", re.UNICODE)
_TIME_OF_DAY = frozenset({"a.m", "p.m"})
_ORDINAL = re.compile(r"\d{1,2}|[IVXL]{1,6}")

_BREAKING = re.compile(r"[\s|\x00-\x1f\x7f\x85\u2028\u2029]+")
_INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff\ufffc\ufffe\uffff]|[\ud800-\udfff]")


# ---- Where something ends -----------------------------------------------------------------------------------------


def find_breaks(words: Sequence[str], language: str) -> list[Break]:
    """Return what ends after each word: a sentence, a clause, or nothing.

    The word that follows has a say: “Mr. Brown”, “am 3. Mai” and “‘Where?’ he asked” end no sentence.
    """
    cased = _uses_capitals(words)
    return [
        _break_after(word, words[number + 1] if number + 1 < len(words) else None, language, cased)
        for number, word in enumerate(words)
    ]


def _uses_capitals(words: Sequence[str]) -> bool:
    """Tell whether most sentences begin with a capital letter, so that a small one says that none has ended."""
    small = large = 0
    for word, following in pairwise(words):
        if word.rstrip(CLOSERS)[-1:] in ".!?…":
            first = following.lstrip(OPENERS)[:1]
            small += first.islower()
            large += first.isupper()
    return large > small


def _break_after(word: str, following: str | None, language: str, cased: bool) -> Break:
    core = word.rstrip(CLOSERS)
    mark = core[-1:]
    if not mark:  # a lone dash or closing quote
        return "clause" if word.strip() in {"-", "–", "—"} else "none"
    if mark in CLAUSE_MARKS or (mark == "-" and not any(letter.isalnum() for letter in core)):
        return "clause"
    first = following.lstrip(OPENERS)[:1] if following else ""
    if mark == "." and not _stop_ends(core, first, following is None, language):
        return "none"
    if mark != "." and mark not in SENTENCE_MARKS:
        return "none"
    return "clause" if cased and first.islower() else "sentence"


def _stop_ends(core: str, first: str, last: bool, language: str) -> bool:
    """Tell whether the full stop at the end of `core` ends a sentence; `first` is the next word's first letter."""
    if last or core.endswith(".."):
        return True
    name = core[:-1].lstrip(OPENERS)
    if first.isdigit() and (name[-1:].isdigit() or name.casefold() in {"no", "nr", "nº", "č", "sz"}):
        return False
    if _ORDINAL.fullmatch(name) and language in _ORDINAL_LANGUAGES and name != "I":
        return False
    if name.casefold() in _TIME_OF_DAY:
        return first.isupper()
    if _LETTERS_WITH_STOPS.fullmatch(name) and "." in name:  # z.B. U.S. т.е.
        return False
    # An initial (J. Bach) or half an abbreviation (z. B.); a syllable of Korean is no such thing.
    if len(name) == 1 and name.lower() != name.upper() and not (language == "en" and name == "I"):
        return False
    return name.casefold() not in _ABBREVIATIONS.get(language, frozenset())


# ---- Words to text ------------------------------------------------------------------------------------------------


def clean_text(text: str) -> str:
    """Return a transcript as a row of the CSV may hold it: one line, no `|`, nothing invisible, single spaces."""
    return _BREAKING.sub(" ", _INVISIBLE.sub("", unicodedata.normalize("NFC", text))).strip()


def join_words(words: Sequence[str], language: str) -> str:
    """Return the words as a clean text; Chinese and Japanese without spaces, but between two Latin words."""
    if language not in UNSPACED:
        return clean_text(" ".join(words))
    text = ""
    for word in words:
        word = word.strip()
        spaced = _is_latin(text[-1:]) and _is_latin(word[:1])
        text += f" {word}" if spaced else word
    return clean_text(text)


def _is_latin(letter: str) -> bool:
    return letter.isascii() and letter.isalnum()


# ---- How much a text is -------------------------------------------------------------------------------------------

# Text tokens of XTTS's vocabulary for a character, on the safe side, where the vocabulary itself isn't at hand.
# Chinese, Japanese and Korean are romanised before they are cut into pieces.
_TOKENS_PER_CHARACTER = {"zh": 2.4, "ja": 1.9, "ko": 1.9, "ru": 0.75, "ar": 0.9, "hi": 0.95}
_LATIN_TOKENS = 0.6
_LANGUAGE_TOKEN = 1


def estimate_tokens(text: str, language: str) -> int:
    """Return about how many tokens XTTS makes of the text; digits become words and count for more."""
    digits = sum(letter.isdigit() for letter in text)
    each = _TOKENS_PER_CHARACTER.get(language, _LATIN_TOKENS)
    return _LANGUAGE_TOKEN + round(each * (len(text) + 4 * digits) + 0.5)


# How many sounds a letter stands for, roughly: a character of Chinese is a syllable, a kana a mora.
_IDEOGRAPH, _HANGUL, _KANA, _DIGIT = 2.6, 2.4, 1.8, 4.0
_WORD_COST = 0.7  # sounds; short words take longer than their letters say


def speech_weight(word: str, language: str) -> float:
    """Return about how many sounds the word has: what its length is expected by. Punctuation alone has none."""
    weight = sum(_sounds(letter) for letter in word)
    if not weight:
        return 0.0
    return weight + (0.0 if language in UNSPACED else _WORD_COST)


def _sounds(letter: str) -> float:
    if letter.isascii():
        return 1.0 if letter.isalpha() else _DIGIT if letter.isdigit() else 0.0
    category = unicodedata.category(letter)
    if category[0] == "N":
        return _DIGIT
    if category[0] == "M":
        return 0.7  # Hindi's vowel signs are sounds
    if category[0] != "L":
        return 0.0
    place = ord(letter)
    if 0x3040 <= place <= 0x30FF:
        return _KANA
    if 0xAC00 <= place <= 0xD7A3:
        return _HANGUL
    if 0x3400 <= place <= 0x9FFF or 0xF900 <= place <= 0xFAFF or place >= 0x20000:
        return _IDEOGRAPH
    return 1.3 if 0x0600 <= place <= 0x06FF else 1.0  # Arabic leaves its short vowels out

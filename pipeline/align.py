"""Known texts to times: subtitles as they stand, plain texts by what Whisper heard."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise

import numpy as np

from .hearing import Heard
from .languages import UNSPACED
from .records import Limits, Rejection, Seconds, Span, Word
from .text import estimate_tokens, find_breaks, join_words, speech_weight
from .transcripts import Cue

# A word that Whisper missed counts as said where there is this much speech for each of its letters.
LETTER: Seconds = 0.03
_ALIKE = 2.0  # what was heard instead of some words takes as long to say, by this factor at most
PIECE_SHIFT: Seconds = 0.7  # how far from its share of the time a piece of a long subtitle may end, to find a silence


@dataclass(frozen=True)
class Aligned:
    """A text with times, and what of it isn't in the recording."""

    words: list[Word]
    unheard: list[Rejection] = field(default_factory=list)


def words_of_text(text: str, heard: Heard) -> list[Word]:
    """Return a short recording's text as one piece over all its speech: it is never cut."""
    return [Word(text, heard.speech[0].start, heard.speech[-1].end)]


# ---- Subtitles ----------------------------------------------------------------------------------------------------


def words_of_cues(cues: Iterable[Cue], heard: Heard, limits: Limits, language: str) -> list[Word]:
    """Return subtitles as pieces that are never cut: each cue is one, unless it is too long for a clip by itself.

    A cue's times are drawn in to the speech within it, for subtitles stand longer than they are said.
    """
    words: list[Word] = []
    for cue in cues:
        start, end = max(cue.start, words[-1].end if words else 0.0), min(cue.end, heard.seconds)
        if end <= start:
            continue
        inside = [span for span in heard.speech if span.end > start and span.start < end]
        if inside:
            start, end = max(start, inside[0].start), min(end, inside[-1].end)
        words += _pieces_of_cue(Cue(start, end, cue.text), heard, limits, language)
    return words


def _pieces_of_cue(cue: Cue, heard: Heard, limits: Limits, language: str) -> list[Word]:
    """Cut a cue that is too long: its text where it pauses, its time at the silence nearest to the text's share."""
    parts = _count_parts(cue, limits, language)
    if parts == 1:
        return [Word(cue.text, cue.start, cue.end)]
    texts = divide_text(cue.text, parts, language)
    shares = _shares(texts, language)
    words: list[Word] = []
    start = cue.start
    for text, share in zip(texts, shares[1:], strict=True):
        end = cue.end
        if text is not texts[-1]:
            near = cue.start + share * (cue.end - cue.start)
            low, high = max(start + 0.1, near - PIECE_SHIFT), min(cue.end - 0.1, near + PIECE_SHIFT)
            end = _quietest(heard, Span(low, max(low, high)))
        words.append(Word(text, start, end))
        start = end
    return words


def _count_parts(cue: Cue, limits: Limits, language: str) -> int:
    """Return how many pieces a cue needs so that each keeps well within the limits."""
    by_time = (cue.end - cue.start) / (limits.max_seconds - 2 * limits.padding)
    by_characters = len(cue.text) / limits.max_characters
    by_tokens = estimate_tokens(cue.text, language) / limits.max_tokens
    most = max(by_time, by_characters, by_tokens)
    return 1 if most <= 1 else int(np.ceil(most * 1.3))


def divide_text(text: str, parts: int, language: str) -> list[str]:
    """Divide a text into `parts` of like length (or fewer, where it has fewer words), best where a clause ends."""
    words = split_words(text, language)
    parts = min(parts, len(words))
    breaks = find_breaks(words, language)
    ends = np.cumsum([speech_weight(word, language) for word in words])
    cuts = [0]
    for part in range(1, parts):
        target = ends[-1] * part / parts
        free = range(cuts[-1] + 1, len(words) - (parts - part) + 1)
        bonus = ends[-1] / parts / 3  # what the end of a clause is worth: a third of a part's length
        away = [abs(ends[cut - 1] - target) - bonus * (breaks[cut - 1] != "none") for cut in free]
        cuts.append(free[int(np.argmin(away))])
    return [join_words(words[one:other], language) for one, other in pairwise([*cuts, len(words)])]


def _quietest(heard: Heard, span: Span) -> Seconds:
    """Return the middle of the quietest 50 ms within a span."""
    hop = heard.envelope.hop
    levels = heard.envelope.decibels[round(span.start / hop) : round(span.end / hop) + 1]
    width = 5
    if len(levels) <= width:
        return (span.start + span.end) / 2
    sums = np.convolve(levels, np.ones(width), "valid")
    return span.start + (int(np.argmin(sums)) + width / 2) * hop


# ---- Plain text ---------------------------------------------------------------------------------------------------


def split_words(text: str, language: str) -> list[str]:
    """Return a text's words; in Chinese and Japanese its signs, each with the marks that follow it."""
    if language not in UNSPACED:
        return text.split()
    words: list[str] = []
    for letter in "".join(text.split()):
        if words and not letter.isalnum():
            words[-1] += letter
        else:
            words.append(letter)
    return words


def _bare(word: str) -> str:
    """Return what of a word is compared: its letters and digits, without case."""
    folded = unicodedata.normalize("NFKC", word).casefold()
    return "".join(letter for letter in folded if letter.isalnum()) or folded


def align_text(text: str, heard: Heard, language: str) -> Aligned:
    """Give a known text the times of the words that were heard.

    Words that agree take their times; between them the text's words share the time of what was heard instead. What was
    said and isn't in the text stays as it was heard, for a clip's text must be what is said in it. What is in the text
    and finds no speech is returned as unheard.
    """
    known = _written_words(text, language)
    said = _as_units(heard.words, language)
    words: list[Word] = []
    unheard: list[Rejection] = []
    for block in _blocks(known, said, language):
        ours, theirs = known[block.ours], said[block.theirs]
        if block.same:
            words += [Word(mine, one.start, one.end, one.probability) for mine, one in zip(ours, theirs, strict=True)]
        elif ours and theirs:
            probability = float(np.mean([one.probability for one in theirs]))
            words += _share(ours, [Span(one.start, one.end) for one in theirs], language, probability)
        elif theirs:
            words += theirs
        else:
            after = said[block.theirs.start].start if block.theirs.start < len(said) else heard.seconds
            room = _speech_within(heard.speech, Span(words[-1].end if words else 0.0, after))
            missed = _place_missed(ours, room, language)
            words += missed
            if not missed:
                unheard.append(Rejection("", "is in the transcript and isn't heard", text=join_words(ours, language)))
    return Aligned(words, unheard)


@dataclass(frozen=True)
class _Block:
    """Words of the text and words that were heard that belong together; either may be none."""

    ours: slice
    theirs: slice
    same: bool


def _blocks(known: Sequence[str], said: Sequence[Word], language: str) -> list[_Block]:
    """Match the text with what was heard. What differs side by side is one block where it is about as long.

    So “evening” goes with “eve ning”, which a step for each word would take for one word heard wrong and one too many.
    """
    from rapidfuzz.distance import Levenshtein

    steps = Levenshtein.opcodes([_bare(word) for word in known], [_bare(word.text) for word in said])
    blocks: list[_Block] = []
    for same, run in groupby(steps, key=lambda step: step.tag == "equal"):
        inside = list(run)
        ours = slice(inside[0].src_start, inside[-1].src_end)
        theirs = slice(inside[0].dest_start, inside[-1].dest_end)
        weight = sum(speech_weight(word, language) for word in known[ours])
        heard_weight = sum(speech_weight(word.text, language) for word in said[theirs])
        if same or weight / _ALIKE <= heard_weight <= weight * _ALIKE:
            blocks.append(_Block(ours, theirs, same))
        else:
            blocks += [
                _Block(slice(step.src_start, step.src_end), slice(step.dest_start, step.dest_end), False)
                for step in inside
            ]
    return blocks


def _written_words(text: str, language: str) -> list[str]:
    """Return the text's words; a mark that stands alone, as a dash does, goes with the word before."""
    words: list[str] = []
    for word in split_words(text, language):
        if any(letter.isalnum() for letter in word):
            words.append(word)
        elif words:
            words[-1] += f" {word}"
    return words


def _as_units(words: Sequence[Word], language: str) -> list[Word]:
    """Return heard words in the same units as the known text: signs in Chinese and Japanese."""
    if language not in UNSPACED:
        return [word for word in words if any(letter.isalnum() for letter in word.text)]
    units: list[Word] = []
    for word in words:
        signs = [sign for sign in split_words(word.text, language) if any(letter.isalnum() for letter in sign)]
        units += _share(signs, [Span(word.start, word.end)], language, word.probability)
    return units


def _shares(texts: Sequence[str], language: str) -> list[float]:
    """Return where each text begins and ends, from 0 to 1, by how long they take to say."""
    weights = np.cumsum([0.0, *(max(0.1, speech_weight(text, language)) for text in texts)])
    return (weights / weights[-1]).tolist()


def _share(texts: Sequence[str], spans: Sequence[Span], language: str, probability: float = 1.0) -> list[Word]:
    """Let words share stretches of time."""
    length = sum(span.seconds for span in spans)
    edges = [_time_at(spans, share * length) for share in _shares(texts, language)]
    return [
        Word(text, start, max(start, end), probability)
        for text, start, end in zip(texts, edges, edges[1:], strict=False)
    ]


def _time_at(spans: Sequence[Span], passed: Seconds) -> Seconds:
    """Return the time at which so much of the spans has passed."""
    for span in spans:
        if passed <= span.seconds:
            return span.start + passed
        passed -= span.seconds
    return spans[-1].end


def _speech_within(speech: Sequence[Span], gap: Span) -> list[Span]:
    inside = [span for span in speech if span.end > gap.start and span.start < gap.end]
    return [Span(max(span.start, gap.start), min(span.end, gap.end)) for span in inside]


def _place_missed(texts: Sequence[str], room: Sequence[Span], language: str) -> list[Word]:
    """Return words that Whisper missed, placed into the speech where they belong; none if there is too little of it."""
    needed = LETTER * sum(len(_bare(text)) for text in texts)
    if sum(span.seconds for span in room) < needed:
        return []
    return _share(texts, room, language)

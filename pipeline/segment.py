"""Where to cut a recording into clips: one decision over all of it. Pure functions.

First every silence gets its place in the text (placing.py). Then a dynamic programme over those silences chooses all
cuts together: every clip keeps the limits, ends where a sentence ends if that can be, else at a clause, else at the
longest pause; lengths are spread over what is allowed. A cut lies in silence, and a clip takes along only silence: at
most half of what it shares with its neighbour. Only where somebody speaks on and on without a pause is a cut forced,
at the quietest moment between two words, and said so. Each word ends up in exactly one clip or one rejection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np

from .cuts import ASIDE, HEARD, SLACK, Cuts, Task, TokenCounter
from .placing import Placement, place_words
from .records import ClipPlan, Limits, Rejection, Seconds, Span, Word
from .silence import BoolArray, DoubleArray, IntArray, Sound, listen
from .silence import Envelope as Envelope
from .text import estimate_tokens, join_words, speech_weight

# What a clip costs beside its end.
_SPREAD = 2.0  # the most that its length costs
_SILENCE_FREE: Seconds = 0.8  # a silence within a clip; longer ones cost, a second
_SILENCE, _SILENCE_MOST = 1.5, 10.0
_REJECT, _REJECT_WORD = 60.0, 10.0  # losing words is worse than any cut
_GOLDEN = 0.6180339887498949  # its multiples' fractions spread evenly

_QUIETER = 0.7  # the share of the padding behind which a clip may end, where it is quietest

FORCED_NOTE = "cut without a pause, at the quietest moment between two words"


@dataclass(frozen=True)
class SegmentPlan:
    """The clips of a recording in order, and what is in none."""

    clips: tuple[ClipPlan, ...]
    rejected: tuple[Rejection, ...]


def plan_clips(
    words: Sequence[Word],
    envelope: Envelope,
    speech: Sequence[Span],
    limits: Limits,
    language: str,
    count_tokens: TokenCounter | None = None,
) -> SegmentPlan:
    """Return where to cut a recording, and what can't be used and why. The rejections' `source` is left empty.

    `words` may have rough times; `speech` is where somebody speaks (one span over everything where nobody looked).
    `count_tokens` counts as the base model's tokenizer does; without it there is an estimate on the safe side.
    """
    words = [word for word in words if word.text.strip()]
    sound = listen(envelope, speech)
    placement = place_words(words, sound, language)
    unusable = [*_reject_unspoken(placement.unspoken), *_reject_wordless(placement, sound)]
    if not placement.words:
        return SegmentPlan((), tuple(_by_time(unusable)))
    task = Task(limits, language, cache(count_tokens or partial(estimate_tokens, language=language)))
    cuts = Cuts.of(placement, sound, task)
    chosen, dropped = _choose(cuts, placement.words, task)
    clips = [_clip(cuts, pair, placement.words, sound, task) for pair in chosen]
    rejected = [_reject(cuts, pair, placement.words, task) for pair in dropped]
    return SegmentPlan(tuple(clips), tuple(_by_time([*rejected, *unusable])))


def _by_time(rejected: Sequence[Rejection]) -> list[Rejection]:
    return sorted(rejected, key=lambda one: one.start or 0.0)


# ---- Which cuts ---------------------------------------------------------------------------------------------------

_Pair = tuple[int, int]  # numbers of two cuts: what lies between them
_TRIES = 6
_STRETCH = 20  # words


def _choose(cuts: Cuts, words: Sequence[Word], task: Task) -> tuple[list[_Pair], list[_Pair]]:
    """Return the clips and the rejected stretches, each as a pair of cuts.

    Sizes of texts are summed up from their words', which is exact but for tokenizers that look at more than a word:
    a text that turns out longer has its words counted for more, and all is decided again.
    """
    weights = np.ones(len(words))
    over: list[_Pair] = []
    for _ in range(_TRIES):
        sizes = _Sizes.of(words, task, weights)
        chosen, dropped = _cheapest(cuts, sizes, task.limits)
        over = [pair for pair in chosen if _excess(_text(cuts, pair, words, task), task) > 1]
        if not over:
            break
        for pair in over:
            inside = slice(cuts.word[pair[0]], cuts.word[pair[1]])
            weights[inside] *= 1.02 * _excess(_text(cuts, pair, words, task), task) / sizes.share(inside, task.limits)
    kept = [pair for pair in chosen if pair not in over]
    return kept, sorted([*dropped, *over])


def _text(cuts: Cuts, pair: _Pair, words: Sequence[Word], task: Task) -> str:
    inside = words[cuts.word[pair[0]] : cuts.word[pair[1]]]
    return join_words([word.text for word in inside], task.language)


def _excess(text: str, task: Task) -> float:
    """Return the text's size as a share of what is allowed."""
    return max(len(text) / task.limits.max_characters, task.count(text) / task.limits.max_tokens)


@dataclass(frozen=True)
class _Sizes:
    """Characters, tokens and sounds of the first i words."""

    characters: DoubleArray
    tokens: DoubleArray
    sounds: DoubleArray

    @staticmethod
    def of(words: Sequence[Word], task: Task, weights: DoubleArray) -> _Sizes:
        characters = np.array([len(join_words([word.text, "x"], task.language)) - 1 for word in words])
        sounds = np.array([speech_weight(word.text, task.language) for word in words])
        sums = [np.cumsum(one) for one in (characters * weights, _tokens(words, task) * weights, sounds)]
        return _Sizes(*(np.concatenate([[0.0], one]).astype(np.float64) for one in sums))

    def share(self, words: slice, limits: Limits) -> float:
        """Return the size of a stretch of words as a share of what is allowed."""
        characters = (self.characters[words.stop] - self.characters[words.start]) / limits.max_characters
        tokens = (self.tokens[words.stop] - self.tokens[words.start]) / limits.max_tokens
        return float(max(characters, tokens))


def _tokens(words: Sequence[Word], task: Task) -> DoubleArray:
    """Return how many tokens each word adds to a text: counted by itself, brought to scale by stretches of text."""
    around = task.count("")
    alone = np.array([max(task.count(word.text) - around, 0) for word in words], np.float64) + 1e-3
    stretches = [words[first : first + _STRETCH] for first in range(0, len(words), _STRETCH)]
    joined = sum(task.count(join_words([word.text for word in one], task.language)) - around for one in stretches)
    scaled: DoubleArray = alone * min(max(joined, 1) / float(alone.sum()), 1.0)
    return scaled


def _cheapest(cuts: Cuts, sizes: _Sizes, limits: Limits) -> tuple[list[_Pair], list[_Pair]]:
    """Return clips and rejected stretches whose cost together is least."""
    count = len(cuts.word)
    totals, origin, kept = np.zeros(count), np.zeros(count, np.int64), np.zeros(count, bool)
    silence = np.minimum(np.maximum(cuts.right - cuts.left - _SILENCE_FREE, 0) * _SILENCE, _SILENCE_MOST)
    inner = _Inner(np.cumsum(silence), np.cumsum(cuts.barrier), _targets(cuts.word, limits))
    for end in range(1, count):
        words = cuts.word[end] - cuts.word[end - 1]
        totals[end], origin[end] = totals[end - 1] + _REJECT + _REJECT_WORD * words, end - 1
        first = int(np.searchsorted(cuts.right[:end], cuts.left[end] - limits.max_seconds))
        if first >= end:
            continue
        starts = np.arange(first, end)
        ways = totals[first:end] + _clip_costs(cuts, starts, end, (sizes, inner, limits))
        best = int(ways.argmin())
        if ways[best] < totals[end]:
            totals[end], origin[end], kept[end] = ways[best], first + best, True
    return _trace(origin, kept)


@dataclass(frozen=True)
class _Inner:
    silence: DoubleArray  # cost of silences up to and with each cut, summed up
    barriers: IntArray
    target: DoubleArray  # the length that a clip beginning here should have


def _targets(words: IntArray, limits: Limits) -> DoubleArray:
    """Return the wanted length of a clip for each cut it may begin at: spread evenly over what is allowed."""
    room = limits.max_seconds - limits.min_seconds
    return limits.min_seconds + room * (0.1 + 0.8 * np.asarray(words * _GOLDEN % 1.0, np.float64))


def _clip_costs(cuts: Cuts, starts: IntArray, end: int, rules: tuple[_Sizes, _Inner, Limits]) -> DoubleArray:
    """Return what a clip from each of the starts to the end costs; infinite where it breaks a limit."""
    sizes, inner, limits = rules
    bare = cuts.left[end] - cuts.right[starts]
    room = np.minimum(cuts.room_right[starts], limits.padding) + min(cuts.room_left[end], limits.padding)
    first, last = cuts.word[starts], cuts.word[end]
    allowed = (
        (bare + np.minimum(room, 2 * ASIDE) <= limits.max_seconds - SLACK)
        & (bare + room >= limits.min_seconds + SLACK)
        & (sizes.characters[last] - sizes.characters[first] <= limits.max_characters + 1)
        & (sizes.tokens[last] - sizes.tokens[first] <= limits.max_tokens)
        & (sizes.sounds[last] > sizes.sounds[first])
        & (inner.barriers[end - 1] == inner.barriers[starts])
    )
    seconds = np.minimum(bare + room, limits.max_seconds)
    off = (seconds - inner.target[starts]) / max(limits.max_seconds - limits.min_seconds, 0.1)
    cost = cuts.cost[end] + _SPREAD * off**2 + inner.silence[end - 1] - inner.silence[starts]
    return np.where(allowed, cost, np.inf)


def _trace(origin: IntArray, kept: BoolArray) -> tuple[list[_Pair], list[_Pair]]:
    """Walk back from the end; rejected stretches side by side become one."""
    chosen: list[_Pair] = []
    dropped: list[_Pair] = []
    end = len(origin) - 1
    while end > 0:
        start = int(origin[end])
        if kept[end]:
            chosen.append((start, end))
        elif dropped and dropped[-1][0] == end:
            dropped[-1] = (start, dropped[-1][1])
        else:
            dropped.append((start, end))
        end = start
    return chosen[::-1], dropped[::-1]


# ---- The clips and the rejections ---------------------------------------------------------------------------------


def _clip(cuts: Cuts, pair: _Pair, words: Sequence[Word], sound: Sound, task: Task) -> ClipPlan:
    first, last = pair
    span = _padded(cuts, pair, sound.envelope, task.limits)
    inside = tuple(words[cuts.word[first] : cuts.word[last]])
    forced = [cuts.ending[one] == "forced" for one in pair]
    return ClipPlan(
        start=span.start,
        end=span.end,
        text=_text(cuts, pair, words, task),
        ending=cuts.ending[last],
        words=inside,
        note=f"{FORCED_NOTE} ({_where(forced)})" if any(forced) else "",
    )


def _where(forced: list[bool]) -> str:
    return "at both ends" if all(forced) else "at its start" if forced[0] else "at its end"


def _padded(cuts: Cuts, pair: _Pair, envelope: Envelope, limits: Limits) -> Span:
    """Return the clip with silence taken along at both ends, ending where that silence is quietest."""
    first, last = pair
    start, end = float(cuts.right[first]), float(cuts.left[last])
    before = min(float(cuts.room_right[first]), limits.padding)
    after = min(float(cuts.room_left[last]), limits.padding)
    over = end - start + before + after - (limits.max_seconds - SLACK)
    if over > 0:
        share = max(0.0, 1 - over / max(before + after, 1e-9))
        before, after = before * share, after * share
    quiet = Span(
        envelope.outermost_quiet(start - _QUIETER * before, start - before),
        envelope.outermost_quiet(end + _QUIETER * after, end + after),
    )
    if quiet.seconds < limits.min_seconds + SLACK:
        quiet = Span(start - before, end + after)
    return Span(round(max(quiet.start, 0.0), 3), round(quiet.end, 3))


def _reject(cuts: Cuts, pair: _Pair, words: Sequence[Word], task: Task) -> Rejection:
    first, last = pair
    start, end = float(cuts.right[first]), float(cuts.left[last])
    text = _text(cuts, pair, words, task)
    return Rejection("", _reason(text, end - start, task), round(start, 3), round(max(end, start), 3), text)


def _reason(text: str, seconds: Seconds, task: Task) -> str:
    limits = task.limits
    if not speech_weight(text, task.language):
        return "punctuation only"
    if seconds < limits.min_seconds:
        return f"too short for a clip ({seconds:.1f} s), and what is beside it can't be joined to it"
    if seconds > limits.max_seconds - SLACK:
        return f"too long for a clip ({seconds:.1f} s), without a place to cut between two words"
    if len(text) > limits.max_characters:
        return f"its text of {len(text)} characters is too long: {limits.max_characters} at most"
    if task.count(text) > limits.max_tokens:
        return f"its text of {task.count(text)} tokens is too long: {limits.max_tokens} at most"
    return "no division into clips within the limits has room for it"


def _reject_unspoken(words: Sequence[Word]) -> list[Rejection]:
    """List words with no sound under them, those that follow each other together."""
    found: list[Rejection] = []
    for word in words:
        if found and found[-1].end is not None and word.start - found[-1].end < 2.0:
            found[-1] = replace(found[-1], end=max(found[-1].end, word.end), text=f"{found[-1].text} {word.text}")
        else:
            reason = "nobody speaks where these words should be: they are probably made up"
            found.append(Rejection("", reason, word.start, word.end, word.text))
    return found


def _reject_wordless(placement: Placement, sound: Sound) -> list[Rejection]:
    """List stretches where somebody speaks and no words were heard."""
    placed = np.flatnonzero(placement.places >= 0)
    found = []
    for value in np.unique(placement.places[placed]).tolist():
        group = placed[placement.places[placed] == value]
        start, end = float(sound.ends[group[0]]), float(sound.starts[group[-1]])
        spoken = float(np.diff(sound.speech_before(np.array([start, end])))[0]) if len(group) > 1 else 0.0
        if spoken >= HEARD:
            found.append(Rejection("", f"{spoken:.1f} s of speech in which no words were heard", start, end))
    return found

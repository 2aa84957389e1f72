"""Where to cut a recording into clips: one decision over all of it. Pure functions.

First every silence gets its place in the text (placing.py). Then a dynamic programme over those silences chooses all
cuts together: every clip keeps the limits, ends where a sentence ends if that can be, else at a clause, else at the
longest pause; lengths are spread over what is allowed. A cut lies in silence, and a clip takes along only silence: at
most half of what it shares with its neighbour. Only where somebody speaks on and on without a pause is a cut forced,
at the quietest moment between two words, and said so. Each word ends up in exactly one clip or one rejection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
import numpy.typing as npt

from .placing import Placement, place_words
from .records import ClipPlan, Ending, Limits, Rejection, Seconds, Span, Word
from .silence import DoubleArray, Sound, listen
from .silence import Envelope as Envelope
from .text import Break, estimate_tokens, find_breaks, join_words, speech_weight

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
TokenCounter = Callable[[str], int]

# What an end of a clip costs; a whole step lies between sentence, clause, pause and cuts without silence.
_CLAUSE, _PAUSE, _FORCED = 8.0, 13.0, 30.0
_LONG: Seconds = 0.3  # a pause that is one for certain; what is missing to it costs
_SHORT_SENTENCE, _SHORT_CLAUSE, _SHORT_PAUSE = 3.0, 4.0, 6.0
_LONGER_CLAUSE, _LONGER_PAUSE = 0.5, 2.0  # what each second of a longer pause (up to one) makes cheaper
_SHALLOW, _DEEP = 10.0, 20.0  # cost of a forced cut at full voice, none where it is this many dB quieter
_FORCED_SENTENCE, _FORCED_CLAUSE = 6.0, 3.0  # what punctuation there makes cheaper
_SPREAD = 2.0  # the most that a clip's length costs
_SILENCE_FREE: Seconds = 0.8  # a silence within a clip; longer ones cost, a second
_SILENCE, _SILENCE_MOST = 1.5, 10.0
_REJECT, _REJECT_WORD = 60.0, 10.0  # losing words is worse than any cut
_GOLDEN = 0.6180339887498949  # its multiples' fractions spread evenly

_SLACK: Seconds = 0.002  # times are rounded to milliseconds, and no clip may be over the limit by one sample
_HEARD: Seconds = 0.25  # of speech without words: reported, and never within a clip
_ASIDE: Seconds = 0.02  # padding keeps this far from a noise that belongs to no clip
_QUIETER = 0.7  # the share of the padding behind which a clip may end, where it is quietest
_AROUND: Seconds = 0.3  # what a forced cut's depth is measured against

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
    task = _Task(limits, language, cache(count_tokens or partial(estimate_tokens, language=language)))
    cuts = _Cuts.of(placement, sound, task)
    chosen, dropped = _choose(cuts, placement.words, task)
    clips = [_clip(cuts, pair, placement.words, sound, task) for pair in chosen]
    rejected = [_reject(cuts, pair, placement.words, task) for pair in dropped]
    return SegmentPlan(tuple(clips), tuple(_by_time([*rejected, *unusable])))


def _by_time(rejected: Sequence[Rejection]) -> list[Rejection]:
    return sorted(rejected, key=lambda one: one.start or 0.0)


@dataclass(frozen=True)
class _Task:
    limits: Limits
    language: str
    count: TokenCounter


# ---- Where a cut may be -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Cuts:
    """Every place a cut may be, in order, from before the first word to behind the last."""

    word: IntArray  # how many words come before it
    left: DoubleArray  # where the sound before it ends
    right: DoubleArray  # where the sound after it begins
    room_left: DoubleArray  # silence that a clip ending here may take along
    room_right: DoubleArray  # silence that a clip beginning here may take along
    barrier: BoolArray  # somebody speaks here without words: no clip reaches over it
    ending: tuple[Ending, ...]
    cost: DoubleArray

    @staticmethod
    def of(placement: Placement, sound: Sound, task: _Task) -> _Cuts:
        words = placement.words
        breaks = find_breaks([word.text for word in words], task.language)
        silences = _silence_cuts(placement, sound, breaks)
        places = []
        for number, cut in enumerate(silences):
            if number:
                inner = range(silences[number - 1].word + 1, cut.word)
                everywhere = _too_long(words, (silences[number - 1], cut), task)
                places += [
                    _forced_cut(words[word].start, word, sound, breaks[word - 1])
                    for word in inner
                    if everywhere or breaks[word - 1] != "none"
                ]
            places.append(cut)
        return _Cuts(
            word=np.array([one.word for one in places]),
            left=np.array([one.left for one in places]),
            right=np.array([one.right for one in places]),
            room_left=np.array([one.room_left for one in places]),
            room_right=np.array([one.room_right for one in places]),
            barrier=np.array([one.barrier for one in places]),
            ending=tuple(one.ending for one in places),
            cost=np.array([one.cost for one in places]),
        )


@dataclass(frozen=True)
class _Cut:
    word: int
    left: Seconds
    right: Seconds
    room_left: Seconds
    room_right: Seconds
    barrier: bool
    ending: Ending
    cost: float


def _silence_cuts(placement: Placement, sound: Sound, breaks: Sequence[Break]) -> list[_Cut]:
    """Return the cuts in silences between words. Several silences at one place have a noise between them."""
    placed = np.flatnonzero(placement.places >= 0)
    values, firsts = np.unique(placement.places[placed], return_index=True)
    groups = np.split(placed, firsts[1:])
    last = len(placement.words)
    found = []
    for value, group in zip(values.tolist(), groups, strict=True):
        first_gap = float(sound.ends[group[0]] - sound.starts[group[0]])
        last_gap = float(sound.ends[group[-1]] - sound.starts[group[-1]])
        shared = len(group) == 1 and 0 < value < last
        left, right = float(sound.starts[group[0]]), float(sound.ends[group[-1]])
        spoken = np.diff(sound.speech_before(np.array([sound.ends[group[0]], sound.starts[group[-1]]])))[0]
        ending = _ending(breaks[value - 1]) if value else "pause"
        aside = 0.0 if len(group) == 1 else _ASIDE
        found.append(
            _Cut(
                word=value,
                left=left,
                right=right,
                room_left=first_gap / 2 if shared else max(first_gap - aside, 0.0),
                room_right=last_gap / 2 if shared else max(last_gap - aside, 0.0),
                barrier=len(group) > 1 and bool(spoken >= _HEARD),
                ending=ending,
                cost=_end_cost(ending, max(first_gap, last_gap)),
            )
        )
    return found


def _ending(kind: Break) -> Ending:
    return "pause" if kind == "none" else kind


def _end_cost(ending: Ending, silence: Seconds) -> float:
    missing, longer = max(_LONG - silence, 0.0) / _LONG, min(silence, 1.0)
    if ending == "sentence":
        return _SHORT_SENTENCE * missing
    if ending == "clause":
        return _CLAUSE + _SHORT_CLAUSE * missing - _LONGER_CLAUSE * longer
    return _PAUSE + _SHORT_PAUSE * missing - _LONGER_PAUSE * longer


def _too_long(words: Sequence[Word], pair: tuple[_Cut, _Cut], task: _Task) -> bool:
    """Tell whether what lies between two neighbouring silences is more than a clip may hold."""
    before, after = pair
    if after.left - before.right > task.limits.max_seconds - _SLACK:
        return True
    text = join_words([word.text for word in words[before.word : after.word]], task.language)
    return len(text) > task.limits.max_characters or task.count(text) > task.limits.max_tokens


def _forced_cut(time: Seconds, word: int, sound: Sound, kind: Break) -> _Cut:
    """Return a cut between two words with no silence between them."""
    envelope = sound.envelope
    around = envelope.decibels[envelope.frame(time - _AROUND) : envelope.frame(time + _AROUND) + 1]
    depth = float(around.max() - envelope.decibels[envelope.frame(time)])
    cost = _FORCED + _SHALLOW * (1 - min(max(depth, 0.0), _DEEP) / _DEEP)
    cost -= {"sentence": _FORCED_SENTENCE, "clause": _FORCED_CLAUSE, "none": 0.0}[kind]
    return _Cut(word, time, time, 0.0, 0.0, False, "forced", cost)


# ---- Which cuts ---------------------------------------------------------------------------------------------------

_Pair = tuple[int, int]  # numbers of two cuts: what lies between them
_TRIES = 6
_STRETCH = 20  # words


def _choose(cuts: _Cuts, words: Sequence[Word], task: _Task) -> tuple[list[_Pair], list[_Pair]]:
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


def _text(cuts: _Cuts, pair: _Pair, words: Sequence[Word], task: _Task) -> str:
    inside = words[cuts.word[pair[0]] : cuts.word[pair[1]]]
    return join_words([word.text for word in inside], task.language)


def _excess(text: str, task: _Task) -> float:
    """Return the text's size as a share of what is allowed."""
    return max(len(text) / task.limits.max_characters, task.count(text) / task.limits.max_tokens)


@dataclass(frozen=True)
class _Sizes:
    """Characters, tokens and sounds of the first i words."""

    characters: DoubleArray
    tokens: DoubleArray
    sounds: DoubleArray

    @staticmethod
    def of(words: Sequence[Word], task: _Task, weights: DoubleArray) -> _Sizes:
        characters = np.array([len(join_words([word.text, "x"], task.language)) - 1 for word in words])
        sounds = np.array([speech_weight(word.text, task.language) for word in words])
        sums = [np.cumsum(one) for one in (characters * weights, _tokens(words, task) * weights, sounds)]
        return _Sizes(*(np.concatenate([[0.0], one]).astype(np.float64) for one in sums))

    def share(self, words: slice, limits: Limits) -> float:
        """Return the size of a stretch of words as a share of what is allowed."""
        characters = (self.characters[words.stop] - self.characters[words.start]) / limits.max_characters
        tokens = (self.tokens[words.stop] - self.tokens[words.start]) / limits.max_tokens
        return float(max(characters, tokens))


def _tokens(words: Sequence[Word], task: _Task) -> DoubleArray:
    """Return how many tokens each word adds to a text: counted by itself, brought to scale by stretches of text."""
    around = task.count("")
    alone = np.array([max(task.count(word.text) - around, 0) for word in words], np.float64) + 1e-3
    stretches = [words[first : first + _STRETCH] for first in range(0, len(words), _STRETCH)]
    joined = sum(task.count(join_words([word.text for word in one], task.language)) - around for one in stretches)
    scaled: DoubleArray = alone * min(max(joined, 1) / float(alone.sum()), 1.0)
    return scaled


def _cheapest(cuts: _Cuts, sizes: _Sizes, limits: Limits) -> tuple[list[_Pair], list[_Pair]]:
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


def _clip_costs(cuts: _Cuts, starts: IntArray, end: int, rules: tuple[_Sizes, _Inner, Limits]) -> DoubleArray:
    """Return what a clip from each of the starts to the end costs; infinite where it breaks a limit."""
    sizes, inner, limits = rules
    bare = cuts.left[end] - cuts.right[starts]
    room = np.minimum(cuts.room_right[starts], limits.padding) + min(cuts.room_left[end], limits.padding)
    first, last = cuts.word[starts], cuts.word[end]
    allowed = (
        (bare + np.minimum(room, 2 * _ASIDE) <= limits.max_seconds - _SLACK)
        & (bare + room >= limits.min_seconds + _SLACK)
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


def _clip(cuts: _Cuts, pair: _Pair, words: Sequence[Word], sound: Sound, task: _Task) -> ClipPlan:
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


def _padded(cuts: _Cuts, pair: _Pair, envelope: Envelope, limits: Limits) -> Span:
    """Return the clip with silence taken along at both ends, ending where that silence is quietest."""
    first, last = pair
    start, end = float(cuts.right[first]), float(cuts.left[last])
    before = min(float(cuts.room_right[first]), limits.padding)
    after = min(float(cuts.room_left[last]), limits.padding)
    over = end - start + before + after - (limits.max_seconds - _SLACK)
    if over > 0:
        share = max(0.0, 1 - over / max(before + after, 1e-9))
        before, after = before * share, after * share
    quiet = Span(
        envelope.outermost_quiet(start - _QUIETER * before, start - before),
        envelope.outermost_quiet(end + _QUIETER * after, end + after),
    )
    if quiet.seconds < limits.min_seconds + _SLACK:
        quiet = Span(start - before, end + after)
    return Span(round(max(quiet.start, 0.0), 3), round(quiet.end, 3))


def _reject(cuts: _Cuts, pair: _Pair, words: Sequence[Word], task: _Task) -> Rejection:
    first, last = pair
    start, end = float(cuts.right[first]), float(cuts.left[last])
    text = _text(cuts, pair, words, task)
    return Rejection("", _reason(text, end - start, task), round(start, 3), round(max(end, start), 3), text)


def _reason(text: str, seconds: Seconds, task: _Task) -> str:
    limits = task.limits
    if not speech_weight(text, task.language):
        return "punctuation only"
    if seconds < limits.min_seconds:
        return f"too short for a clip ({seconds:.1f} s), and what is beside it can't be joined to it"
    if seconds > limits.max_seconds - _SLACK:
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
            reason = "nobody speaks there: Whisper probably made these words up"
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
        if spoken >= _HEARD:
            found.append(Rejection("", f"{spoken:.1f} s of speech in which no words were heard", start, end))
    return found

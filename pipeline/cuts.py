"""Where a recording may be cut, and what a cut there costs. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .placing import Placement
from .records import Ending, Limits, Seconds, Word
from .silence import BoolArray, DoubleArray, IntArray, Sound
from .text import Break, find_breaks, join_words

TokenCounter = Callable[[str], int]

# What an end of a clip costs; a whole step lies between sentence, clause, pause and cuts without silence.
_CLAUSE, _PAUSE, _FORCED = 8.0, 13.0, 30.0
_LONG: Seconds = 0.3  # a pause that is one for certain; what is missing to it costs
_SHORT_SENTENCE, _SHORT_CLAUSE, _SHORT_PAUSE = 3.0, 4.0, 6.0
_LONGER_CLAUSE, _LONGER_PAUSE = 0.5, 2.0  # what each second of a longer pause (up to one) makes cheaper
_SHALLOW, _DEEP = 10.0, 20.0  # cost of a forced cut at full voice, none where it is this many dB quieter
_FORCED_SENTENCE, _FORCED_CLAUSE = 6.0, 3.0  # what punctuation there makes cheaper
_AROUND: Seconds = 0.3  # what a forced cut's depth is measured against

SLACK: Seconds = 0.002  # times are rounded to milliseconds, and no clip may be over the limit by one sample
HEARD: Seconds = 0.25  # of speech without words: reported, and never within a clip
ASIDE: Seconds = 0.02  # padding keeps this far from a noise that belongs to no clip


@dataclass(frozen=True)
class Task:
    """What every decision needs to know."""

    limits: Limits
    language: str
    count: TokenCounter


@dataclass(frozen=True)
class Cuts:
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
    def of(placement: Placement, sound: Sound, task: Task) -> Cuts:
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
        return Cuts(
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
class Cut:
    word: int
    left: Seconds
    right: Seconds
    room_left: Seconds
    room_right: Seconds
    barrier: bool
    ending: Ending
    cost: float


def _silence_cuts(placement: Placement, sound: Sound, breaks: Sequence[Break]) -> list[Cut]:
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
        aside = 0.0 if len(group) == 1 else ASIDE
        found.append(
            Cut(
                word=value,
                left=left,
                right=right,
                room_left=first_gap / 2 if shared else max(first_gap - aside, 0.0),
                room_right=last_gap / 2 if shared else max(last_gap - aside, 0.0),
                barrier=len(group) > 1 and bool(spoken >= HEARD),
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


def _too_long(words: Sequence[Word], pair: tuple[Cut, Cut], task: Task) -> bool:
    """Tell whether what lies between two neighbouring silences is more than a clip may hold."""
    before, after = pair
    if after.left - before.right > task.limits.max_seconds - SLACK:
        return True
    text = join_words([word.text for word in words[before.word : after.word]], task.language)
    return len(text) > task.limits.max_characters or task.count(text) > task.limits.max_tokens


def _forced_cut(time: Seconds, word: int, sound: Sound, kind: Break) -> Cut:
    """Return a cut between two words with no silence between them."""
    envelope = sound.envelope
    around = envelope.decibels[envelope.frame(time - _AROUND) : envelope.frame(time + _AROUND) + 1]
    depth = float(around.max() - envelope.decibels[envelope.frame(time)])
    cost = _FORCED + _SHALLOW * (1 - min(max(depth, 0.0), _DEEP) / _DEEP)
    cost -= {"sentence": _FORCED_SENTENCE, "clause": _FORCED_CLAUSE, "none": 0.0}[kind]
    return Cut(word, time, time, 0.0, 0.0, False, "forced", cost)

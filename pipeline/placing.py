"""Which words lie between which silences: what a rough Whisper says about time, corrected. Pure functions.

Whisper's word times are off by a tenth of a second often and by half a second sometimes, so they don't tell which
word ends at a silence. The order of words is certain, though, and so are the silences. One dynamic programme over a
recording gives every silence its place in the text: between two words, or within a word (before a plosive). It weighs
how far that is from Whisper's times, whether the sound between two silences is as long as its words should take, and
whether punctuation stands where people pause.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .records import Seconds, Word
from .silence import DoubleArray, IntArray, Sound
from .text import find_breaks, speech_weight

# All costs below are meant as negative log likelihoods, roughly; they were tuned on synthetic speech.
_REACH: Seconds = 1.2  # how far a word boundary may be from where Whisper puts it
_WIDTH = 24  # boundaries looked at for one silence, at most
_BACK = 12  # silences that may lie within words, one after another
_TIME: Seconds = 0.25  # an error of Whisper's that costs 1, as long as nobody knows how exact it is here
_BEST, _USUAL, _WORST = 0.03, 0.1, 0.4  # seconds that Whisper's times may be off
_FAR: Seconds = 0.5
_DOUBT = 2  # silences that must tell before they outweigh the usual error
_LENGTH, _LENGTH_SHARE = 0.10, 0.12  # seconds, and share of the expected length, that cost 1
_MISSED_SENTENCE, _MISSED_CLAUSE = 3.0, 1.8  # an end of a sentence without a silence
_WITHIN: Seconds = 0.10  # a silence within a word: half of its square in these units is what it costs
_WITHIN_FREE: Seconds = 0.06
_WITHIN_MOST = 12.0
_PHRASE = 0.15  # that cost's share where a “word” is a whole phrase, as with subtitles
# Sound without words: at all, for a second of noise, for speech at all (reached at 0.1 s), for a second of speech.
_WORDLESS, _WORDLESS_NOISE, _WORDLESS_SPOKEN, _WORDLESS_SPEECH = 0.4, 0.5, 1.5, 4.0
_WORDLESS_MOST: Seconds = 3.0
# A silence at a boundary of this kind costs: base, for each second, up to seconds.
_PAUSE_COSTS = {"sentence": (0.0, 0.0), "clause": (0.0, 0.3), "none": (0.5, 1.8)}
_PAUSE_MOST: Seconds = 0.8
_SHORT, _SHORT_COST = 0.12, 25.0  # seconds under which a pause is hardly one, and what each missing second costs

_NEAR: Seconds = 0.5  # a word this near to a sound may belong to it
_PHRASE_GAP: Seconds = 0.6  # between words: a new phrase


@dataclass(frozen=True)
class Placement:
    """Words with corrected times, and the place of every silence."""

    words: tuple[Word, ...]
    places: IntArray  # for each silence how many words come before it; -1 where it lies within a word
    unspoken: tuple[Word, ...] = ()  # words with no sound under them


def place_words(words: Sequence[Word], sound: Sound, language: str) -> Placement:
    """Find the place of every silence in the text, and correct the words' times by it."""
    spoken, unspoken = _part_unspoken(words, sound, language)
    if not spoken:
        return Placement((), np.zeros(len(sound.starts), np.int64), tuple(unspoken))
    costs = _Costs.of(spoken, sound, language)
    places = _best_places(costs)
    error = _error_of_times(places, costs)
    if error < 0.5 * _TIME:  # exact times deserve more trust
        costs = replace(costs, error=error)
        places = _best_places(costs)
    return Placement(_correct(spoken, places, costs, sound), places, tuple(unspoken))


# ---- Words nobody said --------------------------------------------------------------------------------------------


def _part_unspoken(words: Sequence[Word], sound: Sound, language: str) -> tuple[list[Word], list[Word]]:
    """Part the words that have sound near them from phrases that have not: Whisper makes words up in silence."""
    if not words:
        return [], []
    starts, ends = np.array([[word.start - _NEAR, word.end + _NEAR] for word in words]).T
    near = sound.speech_before(ends) - sound.speech_before(starts) > 0.02
    breaks = find_breaks([word.text for word in words], language)
    spoken: list[Word] = []
    unspoken: list[Word] = []
    first = 0
    for number in range(len(words)):
        last = number + 1 == len(words)
        if not last and breaks[number] == "none" and words[number + 1].start - words[number].end < _PHRASE_GAP:
            continue
        phrase = words[first : number + 1]
        (spoken if near[first : number + 1].mean() > 0.5 else unspoken).extend(phrase)
        first = number + 1
    return spoken, unspoken


# ---- What it costs ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Costs:
    """All that the dynamic programme looks up. Boundary i lies behind the first i words."""

    starts: DoubleArray  # of silences
    ends: DoubleArray
    speech_start: DoubleArray  # seconds of speech before each silence's start
    speech_end: DoubleArray
    within: DoubleArray  # cost of silences 0..g-1 lying within words, summed up
    silent: DoubleArray  # their lengths, summed up
    early: DoubleArray  # the time of each boundary by Whisper: between early and late
    late: DoubleArray
    length: DoubleArray  # expected length of the first i words
    sentences: IntArray  # sentence ends among the first i words
    clauses: IntArray
    phrases: IntArray  # words among the first i that are whole phrases
    pause: DoubleArray  # [boundary, 2]: base and per second of a silence there
    error: Seconds | None = None  # how exact Whisper's times are, as soon as that is known

    @staticmethod
    def of(words: Sequence[Word], sound: Sound, language: str) -> _Costs:
        gaps = sound.ends - sound.starts
        within = np.where(gaps < _WITHIN_FREE, 0.0, np.minimum(0.5 * (gaps / _WITHIN) ** 2, _WITHIN_MOST))
        breaks = find_breaks([word.text for word in words], language)
        early, late = _boundary_times(words, sound.envelope.seconds)
        kinds = ["sentence", *breaks[:-1], "sentence"]
        phrases = [sum(any(map(str.isalnum, one)) for one in word.text.split()) > 2 for word in words]
        return _Costs(
            starts=sound.starts,
            ends=sound.ends,
            speech_start=sound.speech_before(sound.starts),
            speech_end=sound.speech_before(sound.ends),
            within=_sums(within),
            silent=_sums(gaps),
            early=early,
            late=late,
            length=_sums(_expected_lengths(words, sound, language)),
            sentences=_sums([kind == "sentence" for kind in breaks]).astype(np.int64),
            clauses=_sums([kind == "clause" for kind in breaks]).astype(np.int64),
            phrases=_sums(phrases).astype(np.int64),
            pause=np.array([_PAUSE_COSTS[kind] for kind in kinds]),
        )

    def window(self, gap: int) -> IntArray:
        """Return the boundaries that the silence may be."""
        last = len(self.early) - 1
        if gap == 0 or gap == len(self.starts) - 1:
            return np.array([0 if gap == 0 else last])
        low = int(np.searchsorted(self.late, self.starts[gap] - _REACH))
        high = int(np.searchsorted(self.early, self.ends[gap] + _REACH, side="right")) - 1
        low, high = min(low, last), max(min(high, last), 0)
        if high < low:
            low, high = high, low
        if high - low >= _WIDTH:
            middle = (self.starts[gap] + self.ends[gap]) / 2
            nearest = int(np.searchsorted((self.early + self.late) / 2, middle))
            low = min(max(low, nearest - _WIDTH // 2), high - _WIDTH + 1)
            high = low + _WIDTH - 1
        return np.arange(low, high + 1)

    def at(self, gap: int, boundaries: IntArray) -> DoubleArray:
        """Return what it costs that the silence is each of the boundaries."""
        off = np.maximum(self.starts[gap] - self.late[boundaries], self.early[boundaries] - self.ends[gap])
        off = np.maximum(off, 0)
        # Of exact times some are far off all the same: a distribution with heavy tails.
        time = off / _TIME if self.error is None else np.log1p((off / self.error) ** 2) + off / _FAR
        base, each = self.pause[boundaries].T
        length = self.ends[gap] - self.starts[gap]
        short = _SHORT_COST * max(_SHORT - length, 0.0)
        return time + base + each * min(length, _PAUSE_MOST) + short

    def between(self, before: IntArray, first: IntArray, gap: int, last: IntArray) -> DoubleArray:
        """Return what it costs that words first..last lie between silences `before` and `gap`, the others in words.

        `before` and `first` are [k, m], `last` [n]; the result is [k, m, n], infinite where last < first.
        """
        first, last, before = first[:, :, None], last[None, None, :], before[:, :, None]
        count = last - first
        silent = self.silent[gap] - self.silent[before + 1]
        sounding = self.starts[gap] - self.ends[before] - silent
        expected = self.length[last] - self.length[first]
        cost = np.abs(sounding - expected) / (_LENGTH + _LENGTH_SHARE * expected)
        inner = np.maximum(last - 1, first)  # a break after the last word is where it belongs
        cost += _MISSED_SENTENCE * (self.sentences[inner] - self.sentences[first])
        cost += _MISSED_CLAUSE * (self.clauses[inner] - self.clauses[first])
        speech = self.speech_start[gap] - self.speech_end[before]
        noise = np.maximum(sounding - speech, 0)
        empty = _WORDLESS + _WORDLESS_SPOKEN * np.minimum(speech / 0.1, 1)
        empty += np.minimum(_WORDLESS_SPEECH * speech + _WORDLESS_NOISE * noise, _WORDLESS_SPEECH * _WORDLESS_MOST)
        within = self.within[gap] - self.within[before + 1]
        within = within * np.where(self.phrases[last] > self.phrases[first], _PHRASE, 1.0)
        return np.where(count > 0, cost, np.where(count == 0, empty, np.inf)) + within


def _sums(values: Sequence[float] | DoubleArray) -> DoubleArray:
    return np.concatenate([[0.0], np.cumsum(np.asarray(values, np.float64))])


def _boundary_times(words: Sequence[Word], seconds: Seconds) -> tuple[DoubleArray, DoubleArray]:
    """Return between which times each boundary lies by Whisper, both ascending: wrong orders are smoothed out."""
    starts, ends = np.clip(np.array([[word.start, word.end] for word in words]).T, 0.0, seconds)
    starts, ends = _ascending(starts), _ascending(ends)
    before = np.concatenate([[0.0], ends])
    after = np.concatenate([starts, [seconds]])
    swapped = before > after  # overlapping words: the boundary is somewhere between
    middle = (before + after) / 2
    return np.where(swapped, middle, before), np.where(swapped, middle, after)


def _ascending(values: DoubleArray) -> DoubleArray:
    """Return the ascending numbers that are nearest in the sense of squares (pool adjacent violators)."""
    means: list[float] = []
    sizes: list[int] = []
    for value in values.tolist():
        means.append(value)
        sizes.append(1)
        while len(means) > 1 and means[-2] > means[-1]:
            size = sizes[-2] + sizes[-1]
            means[-2:] = [(means[-2] * sizes[-2] + means[-1] * sizes[-1]) / size]
            sizes[-2:] = [size]
    return np.repeat(means, sizes)


def _expected_lengths(words: Sequence[Word], sound: Sound, language: str) -> DoubleArray:
    """Return how long each word should take: by its letters, and by what Whisper says, at the recording's pace."""
    weights = np.array([speech_weight(word.text, language) for word in words])
    if not weights.sum():
        weights = np.ones(len(words))
    told = np.array([max(word.end - word.start, 0.0) for word in words])
    pace = _sounding_near(words, sound) / weights.sum()
    typical = float(np.median(told[weights > 0] / weights[weights > 0]))
    if typical > 0:  # Whisper may have missed a lot
        pace = min(max(pace, 0.4 * typical), 3.0 * typical)
    letters = pace * weights
    told *= letters.sum() / max(float(told.sum()), 1e-6)  # some models make every word too short
    return 0.65 * letters + 0.35 * np.clip(told, 0.4 * letters, 2.5 * letters)


def _sounding_near(words: Sequence[Word], sound: Sound) -> Seconds:
    """Return for how long there is sound where words are, or near them: the rest may be music, or missed."""
    edges = np.ravel(np.stack([sound.ends[:-1], sound.starts[1:]], axis=1))
    lengths = np.diff(edges, prepend=edges[:1])
    lengths[::2] = 0.0  # from a sound's end to the next one's start
    spans: list[tuple[float, float]] = []
    for word in words:
        start, end = word.start - _NEAR, word.end + _NEAR
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    before, after = np.interp(np.array(spans).T, edges, np.cumsum(lengths))
    return float((after - before).sum())


# ---- The best places ----------------------------------------------------------------------------------------------


def _best_places(costs: _Costs) -> IntArray:
    """Return for each silence its boundary, or -1: the cheapest of all ways together."""
    count = len(costs.starts)
    windows = [costs.window(gap) for gap in range(count)]
    totals = np.full((count, _WIDTH), np.inf)
    bounds = np.zeros((count, _WIDTH), np.int64)
    origin = np.zeros((count, _WIDTH), np.int64)  # (silence, place in its window) it came from, as one number
    totals[0, 0] = 0.0
    for gap in range(1, count):
        window = windows[gap]
        size = len(window)
        bounds[gap, :size] = window
        before = np.arange(max(0, gap - _BACK - 1), gap)
        widest = max(len(windows[one]) for one in before)
        grid = np.repeat(before[:, None], widest, axis=1)
        way = costs.between(grid, bounds[before, :widest], gap, window) + totals[before, :widest, None]
        flat = way.reshape(-1, size)
        best = flat.argmin(axis=0)
        totals[gap, :size] = flat[best, np.arange(size)] + costs.at(gap, window)
        origin[gap, :size] = before[best // widest] * _WIDTH + best % widest
    places = np.full(count, -1, np.int64)
    gap, place = count - 1, 0
    while True:
        places[gap] = bounds[gap, place]
        if gap == 0:
            return places
        gap, place = divmod(int(origin[gap, place]), _WIDTH)


def _error_of_times(places: IntArray, costs: _Costs) -> Seconds:
    """Return how wrong Whisper's word times are here: seen at the silences, whose place in the text is known by now."""
    known = np.flatnonzero(places >= 0)
    before = np.abs(costs.early[places[known]] - costs.starts[known])
    after = np.abs(costs.late[places[known]] - costs.ends[known])
    # Many models let a word last through the silence behind it: the better edge tells. Before the first word and
    # behind the last there is only one.
    before[places[known] == 0] = np.inf
    after[places[known] == len(costs.early) - 1] = np.inf
    seen = 1.5 * float(np.median(np.minimum(before, after)))
    return float(np.clip((seen * len(known) + _USUAL * _DOUBT) / (len(known) + _DOUBT), _BEST, _WORST))


# ---- Corrected times ----------------------------------------------------------------------------------------------

_SNAP: Seconds = 0.06  # a boundary moves this far at most to where it is quieter
_SNAP_COST = 100.0  # dB a second: what moving costs
_SNAP_LEAST = 1.0  # dB by which it has to be quieter there
_SPREAD: Seconds = 0.1  # how far a word's length is from what its letters let expect


def _correct(words: Sequence[Word], places: IntArray, costs: _Costs, sound: Sound) -> tuple[Word, ...]:
    """Give words the times of the sounds they were placed in, and boundaries between them a quiet moment nearby."""
    starts, ends = np.zeros(len(words)), np.zeros(len(words))
    fixed = np.flatnonzero(places >= 0)
    error = _error_of_times(places, costs)
    for left, right in zip(fixed[:-1].tolist(), fixed[1:].tolist(), strict=True):
        first, last = int(places[left]), int(places[right])
        if last == first:
            continue
        edges = _edges(costs, (left, right), (first, last), error)
        edges[1:-1] = [_quiet_moment(sound, edge) for edge in edges[1:-1].tolist()]
        edges = np.clip(np.maximum.accumulate(edges), edges[0], edges[-1])
        starts[first:last], ends[first:last] = edges[:-1], edges[1:]
    return tuple(
        replace(word, start=float(start), end=float(end)) for word, start, end in zip(words, starts, ends, strict=True)
    )


def _edges(costs: _Costs, gaps: tuple[int, int], span: tuple[int, int], error: Seconds) -> DoubleArray:
    """Return where the words of `span` lie between the two silences: [words + 1] times, ascending.

    Two guesses weighed by how sure they are: Whisper's times, and the words' expected lengths spread over what sounds
    there, whose error grows with the number of words to the nearer silence (as that of a Brownian bridge).
    """
    (left, right), (first, last) = gaps, span
    corners = np.ravel(np.stack([costs.ends[left:right], costs.starts[left + 1 : right + 1]], axis=1))
    lengths = np.diff(corners)
    lengths[1::2] = 0.0  # silences within words take none of their length
    sounding = np.concatenate([[0.0], np.cumsum(lengths)])
    expected = costs.length[first : last + 1] - costs.length[first]
    shares = expected / expected[-1] if expected[-1] > 0 else np.linspace(0, 1, last - first + 1)
    by_length = np.interp(shares * sounding[-1], sounding, corners)
    told = np.clip((costs.early[first : last + 1] + costs.late[first : last + 1]) / 2, corners[0], corners[-1])
    number = np.arange(last - first + 1)
    spread = _SPREAD**2 * number * number[::-1] / max(last - first, 1)
    edges = (by_length * error**2 + told * spread) / (error**2 + spread)
    edges[0], edges[-1] = corners[0], corners[-1]
    return edges


def _quiet_moment(sound: Sound, time: Seconds) -> Seconds:
    """Return the quietest moment near the time; the farther off, the quieter it has to be."""
    envelope = sound.envelope
    first, last = envelope.frame(time - _SNAP), envelope.frame(time + _SNAP) + 1
    levels = envelope.decibels[first:last]
    middles = (np.arange(first, last) + 0.5) * envelope.hop
    best = int((levels + _SNAP_COST * np.abs(middles - time)).argmin())
    return float(middles[best]) if levels[best] < envelope.decibels[envelope.frame(time)] - _SNAP_LEAST else time

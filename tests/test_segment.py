"""Cutting keeps its promises: for random words and silences, and for synthetic speech whose truth is known."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.audio import write_wav
from pipeline.hearing import Heard, HearingOptions, hear_recording
from pipeline.languages import CHARACTER_LIMITS
from pipeline.records import Limits, Span, Word
from pipeline.segment import FORCED_NOTE, Envelope, SegmentPlan, plan_clips
from pipeline.text import find_breaks, join_words
from tests.speech import RATE, SENTENCES, Spoken, add_noise, jitter, needs_espeak, say, story, tell

HOP = 0.01
LOUD, QUIET = -20.0, -70.0
LIMITS = Limits()


# ---- Random words and silences ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drawn:
    """A recording made of numbers: words, the silence before each, the silence at the end."""

    words: tuple[Word, ...]
    seconds: float

    @property
    def envelope(self) -> Envelope:
        levels = np.full(round(self.seconds / HOP), QUIET, np.float32)
        for word in self.words:
            levels[round(word.start / HOP) : round(word.end / HOP)] = LOUD
        return Envelope(HOP, levels)

    @property
    def speech(self) -> list[Span]:
        spans: list[Span] = []
        for word in self.words:
            if spans and word.start - spans[-1].end < 0.2:
                spans[-1] = Span(spans[-1].start, word.end)
            else:
                spans.append(Span(word.start, word.end))
        return spans


@st.composite
def recordings(draw: st.DrawFn, longest: float = 1.2, shortest_pause: float = 0.1) -> Drawn:
    """Draw up to 60 words, run together or with pauses between, with punctuation where it pleases."""
    words: list[Word] = []
    place = 0.0
    for number in range(draw(st.integers(1, 60))):
        pause = draw(st.sampled_from([0.0, 0.0, 0.0, shortest_pause, 0.25, 0.3, 0.5, 0.9, 2.5]))
        length = draw(st.floats(0.1, longest)) // HOP * HOP
        mark = draw(st.sampled_from(["", "", "", ",", ".", "?"]))
        name = f"{chr(97 + number // 26)}{chr(97 + number % 26)}".ljust(min(round(length / 0.07), 40), "o")
        words.append(Word(f"{name}{mark}", place + pause, place + pause + length))
        place += pause + length
    return Drawn(tuple(words), place + draw(st.sampled_from([0.0, 0.2, 1.0])))


@st.composite
def limits(draw: st.DrawFn) -> Limits:
    return Limits(
        min_seconds=draw(st.sampled_from([1.0, 2.0, 5.0])),
        max_seconds=draw(st.sampled_from([8.0, 10.0, 20.0])),
        max_characters=draw(st.sampled_from([40, 95, 250])),
        max_tokens=draw(st.sampled_from([30, 200])),
        padding=draw(st.sampled_from([0.0, 0.15, 0.3])),
    )


def check_promises(plan: SegmentPlan, words: Sequence[Word], kept: Limits, language: str = "en") -> None:
    """Every word is in exactly one clip or rejection, in order; every clip keeps the limits; no two overlap."""
    for clip in plan.clips:
        assert kept.min_seconds <= clip.end - clip.start <= kept.max_seconds
        assert 0 < len(clip.text) <= kept.max_characters
        assert clip.text == join_words([word.text for word in clip.words], language)
        assert (FORCED_NOTE in clip.note) or clip.ending != "forced"
    for one, other in zip(plan.clips, plan.clips[1:], strict=False):
        assert one.end <= other.start
    pieces = [(clip.start, clip.text) for clip in plan.clips]
    pieces += [(one.start or 0.0, one.text) for one in plan.rejected if one.text]
    told = sorted(word for _, text in pieces for word in text.split())
    assert told == sorted(token for word in words for token in word.text.split())
    assert all(one.reason for one in plan.rejected)


many = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


@many
@given(recordings(), limits())
def test_promises_hold_for_any_words_and_silences(drawn: Drawn, kept: Limits) -> None:
    plan = plan_clips(drawn.words, drawn.envelope, drawn.speech, kept, "en")
    check_promises(plan, drawn.words, kept)


@many
@given(recordings(), st.integers(0, 2**32 - 1))
def test_promises_hold_for_wrong_word_times(drawn: Drawn, seed: int) -> None:
    words = jitter(drawn.words, 0.4, np.random.default_rng(seed))
    plan = plan_clips(words, drawn.envelope, drawn.speech, LIMITS, "en")
    check_promises(plan, words, LIMITS)
    for clip in plan.clips:
        if clip.note:
            continue
        for edge in (clip.start, clip.end):
            assert not [word for word in drawn.words if word.start + 0.001 < edge < word.end - 0.001], "cut in a word"


@many
@given(recordings(shortest_pause=0.25), st.booleans())
def test_padding_is_silence_and_no_more_than_asked_for(drawn: Drawn, detected: bool) -> None:
    speech = drawn.speech if detected else [Span(0.0, drawn.seconds)]
    plan = plan_clips(drawn.words, drawn.envelope, speech, LIMITS, "en")
    for clip in plan.clips:
        if clip.note:
            continue
        inside = [word for word in drawn.words if word.end > clip.start + 0.001 and word.start < clip.end - 0.001]
        assert [word.text for word in inside] == [word.text for word in clip.words]
        assert inside[0].start - clip.start <= LIMITS.padding + 0.002
        assert clip.end - inside[-1].end <= LIMITS.padding + 0.002


@many
@given(recordings(longest=30.0))
def test_words_longer_than_a_clip_are_rejected_and_nothing_else_is_lost(drawn: Drawn) -> None:
    plan = plan_clips(drawn.words, drawn.envelope, drawn.speech, LIMITS, "en")
    check_promises(plan, drawn.words, LIMITS)


@many
@given(st.lists(st.tuples(st.text(min_size=1, max_size=8), st.floats(-5, 60), st.floats(-5, 60)), max_size=30))
def test_no_word_times_are_too_strange(told: list[tuple[str, float, float]]) -> None:
    words = [Word(text, start, end) for text, start, end in told]
    levels = np.where(np.arange(3000) // 150 % 3 == 0, QUIET, LOUD).astype(np.float32)
    plan = plan_clips(words, Envelope(HOP, levels), [Span(0.0, 30.0)], LIMITS, "en")
    assert all(LIMITS.min_seconds <= clip.end - clip.start <= LIMITS.max_seconds for clip in plan.clips)
    placed = sum(len(clip.words) for clip in plan.clips)
    assert placed <= len(words)


def test_a_recording_without_anything_gives_nothing() -> None:
    assert plan_clips([], Envelope(HOP, np.zeros(0, np.float32)), [], LIMITS, "en") == SegmentPlan((), ())
    silent = Envelope(HOP, np.full(1000, -100, np.float32))
    plan = plan_clips([Word("Thank", 1, 1.5), Word("you.", 1.5, 2)], silent, [], LIMITS, "en")
    assert plan.clips == ()
    assert [one.text for one in plan.rejected] == ["Thank you."]


def test_the_tokenizer_has_the_last_word_on_length() -> None:
    words = tuple(Word(f"word{n}{'.' if n % 3 == 2 else ''}", n * 0.6, n * 0.6 + 0.4) for n in range(60))
    drawn = Drawn(words, 40.0)

    def count(text: str) -> int:  # a tokenizer to which a text is more than the sum of its words
        return len(text.split()) ** 2

    kept = Limits(max_tokens=50)
    plan = plan_clips(drawn.words, drawn.envelope, drawn.speech, kept, "en", count)
    assert plan.clips
    assert all(count(clip.text) <= 50 for clip in plan.clips)
    check_promises(plan, drawn.words, kept)


def test_sentences_that_fit_are_never_divided() -> None:
    words = [
        Word(f"w{n}{'.' if n % 5 == 4 else ''}", n * 0.7 + n // 5 * 0.2, n * 0.7 + n // 5 * 0.2 + 0.5)
        for n in range(100)
    ]
    drawn = Drawn(tuple(words), 80.0)
    plan = plan_clips(drawn.words, drawn.envelope, drawn.speech, LIMITS, "en")
    assert {clip.ending for clip in plan.clips} == {"sentence"}
    assert not plan.rejected


def test_lengths_are_spread_over_what_is_allowed() -> None:
    words, place = [], 0.0
    random = np.random.default_rng(5)
    for _ in range(1500):
        last = random.random() < 0.25
        length = float(random.uniform(0.2, 0.5)) // HOP * HOP
        words.append(Word(f"word{'.' if last else ''}", place, place + length))
        place += length + (0.4 if last else 0.0)
    drawn = Drawn(tuple(words), place)
    plan = plan_clips(drawn.words, drawn.envelope, drawn.speech, LIMITS, "en")
    lengths = [clip.end - clip.start for clip in plan.clips]
    counts, _ = np.histogram(lengths, bins=4, range=(LIMITS.min_seconds, LIMITS.max_seconds))
    assert counts.min() > 0.12 * len(lengths), counts


def test_speech_without_words_is_listed_and_never_within_a_clip() -> None:
    said = [Word("one", 1.0, 2.0), Word("two.", 2.0, 3.5), Word("three", 10.0, 11.5), Word("four.", 11.5, 13.0)]
    missed = [Word("missed", 5.0, 8.0)]
    drawn = Drawn((*said[:2], *missed, *said[2:]), 14.0)
    plan = plan_clips(said, drawn.envelope, drawn.speech, Limits(max_seconds=20.0), "en")
    assert [clip.text for clip in plan.clips] == ["one two.", "three four."]
    assert [(round(one.start or 0), round(one.end or 0)) for one in plan.rejected] == [(5, 8)]
    assert "no words" in plan.rejected[0].reason


def test_words_made_up_in_silence_are_rejected() -> None:
    said = [Word("one", 1.0, 2.0), Word("two", 2.0, 3.0), Word("three.", 3.0, 4.5)]
    made_up = [Word("Thanks", 9.0, 9.3), Word("for", 9.3, 9.5), Word("watching!", 9.5, 10.0)]
    drawn = Drawn(tuple(said), 14.0)
    plan = plan_clips([*said, *made_up], drawn.envelope, drawn.speech, LIMITS, "en")
    assert [clip.text for clip in plan.clips] == ["one two three."]
    assert [one.text for one in plan.rejected] == ["Thanks for watching!"]
    assert "made" in plan.rejected[0].reason


def test_a_short_sentence_alone_is_joined_to_its_neighbour() -> None:
    words = (Word("Yes.", 0.5, 0.9), Word("Nothing", 2.4, 3.4), Word("else", 3.4, 4.0), Word("matters.", 4.0, 5.5))
    drawn = Drawn(words, 6.0)
    plan = plan_clips(words, drawn.envelope, drawn.speech, LIMITS, "en")
    assert [clip.text for clip in plan.clips] == ["Yes. Nothing else matters."]


def test_a_short_sentence_that_fits_nowhere_is_rejected_with_the_reason() -> None:
    words = (Word("Yes.", 0.5, 0.9), Word("Nothing" * 20, 5.0, 14.8))
    drawn = Drawn(words, 16.0)
    plan = plan_clips(words, drawn.envelope, drawn.speech, LIMITS, "en")
    assert [(one.text, one.reason[:9]) for one in plan.rejected] == [("Yes.", "too short")]


def test_a_phrase_with_its_own_time_is_never_divided() -> None:
    words = (Word("First line, with a pause.", 1.0, 4.0), Word("Second line.", 5.0, 8.0))
    levels = Drawn((Word("a", 1.0, 2.2), Word("b", 2.8, 4.0), Word("c", 5.0, 6.0), Word("d", 6.5, 8.0)), 9.0)
    plan = plan_clips(words, levels.envelope, levels.speech, Limits(max_seconds=8.0, min_seconds=1.0), "en")
    assert next(clip.text for clip in plan.clips if "First" in clip.text).startswith("First line, with a pause.")
    check_promises(plan, words, Limits(max_seconds=8.0, min_seconds=1.0))


def test_three_hours_are_planned_in_seconds() -> None:
    random = np.random.default_rng(1)
    words, place = [], 0.0
    for number in range(30_000):
        length = float(random.uniform(0.15, 0.45)) // HOP * HOP
        mark = random.choice(["", "", "", "", "", ",", "."])
        words.append(Word(f"w{number}{mark}", place, place + length))
        place += length + float(random.choice([0.0, 0.1, 0.0, 0.0, 0.3]) if not mark else random.uniform(0.2, 0.9))
    drawn = Drawn(tuple(words), place)
    envelope, speech = drawn.envelope, drawn.speech
    began = time.process_time()
    plan = plan_clips(jitter(words, 0.2, random), envelope, speech, LIMITS, "en")
    assert time.process_time() - began < 15
    assert sum(len(clip.words) for clip in plan.clips) > 29_000


# ---- Synthetic speech ---------------------------------------------------------------------------------------------


def heard(spoken: Spoken, folder: Path, language: str, *, vad: bool = True) -> Heard:
    write_wav(folder / "spoken.wav", spoken.samples, RATE)
    return hear_recording(folder / "spoken.wav", None, HearingOptions(language, vad))


def check_cuts(plan: SegmentPlan, spoken: Spoken, envelope: Envelope) -> None:
    """No cut is in a word, unless 20 dB under the speech beside it; every clip holds exactly its words."""
    for clip in plan.clips:
        for edge in (clip.start, clip.end):
            if any(pause.start - 0.02 <= edge <= pause.end + 0.02 for pause in spoken.pauses):
                continue
            at = envelope.frame(edge)
            beside = envelope.decibels[max(0, at - 30) : at + 30].max()
            assert beside - envelope.decibels[at] >= 20, f"cut in a word at {edge:.2f} s, before “{clip.text}”"
        middle = [word.text for word in spoken.words if clip.start < (word.start + word.end) / 2 < clip.end]
        assert middle == [word.text for word in clip.words]


@needs_espeak
@pytest.mark.parametrize(("wrong", "snr"), [(0.0, None), (0.4, 30)])
@pytest.mark.parametrize("language", sorted(SENTENCES))
def test_no_syllable_is_lost_in_speech(language: str, wrong: float, snr: float | None, tmp_path: Path) -> None:
    spoken = story(language, 25, seed=3, pauses=(0.3, 1.1))
    random = np.random.default_rng(4)
    if snr is not None:
        spoken = Spoken(add_noise(spoken.samples, snr, random), spoken.words, spoken.pauses, spoken.sentence_ends)
    words = jitter(spoken.words, wrong, random) if wrong else spoken.words
    kept = Limits(max_characters=CHARACTER_LIMITS[language])
    told = heard(spoken, tmp_path, language)
    plan = plan_clips(words, told.envelope, told.speech, kept, language)
    assert sum(len(clip.words) for clip in plan.clips) == len(words)
    assert not plan.rejected
    check_cuts(plan, spoken, told.envelope)
    assert all(kept.min_seconds <= clip.end - clip.start <= kept.max_seconds for clip in plan.clips)
    assert sum(clip.ending == "sentence" for clip in plan.clips) >= 0.95 * len(plan.clips)


@needs_espeak
@pytest.mark.parametrize("language", ["en", "de", "zh"])
def test_without_the_speech_detector_it_is_as_good(language: str, tmp_path: Path) -> None:
    spoken = story(language, 20, seed=8)
    told = heard(spoken, tmp_path, language, vad=False)
    words = jitter(spoken.words, 0.2, np.random.default_rng(1))
    plan = plan_clips(words, told.envelope, told.speech, Limits(max_characters=CHARACTER_LIMITS[language]), language)
    check_cuts(plan, spoken, told.envelope)
    assert not plan.rejected


@needs_espeak
def test_one_long_breath_is_cut_within_limits_and_says_so(tmp_path: Path) -> None:
    text = " ".join(sentence.rstrip(".?!").replace(",", "").lower() for sentence in SENTENCES["en"])
    spoken = tell([say(text, "en", speed=190)], [0.2, 0.3])
    told = heard(spoken, tmp_path, "en")
    kept = Limits(2.0, 8.0)
    plan = plan_clips(spoken.words, told.envelope, told.speech, kept, "en")
    check_promises(plan, spoken.words, kept)
    forced = [clip for clip in plan.clips if clip.note]
    assert forced, "this text has no pauses"
    assert sum(len(clip.words) for clip in plan.clips) == len(spoken.words)
    borders = [word.start for word in spoken.words] + [word.end for word in spoken.words]
    for clip in plan.clips:
        if clip.ending == "forced":
            assert min(abs(clip.end - border) for border in borders) < 0.08, "not between two words"


@needs_espeak
def test_the_same_input_gives_the_same_plan(tmp_path: Path) -> None:
    spoken = story("en", 10, seed=2)
    told = heard(spoken, tmp_path, "en")
    plans = [plan_clips(spoken.words, told.envelope, told.speech, LIMITS, "en") for _ in range(2)]
    assert plans[0] == plans[1]


@needs_espeak
def test_word_times_are_corrected_to_the_sound(tmp_path: Path) -> None:
    spoken = story("en", 25, seed=11)
    told = heard(spoken, tmp_path, "en")
    words = jitter(spoken.words, 0.4, np.random.default_rng(2))
    plan = plan_clips(words, told.envelope, told.speech, LIMITS, "en")
    corrected = [word for clip in plan.clips for word in clip.words]
    before = np.median([abs(word.start - true.start) for word, true in zip(words, spoken.words, strict=True)])
    after = np.median([abs(word.start - true.start) for word, true in zip(corrected, spoken.words, strict=True)])
    assert after < before / 2
    assert after < 0.08


def test_breaks_are_what_the_plan_reports() -> None:
    words = tuple(Word(text, n * 3.0, n * 3.0 + 2.5) for n, text in enumerate(["one,", "two", "three."]))
    drawn = Drawn(words, 9.0)
    plan = plan_clips(words, drawn.envelope, drawn.speech, Limits(2.0, 2.9), "en")
    assert [clip.ending for clip in plan.clips] == ["clause", "pause", "sentence"]
    assert find_breaks([word.text for word in words], "en") == ["clause", "none", "sentence"]

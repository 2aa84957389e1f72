"""Known texts get times: subtitles as they stand, plain texts by what was heard."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.align import align_text, divide_text, split_words, words_of_cues
from pipeline.hearing import Heard
from pipeline.loudness import Loudness
from pipeline.records import Limits, Span, Word
from pipeline.segment import Envelope
from pipeline.transcripts import Cue

LIMITS = Limits()


def heard_of(words: list[Word], speech: list[Span] | None = None, seconds: float = 60.0) -> Heard:
    """Return a recording in which these words were heard; loud where somebody speaks."""
    speech = speech if speech is not None else [Span(word.start, word.end) for word in words]
    levels = np.full(round(seconds * 100), -80.0, np.float32)
    for span in speech:
        levels[round(span.start * 100) : round(span.end * 100)] = -20.0
    return Heard(seconds, tuple(words), tuple(speech), Envelope(0.01, levels), Loudness(-23.0, 0.5))


def said(text: str, each: float = 0.4, gap: float = 0.1) -> list[Word]:
    return [Word(word, n * (each + gap), n * (each + gap) + each, 0.9) for n, word in enumerate(text.split())]


def texts_of(words: list[Word]) -> str:
    return " ".join(word.text for word in words)


# ---- Plain text ---------------------------------------------------------------------------------------------------


def test_words_that_agree_take_their_times_and_keep_the_text_as_written() -> None:
    heard = said("the old man walks to the river")
    aligned = align_text("“The old Man,” walks to the river!", heard_of(heard), "en")
    assert texts_of(aligned.words) == "“The old Man,” walks to the river!"
    assert [(word.start, word.end) for word in aligned.words] == [(word.start, word.end) for word in heard]
    assert not aligned.unheard


def test_misheard_words_share_the_time_of_what_was_heard_instead() -> None:
    heard = said("they come home in the eve ning now")
    aligned = align_text("They come home in the evening now.", heard_of(heard), "en")
    assert texts_of(aligned.words) == "They come home in the evening now."
    evening = aligned.words[5]
    assert (evening.start, evening.end) == pytest.approx((heard[5].start, heard[6].end))


def test_a_dash_between_two_words_is_kept() -> None:
    assert texts_of(align_text("One – two.", heard_of(said("one two")), "en").words) == "One – two."


def test_a_word_that_was_missed_is_placed_where_somebody_speaks() -> None:
    heard = [word for word in said("one two three four five") if word.text != "three"]
    speech = [Span(word.start, word.end) for word in said("one two three four five")]
    aligned = align_text("One two three four five.", heard_of(heard, speech), "en")
    assert texts_of(aligned.words) == "One two three four five."
    assert (aligned.words[2].start, aligned.words[2].end) == pytest.approx((1.0, 1.4))


def test_a_line_that_nobody_says_is_listed_and_not_squeezed_in() -> None:
    aligned = align_text("Chapter one, by somebody. One two three.", heard_of(said("one two three")), "en")
    assert texts_of(aligned.words) == "One two three."
    assert [one.text for one in aligned.unheard] == ["Chapter one, by somebody."]


def test_words_that_are_said_and_not_written_stay_for_the_clip_holds_them() -> None:
    aligned = align_text("One two three.", heard_of(said("well one two um three")), "en")
    assert texts_of(aligned.words) == "well One two um three."


def test_chinese_is_aligned_sign_by_sign() -> None:
    heard = [Word("你好", 0.0, 0.8), Word("事界", 1.0, 1.8)]
    aligned = align_text("你好，世界。", heard_of(heard), "zh")
    assert [word.text for word in aligned.words] == ["你", "好，", "世", "界。"]
    starts = [word.start for word in aligned.words]
    assert starts == sorted(starts)
    assert aligned.words[2].start == pytest.approx(1.0)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 60))
def test_every_written_word_has_a_time_or_is_listed_whatever_was_heard(seed: int, count: int) -> None:
    rng = random.Random(seed)
    known = [rng.choice(["one", "two", "three", "four", "five", "six"]) for _ in range(count)]
    garbled = [rng.choice([word, "noise", f"{word} {word}", ""]) for word in known]
    heard = said(" ".join(garbled))
    aligned = align_text(" ".join(known), heard_of(heard), "en")
    unheard = [word for one in aligned.unheard for word in one.text.split()]
    left = [word.text for word in aligned.words]
    for word in set(known):
        assert left.count(word) + unheard.count(word) >= known.count(word)
    edges = [edge for word in aligned.words for edge in (word.start, word.end)]
    assert edges == sorted(edges)


# ---- Subtitles ----------------------------------------------------------------------------------------------------


def test_a_cue_is_one_piece_drawn_in_to_the_speech_within_it() -> None:
    heard = heard_of([], [Span(1.2, 2.8), Span(4.0, 5.5)])
    words = words_of_cues([Cue(0.5, 3.5, "Hello there."), Cue(3.5, 6.0, "And bye.")], heard, LIMITS, "en")
    assert words == [Word("Hello there.", 1.2, 2.8), Word("And bye.", 4.0, 5.5)]


def test_a_cue_beyond_the_end_of_the_recording_is_left_out() -> None:
    heard = heard_of([], [Span(1.0, 2.0)], seconds=3.0)
    words = words_of_cues([Cue(1.0, 2.0, "Here."), Cue(5.0, 6.0, "Nowhere.")], heard, LIMITS, "en")
    assert texts_of(words) == "Here."


def test_a_long_cue_is_divided_at_its_silences() -> None:
    text = "The first of them is here. The second one follows now. And the third is the last."
    speech = [Span(0.0, 5.0), Span(5.6, 10.6), Span(11.2, 16.0)]
    words = words_of_cues([Cue(0.0, 16.0, text)], heard_of([], speech), LIMITS, "en")
    assert texts_of(words) == text
    assert all(word.end - word.start <= LIMITS.max_seconds for word in words)
    assert [word.text for word in words] == [f"{part}." for part in text[:-1].split(". ")]
    assert 5.0 < words[0].end < 5.6
    assert 10.6 < words[1].end < 11.2


@given(st.text("abc ,.", min_size=1, max_size=200).filter(lambda text: text.strip()), st.integers(1, 8))
def test_dividing_a_text_loses_and_doubles_nothing(text: str, parts: int) -> None:
    divided = divide_text(text, parts, "en")
    assert " ".join(divided).split() == text.split()
    assert 1 <= len(divided) <= parts
    assert all(part.strip() for part in divided)


def test_signs_keep_the_marks_that_follow_them() -> None:
    assert split_words("你好，世界。", "zh") == ["你", "好，", "世", "界。"]
    assert split_words("  two   words ", "en") == ["two", "words"]

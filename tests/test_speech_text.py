"""Text is cut where a speaker would breathe, and nothing of it is lost."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.languages import CHARACTER_LIMITS, LANGUAGES
from pipeline.speech_text import split_text

_TEXTS = st.text(alphabet="abcdeé ,.!?;。！？、你好\n“”3", max_size=400)


@given(_TEXTS, st.sampled_from(sorted(LANGUAGES)), st.integers(5, 120))
@settings(max_examples=200, deadline=None)
def test_no_piece_is_over_the_limit_and_no_character_is_lost(text: str, language: str, limit: int) -> None:
    pieces = split_text(text, language, limit)
    assert all(0 < len(piece) <= limit for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


def test_a_text_of_sentences_is_cut_at_their_ends() -> None:
    sentences = [f"This is sentence number {n}, and it is long enough to stand on its own." for n in range(6)]
    assert split_text(" ".join(sentences), "en") == sentences


def test_a_number_with_a_point_is_no_end() -> None:
    text = "It costs 3.5 dollars a kilogram at the market in the old town, which is much."
    assert split_text(text, "en") == [text]


def test_an_abbreviation_and_a_title_are_no_end() -> None:
    text = "On that long evening Dr. Brown and Mr. Miller met the others at the station in the rain."
    assert split_text(text, "en", limit=len(text)) == [text]
    assert not [piece for piece in split_text(text, "en", limit=60) if piece.endswith(("Dr.", "Mr."))]


def test_a_line_ends_a_sentence() -> None:
    lines = ["A heading that is long enough to stand by itself here", "And then the text begins, which is long too."]
    assert split_text("\n".join(lines), "en") == lines


@pytest.mark.parametrize(("language", "mark"), [("zh", "。"), ("ja", "。"), ("ja", "？"), ("hi", "। "), ("ar", "؟ ")])
def test_sentence_ends_of_other_scripts_count(language: str, mark: str) -> None:
    sentence = "字" * 30 + mark
    pieces = split_text(sentence * 4, language, limit=40)
    assert pieces == [sentence.strip()] * 4


def test_short_sentences_are_joined_for_the_model_adds_noise_after_them() -> None:
    assert split_text("Yes. No. Perhaps.", "en") == ["Yes. No. Perhaps."]


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_one_long_word_is_cut_at_the_limit_of_its_language(language: str) -> None:
    pieces = split_text("x" * 1000, language)
    assert max(map(len, pieces)) == CHARACTER_LIMITS[language]


def test_a_text_of_spaces_has_no_pieces() -> None:
    assert split_text(" \n\t ", "en") == []

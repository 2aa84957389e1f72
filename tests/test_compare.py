"""Comparing texts: what sounds alike is the same, what differs is marked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.compare import compare_texts, normalize, word_error_rate
from pipeline.languages import LANGUAGES

texts = st.text(max_size=80)
languages = st.sampled_from(sorted(LANGUAGES))


@given(texts, languages)
def test_a_text_is_the_same_as_itself(text: str, language: str) -> None:
    assert word_error_rate(text, text, language) == 0


@given(texts, texts, languages)
def test_every_piece_of_both_texts_is_told(text: str, heard: str, language: str) -> None:
    comparison = compare_texts(text, heard, language)
    assert comparison.score >= 0
    for pieces, whole in ((comparison.text, text), (comparison.heard, heard)):
        assert "".join(piece.text for piece in pieces) == "".join(whole.split())
    if all(piece.same for piece in (*comparison.text, *comparison.heard)):
        assert comparison.score == 0


@pytest.mark.parametrize(
    ("language", "text", "heard"),
    [
        ("en", "He paid 25 dollars, didn’t he?", "he paid twenty-five dollars didn't he"),
        ("en", "In 1984 it began.", "in nineteen eighty-four it began"),
        ("en", "In 1984 it began.", "In one thousand, nine hundred and eighty-four it began"),
        ("en", "The 21st of May, 3.5 km", "the twenty-first of May three point five km"),
        ("en", "1,250 people & 50%", "one thousand, two hundred and fifty people and fifty percent"),
        ("de", "Es kostet 1.250 Euro.", "Es kostet eintausendzweihundertfünfzig Euro"),
        ("de", "Die Straße ist groß", "die Strasse ist gross"),
        ("fr", "Il a 71 ans, l'hiver.", "il a soixante et onze ans l’hiver"),
        ("es", "Tengo 16 años.", "tengo dieciséis años"),
        ("it", "Ho 28 anni", "ho ventotto anni"),
        ("pl", "Mam 12 lat.", "mam dwanaście lat"),
        ("ru", "Ещё 5 минут", "еще пять минут"),
        ("tr", "IŞIK 3", "ışık üç"),
        ("cs", "Je mi 30", "je mi třicet"),
        ("zh", "他有25本书。", "他有二十五本书"),
        ("zh", "１０５０人", "一千零五十人"),
        ("ja", "本は25冊です。", "本は二十五冊です"),
        ("ko", "문을 열어 주세요.", "문을 열어주세요"),
        ("ar", "أَهْلًا", "اهلا"),
        ("hi", "मेरे पास ५ किताबें हैं।", "मेरे पास 5 किताबें हैं"),
    ],
)
def test_what_sounds_alike_is_the_same(language: str, text: str, heard: str) -> None:
    assert word_error_rate(text, heard, language) == 0, (normalize(text, language), normalize(heard, language))


def test_what_differs_is_counted_and_marked() -> None:
    comparison = compare_texts("She cut the apple into small pieces.", "She cut an apple into peaces", "en")
    assert comparison.score == pytest.approx(3 / 7)
    assert [piece.text for piece in comparison.text if not piece.same] == ["the", "small", "pieces."]
    assert [piece.text for piece in comparison.heard if not piece.same] == ["an", "peaces"]


def test_an_empty_text_differs_from_everything() -> None:
    assert word_error_rate("one two", "", "en") == 1
    assert word_error_rate("", "one two", "en") == 2
    assert word_error_rate("", "", "en") == 0


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_numbers_never_fail(language: str) -> None:
    text = "7 0 1984 1.000.000 3,75 3.75 12345678901234567890 ٣ 1e9 -4 007"
    assert word_error_rate(text, text, language) == 0
    assert normalize(text, language)

"""Sentence and clause ends in every language, and words joined to text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.languages import LANGUAGES
from pipeline.text import clean_text, estimate_tokens, find_breaks, join_words, speech_weight


def sentence_ends(text: str, language: str) -> list[str]:
    words = text.split()
    return [word for word, kind in zip(words, find_breaks(words, language), strict=True) if kind == "sentence"]


@pytest.mark.parametrize(
    ("language", "text", "ends"),
    [
        ("en", "Mr. Brown met Dr. Lee. They talked.", ["Lee.", "talked."]),
        ("en", "It costs 3.5 dollars. Really?", ["dollars.", "Really?"]),
        ("en", "J. R. R. Tolkien wrote it. So did I. Then", ["it.", "I."]),
        ("en", "We left at 5 p.m. The rest stayed.", ["p.m.", "stayed."]),
        ("en", "We left at 5 p.m. and slept.", ["slept."]),
        ("en", "I said no. Then I left.", ["no.", "left."]),
        ("en", "No. 5 is alive. No. 6 is not.", ["alive.", "not."]),
        ("en", "“Where are you?” he asked. “Here!” She ran.", ["asked.", "“Here!”", "ran."]),
        ("en", "Well… I think so. Yes… maybe.", ["Well…", "so.", "maybe."]),
        ("en", "He (finally) stopped. (It was late.) Then", ["stopped.", "late.)"]),
        ("de", "Am 3. Mai kam Hr. Maier. Er blieb.", ["Maier.", "blieb."]),
        ("de", "Das war 1984. Dann z. B. Berlin. Gut.", ["1984.", "Berlin.", "Gut."]),
        ("de", "Er sagte: „Komm!“ Dann ging er.", ["„Komm!“", "er."]),
        ("cs", "Bydlí ve 2. patře. Je to tak.", ["patře.", "tak."]),
        ("pl", "W 21. wieku, np. tutaj. Tak.", ["tutaj.", "Tak."]),
        ("hu", "Az 5. osztály. Jó.", ["osztály.", "Jó."]),
        ("fr", "M. Dupont est là ! Oui.", ["!", "Oui."]),
        ("es", "El Sr. López vino. ¿Sí? ¡Claro!", ["vino.", "¿Sí?", "¡Claro!"]),
        ("it", "Il sig. Rossi dorme. Bene.", ["dorme.", "Bene."]),
        ("pt", "O Dr. Silva chegou. Ótimo.", ["chegou.", "Ótimo."]),
        ("ru", "Это г-н Иванов, А. С. Пушкин и т.д. Да. Нет!", ["Да.", "Нет!"]),
        ("tr", "Dr. Yılmaz geldi. Evet.", ["geldi.", "Evet."]),
        ("nl", "Dhr. Jansen kwam. Ja.", ["kwam.", "Ja."]),
        ("ar", "أين أنت؟ هنا. نعم!", ["أنت؟", "هنا.", "نعم!"]),
        ("hi", "मैं घर गया। वह आया। हाँ?", ["गया।", "आया।", "हाँ?"]),
        ("ko", "네. 안녕하세요. 잘 지냈어요?", ["네.", "안녕하세요.", "지냈어요?"]),
        ("zh", "早上好。 你好吗？ “再见！”", ["早上好。", "你好吗？", "“再见！”"]),
        ("ja", "行きましょう。 「はい！」 と言った。", ["行きましょう。", "「はい！」", "と言った。"]),
        ("en", "it was late. the man left. all small letters.", ["late.", "left.", "letters."]),
    ],
)
def test_sentences_end_where_they_do(language: str, text: str, ends: list[str]) -> None:
    assert sentence_ends(text, language) == ends


@pytest.mark.parametrize(
    ("language", "text", "clauses"),
    [
        ("en", "First, second; third: fourth — fifth.", ["First,", "second;", "third:", "—"]),
        ("en", "He paid 1,000 euros, twice.", ["euros,"]),
        ("zh", "你好， 一、 二； 三", ["你好，", "一、", "二；"]),
        ("ar", "أولا، ثانيا؛ ثالثا", ["أولا،", "ثانيا؛"]),
        ("en", "“Who?” asked he.", ["“Who?”"]),
    ],
)
def test_clauses_end_at_their_marks(language: str, text: str, clauses: list[str]) -> None:
    # One sentence in front shows that this text uses capital letters.
    words = ["So.", "Yes.", *text.split()]
    kinds = find_breaks(words, language)
    assert [word for word, kind in zip(words, kinds, strict=True) if kind == "clause"] == clauses


def test_a_last_word_ends_a_sentence_whatever_it_could_want() -> None:
    assert find_breaks(["He", "met", "Mr."], "en")[-1] == "sentence"
    assert find_breaks(["and", "then,"], "en")[-1] == "clause"


@given(st.lists(st.text(max_size=10), max_size=20), st.sampled_from(sorted(LANGUAGES)))
def test_each_word_gets_an_answer(words: list[str], language: str) -> None:
    assert len(find_breaks(words, language)) == len(words)


@given(st.text(max_size=60))
def test_a_clean_text_fits_into_one_field_of_the_csv(text: str) -> None:
    cleaned = clean_text(text)
    assert "|" not in cleaned
    assert len(cleaned.splitlines()) <= 1
    assert cleaned == clean_text(cleaned)
    assert "  " not in cleaned
    cleaned.encode("utf-8")


def test_words_are_joined_as_the_language_is_written() -> None:
    assert join_words(["Hello,", "world."], "en") == "Hello, world."
    assert join_words(["今天", "天气", "很好。"], "zh") == "今天天气很好。"
    assert join_words(["我", "用", "Open", "Source", "软件"], "zh") == "我用Open Source软件"
    assert join_words(["東京", "は", "晴れ。"], "ja") == "東京は晴れ。"
    assert join_words(["안녕", "하세요"], "ko") == "안녕 하세요"
    assert join_words(["a|b", "c\nd"], "en") == "a b c d"


def test_longer_texts_have_more_tokens_and_longer_words_more_sounds() -> None:
    for language in LANGUAGES:
        assert (
            estimate_tokens("", language) < estimate_tokens("aaaa", language) < estimate_tokens("aaaa bbbb", language)
        )
    assert speech_weight("cat", "en") < speech_weight("caterpillar", "en")
    assert speech_weight("7", "en") > speech_weight("a", "en")
    assert speech_weight("—", "en") == 0
    assert speech_weight("北", "zh") > speech_weight("a", "zh")

"""What differs between two texts is marked, and nothing else; texts stay texts."""

from __future__ import annotations

import re

import pytest

from ui.differences import mark_differences


@pytest.mark.parametrize(
    ("text", "heard", "language", "marked"),
    [
        ("The cat sat.", "the cat sat", "en", ([], [])),
        ("The cat sat.", "The bat sat.", "en", (["cat"], ["bat"])),
        ("The cat sat.", "The cat", "en", (["sat."], [])),
        ("One two three", "One two two three", "en", ([], ["two"])),
        ("", "Something else", "en", ([], ["Something else"])),
        ("今天天气很好。", "今天天汽很好", "zh", (["气"], ["汽"])),
    ],
)
def test_words_that_differ_are_marked(text: str, heard: str, language: str, marked: tuple[list[str], ...]) -> None:
    found = [re.findall(r"<mark>(.*?)</mark>", side) for side in mark_differences(text, heard, language)]
    assert tuple(found) == marked


def test_all_words_are_still_there_and_no_markup_gets_in() -> None:
    left, right = mark_differences("a <b>x</b> & y", "a <script> y", "en")
    assert re.sub(r"</?mark>", "", left) == "a &lt;b&gt;x&lt;/b&gt; &amp; y"
    assert re.sub(r"</?mark>", "", right) == "a &lt;script&gt; y"

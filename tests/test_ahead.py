"""Items made ahead in a thread are the same items, in order, and failures come in their turn."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from pipeline.ahead import ahead


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_items_come_in_order_and_all(count: int) -> None:
    assert list(ahead(range(100), count)) == list(range(100))
    assert list(ahead([], count)) == []


def test_none_is_an_item_like_any_other() -> None:
    assert list(ahead([None, 0, ""])) == [None, 0, ""]


def test_a_failure_comes_after_what_was_made_before_it() -> None:
    def broken() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("here")

    seen = []
    with pytest.raises(ValueError, match="here"):
        for item in ahead(broken()):
            seen.append(item)
    assert seen == [1, 2]


def test_leaving_early_ends_the_thread() -> None:
    made = []

    def endless() -> Iterator[int]:
        while True:
            made.append(len(made))
            yield len(made)

    for _ in ahead(endless(), 2):
        break
    count = len(made)
    assert count <= 4
    assert not any(thread.name.startswith("ahead") for thread in threading.enumerate())

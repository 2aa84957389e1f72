"""Which clips are for evaluation: a seeded hash of their words, never none, never the same words on both sides."""

from __future__ import annotations

import random

import pytest

from pipeline.records import Clip
from pipeline.split import TRAINABLE, split_clips


def _clips(count: int, seed: int = 0, seconds: float = 5.0) -> list[Clip]:
    numbers = random.Random(seed).sample(range(10**6), count)
    return [Clip(f"wavs/{number}.wav", f"Sentence {number}.", "anna", "train", seconds=seconds) for number in numbers]


def _held_back(clips: tuple[Clip, ...] | list[Clip]) -> set[str]:
    return {clip.file for clip in clips if clip.split == "eval"}


@pytest.mark.parametrize("count", range(2, 40))
def test_both_sides_have_a_clip_and_the_share_is_kept(count: int) -> None:
    clips = split_clips([], _clips(count), 15.0, seed=3)
    held_back = len(_held_back(clips))
    assert held_back == max(1, round(count * 0.15))


def test_one_clip_alone_is_for_training() -> None:
    assert not _held_back(split_clips([], _clips(1), 15.0, seed=0))


def test_the_order_of_the_clips_does_not_matter_and_the_seed_does() -> None:
    clips = _clips(60)
    first = _held_back(split_clips([], clips, 15.0, seed=0))
    assert first == _held_back(split_clips([], clips[::-1], 15.0, seed=0))
    assert first != _held_back(split_clips([], clips, 15.0, seed=1))


def test_clips_with_the_same_words_stay_on_one_side() -> None:
    clips = _clips(20)
    twins = [Clip(clip.file + "2", clip.text.upper(), "anna", "train", seconds=5.0) for clip in clips]
    both = split_clips([], clips + twins, 30.0, seed=0)
    sides = {clip.text.casefold(): set[str]() for clip in both}
    for clip in both:
        sides[clip.text.casefold()].add(clip.split)
    assert all(len(side) == 1 for side in sides.values())


def test_two_clips_with_the_same_words_still_give_one_of_each() -> None:
    clips = [Clip(f"wavs/{number}.wav", "Hello.", "anna", "train", seconds=3.0) for number in range(2)]
    assert len(_held_back(split_clips([], clips, 15.0, seed=0))) == 1


def test_adding_leaves_words_that_were_for_evaluation_there() -> None:
    old = list(split_clips([], _clips(40), 15.0, seed=0))
    again = [Clip(clip.file + "2", clip.text, "anna", "train", seconds=5.0) for clip in old]
    new = split_clips(old, again + _clips(40, seed=1), 15.0, seed=0)
    split_of = {clip.text: clip.split for clip in old}
    assert all(clip.split == split_of[clip.text] for clip in new if clip.text in split_of)


@pytest.mark.parametrize("seed", range(20))
def test_an_evaluation_clip_that_training_takes_is_always_held_back(seed: int) -> None:
    clips = [*_clips(10, seed, seconds=TRAINABLE + 5), *_clips(2, seed + 100, seconds=4.0)]
    parts = split_clips([], clips, 15.0, seed=seed)
    assert any(clip.split == "eval" and clip.seconds <= TRAINABLE for clip in parts)
    assert any(clip.split == "train" for clip in parts)


def test_with_one_short_and_one_long_clip_the_long_one_is_for_training() -> None:
    for seed in range(10):
        parts = split_clips([], [*_clips(1, seed, seconds=15.0), *_clips(1, seed + 50, seconds=4.0)], 50.0, seed=seed)
        assert [clip.split for clip in parts] == ["train", "eval"]

"""Which clips are kept back for evaluation: decided by a seeded hash of their words."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence

from .records import Clip, Seconds

# What training takes unless it is told otherwise (TrainConfig.max_audio_seconds): an evaluation clip must be usable.
TRAINABLE: Seconds = 11.0


def split_clips(old: Sequence[Clip], new: Sequence[Clip], percent: float, seed: int) -> tuple[Clip, ...]:
    """Return the new clips with their split; together with the old ones `percent` of all are for evaluation.

    Those with the smallest hashes are taken, so that neither order nor chance decides. Clips with the same words have
    the same hash and stay together: what is tested on was never learnt. As soon as there are two clips, one at least
    is for training and one for evaluation that is short enough for training's limits, if any is.
    """
    known = {_words(clip): clip.split for clip in old}
    groups = _groups([clip for clip in new if _words(clip) not in known], seed)
    held_back = {clip.file for clip in new if known.get(_words(clip)) == "eval"}
    wanted = round((len(old) + len(new)) * percent / 100) - sum(clip.split == "eval" for clip in old)
    for group in groups:
        if len(held_back) + len(group) <= wanted:
            held_back.update(clip.file for clip in group)
    _keep_both_sides(old, groups, held_back)
    return tuple(dataclasses.replace(clip, split="eval" if clip.file in held_back else "train") for clip in new)


def _groups(clips: Sequence[Clip], seed: int) -> list[list[Clip]]:
    """Return the clips with the same words together, in order of the words' hashes."""
    by_words: dict[str, list[Clip]] = {}
    for clip in clips:
        by_words.setdefault(_words(clip), []).append(clip)
    hashes = {words: hashlib.sha256(f"{seed}:{words}".encode()).digest() for words in by_words}
    return [by_words[words] for words in sorted(by_words, key=lambda words: hashes[words])]


def _keep_both_sides(old: Sequence[Clip], groups: Sequence[Sequence[Clip]], held_back: set[str]) -> None:
    """Hold back one more clip where none that training can use is held back, and leave training one at least."""
    every = [*old, *(clip for group in groups for clip in group)]
    usable = [clip for clip in every if clip.seconds <= TRAINABLE]
    held_old = {clip.file for clip in old if clip.split == "eval"}
    if len(every) < 2 or any(clip.file in held_back | held_old for clip in usable):
        return
    group = next((group for group in groups if any(clip.seconds <= TRAINABLE for clip in group)), None)
    if group is None:
        return
    trained = {clip.file for clip in every} - held_back - held_old
    chosen = {clip.file for clip in group if clip.seconds <= TRAINABLE}
    if not trained - chosen:  # nothing would be left to learn from
        spare = {clip.file for other in groups for clip in other} & held_back
        held_back -= spare
        if not spare:
            chosen = {min(chosen)}
    held_back |= chosen


def _words(clip: Clip) -> str:
    return " ".join("".join(letter if letter.isalnum() else " " for letter in clip.text.casefold()).split())

"""More memory never means a smaller recommendation, and what is recommended fits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.recommend import GB, memory_needed, recommend


@given(st.integers(1, 10**12))
def test_what_is_recommended_fits_the_gpu(vram: int) -> None:
    advice = recommend(vram)
    if advice.device == "cuda":
        assert memory_needed(advice.lora, advice.batch_size) < vram
        assert advice.batch_size * advice.grad_accumulation >= 4


@given(st.integers(1, 10**12), st.integers(1, 10**12))
def test_more_memory_is_never_worse(one: int, other: int) -> None:
    less, more = recommend(min(one, other)), recommend(max(one, other))
    rank = {"cpu": 0, "cuda": 1}
    assert (rank[less.device], less.device == "cuda" and not less.lora) <= (rank[more.device], not more.lora)
    if less.device == "cuda" and less.lora == more.lora:
        assert less.batch_size <= more.batch_size


@pytest.mark.parametrize(("gigabytes", "lora"), [(6, True), (8, True), (12, False), (24, False)])
def test_small_cards_get_lora_and_larger_ones_the_whole(gigabytes: int, lora: bool) -> None:
    advice = recommend(int(gigabytes * 1.073 * GB))
    assert (advice.device, advice.lora) == ("cuda", lora)
    assert ("LoRA" in advice.sentence) == lora


@pytest.mark.parametrize("vram", [None, 0, int(2 * GB)])
def test_without_a_gpu_that_is_large_enough_the_cpu_is_said(vram: int | None) -> None:
    advice = recommend(vram)
    assert (advice.device, advice.lora) == ("cpu", False)
    assert "CPU" in advice.sentence

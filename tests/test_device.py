"""A device is one that has computed; what can't compute is refused in words."""

from __future__ import annotations

import pytest
import torch

from pipeline.device import kept_threads, memory_told, pick_device, problem_with, read_vram
from pipeline.errors import DeviceError


def test_the_cpu_always_computes() -> None:
    assert pick_device("cpu") == "cpu"
    assert problem_with("cpu") == ""


def test_auto_is_the_gpu_where_one_works_and_else_the_cpu() -> None:
    assert pick_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused_with_what_to_do() -> None:
    with pytest.raises(DeviceError, match="choose the device cpu"):
        pick_device("cuda")
    assert read_vram() is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
def test_vram_is_that_of_the_whole_device() -> None:
    vram = read_vram()
    assert vram is not None
    assert 0 < vram.free <= vram.total == torch.cuda.get_device_properties(0).total_memory


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has an Apple GPU")
def test_an_apple_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(DeviceError, match="Apple GPU"):
        pick_device("mps")


def test_threads_are_what_they_were_whatever_a_library_sets() -> None:
    before = torch.get_num_threads()
    with kept_threads():
        torch.set_num_threads(before + 1)
    assert torch.get_num_threads() == before


def test_full_memory_is_told_in_words_and_other_faults_are_not_hidden() -> None:
    with pytest.raises(DeviceError, match=r"memory is full \(training\)"), memory_told("training", "cuda"):
        raise torch.OutOfMemoryError("CUDA out of memory.")
    with pytest.raises(DeviceError, match="speaking"), memory_told("speaking", "cpu"):
        torch.empty(1 << 50)
    with pytest.raises(RuntimeError, match="shapes"), memory_told("speaking", "cpu"):
        raise RuntimeError("shapes don't fit")

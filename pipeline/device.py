"""Where to compute: choosing a device, asking the driver for its memory, keeping torch's threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .errors import DeviceError


@dataclass(frozen=True)
class Vram:
    """Memory of a whole GPU in bytes, as the driver sees it: what other programs hold is not free."""

    name: str
    total: int
    free: int


def pick_device(wanted: str = "auto") -> str:
    """Return `cuda`, `cpu` or `mps`. `auto` takes an NVIDIA GPU that works, else the CPU.

    A GPU counts as working when it has done a real tensor operation. Apple's GPU is taken only where it is asked for,
    for not all of XTTS's operations exist there. Raises DeviceError where the wanted device can't compute.
    """
    if wanted == "cpu":
        return "cpu"
    if wanted == "auto":
        return "cpu" if problem_with("cuda") else "cuda"
    problem = problem_with(wanted)
    if problem:
        raise DeviceError(problem)
    return wanted


def problem_with(device: str) -> str:
    """Say why the device can't compute, found out by a matrix product and a convolution on it; empty if it can."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        if torch.version.cuda is None:
            return "This PyTorch was built without CUDA: choose the device cpu, or install PyTorch for your GPU."
        return "No NVIDIA GPU is found: choose the device cpu, or install or update the NVIDIA driver."
    if device == "mps" and not torch.backends.mps.is_available():
        return "This machine has no Apple GPU that PyTorch can use: choose the device cpu."
    try:
        square = torch.ones(64, 64, device=device)
        product = (square @ square).sum().item()
        kernel = torch.ones(1, 1, 3, device=device)
        sums = torch.nn.functional.conv1d(square.unsqueeze(1), kernel).sum().item()
    except (RuntimeError, AssertionError) as fault:  # AssertionError: torch says so that it wasn't built for it
        reason = str(fault).strip().split("\n")[0]
        return f"The device “{device}” is there but can't compute ({reason}): choose the device cpu."
    if (product, sums) != (64.0**3, 64.0 * 62 * 3):
        return f"The device “{device}” computes wrongly: choose the device cpu, and check the GPU and its driver."
    return ""


def read_vram(device: str = "cuda") -> Vram | None:
    """Return the GPU's memory, or None where the device has none of its own."""
    import torch

    if device != "cuda" or not torch.cuda.is_available():
        return None
    try:
        free, total = torch.cuda.mem_get_info()
    except RuntimeError as fault:
        reason = str(fault).strip().split("\n")[0]
        raise DeviceError(f"The GPU's driver doesn't tell its memory ({reason}): restart the machine.") from fault
    return Vram(torch.cuda.get_device_name(), total, free)


@contextmanager
def kept_threads() -> Iterator[None]:
    """Keep torch's number of threads through a block: silero_vad and Coqui's dataset module set it to 1 on import."""
    import torch

    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def memory_told(doing: str, device: str) -> Iterator[None]:
    """Turn torch's out-of-memory error into a DeviceError that says what was being done."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as fault:
        raise DeviceError(
            f"The GPU's memory is full ({doing}): close other programs that use it, or choose the device cpu."
        ) from fault
    except RuntimeError as fault:
        if not any(words in str(fault) for words in ("DefaultCPUAllocator", "out of memory")):
            raise
        raise DeviceError(f"The memory of “{device}” is full ({doing}): close other programs.") from fault

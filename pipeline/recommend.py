"""Which training fits a GPU: full or LoRA, and how large a batch. A pure estimate from the memory there is."""

from __future__ import annotations

from dataclasses import dataclass

GB = 1e9

# What training XTTS v2 (427 M trained weights) holds, in bytes. These are sums, not measurements.
FULL = 427e6 * (4 + 4 + 8)  # weights, gradients and AdamW's two moments in 32 bit
LORA = 427e6 * 4 + 0.1e9  # weights in 32 bit; gradients and moments of small matrices only
AROUND = 26e6 * 4 + 0.8e9  # the decoder, CUDA's own context and its libraries
PER_CLIP = 0.8e9  # what is kept for the backward pass of one clip of 11 s in 16 bit: 400 positions, 30 layers
USABLE = 0.9  # of the whole device: the desktop takes some, and memory is used in blocks

BATCH_SIZES = (16, 8, 4, 2, 1)
SMALLEST_STEP = 4  # clips a step should learn from


@dataclass(frozen=True)
class Recommendation:
    """Settings for training that fit, and the reason in words."""

    device: str
    lora: bool
    batch_size: int
    grad_accumulation: int
    sentence: str


def recommend(vram_bytes: int | None) -> Recommendation:
    """Return what to train with on a GPU of that memory; None or too little memory means the CPU."""
    for lora in (False, True):
        for batch_size in BATCH_SIZES:
            needed = memory_needed(lora, batch_size)
            if vram_bytes and needed <= vram_bytes * USABLE:
                accumulation = max(1, SMALLEST_STEP // batch_size)
                return Recommendation("cuda", lora, batch_size, accumulation, _sentence(lora, batch_size, needed))
    reason = f"The GPU's {vram_bytes / GB:.1f} GB are too little" if vram_bytes else "There is no GPU"
    return Recommendation(
        "cpu",
        lora=False,
        batch_size=4,
        grad_accumulation=1,
        sentence=f"{reason}: training runs on the CPU, at about half a minute a step of 4 clips on two cores. "
        "Choose few epochs, or train on a machine with a GPU of 6 GB or more.",
    )


def memory_needed(lora: bool, batch_size: int) -> float:
    """Return the bytes of VRAM that training is estimated to need at most, with clips of up to 11 s."""
    return (LORA if lora else FULL) + AROUND + batch_size * PER_CLIP


def _sentence(lora: bool, batch_size: int, needed: float) -> str:
    kind = "LoRA" if lora else "Full fine-tune"
    more = SMALLEST_STEP // batch_size
    accumulation = f" and {more} accumulation steps" if more > 1 else ""
    return f"{kind}, batch size {batch_size}{accumulation}: needs about {needed / GB:.0f} GB of VRAM."

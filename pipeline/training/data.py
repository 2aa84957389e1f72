"""From clips to batches: true epochs, shuffled by seed and epoch, and the same from any place in between.

Nothing here asks a global random state: which clips make a step follows from (seed, epoch), which stretch of a clip
is its conditioning from (seed, epoch, clip). So a run that was killed goes on bit for bit, with any number of workers.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import TrainingError
from .audit import TrainClip
from .cache import ClipCache, as_float
from .objective import Marks, Packed, pack

# The conditioning of Coqui's recipe (GPTArgs): 3 to 6 seconds, padded with silence to 6.
MIN_CONDITIONING = 66_150
MAX_CONDITIONING = 132_300
POOL_STEPS = 16  # clips of so many steps are sorted by length together, so that a batch needs little padding


@dataclass(frozen=True)
class Batch:
    """Rows that are computed together, on the host."""

    clips: tuple[int, ...]  # their numbers
    packed: Packed
    conditioning: Tensor  # (rows, MAX_CONDITIONING) samples, float32 in -1 to 1


@dataclass(frozen=True)
class BatchKey:
    """Which rows of which epoch make a batch; epoch 0 means evaluation."""

    epoch: int
    clips: tuple[int, ...]


def plan_epoch(clips: Sequence[TrainClip], seed: int, epoch: int, step_size: int) -> list[tuple[int, ...]]:
    """Return the clips of each step of an epoch: every clip exactly once, those of a step of like length.

    The order of the steps is random. `step_size` is batch size times accumulation: how a step is cut into batches
    has no say in which clips it holds.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(clips))
    steps: list[tuple[int, ...]] = []
    for start in range(0, len(order), step_size * POOL_STEPS):
        pool = sorted(order[start : start + step_size * POOL_STEPS].tolist(), key=lambda clip: clips[clip].samples)
        steps += [tuple(pool[cut : cut + step_size]) for cut in range(0, len(pool), step_size)]
    return [steps[place] for place in rng.permutation(len(steps))]


def cut_step(step: Sequence[int], batch_size: int) -> list[tuple[int, ...]]:
    """Return a step's clips in batches of at most `batch_size`."""
    return [tuple(step[start : start + batch_size]) for start in range(0, len(step), batch_size)]


def steps_in_epoch(clips: int, step_size: int) -> int:
    """Return how many steps `plan_epoch` makes of so many clips."""
    whole, rest = divmod(clips, step_size * POOL_STEPS)
    return whole * POOL_STEPS + -(-rest // step_size)


class TrainingData:
    """Clips as batches. Small enough to be sent to worker processes: samples and codes stay on disk."""

    def __init__(self, clips: Sequence[TrainClip], cache: ClipCache, marks: Marks, seed: int = 0) -> None:
        self.clips = tuple(clips)
        self.another_clip = False  # condition on another clip of the same speaker
        self._cache = cache
        self._marks = marks
        self._seed = seed
        self._by_speaker: dict[str, list[int]] = {}
        for number, clip in enumerate(self.clips):
            self._by_speaker.setdefault(clip.speaker, []).append(number)

    def __getitem__(self, key: BatchKey) -> Batch:
        """Make a batch: what torch's DataLoader calls, here or in a worker."""
        chosen = [self.clips[number] for number in key.clips]
        codes = [self._cache.codes(clip.sha256).astype(np.int64) for clip in chosen]
        waves = [self._conditioning(number, key.epoch) for number in key.clips]
        packed = pack([clip.tokens for clip in chosen], codes, self._marks)
        return Batch(key.clips, packed, torch.from_numpy(np.stack(waves)))

    def _conditioning(self, number: int, epoch: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Return the samples of the voice that the model hears before it speaks this clip."""
        if epoch == 0:
            source = self._next_of_speaker(number) if self.another_clip else number
            start, length = 0, (MIN_CONDITIONING + MAX_CONDITIONING) // 2
            rng = None
        else:
            rng = np.random.default_rng([self._seed, epoch, number])
            source = self._other_of_speaker(number, rng) if self.another_clip else number
            start, length = 0, int(rng.integers(MIN_CONDITIONING, MAX_CONDITIONING, endpoint=True))
        samples = self._cache.samples(self.clips[source].sha256)
        if length > len(samples):
            length = len(samples) // 2  # as Coqui's get_prompt_slice: half of a clip that is shorter
        if rng is not None:
            start = int(rng.integers(0, len(samples) - length, endpoint=True))
        wave = np.zeros(MAX_CONDITIONING, np.float32)
        wave[:length] = as_float(samples[start : start + length])
        return wave

    def _next_of_speaker(self, number: int) -> int:
        same = self._by_speaker[self.clips[number].speaker]
        return same[(same.index(number) + 1) % len(same)]

    def _other_of_speaker(self, number: int, rng: np.random.Generator) -> int:
        """Return another clip of the speaker, or the clip itself where there is no other."""
        others = [clip for clip in self._by_speaker[self.clips[number].speaker] if clip != number]
        return int(rng.choice(others)) if others else number

    def evaluation(self, batch_size: int) -> list[BatchKey]:
        """Return all clips in batches, the same each time: shortest first."""
        order = sorted(range(len(self.clips)), key=lambda clip: self.clips[clip].samples)
        return [BatchKey(0, batch) for batch in cut_step(order, batch_size)]


@dataclass(frozen=True)
class LoaderOptions:
    """How batches are prepared beside the training."""

    workers: int = 0
    no_shared_memory: bool = False  # workers send batches through pipes: some containers have little of it


class _AsBytes:
    """Data whose batches travel as bytes. Tensors would be put into shared memory on their way."""

    def __init__(self, data: TrainingData) -> None:
        self._data = data

    def __getitem__(self, key: BatchKey) -> bytes:
        return pickle.dumps(self._data[key])


def load_batches(data: TrainingData, keys: Sequence[BatchKey], options: LoaderOptions) -> Iterator[Batch]:
    """Yield the batches of those keys in their order, prepared ahead by workers if there are any.

    Raises TrainingError where a worker dies.
    """
    as_bytes = options.no_shared_memory and options.workers > 0
    source: Any = _AsBytes(data) if as_bytes else data
    order: Any = keys
    loader = torch.utils.data.DataLoader(
        source,
        sampler=order,
        batch_size=None,
        num_workers=options.workers,
        generator=torch.Generator(),  # of its own: iterating must not draw from the global random state
    )
    batches = iter(loader)
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except RuntimeError as fault:
            if "DataLoader worker" not in str(fault):
                raise
            raise TrainingError(
                "A process that prepares the data died, mostly for lack of memory: lower “Workers/Threads”, or switch "
                f"“Disable Shared Memory Use” on. Its last words: {str(fault).strip().splitlines()[0]}"
            ) from fault
        yield pickle.loads(batch) if as_bytes else batch

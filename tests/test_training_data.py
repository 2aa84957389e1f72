"""True epochs: every clip exactly once, shuffled, in batches of like length; the same from any place in between."""

import itertools
import os
import random
import signal

import numpy as np
import pytest
import torch

from pipeline.errors import TrainingError
from pipeline.progress import Progress
from pipeline.training.audit import TrainClip
from pipeline.training.cache import ClipCache, as_float, code_count
from pipeline.training.data import (
    MAX_CONDITIONING,
    MIN_CONDITIONING,
    BatchKey,
    LoaderOptions,
    TrainingData,
    cut_step,
    load_batches,
    plan_epoch,
    steps_in_epoch,
)
from pipeline.training.objective import Marks
from tests.training_data import ClipSpec, make_project

MARKS = Marks(start_text=261, stop_text=0, start_audio=1024, stop_audio=1025, latents=32)


def make_clips(count, seed=0):
    rng = np.random.default_rng(seed)
    return [
        TrainClip(f"{n}.wav", None, "text", "anna", f"{n}", int(rng.integers(11_025, 240_000)), np.array([5, 6]))
        for n in range(count)
    ]


# ---- The plan of an epoch -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 65, 500])
@pytest.mark.parametrize("step_size", [1, 4, 6, 512])
def test_every_clip_is_in_exactly_one_step_of_an_epoch(count, step_size):
    clips = make_clips(count)
    for epoch in (1, 2, 17):
        steps = plan_epoch(clips, 3, epoch, step_size)
        assert sorted(clip for step in steps for clip in step) == list(range(count))
        assert all(1 <= len(step) <= step_size for step in steps)
        assert len(steps) == steps_in_epoch(count, step_size)


def test_the_order_follows_from_seed_and_epoch_alone():
    clips = make_clips(100)
    torch.manual_seed(1), random.seed(1), np.random.seed(1)
    plan = plan_epoch(clips, 3, 2, 4)
    torch.manual_seed(2), random.seed(2), np.random.seed(2)
    assert plan_epoch(clips, 3, 2, 4) == plan
    assert plan_epoch(clips, 3, 3, 4) != plan
    assert plan_epoch(clips, 4, 2, 4) != plan


def test_steps_hold_clips_of_like_length_in_random_order():
    clips = make_clips(512)
    steps = plan_epoch(clips, 0, 1, 8)
    longest = [max(clips[n].samples for n in step) for step in steps]
    padded = sum(most * len(step) for most, step in zip(longest, steps, strict=True))
    assert padded / sum(clip.samples for clip in clips) < 1.2  # at random it would be about 1.7
    rises = sum(a < b for a, b in itertools.pairwise(longest))
    assert 0.3 < rises / len(longest) < 0.7  # not sorted over the epoch


def test_how_a_step_is_cut_into_batches_has_no_say_in_its_clips():
    step = tuple(range(10))
    for batch_size in (1, 3, 4, 10, 64):
        batches = cut_step(step, batch_size)
        assert sum(batches, ()) == step
        assert max(map(len, batches)) <= batch_size


# ---- Batches ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    from pipeline.training.audit import AuditLimits, Auditor
    from pipeline.workspace import Workspace
    from tests.models import demo_base

    ws = Workspace(tmp_path_factory.mktemp("data"))
    specs = [ClipSpec(seconds, 5, speaker) for seconds, speaker in ((0.6, "anna"), (4.0, "ben"), (8.0, "anna"))]
    project = make_project(ws, "anna", [*specs, ClipSpec(2.5, 4, "carl")], [ClipSpec(3, 5), ClipSpec(1, 4)])
    cache = ClipCache(project.cache / "training", "key")
    from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer

    auditor = Auditor(cache, VoiceBpeTokenizer(str(demo_base() / "vocab.json")), AuditLimits("en", 11, 608))
    audit = auditor.audit(project.train_csv, project.eval_csv, Progress())
    for clip in (*audit.train, *audit.eval):
        cache.keep_codes(clip.sha256, np.arange(clip.codes) % 1024)
    return TrainingData(audit.train, cache, MARKS, seed=5)


def same(one, other):
    return (
        one.clips == other.clips
        and torch.equal(one.conditioning, other.conditioning)
        and all(
            torch.equal(getattr(getattr(one.packed, part), name), getattr(getattr(other.packed, part), name))
            for part in ("text", "audio")
            for name in ("ids", "positions", "slots", "targets")
        )
    )


@pytest.mark.parametrize("options", [LoaderOptions(2), LoaderOptions(1, no_shared_memory=True)])
def test_batches_are_the_same_with_any_number_of_workers(data, options):
    keys = [BatchKey(epoch, batch) for epoch in (1, 2) for batch in ((0, 3), (2,), (1,))]
    torch.manual_seed(0)
    expected = list(load_batches(data, keys, LoaderOptions()))
    torch.manual_seed(1)
    state = torch.get_rng_state()
    made = list(load_batches(data, keys, options))
    assert torch.equal(torch.get_rng_state(), state), "preparing data must leave the global random state alone"
    assert len(made) == len(expected) == len(keys)
    assert all(same(one, other) for one, other in zip(made, expected, strict=True))


def test_batches_do_not_depend_on_where_an_epoch_is_taken_up(data):
    keys = [BatchKey(4, (number,)) for number in range(4)]
    whole = list(load_batches(data, keys, LoaderOptions()))
    rest = list(load_batches(data, keys[2:], LoaderOptions()))
    assert all(same(one, other) for one, other in zip(whole[2:], rest, strict=True))


def test_a_worker_that_dies_is_told_in_words(data):
    class Dying(TrainingData):
        def __getitem__(self, key):
            os.kill(os.getpid(), signal.SIGKILL)

    dying = Dying(data.clips, data._cache, MARKS)
    with pytest.raises(TrainingError, match=r"A process that prepares the data died.*DataLoader worker"):
        list(load_batches(dying, [BatchKey(1, (0,))], LoaderOptions(workers=1)))


def stretch_of(data, number, epoch):
    """Return where in which clip the conditioning of a clip was taken, found by its samples."""
    wave = data[BatchKey(epoch, (number,))].conditioning[0].numpy()
    length = int(np.flatnonzero(wave)[-1]) + 1
    for source, clip in enumerate(data.clips):
        samples = as_float(data._cache.samples(clip.sha256))
        for start in range(len(samples) - length + 1):
            if samples[start] == wave[0] and np.array_equal(samples[start : start + length], wave[:length]):
                return source, start, length
    raise AssertionError("the conditioning is no stretch of any clip")


def test_conditioning_is_three_to_six_seconds_of_the_clip_and_another_each_epoch(data):
    stretches = [stretch_of(data, 2, epoch) for epoch in range(1, 6)]
    assert all(
        source == 2 and MIN_CONDITIONING <= length + 2 <= MAX_CONDITIONING + 2 for source, _, length in stretches
    )
    assert len(set(stretches)) == 5


def test_of_a_clip_shorter_than_the_conditioning_half_is_taken(data):
    source, _, length = stretch_of(data, 0, 1)
    assert source == 0
    assert length == pytest.approx(data.clips[0].samples // 2, abs=2)


def test_evaluation_conditions_on_the_same_stretch_each_time(data):
    (key,) = data.evaluation(8)
    assert sorted(key.clips) == [0, 1, 2, 3]
    assert same(data[key], data[key])
    assert stretch_of(data, 2, 0)[:2] == (2, 0)  # from the clip's start, as Coqui's evaluation


def test_conditioning_on_another_clip_takes_one_of_the_same_speaker(data):
    other = TrainingData(data.clips, data._cache, MARKS, seed=5)
    other.another_clip = True
    assert {stretch_of(other, 0, epoch)[0] for epoch in (0, 1, 2, 3)} == {2}
    assert stretch_of(other, 1, 1)[0] == 1  # ben has no other clip


# ---- The cache ----------------------------------------------------------------------------------------------------


def test_sixteen_bit_samples_are_kept_exactly(data, tmp_path):
    import soundfile

    noise = np.random.default_rng(0).integers(-32768, 32768, 22_050).astype(np.int16)
    soundfile.write(tmp_path / "noise.wav", noise, 22_050)
    cache = ClipCache(tmp_path / "cache", "key")
    assert np.array_equal(cache.samples(cache.add(tmp_path / "noise.wav")), noise)


def test_the_cache_knows_content_not_names(tmp_path):
    import soundfile

    cache = ClipCache(tmp_path / "cache", "key")
    for name, level in (("a", 0.1), ("b", 0.1), ("c", 0.2)):
        soundfile.write(tmp_path / f"{name}.wav", np.full(22_050, level), 22_050)
    first = cache.add(tmp_path / "a.wav")
    assert cache.add(tmp_path / "b.wav") == first
    cache.keep_codes(first, np.arange(22))
    assert cache.has_codes(first)
    soundfile.write(tmp_path / "a.wav", np.full(22_050, 0.3), 22_050)  # changed under its name
    assert not cache.has_codes(cache.add(tmp_path / "a.wav"))
    assert not ClipCache(tmp_path / "cache", "another DVAE").has_codes(first)


def test_a_code_stands_for_1024_samples():
    assert [code_count(samples) for samples in (1, 1024, 1025, 132_300)] == [1, 1, 2, 130]

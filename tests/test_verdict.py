"""The verdict on a run, from made curves with and without noise."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from pipeline.training.metrics import EvaluationPoint
from pipeline.training.verdict import judge, should_stop

Curve = Callable[[int], float]
SEEDS = range(40)

# Evaluation losses of a real run: 8 made clips for 60 epochs on the demo base, AdamW at 3e-3, no scheduler.
REAL_RUN = (
    6.775, 6.351, 5.782, 5.280, 4.876, 4.521, 4.192, 3.950, 3.768, 3.614, 3.491, 3.383, 3.295, 3.233, 3.170, 3.117,
    3.069, 3.026, 3.001, 2.985, 2.960, 2.946, 2.943, 2.933, 2.924, 2.932, 2.949, 2.957, 2.951, 2.958, 2.988, 3.008,
    3.029, 3.054, 3.078, 3.096, 3.143, 3.165, 3.194, 3.211, 3.263, 3.310, 3.349, 3.380, 3.432, 3.461, 3.505, 3.572,
    3.579, 3.652, 3.699, 3.730, 3.784, 3.846, 3.854, 3.891, 3.935, 4.007, 4.107, 4.134,
)  # fmt: skip
REAL_TURN = 25


def falling(epoch: int) -> float:
    return 2 + 4 * math.exp(-epoch / 20)


def falling_fast(epoch: int) -> float:
    return 2 + 4 * math.exp(-epoch / 6)


def turning_at_five(epoch: int) -> float:
    return 3 + (0.6 * (5 - epoch) if epoch < 5 else 0.04 * (epoch - 5))


def turning_at_seventeen(epoch: int) -> float:
    return 3 + 2 * math.exp(-epoch / 6) + 0.02 * max(0, epoch - 15)


def flat(epoch: int) -> float:
    return 3.0


def levelling_off(epoch: int) -> float:
    return 2 + 3 * math.exp(-epoch / 3)


def evaluations(curve: Curve, epochs: int, noise: float = 0.0, seed: int = 0) -> list[EvaluationPoint]:
    dice = random.Random(seed)
    losses = [curve(epoch) * (1 + dice.gauss(0, noise)) for epoch in range(1, epochs + 1)]
    return [
        EvaluationPoint(epoch * 10, epoch, loss, 1.0, 2.0, train_loss=4 / epoch**0.3)
        for epoch, loss in enumerate(losses, start=1)
    ]


def kinds(curve: Curve, epochs: int, noise: float) -> list[str]:
    return [judge(evaluations(curve, epochs, noise, seed), 3).kind for seed in SEEDS]


@pytest.mark.parametrize(("curve", "epochs"), [(falling, 6), (falling, 10), (falling, 30), (falling_fast, 10)])
@pytest.mark.parametrize("patience", [1, 3, 5])
def test_a_falling_loss_is_improving(curve, epochs, patience):
    verdict = judge(evaluations(curve, epochs), patience)
    assert (verdict.kind, verdict.best_epoch) == ("improving", epochs)
    assert verdict.sentence.startswith("Still improving: ")


@pytest.mark.parametrize(("curve", "turn"), [(turning_at_five, 5), (turning_at_seventeen, 17)])
@pytest.mark.parametrize("patience", [1, 3, 5])
def test_a_loss_that_has_turned_is_overtrained_since_the_turn(curve, turn, patience):
    verdict = judge(evaluations(curve, 60), patience)
    assert (verdict.kind, verdict.epoch, verdict.best_epoch) == ("overtrained", turn, turn)
    assert verdict.sentence.startswith(f"Overtrained since epoch {turn}: ")
    assert f"checkpoint of epoch {turn} is kept" in verdict.sentence


@pytest.mark.parametrize("noise", [0.005, 0.01, 0.03])
def test_noise_does_not_make_a_falling_run_overtrained_or_levelled_off(noise):
    for curve, epochs in ((falling, 30), (falling_fast, 10)):
        found = kinds(curve, epochs, noise)
        assert {"overtrained", "levelled off"}.isdisjoint(found)
        assert found.count("improving") >= 0.9 * len(found)


@pytest.mark.parametrize("noise", [0.005, 0.01, 0.03])
@pytest.mark.parametrize(("curve", "turn"), [(turning_at_five, 5), (turning_at_seventeen, 17)])
def test_noise_does_not_hide_that_a_run_is_overtrained(curve, turn, noise):
    verdicts = [judge(evaluations(curve, 60, noise, seed), 3) for seed in SEEDS]
    assert {verdict.kind for verdict in verdicts} == {"overtrained"}
    off = [abs(verdict.epoch - turn) for verdict in verdicts]
    assert sorted(off)[len(off) // 2] <= 2
    assert max(off) <= (4 if noise < 0.02 else 8)


@pytest.mark.parametrize("noise", [0.0, 0.005, 0.01])
def test_a_flat_loss_is_levelled_off(noise):
    for curve in (flat, levelling_off):
        assert kinds(curve, 40, noise).count("levelled off") >= 0.9 * len(SEEDS)


def test_where_noise_hides_everything_it_is_too_early_to_tell_rather_than_a_guess():
    found = kinds(flat, 8, 0.05)
    assert found.count("too early to tell") > len(found) / 2
    verdict = judge(evaluations(flat, 8, 0.05, found.index("too early to tell")), 3)
    assert "goes up and down by" in verdict.sentence


@pytest.mark.parametrize(("patience", "needed"), [(1, 4), (3, 4), (10, 11)])
def test_few_evaluations_are_too_early_to_tell(patience, needed):
    for count in range(needed):
        assert judge(evaluations(turning_at_five, count), patience).kind == "too early to tell"
        assert not should_stop(evaluations(flat, count), patience)
    assert judge(evaluations(falling, needed), patience).kind == "improving"
    assert judge([], patience).sentence == "Too early to tell: there is no evaluation yet."


@pytest.mark.parametrize("noise", [0.0, 0.003, 0.01])
@pytest.mark.parametrize("patience", [2, 3, 5])
def test_early_stopping_comes_soon_after_the_turn_and_never_before(noise, patience):
    for seed in list(SEEDS)[:10]:
        seen = evaluations(turning_at_five, 60, noise, seed)
        stopped = next(count for count in range(1, 61) if should_stop(seen[:count], patience))
        assert 5 < stopped <= 5 + patience + 4


@pytest.mark.parametrize("noise", [0.0, 0.003, 0.01])
def test_early_stopping_lets_a_falling_run_go_on(noise):
    for seed in list(SEEDS)[:10]:
        seen = evaluations(falling, 30, noise, seed)
        assert not any(should_stop(seen[:count], 3) for count in range(1, 31))


def test_the_kept_checkpoint_is_that_of_the_lowest_loss_itself():
    for seed in SEEDS:
        seen = evaluations(turning_at_seventeen, 60, 0.03, seed)
        best = min(seen, key=lambda point: point.eval_loss)
        verdict = judge(seen, 3)
        assert verdict.best_epoch == best.epoch
        assert f"checkpoint of epoch {best.epoch} is kept (evaluation loss {best.eval_loss:.3f})" in verdict.sentence


def test_losses_that_are_no_numbers_are_left_out():
    seen = evaluations(turning_at_five, 20)
    seen[11] = EvaluationPoint(120, 12, math.nan, 1.0, 2.0, math.nan)
    seen[13] = EvaluationPoint(140, 14, math.inf, 1.0, 2.0, math.inf)
    assert judge(seen, 3).epoch == 5
    assert judge([EvaluationPoint(1, 1, math.nan, 1, 1, 1)] * 9, 3).best_epoch == 0


def test_a_training_loss_that_rises_too_is_put_down_to_the_learning_rate():
    seen = [EvaluationPoint(n, n, 3 + 0.1 * n, 1.0, 2.0, train_loss=3 + 0.1 * n) for n in range(1, 10)]
    verdict = judge(seen, 3)
    assert (verdict.kind, verdict.epoch) == ("overtrained", 1)
    assert "the learning rate is too high" in verdict.sentence
    assert "learning rate" not in judge(evaluations(turning_at_five, 20), 3).sentence


def test_a_real_run_is_improving_until_its_turn_and_overtrained_since():
    seen = evaluations(lambda epoch: REAL_RUN[epoch - 1], len(REAL_RUN))
    found = {count: judge(seen[:count], 3) for count in range(4, len(seen) + 1)}
    assert {found[count].kind for count in range(4, REAL_TURN + 1)} == {"improving"}
    assert {found[count].kind for count in range(REAL_TURN + 7, len(seen) + 1)} == {"overtrained"}
    assert {found[count].epoch for count in range(REAL_TURN + 7, len(seen) + 1)} == {REAL_TURN}


def test_a_very_long_run_is_judged_in_a_moment():
    verdict = judge(evaluations(turning_at_seventeen, 3000, 0.01), 3)
    assert verdict.kind == "overtrained"

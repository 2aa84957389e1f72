"""Optimizers, learning rate schedules, and their state."""

from __future__ import annotations

import copy
import io
import itertools
import math
import random

import pytest
import torch
from torch import nn

from pipeline.errors import SettingError, TrainingError
from pipeline.options import OPTIMIZERS, SCHEDULERS
from pipeline.training.optim import DECAYING, build_optimizer, build_scheduler, group_parameters
from pipeline.training.schedule import (
    CYCLIC_TOP,
    OWN_RISE,
    USUAL_RATES,
    StepPlan,
    effective_schedule,
    plan_steps,
    rate_advice,
    rate_factor,
)

SHAPES = (*SCHEDULERS, "Step Wise", "Noam")
RUNS = [(3, 1), (3, 40), (10, 1), (10, 17), (100, 1), (100, 25)]  # epochs, steps an epoch
RATE = 1e-3


def curve(name: str, plan: StepPlan) -> list[float]:
    return [rate_factor(name, step, plan) for step in range(plan.total_steps)]


class TinyModel(nn.Module):
    """An embedding, a norm, a matrix: the kinds of parameters there are."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.embedding = nn.Embedding(11, 8)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 11)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.embedding(tokens)))


def one_batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(11, (32,), generator=generator), torch.randint(11, (32,), generator=generator)


def loss_of(model: TinyModel) -> torch.Tensor:
    tokens, targets = one_batch()
    return nn.functional.cross_entropy(model(tokens), targets)


def take_step(model: TinyModel, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    loss_of(model).backward()
    optimizer.step()


def dummy(rate: float = RATE) -> torch.optim.Optimizer:
    return build_optimizer("AdamW", [nn.Parameter(torch.zeros(2))], rate)


# ---- The curves ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(("epochs", "per_epoch"), RUNS)
@pytest.mark.parametrize("warmup", [False, True])
def test_every_rate_is_above_zero_and_at_most_a_small_multiple_of_the_one_asked_for(name, epochs, per_epoch, warmup):
    factors = curve(name, plan_steps(epochs, per_epoch, warmup))
    assert all(0 < factor <= CYCLIC_TOP for factor in factors)
    if name != "Cyclic":
        assert max(factors) <= 1


@pytest.mark.parametrize("name", [name for name in SHAPES if name not in OWN_RISE])
@pytest.mark.parametrize(("epochs", "per_epoch"), RUNS)
def test_without_warmup_a_run_starts_with_the_rate_asked_for(name, epochs, per_epoch):
    assert curve(name, plan_steps(epochs, per_epoch, warmup=False))[0] == pytest.approx(1)


@pytest.mark.parametrize("name", [name for name in SHAPES if name not in OWN_RISE])
@pytest.mark.parametrize("epochs", [3, 10, 100])
def test_warmup_is_a_straight_ramp_over_a_tenth_and_then_the_curve_begins(name, epochs):
    plan = plan_steps(epochs, 20, warmup=True)
    factors = curve(name, plan)
    ramp = factors[: plan.warmup_steps]
    assert plan.warmup_steps == epochs * 2
    assert ramp == pytest.approx([(step + 1) / (plan.warmup_steps + 1) for step in range(plan.warmup_steps)])
    rest = StepPlan(plan.total_steps - plan.warmup_steps, plan.steps_per_epoch)
    assert factors[plan.warmup_steps] == pytest.approx(1)
    if name not in ("Cyclic", "Cosine Annealing Warm Restarts"):  # whose cycles are counted over the whole run
        assert factors[plan.warmup_steps :] == pytest.approx(curve(name, rest))


@pytest.mark.parametrize(("epochs", "per_epoch"), RUNS)
class TestCurvesAreAsTheirNamesSay:
    def test_none_never_changes(self, epochs, per_epoch):
        assert set(curve("None", StepPlan(epochs * per_epoch, per_epoch))) == {1.0}

    def test_cosine_annealing_is_torchs(self, epochs, per_epoch):
        plan = StepPlan(epochs * per_epoch, per_epoch)
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        torchs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=plan.total_steps)
        expected = []
        for _ in range(plan.total_steps):
            expected.append(torchs.get_last_lr()[0])
            optimizer.step()
            torchs.step()
        assert curve("Cosine Annealing", plan) == pytest.approx(expected, abs=1e-9)

    def test_warm_restarts_rise_to_the_full_rate_again_and_end_with_a_whole_cycle(self, epochs, per_epoch):
        plan = StepPlan(epochs * per_epoch, per_epoch)
        factors = curve("Cosine Annealing Warm Restarts", plan)
        restarts = [step for step in range(1, len(factors)) if factors[step] > factors[step - 1]]
        if per_epoch > 1:  # else the first cycle is a single step, whose rate is full already
            assert len(restarts) == {3: 1, 10: 2, 100: 5}[epochs]
            assert all(factors[step] > 0.95 for step in restarts)
            assert factors[-1] < 0.02
            borders = [0, *restarts, len(factors)]
            lengths = [end - start for start, end in itertools.pairwise(borders)]
            for shorter, longer in itertools.pairwise(lengths):
                assert abs(longer - 2 * shorter) <= 2
            assert lengths[0] >= per_epoch - 1

    def test_cyclic_goes_up_and_down_between_the_rate_and_a_small_multiple(self, epochs, per_epoch):
        plan = StepPlan(epochs * per_epoch, per_epoch)
        factors = curve("Cyclic", plan)
        tops = [i for i in range(1, len(factors) - 1) if factors[i - 1] < factors[i] >= factors[i + 1]]
        assert len(tops) == {3: 2, 10: 2, 100: 25}[epochs] or per_epoch == 1
        assert min(factors) == pytest.approx(1)
        if per_epoch > 1:
            assert max(factors) > 0.9 * CYCLIC_TOP
            assert all(abs(factors[i + 1] - factors[i]) < CYCLIC_TOP / 5 for i in range(len(factors) - 1))

    def test_exponential_falls_by_the_same_ratio_to_a_tenth(self, epochs, per_epoch):
        plan = StepPlan(epochs * per_epoch, per_epoch)
        factors = curve("Exponential", plan)
        ratios = [after / before for before, after in itertools.pairwise(factors)]
        assert ratios == pytest.approx([0.1 ** (1 / plan.total_steps)] * len(ratios))
        assert rate_factor("Exponential", plan.total_steps, plan) == pytest.approx(0.1)

    def test_multi_step_falls_at_a_half_three_quarters_and_nine_tenths(self, epochs, per_epoch):
        plan = StepPlan(epochs * per_epoch, per_epoch)
        factors = curve("Multi Step", plan)
        drops = [step for step in range(1, len(factors)) if factors[step] < factors[step - 1]]
        expected = sorted({math.ceil(share * plan.total_steps) for share in (0.5, 0.75, 0.9)} - {plan.total_steps})
        assert drops == expected
        if plan.total_steps >= 10:
            assert factors[-1] == pytest.approx(0.027)

    def test_step_halves_after_each_fifth(self, epochs, per_epoch):
        plan = StepPlan(epochs * per_epoch, per_epoch)
        factors = curve("Step", plan)
        if plan.total_steps >= 10:
            assert sorted(set(factors), reverse=True) == pytest.approx([1, 0.5, 0.25, 0.125, 0.0625])
        assert factors == sorted(factors, reverse=True)

    def test_one_cycle_rises_for_three_tenths_then_falls_to_nothing(self, epochs, per_epoch):
        plan = StepPlan(epochs * per_epoch, per_epoch)
        factors = curve("One Cycle", plan)
        top = factors.index(max(factors))
        assert factors[0] == pytest.approx(0.04)
        assert factors[: top + 1] == sorted(factors[: top + 1])
        assert factors[top:] == sorted(factors[top:], reverse=True)
        if plan.total_steps >= 100:
            assert top == pytest.approx(0.3 * plan.total_steps, abs=1)
            assert max(factors) == pytest.approx(1, abs=0.01)
            assert factors[-1] < 0.001

    def test_step_wise_has_coquis_five_rates(self, epochs, per_epoch):
        factors = curve("Step Wise", StepPlan(epochs * per_epoch, per_epoch))
        if len(factors) >= 10:
            assert sorted(set(factors), reverse=True) == [1.0, 0.5, 0.3, 0.1, 0.05]

    def test_noam_is_coquis(self, epochs, per_epoch):
        from trainer.torch import NoamLR

        plan = plan_steps(epochs, per_epoch, warmup=True)
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        coquis = NoamLR(optimizer, warmup_steps=plan.warmup_steps)
        expected = []
        for _ in range(plan.total_steps):
            expected.append(coquis.get_last_lr()[0])
            optimizer.step()
            coquis.step()
        assert curve("Noam", plan) == pytest.approx(expected)


def test_reduce_on_plateau_is_torchs():
    losses = random.Random(5)
    seen = [5.0 * 0.97 ** min(epoch, 12) * losses.uniform(0.99, 1.01) for epoch in range(40)]
    ours = build_scheduler("Reduce on Plateau", dummy(), StepPlan(400, 10))
    other = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=RATE)
    torchs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        other, factor=0.5, patience=1, threshold=1e-3, min_lr=RATE * 0.01, eps=0
    )
    rates = []
    for loss in seen:
        for _ in range(10):
            ours.step()
        ours.epoch(loss)
        torchs.step(loss)
        rates.append(ours.learning_rate)
        assert ours.learning_rate == pytest.approx(other.param_groups[0]["lr"])
    assert rates[5] == RATE
    assert rates[-1] == pytest.approx(RATE * 0.01)


def test_reduce_on_plateau_takes_a_loss_that_is_no_number_for_no_better():
    scheduler = build_scheduler("Reduce on Plateau", dummy(), StepPlan(10, 1))
    for loss in (3.0, math.nan, math.nan):
        scheduler.epoch(loss)
    assert scheduler.learning_rate == RATE / 2


@pytest.mark.parametrize("name", [name for name in SHAPES if name != "Reduce on Plateau"])
def test_other_schedules_do_not_care_for_evaluations(name):
    scheduler = build_scheduler(name, dummy(), StepPlan(10, 1))
    before = scheduler.learning_rate
    for _ in range(9):
        scheduler.epoch(9.0)
    assert scheduler.learning_rate == before


# ---- The scheduler ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHAPES)
def test_the_optimizer_has_the_rate_of_the_curve_at_every_step(name):
    plan = plan_steps(5, 8, warmup=True)
    optimizer = build_optimizer("AdamW", TinyModel(), RATE, 0.01)
    scheduler = build_scheduler(name, optimizer, plan)
    for step in range(plan.total_steps):
        expected = RATE * rate_factor(name, step, plan)
        assert [group["lr"] for group in optimizer.param_groups] == [expected, expected]
        scheduler.step()


@pytest.mark.parametrize("epochs", [4, 9])
def test_a_continued_run_keeps_its_place_in_the_new_plan(epochs):
    first = build_scheduler("Cosine Annealing", dummy(), StepPlan(40, 10))
    for _ in range(37):
        first.step()
    second = build_scheduler("Cosine Annealing", dummy(), StepPlan(epochs * 10, 10))
    second.load_state_dict(first.state_dict())
    assert second.steps == 37
    assert second.learning_rate == RATE * rate_factor("Cosine Annealing", 37, StepPlan(epochs * 10, 10))


def test_a_continued_run_with_another_batch_size_keeps_its_epoch():
    first = build_scheduler("Exponential", dummy(), StepPlan(40, 10))
    for _ in range(20):
        first.step()
    second = build_scheduler("Exponential", dummy(), StepPlan(20, 5))
    second.load_state_dict(first.state_dict())
    assert second.steps == 10
    assert second.learning_rate == pytest.approx(first.learning_rate)


def test_a_continued_run_takes_a_new_learning_rate():
    old = dummy(1e-3)
    first = build_scheduler("None", old, StepPlan(40, 10))
    new = dummy(1e-4)
    second = build_scheduler("None", new, StepPlan(40, 10))
    new.load_state_dict(old.state_dict())
    second.load_state_dict(first.state_dict())
    assert new.param_groups[0]["lr"] == 1e-4


def test_beyond_its_plan_the_rate_stays_as_it_was():
    plan = StepPlan(20, 10)
    assert rate_factor("Exponential", 25, plan) == rate_factor("Exponential", 20, plan)
    assert 0 <= rate_factor("Cosine Annealing Warm Restarts", 25, plan) < 1e-9


@pytest.mark.parametrize(("total", "per_epoch", "warmup"), [(0, 1, 0), (5, 0, 0), (5, 1, 6), (5, 1, -1)])
def test_a_plan_that_makes_no_sense_is_refused_in_words(total, per_epoch, warmup):
    with pytest.raises(SettingError, match="can't be planned"):
        StepPlan(total, per_epoch, warmup)


# ---- The optimizers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_lowers_the_loss_of_one_batch_with_each_of_its_first_steps(name):
    model = TinyModel()
    optimizer = build_optimizer(name, model, USUAL_RATES.get(name, 1e-3), 0.01)
    scheduler = build_scheduler(effective_schedule(name, "None"), optimizer, StepPlan(100, 10))
    losses = [loss_of(model).item()]
    for _ in range(15):
        take_step(model, optimizer)
        scheduler.step()
        losses.append(loss_of(model).item())
    assert losses == sorted(losses, reverse=True)
    assert losses[1] < losses[0]


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("scheduler_name", ["Cosine Annealing Warm Restarts", "Reduce on Plateau"])
def test_a_run_that_was_interrupted_goes_on_bit_for_bit(name, scheduler_name):
    plan = plan_steps(4, 5, warmup=True)

    def start():
        model = TinyModel()
        optimizer = build_optimizer(name, model, RATE, 0.01)
        return model, optimizer, build_scheduler(effective_schedule(name, scheduler_name), optimizer, plan)

    def train(parts, first, end):
        model, optimizer, scheduler = parts
        for step in range(first, end):
            take_step(model, optimizer)
            scheduler.step()
            if step % 5 == 4:
                scheduler.epoch(3.0)
        return parts

    whole = train(start(), 0, 20)
    for cut in random.Random(11).sample(range(1, 20), 3):
        before = train(start(), 0, cut)
        file = io.BytesIO()
        torch.save([part.state_dict() for part in before], file)
        file.seek(0)
        after = start()
        for part, state in zip(after, torch.load(file, weights_only=True), strict=True):
            part.load_state_dict(state)
        train(after, cut, 20)
        for expected, got in zip(whole[0].parameters(), after[0].parameters(), strict=True):
            assert torch.equal(expected, got)
        assert whole[1].param_groups[0]["lr"] == after[1].param_groups[0]["lr"]


def test_biases_norms_and_embeddings_do_not_decay():
    model = TinyModel()
    decayed, spared = group_parameters(model, 0.5)
    assert [id(parameter) for parameter in decayed["params"]] == [id(model.head.weight)]
    assert decayed["weight_decay"] == 0.5
    assert spared["weight_decay"] == 0.0
    assert len(decayed["params"]) + len(spared["params"]) == len(list(model.parameters()))


def test_frozen_parameters_are_left_out():
    model = TinyModel()
    model.embedding.requires_grad_(False)
    taken = {id(p) for group in build_optimizer("AdamW", model, RATE, 0.1).param_groups for p in group["params"]}
    assert taken == {id(p) for p in (*model.norm.parameters(), *model.head.parameters())}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_without_a_gradient_shrink_by_decay_alone_only_where_it_is_decoupled(name):
    model = TinyModel()
    optimizer = build_optimizer(name, model, 0.1, 0.1)
    before = copy.deepcopy(model.head.weight)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    if name in DECAYING:
        assert torch.allclose(model.head.weight, before * (1 - 0.1 * 0.1))
    else:
        assert torch.equal(model.head.weight, before)


def test_every_name_on_the_screen_is_known_and_others_are_refused():
    for name in OPTIMIZERS:
        build_optimizer(name, TinyModel(), RATE)
    with pytest.raises(SettingError, match="“AdamX” isn't known"):
        build_optimizer("AdamX", TinyModel(), RATE)
    with pytest.raises(SettingError, match="“Linear” isn't known"):
        build_scheduler("Linear", dummy(), StepPlan(1, 1))


def test_a_model_that_is_frozen_whole_is_refused():
    with pytest.raises(TrainingError, match="nothing to train"):
        build_optimizer("AdamW", TinyModel().requires_grad_(False), RATE)


def test_optimizers_with_a_rate_of_their_own_replace_the_scheduler():
    assert effective_schedule("Noam", "Cyclic") == "Noam"
    assert effective_schedule("Step Wise", "None") == "Step Wise"
    assert effective_schedule("AdamW", "Cyclic") == "Cyclic"


def test_a_rate_far_from_what_the_optimizer_needs_is_told():
    assert rate_advice("AdamW", 5e-6) == ""
    assert rate_advice("AdamW", 1e-4, lora=True) == ""
    assert "hardly learn" in rate_advice("SGD with Momentum", 5e-6)
    assert "break" in rate_advice("AdamW", 1e-2)

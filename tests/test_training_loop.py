"""Steps: accumulation equals the large batch, every optimizer learns, trouble is told and does no harm."""

import copy
import dataclasses

import pytest
import torch

from pipeline.errors import TrainingError
from pipeline.options import OPTIMIZERS, TrainConfig
from pipeline.progress import Progress
from pipeline.training.compute import build_accelerator
from pipeline.training.data import plan_epoch
from pipeline.training.optim import build_optimizer
from pipeline.workspace import Workspace
from tests.models import install_demo_base
from tests.training_data import ClipSpec, make_project, make_trainer

CONFIG = TrainConfig(project="anna", base="demo", speak_samples=False, learning_rate=1e-3, scheduler="None")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the model is tiny: waiting for a second thread takes longer than its work
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def ws(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("loop"))
    workspace.prepare()
    install_demo_base(workspace)
    lengths = (0.7, 3.1, 1.2, 5.0, 0.9, 2.2, 1.7, 4.1)
    make_project(workspace, "anna", [ClipSpec(s, int(2 + 2 * s)) for s in lengths], [ClipSpec(2, 6), ClipSpec(1, 3)])
    return workspace


def one_step(ws, dropout=False, **changes):
    """Return the trainer after its first step, and the step's figures."""
    trainer = make_trainer(ws, dataclasses.replace(CONFIG, **changes), dropout=dropout)
    return trainer, take(trainer)


def take(trainer):
    step = plan_epoch(trainer.work.train.clips, trainer.config.seed, 1, trainer.step_size)[0]
    point = trainer._take_step(step, trainer._load([step]))
    return point


# ---- A step -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch", "accumulation"), [(1, 4), (2, 2), (3, 2)])
def test_accumulation_gives_the_update_of_the_large_batch(ws, batch, accumulation):
    size = batch * accumulation
    optimizer = "SGD with Momentum"  # its update is the gradient: Adam would hide a wrong scale
    large, expected = one_step(ws, batch_size=size, optimizer=optimizer)
    small, point = one_step(ws, batch_size=batch, grad_accumulation=accumulation, optimizer=optimizer)
    assert point.loss == pytest.approx(expected.loss, abs=1e-5)
    assert point.grad_norm == pytest.approx(expected.grad_norm, rel=1e-4)
    for (name, one), other in zip(
        small.work.xtts.gpt.named_parameters(), large.work.xtts.gpt.parameters(), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}")


def test_the_loss_of_a_step_is_coquis_on_the_same_clips(ws):
    trainer = make_trainer(ws, dataclasses.replace(CONFIG, batch_size=4), dropout=False)
    step = plan_epoch(trainer.work.train.clips, 0, 1, 4)[0]
    (batch,) = trainer._load([step])
    gpt, mels = trainer.work.xtts.gpt, trainer.mel(batch.conditioning)
    clips = [trainer.work.train.clips[n] for n in step]
    codes = [torch.from_numpy(trainer.work.train._cache.codes(clip.sha256)).long() for clip in clips]
    pad = torch.nn.utils.rnn.pad_sequence
    text, mel, _ = gpt(
        pad([torch.from_numpy(clip.tokens) for clip in clips], batch_first=True),
        torch.tensor([len(clip.tokens) for clip in clips]),
        pad(codes, batch_first=True),
        torch.tensor([clip.samples for clip in clips]),
        cond_mels=mels.unsqueeze(1),
    )
    point = take(trainer)
    assert point.loss_text_ce == pytest.approx(0.01 * text.item(), abs=1e-5)
    assert point.loss_mel_ce == pytest.approx(mel.item(), abs=1e-5)
    assert point.loss == pytest.approx(0.01 * text.item() + mel.item(), abs=1e-5)


def test_codes_are_those_of_coquis_dvae(ws):
    from pipeline.training.cache import as_float
    from pipeline.training.model import load_dvae

    trainer = make_trainer(ws, CONFIG)
    base = ws.base_model("demo")
    from TTS.tts.layers.tortoise.arch_utils import TorchMelSpectrogram

    mel = TorchMelSpectrogram(mel_norm_file=str(base / "mel_stats.pth"), sampling_rate=22_050)
    dvae = load_dvae(base, 1026)
    cache = trainer.work.train._cache
    for clip in trainer.work.train.clips[:3]:
        expected = dvae.get_codebook_indices(mel(torch.from_numpy(as_float(cache.samples(clip.sha256)))[None]))[0]
        codes = torch.from_numpy(cache.codes(clip.sha256)).long()
        assert len(codes) == clip.codes
        assert torch.equal(codes, expected[: clip.codes])
        assert len(codes.unique()) > 5


def test_the_gradient_norm_is_logged_unclipped_and_the_update_is_clipped(ws):
    free, point = one_step(ws, batch_size=4, gradient_clip=0.0, optimizer="SGD with Momentum")
    clipped, same = one_step(ws, batch_size=4, gradient_clip=point.grad_norm / 10, optimizer="SGD with Momentum")
    assert same.grad_norm == pytest.approx(point.grad_norm)
    start = make_trainer(ws, CONFIG).work.xtts.gpt

    def moved(trainer):
        pairs = zip(trainer.work.xtts.gpt.parameters(), start.parameters(), strict=True)
        return sum(((one - other) ** 2).sum().item() for one, other in pairs) ** 0.5

    assert moved(free) == pytest.approx(10 * moved(clipped), rel=1e-2)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_lowers_the_loss_of_a_batch_repeated(ws, optimizer):
    config = dataclasses.replace(CONFIG, batch_size=4, optimizer=optimizer, epochs=2)
    trainer = make_trainer(ws, config, dropout=False)
    losses = [take(trainer).loss for _ in range(4)]
    assert losses[-1] < losses[0]


def test_dropout_is_another_for_each_step_and_the_same_each_time(ws):
    trainer, first = one_step(ws, dropout=True, learning_rate=1e-8, batch_size=4)
    assert one_step(ws, dropout=True, learning_rate=1e-8, batch_size=4)[1].loss == first.loss
    trainer.at.step += 1
    assert take(trainer).loss != first.loss


# ---- A run --------------------------------------------------------------------------------------------------------


class Watched(Progress):
    """Asks to stop after so many steps."""

    def __init__(self, trainer, stop_after):
        self.trainer, self.stop_after = trainer, stop_after

    @property
    def stop_requested(self):
        return self.trainer.at.step >= self.stop_after


def test_an_epoch_takes_every_clip_exactly_once(ws, monkeypatch):
    trainer = make_trainer(ws, dataclasses.replace(CONFIG, batch_size=3, epochs=3))
    seen, sums = {}, type(trainer)._sums

    def counted(self, batch):
        for clip in batch.clips if self.model.training else ():
            seen[self.at.epoch, clip] = seen.get((self.at.epoch, clip), 0) + 1
        return sums(self, batch)

    monkeypatch.setattr(type(trainer), "_sums", counted)
    assert not trainer.run()
    assert seen == {(epoch, clip): 1 for epoch in (1, 2, 3) for clip in range(8)}
    assert trainer.at.step == 9


def test_the_same_seed_gives_the_same_losses_and_another_others(ws):
    def losses(seed):
        trainer = make_trainer(ws, dataclasses.replace(CONFIG, epochs=1, seed=seed))
        trainer.run()
        return [point.eval_loss for point in trainer.at.evaluations]

    first = losses(1)
    assert losses(1) == first
    assert losses(2) != first


def test_stopped_in_an_epoch_it_has_a_model_and_can_go_on(ws):
    trainer = make_trainer(ws, dataclasses.replace(CONFIG, epochs=2))
    trainer.progress = Watched(trainer, stop_after=1)
    assert trainer.run()
    assert trainer.work.files.best_model.is_file()
    assert trainer.work.files.last_state.is_file()
    assert "the model is kept as it is" in trainer.at.warnings[-1]
    assert trainer.unfinished.eval_loss == trainer.evaluate().total
    assert trainer.at.best is None


def test_early_stopping_ends_the_run_by_the_verdict(ws):
    # A rate this small changes nothing: the loss is level from the start.
    config = dataclasses.replace(CONFIG, epochs=40, learning_rate=1e-8, early_stopping=True, batch_size=8)
    trainer = make_trainer(ws, config)
    assert trainer.run()
    assert trainer.at.stopped_early
    assert 4 <= trainer.at.epochs < 20
    assert trainer.verdict().kind == "levelled off"


# ---- Trouble ------------------------------------------------------------------------------------------------------


def limit_memory(trainer, rows):
    """Let the memory run out for more than so many rows at once, as the GPU's allocator does."""
    forward = trainer.model.forward

    def limited(packed, mels):
        if packed.rows > rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return forward(packed, mels)

    trainer.model.forward = limited


def test_out_of_memory_halves_the_batch_and_makes_the_same_step(ws):
    expected = one_step(ws, batch_size=8)[1]
    trainer = make_trainer(ws, dataclasses.replace(CONFIG, batch_size=8, epochs=1), dropout=False)
    limit_memory(trainer, 3)
    trainer.run()
    assert trainer.at.batch_size == 2
    assert trainer.at.step == 1
    assert trainer.at.sums.text_tokens == 0
    warned = [sentence for sentence in trainer.at.warnings if "Memory ran out" in sentence]
    assert "4 clips" in warned[0]
    assert "2 clips" in warned[1]
    assert "4 such batches make a step" in warned[1]
    line = trainer.work.files.metrics.read_text().splitlines()[0]
    assert f'"loss": {expected.loss:.4f}'[:-1] in line


def test_out_of_memory_with_one_clip_is_told_with_what_to_do(ws):
    trainer = make_trainer(ws, dataclasses.replace(CONFIG, batch_size=2))
    limit_memory(trainer, 0)
    with pytest.raises(TrainingError, match=r"a single clip.*Max permitted audio size"):
        trainer.run()


def test_a_loss_that_is_no_number_stops_before_the_weights_take_harm(ws):
    trainer = make_trainer(ws, dataclasses.replace(CONFIG, batch_size=4, epochs=3))
    steps = plan_epoch(trainer.work.train.clips, 0, 2, 4)
    sums = trainer._sums

    def poisoned(batch):
        return sums(batch) * (float("nan") if trainer.at.step == 3 and trainer.model.training else 1.0)

    trainer._sums = poisoned
    before = {}
    take_step = trainer._take_step

    def watched(*args):
        before.update(copy.deepcopy(trainer.work.xtts.gpt.state_dict()))
        return take_step(*args)

    trainer._take_step = watched
    with pytest.raises(TrainingError, match=r"no longer a number at step 4 \(epoch 2\)") as told:
        trainer.run()
    for number in steps[1]:
        assert trainer.work.train.clips[number].file in str(told.value)
    assert "Continue Previous Project" in str(told.value)
    assert all(torch.equal(value, before[name]) for name, value in trainer.work.xtts.gpt.state_dict().items())
    lines = trainer.work.files.metrics.read_text().splitlines()
    assert '"not_finite"' in lines[-1]
    assert '"loss": null' in lines[-1]


def test_weights_that_are_no_numbers_are_never_saved(ws):
    trainer = make_trainer(ws, dataclasses.replace(CONFIG, batch_size=8, epochs=3))
    trainer.progress = Watched(trainer, stop_after=1)
    trainer.run()
    good = trainer.work.files.last_state.read_bytes()
    with torch.no_grad():
        trainer.work.xtts.gpt.mel_head.bias[3] = float("inf")
    with pytest.raises(TrainingError, match=r"no longer numbers after step 1.*What was saved last is whole"):
        trainer._save()
    trainer.progress = Progress()
    with pytest.raises(TrainingError, match="no longer a number at step 2"):
        trainer.run()
    assert trainer.work.files.last_state.read_bytes() == good


def test_a_base_model_without_a_loss_is_refused_in_words(ws):
    trainer = make_trainer(ws, CONFIG)
    with torch.no_grad():
        trainer.work.xtts.gpt.final_norm.weight[0] = float("nan")
    with pytest.raises(TrainingError, match=r"evaluation loss is no number after step 0.*another base model"):
        trainer.run()


# ---- Precision ----------------------------------------------------------------------------------------------------


def test_a_second_run_of_a_process_may_have_another_precision():
    assert build_accelerator("bf16", "cpu").mixed_precision == "bf16"
    assert build_accelerator("no", "cpu").mixed_precision == "no"


def test_bf16_trains_with_about_the_same_loss(ws):
    expected = one_step(ws, batch_size=4)[1]
    trainer = make_trainer(ws, dataclasses.replace(CONFIG, batch_size=4), dropout=False)
    trainer.accelerator = build_accelerator("bf16", "cpu")
    objective = trainer.model
    optimizer = build_optimizer("AdamW", objective, 1e-3)
    trainer.model, trainer.optimizer = trainer.accelerator.prepare(objective, optimizer)
    assert take(trainer).loss == pytest.approx(expected.loss, rel=2e-2)
    assert all(parameter.dtype == torch.float32 for parameter in objective.parameters())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("precision", ["float32", "bf16", "fp16"])
def test_a_gpu_takes_the_cpus_step_in_each_precision(ws, precision):
    expected = one_step(ws, batch_size=4)[1]
    point = one_step(ws, batch_size=4, device="cuda", precision=precision)[1]
    assert point.loss == pytest.approx(expected.loss, rel=2e-2)
    assert point.grad_norm == pytest.approx(expected.grad_norm, rel=0.2)
    assert point.vram > 0

"""The stage as a whole: what a run leaves, that stock Coqui loads it, and how it ends when the disk is full."""

import dataclasses
import json
import shutil
import signal
import sys
import wave

import pytest
import torch

from pipeline.errors import SettingError, TrainingError
from pipeline.options import TrainConfig
from pipeline.progress import Progress
from pipeline.records import TrainReport, from_json
from pipeline.training.checkpoints import GIB, SpaceNeeded, check_space, load_last, space_needed
from pipeline.training.compute import choose_precision
from pipeline.training.run import train
from pipeline.training.runs import RunFiles, list_runs, new_run_folder
from pipeline.training.verdict import judge
from pipeline.weights import read_state
from pipeline.workspace import Workspace
from tests.models import demo_base, install_demo_base
from tests.training_data import ClipSpec, make_project, make_trainer

CONFIG = TrainConfig(project="anna", base="demo", epochs=2, batch_size=4, learning_rate=1e-3, speak_samples=False)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def ws(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("run"))
    workspace.prepare()
    install_demo_base(workspace)
    make_project(workspace, "anna", [ClipSpec(1 + 0.2 * n, 3) for n in range(6)], [ClipSpec(2, 4), ClipSpec(1, 3)])
    return workspace


class Told(Progress):
    def __init__(self):
        self.updates, self.lines, self.events = [], [], []

    def update(self, fraction, message):
        self.updates.append((fraction, message))

    def log(self, message, kind="General"):
        self.lines.append(message)

    def event(self, name, **data):
        self.events.append((name, data))


@pytest.fixture(scope="module")
def finished(ws):
    """A run of two epochs with spoken samples: its report, its files, what was told."""
    told = Told()
    report = train(ws, dataclasses.replace(CONFIG, speak_samples=True, sample_text="Hello there."), told)
    return report, RunFiles(ws.project("anna").runs / report.run), told


# ---- What a run leaves --------------------------------------------------------------------------------------------


def test_a_run_leaves_all_its_files(finished):
    report, files, _ = finished
    names = {path.name for path in files.folder.iterdir() if not path.name.startswith("events.out.tfevents")}
    assert names == {
        "config.json", "vocab.json", "train_config.json", "audit.json", "metrics.jsonl", "trainer_0_log.txt",
        "best_model.pth", "last_state.pt", "state.json", "samples", "report.json",
    }  # fmt: skip
    assert list(files.folder.glob("events.out.tfevents*"))
    assert from_json(TrainReport, files.report.read_text()) == report
    assert sorted(path.name for path in files.samples.iterdir()) == ["epoch_001.wav", "epoch_002.wav"]
    with wave.open(str(files.sample(2))) as sound:
        assert sound.getnframes() > 2400


def test_the_report_is_true(finished):
    report, files, _ = finished
    lines = [json.loads(line) for line in files.metrics.read_text().splitlines()]
    evaluations = [line for line in lines if "eval_loss" in line]
    steps = [line for line in lines if "eval_loss" not in line]
    assert [line["step"] for line in steps] == [1, 2, 3, 4]
    assert [line["epoch"] for line in steps] == [1, 1, 2, 2]
    assert [line["epoch"] for line in evaluations] == [1, 2]
    assert report.best_loss == min(line["eval_loss"] for line in evaluations)
    assert report.best_loss < report.first_loss
    assert (report.epochs, report.steps, report.stopped) == (2, 4, False)
    assert report.seconds > 0
    for line in steps:
        assert line["loss"] == pytest.approx(line["loss_text_ce"] + line["loss_mel_ce"])
        assert line["step_time"] > line["loader_time"] > 0


def test_the_log_has_the_lines_that_alltalks_users_know(finished):
    _, files, told = finished
    log = files.log.read_text()
    assert log.count(" > EPOCH: ") == 2
    assert log.count("--> STEP: ") == 4
    assert f" > BEST MODEL : {files.best_model}" in log
    assert any("BEST MODEL" in line for line in told.lines)


def test_progress_rises_to_one_and_tells_what_is_being_done(finished):
    _, _, told = finished
    fractions = [fraction for fraction, _ in told.updates if fraction is not None]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert any("Epoch 2 of 2, step 1 of 2, loss" in message and "left" in message for _, message in told.updates)
    assert [name for name, _ in told.events] == ["audit", "evaluation", "sample", "evaluation", "sample"]


def test_stock_coqui_loads_the_best_model_with_its_config_and_vocabulary(finished):
    from TTS.tts.configs.xtts_config import XttsConfig
    from TTS.tts.models.xtts import Xtts

    _, files, _ = finished
    config = XttsConfig()
    config.load_json(files.config)
    model = Xtts.init_from_config(config)
    model.load_checkpoint(
        config, checkpoint_path=files.best_model, vocab_path=files.vocab, eval=True, speaker_file_path="", strict=True
    )
    speaker = torch.load(demo_base() / "speakers_xtts.pth", weights_only=True)["Demo Speaker"]
    said = model.inference("Hello.", "en", speaker["gpt_cond_latent"], speaker["speaker_embedding"], top_k=1)
    assert len(said["wav"]) > 1000


def test_the_best_model_holds_weights_only_and_only_the_gpt_has_changed(finished):
    _, files, _ = finished
    assert set(torch.load(files.best_model, weights_only=True)) == {"model", "config"}
    state, base = read_state(files.best_model), read_state(demo_base() / "model.pth")
    assert set(state) == set(base)
    changed = {name for name in state if not torch.equal(state[name], base[name])}
    assert changed
    assert all(name.startswith("gpt.") for name in changed)
    assert {"gpt.text_embedding.weight", "gpt.conditioning_encoder.init.weight", "gpt.mel_head.bias"} <= changed


def as_base(ws, files, name):
    """Put a run's best model into the models' folder, as an export does."""
    folder = ws.base_models / name
    shutil.copytree(demo_base(), folder)
    shutil.copy(files.best_model, folder / "model.pth")
    return name


def test_the_kept_model_has_the_loss_that_was_reported_and_can_be_trained_on(ws, finished):
    report, files, _ = finished
    trainer = make_trainer(ws, dataclasses.replace(CONFIG, base=as_base(ws, files, "anna-1")))
    assert trainer.evaluate().total == pytest.approx(report.best_loss, abs=1e-6)


# ---- LoRA ---------------------------------------------------------------------------------------------------------


def test_lora_trains_its_matrices_only_and_exports_merged_weights(ws):
    config = dataclasses.replace(CONFIG, lora=True, lora_rank=4, learning_rate=1e-2, speak_samples=True)
    report = train(ws, config, Progress())
    files = RunFiles(ws.project("anna").runs / report.run)
    assert report.best_loss < report.first_loss
    state, base = read_state(files.best_model), read_state(demo_base() / "model.pth")
    assert set(state) == set(base)
    changed = {name for name in state if not torch.equal(state[name], base[name])}
    blocks = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    assert changed == {f"gpt.gpt.h.{layer}.{part}.weight" for layer in range(2) for part in blocks}
    _, tensors = load_last(files)
    assert all(".lora_" in name for name in tensors["weights"])
    trainer = make_trainer(ws, dataclasses.replace(CONFIG, base=as_base(ws, files, "anna-lora")))
    assert trainer.evaluate().total == pytest.approx(report.best_loss, abs=1e-5)
    # It goes on: the matrices are put in again, and filled from the saved state.
    more = train(ws, dataclasses.replace(config, continue_run=True, run=report.run, epochs=3), Progress())
    assert more.epochs == 3
    assert more.best_loss < report.best_loss


# ---- Over- and undertrained ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_eight_clips_and_sixty_epochs_are_overtrained_where_the_evaluation_loss_has_turned(ws):
    make_project(ws, "eight", [ClipSpec(1, 3)] * 8, [ClipSpec(1, 3)] * 2)
    config = dataclasses.replace(CONFIG, project="eight", epochs=60, learning_rate=3e-3, scheduler="None")
    trainer = make_trainer(ws, config)
    trainer.run()
    evaluations = trainer.at.evaluations
    assert evaluations[-1].train_loss < evaluations[0].train_loss / 2
    lowest = min(point.eval_loss for point in evaluations)
    turned = next(point.epoch for point in evaluations if point.eval_loss == lowest)
    verdict = trainer.verdict()
    assert verdict.kind == "overtrained"
    assert verdict.epoch == turned
    assert trainer.at.best.epoch == turned
    assert judge(evaluations[: turned - 3], config.patience).kind == "improving"


# ---- Disk ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_when_the_disk_is_full_the_checkpoints_before_stay_and_it_is_said(ws):
    import resource

    class FullDisk(Progress):
        """From the second epoch on no file can grow beyond 4 MB."""

        def update(self, fraction, message):
            if message.startswith("Epoch 2"):
                resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, hard))

    config = dataclasses.replace(CONFIG, epochs=3)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(TrainingError, match=r"can't be written.*What was saved last is whole"):
            train(ws, config, FullDisk())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    run = list_runs(ws, "anna")[0]
    files = RunFiles(run.path)
    assert (run.epochs, run.can_continue, run.has_best) == (1, True, True)
    assert read_state(files.best_model)
    assert not [path.name for path in files.folder.iterdir() if path.name.endswith(".tmp")]
    report = train(ws, dataclasses.replace(config, continue_run=True), Progress())
    assert report.epochs == 3


def test_the_space_needed_is_what_is_used(ws, finished):
    _, files, told = finished
    trainer = make_trainer(ws, CONFIG)
    needed = space_needed(trainer.work.xtts, CONFIG.optimizer)
    assert needed.best == pytest.approx(files.best_model.stat().st_size, rel=0.02)
    assert needed.last == pytest.approx(files.last_state.stat().st_size, rel=0.05)
    assert any("The checkpoints will take" in line for line in told.lines)
    assert any("The checkpoints take" in line for line in told.lines)


def test_too_little_space_is_refused_before_training(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(TrainingError, match="The disk is too full"):
        check_space(tmp_path, SpaceNeeded(best=free // 2, last=free))
    with pytest.raises(TrainingError, match="The disk is too full"):
        check_space(tmp_path, SpaceNeeded(best=free, last=0))
    check_space(tmp_path, SpaceNeeded(best=free, last=0), used=free + GIB)  # what it replaces is its own


# ---- Runs and precision -------------------------------------------------------------------------------------------


def test_runs_are_listed_newest_first_and_never_share_a_folder(ws):
    project = ws.project("many")
    folders = [new_run_folder(project) for _ in range(3)]
    assert len(set(folders)) == 3
    assert list_runs(ws, "many") == []  # nothing in them yet
    for folder in folders:
        RunFiles(folder).train_config.write_text('{"base": "/models/demo"}')
    RunFiles(folders[0]).train_config.write_text("{broken")
    runs = list_runs(ws, "many")
    assert [run.path for run in runs] == sorted(folders, reverse=True)
    assert runs[0].base == "/models/demo"
    assert list_runs(ws, "nobody") == []


def test_a_precision_the_device_lacks_is_refused_in_words():
    assert choose_precision("auto", "cpu") == "no"
    assert choose_precision("float32", "mps") == "no"
    for wanted in ("bf16", "fp16"):
        with pytest.raises(SettingError, match="choose float32"):
            choose_precision(wanted, "cpu")

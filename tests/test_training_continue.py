"""Going on: a run that was killed, stopped or asked for more has the result of one that was never interrupted."""

import dataclasses
import json
import os
import random
import signal
import sys
import time

import pytest

from pipeline.errors import TrainingError
from pipeline.jobs import kill_job, read_job, start_job, stop_job
from pipeline.options import TrainConfig
from pipeline.progress import Progress
from pipeline.training.run import train
from pipeline.training.runs import RunFiles, find_run, list_runs
from pipeline.workspace import Workspace
from tests.models import install_demo_base
from tests.training_data import ClipSpec, add_row, make_project, make_sound
from tests.training_sitting import kill_at, start_sitting

CONFIG = TrainConfig(
    project="anna", base="demo", epochs=5, batch_size=2, grad_accumulation=2, learning_rate=1e-3, speak_samples=False
)
STEPS = 20  # 13 clips in steps of 4: four an epoch
GO_ON = dataclasses.replace(CONFIG, continue_run=True)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """The same number of threads in every process: sums in another order differ in their last bits."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    yield
    torch.set_num_threads(threads)
    del os.environ["OMP_NUM_THREADS"]


@pytest.fixture(scope="module")
def ws(tmp_path_factory):
    """A workspace with the base, and clips of which the second half is enough of a dataset too."""
    workspace = Workspace(tmp_path_factory.mktemp("continue"))
    workspace.prepare()
    install_demo_base(workspace)
    return workspace


def make(ws, name):
    lengths = [0.6 + 0.13 * n for n in range(13)]
    return make_project(ws, name, [ClipSpec(s, 2) for s in lengths], [ClipSpec(1, 3), ClipSpec(0.8, 2)])


@pytest.fixture(scope="module")
def uninterrupted(ws):
    """The run that the others must equal."""
    project = make(ws, "whole")
    train(ws, dataclasses.replace(CONFIG, project="whole"), Progress())
    return RunFiles(list_runs(ws, "whole")[0].path), project


def figures(files):
    """Return what metrics.jsonl says, but for the times it took."""
    lines = [json.loads(line) for line in files.metrics.read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("step_time", "loader_time")} for line in lines]


def assert_same_result(files, whole):
    assert figures(files) == figures(whole)
    assert files.best_model.read_bytes() == whole.best_model.read_bytes()


def test_killed_at_ten_random_steps_it_ends_bit_for_bit_like_the_uninterrupted_run(ws, uninterrupted):
    project = make(ws, "killed")
    config = dataclasses.replace(CONFIG, project="killed")
    kills = sorted(random.Random(7).sample(range(1, STEPS), 10))
    files = None
    for step in kills:
        process = start_sitting(ws.root, config)
        metrics = files.metrics if files else wait_for(project.runs, "run-*/metrics.jsonl")
        kill_at(process, metrics, step)
        assert process.exitcode == -signal.SIGKILL, "it was to be killed, not to end"
        files = RunFiles(metrics.parent)
        config = dataclasses.replace(GO_ON, project="killed")
    assert len(list_runs(ws, "killed")) == 1
    report = train(ws, config, Progress())
    assert not report.stopped
    assert (report.epochs, report.steps) == (5, STEPS)
    assert_same_result(files, uninterrupted[0])
    before = json.loads(uninterrupted[0].report.read_text())
    assert (report.first_loss, report.best_loss, report.best_epoch) == (
        before["first_loss"], before["best_loss"], before["best_epoch"]
    )  # fmt: skip


def wait_for(folder, pattern, timeout=300):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        found = next(iter(folder.glob(pattern)), None) if folder.is_dir() else None
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"no {pattern} in {folder}")


class StopAfter(Progress):
    """Asks to stop when told of that step."""

    def __init__(self, step):
        self.left = step

    def update(self, fraction, message):
        self.left -= ", step " in message

    @property
    def stop_requested(self):
        return self.left <= 0


def test_stopped_in_the_middle_of_an_epoch_it_goes_on_bit_for_bit(ws, uninterrupted):
    make(ws, "stopped")
    config = dataclasses.replace(CONFIG, project="stopped")
    first = train(ws, config, StopAfter(6))
    assert first.stopped
    assert first.steps == 6
    assert first.best_epoch == 1
    second = train(ws, dataclasses.replace(GO_ON, project="stopped"), StopAfter(1))
    assert (second.stopped, second.steps, second.run) == (True, 7, first.run)
    # Worker processes that prepare the data make no difference either.
    train(ws, dataclasses.replace(GO_ON, project="stopped", workers=2), Progress())
    assert_same_result(RunFiles(list_runs(ws, "stopped")[0].path), uninterrupted[0])


def test_more_epochs_go_on_from_the_end(ws):
    make(ws, "more")
    config = dataclasses.replace(CONFIG, project="more", epochs=1)
    first = train(ws, config, Progress())
    # Settings other than epochs are the run's own: another learning rate or batch size is not taken over.
    report = train(ws, dataclasses.replace(config, continue_run=True, epochs=2, batch_size=1, seed=9), Progress())
    assert (report.run, report.epochs, report.steps) == (first.run, 2, 8)
    assert report.first_loss == first.first_loss
    settings = json.loads((ws.project("more").runs / report.run / "train_config.json").read_text())
    assert (settings["epochs"], settings["batch_size"], settings["seed"]) == (2, 2, 0)
    again = train(ws, dataclasses.replace(config, continue_run=True), Progress())
    assert (again.epochs, again.steps, again.best_loss) == (2, 8, report.best_loss)


def test_clips_added_since_are_taken_up_and_that_is_said(ws):
    from pipeline.audio import CLIP_RATE, write_wav

    project = make(ws, "grown")
    config = dataclasses.replace(CONFIG, project="grown", epochs=2)
    train(ws, config, StopAfter(2))
    import numpy as np

    write_wav(project.path / "wavs/new.wav", make_sound(1.0, np.random.default_rng(9)), CLIP_RATE)
    add_row(project.train_csv, "wavs/new.wav", "The new one.")
    report = train(ws, dataclasses.replace(config, continue_run=True), Progress())
    assert any("training clips have changed" in sentence for sentence in report.warnings)
    assert report.epochs == 2
    assert report.steps == 2 + 2 * 4  # two before, then both epochs whole


def test_nothing_to_go_on_with_is_told(ws):
    make(ws, "none")
    with pytest.raises(TrainingError, match="no training run to go on with"):
        train(ws, dataclasses.replace(GO_ON, project="none"), Progress())


def test_a_broken_state_is_told(ws):
    make(ws, "broken")
    config = dataclasses.replace(CONFIG, project="broken", epochs=1)
    report = train(ws, config, Progress())
    files = RunFiles(find_run(ws, "broken", report.run).path)
    files.last_state.write_bytes(files.last_state.read_bytes()[:1000])
    with pytest.raises(TrainingError, match=r"last_state\.pt” is broken"):
        train(ws, dataclasses.replace(config, continue_run=True), Progress())
    with pytest.raises(TrainingError, match="has no run “run-0”; it has run-"):
        train(ws, dataclasses.replace(config, continue_run=True, run="run-0"), Progress())


# ---- As a job -----------------------------------------------------------------------------------------------------


def wait_until(ws, job, done, timeout=300):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        status = read_job(ws, job)
        if done(status) or not status.running:
            return status
        time.sleep(0.05)
    raise AssertionError(f"{job} took too long: {status}")


@pytest.mark.slow
def test_a_job_stopped_then_killed_then_continued_ends_like_the_uninterrupted_run(ws, uninterrupted):
    make(ws, "job")
    config = dataclasses.replace(CONFIG, project="job")
    job = start_job(ws, "train", config)
    wait_until(ws, job, lambda status: "step" in status.message)
    stop_job(ws, job)
    status = wait_until(ws, job, lambda status: False)
    assert status.state == "done", status.error
    assert status.result["stopped"]

    job = start_job(ws, "train", dataclasses.replace(GO_ON, project="job"))
    wait_until(ws, job, lambda status: "Epoch" in status.message)
    kill_job(ws, job)
    assert read_job(ws, job).state == "died"

    job = start_job(ws, "train", dataclasses.replace(GO_ON, project="job"))
    if sys.platform != "win32":  # SIGTERM saves too
        wait_until(ws, job, lambda status: "Epoch" in status.message)
        os.kill(json.loads((ws.jobs / job / "process.json").read_text())["pid"], signal.SIGTERM)
        assert wait_until(ws, job, lambda status: False).state == "done"
        job = start_job(ws, "train", dataclasses.replace(GO_ON, project="job"))
    status = wait_until(ws, job, lambda status: False)
    assert status.state == "done", status.error
    assert not status.result["stopped"]
    assert_same_result(RunFiles(list_runs(ws, "job")[0].path), uninterrupted[0])

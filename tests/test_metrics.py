"""metrics.jsonl: written so that nothing is lost, read while it grows into a picture of bounded size."""

from __future__ import annotations

import dataclasses
import json
import math
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import WorkspaceError
from pipeline.training.metrics import (
    MAX_BUCKETS,
    SERIES,
    EvaluationPoint,
    Fault,
    MetricsReader,
    MetricsWriter,
    StepPoint,
    to_line,
)
from pipeline.training.tensorboard import EVALUATION_TAGS, STEP_TAGS, TensorBoardWriter
from pipeline.workspace import REPOSITORY

PER_EPOCH = 50


def step_point(step: int, **changes: float) -> StepPoint:
    dice = random.Random(step)
    point = StepPoint(
        step=step,
        epoch=(step - 1) // PER_EPOCH + 1,
        loss=5 / step**0.1 + dice.gauss(0, 0.05),
        loss_text_ce=dice.uniform(1, 2),
        loss_mel_ce=dice.uniform(3, 4),
        lr=5e-6 / step,
        grad_norm=dice.expovariate(1),
        step_time=dice.uniform(0.2, 0.4),
        loader_time=dice.uniform(0, 0.1),
        vram=dice.randrange(1 << 34),
    )
    return dataclasses.replace(point, **changes)


def evaluation(epoch: int, loss: float = 3.0) -> EvaluationPoint:
    return EvaluationPoint(epoch * PER_EPOCH, epoch, loss, 1.0, 2.0, 3.5, best=epoch % 2 == 1)


def write(path: Path, points: list[StepPoint | EvaluationPoint]) -> None:
    with MetricsWriter(path) as writer:
        for point in points:
            writer.write(point)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "metrics.jsonl"


def same(one: object, other: object) -> bool:
    """Whether two snapshots show the same, but for the order in which numbers were added."""
    if isinstance(one, (np.ndarray, float)):
        return np.allclose(one, other, rtol=1e-12, atol=0, equal_nan=True)
    if dataclasses.is_dataclass(one) and not isinstance(one, (StepPoint, EvaluationPoint)):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other


# ---- Writing ------------------------------------------------------------------------------------------------------


def test_lines_hold_the_announced_keys(path):
    write(path, [step_point(1), evaluation(1)])
    step, evaluated = [json.loads(line) for line in path.read_text().splitlines()]
    keys = ["step", "epoch", "loss", "loss_text_ce", "loss_mel_ce", "lr", "grad_norm", "step_time", "loader_time"]
    assert list(step) == [*keys, "vram"]
    assert {"step", "epoch", "eval_loss", "eval_loss_text_ce", "eval_loss_mel_ce", "train_loss", "best"} == {*evaluated}
    assert "vram" not in json.loads(to_line(step_point(1, vram=None)))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_written_as_null_with_a_flag_and_read_as_it_was(path, value):
    write(path, [step_point(1), step_point(2, loss=value, grad_norm=math.inf)])
    line = json.loads(path.read_text().splitlines()[1], parse_constant=pytest.fail)
    assert line["loss"] is None
    assert line["not_finite"] == {"loss": str(value), "grad_norm": "inf"}
    metrics = MetricsReader(path).read()
    assert metrics.faults == (Fault(2, {"loss": str(value), "grad_norm": "inf"}),)
    assert metrics.last is not None
    assert str(metrics.last.loss) == str(value)
    assert math.isnan(metrics.series["loss"].mean[1])
    assert metrics.epoch_losses[1] == step_point(1).loss


def test_a_truncated_file_holds_what_was_there_at_the_checkpoint(path):
    with MetricsWriter(path) as writer:
        for step in range(1, 8):
            writer.write(step_point(step))
            if step == 4:
                offset, kept = writer.offset, path.read_bytes()
    with MetricsWriter(path) as writer:
        writer.truncate(offset)
        assert path.read_bytes() == kept
        writer.write(step_point(5))
    assert path.read_bytes() == kept + (to_line(step_point(5)) + "\n").encode()


@pytest.mark.parametrize("lost", [1, 7, 10_000])
def test_a_half_written_last_line_is_removed_before_going_on(path, lost):
    write(path, [step_point(step) for step in range(1, 60)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-lost])
    write(path, [step_point(100)])
    lines = path.read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines][-1] == 100
    assert whole.startswith(path.read_bytes()[: -len(lines[-1]) - 1])


def test_truncating_beyond_the_end_keeps_all_there_is(path):
    write(path, [step_point(1)])
    before = path.read_bytes()
    with MetricsWriter(path) as writer:
        writer.truncate(10**9)
    assert path.read_bytes() == before


def test_a_place_that_cannot_be_written_is_told_in_words(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="can't be written"):
        MetricsWriter(tmp_path / "file" / "metrics.jsonl")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told_in_words(tmp_path):
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(WorkspaceError, match="can't be written"):
        write(tmp_path / "metrics.jsonl", [step_point(1)])


# ---- Reading ------------------------------------------------------------------------------------------------------


def test_no_file_is_no_figures(path):
    metrics = MetricsReader(path).read()
    assert metrics.empty
    assert metrics.last is None
    assert metrics.evaluations == ()


def test_a_short_run_is_given_step_by_step(path):
    points = [step_point(step) for step in range(1, 121)]
    write(path, [*points, evaluation(1), evaluation(2)])
    metrics = MetricsReader(path).read()
    assert metrics.steps_per_bucket == 1
    assert metrics.step.tolist() == list(range(1, 121))
    for name in SERIES:
        values = [getattr(point, name) for point in points]
        for band in (metrics.series[name].mean, metrics.series[name].low, metrics.series[name].high):
            assert band.tolist() == values
    assert metrics.evaluations == (evaluation(1), evaluation(2))
    assert metrics.last == points[-1]
    for epoch in (1, 2, 3):
        losses = [point.loss for point in points if point.epoch == epoch]
        assert metrics.epoch_losses[epoch] == pytest.approx(sum(losses) / len(losses))


@pytest.mark.parametrize("count", [MAX_BUCKETS, MAX_BUCKETS + 1, 5_000])
def test_a_long_run_keeps_the_true_mean_and_extremes_of_every_stretch(path, count):
    points = [step_point(step) for step in range(1, count + 1)]
    points[count // 2] = dataclasses.replace(points[count // 2], loss=999.0)
    write(path, points)
    metrics = MetricsReader(path).read()
    size = metrics.steps_per_bucket
    assert MAX_BUCKETS / 2 <= len(metrics.step) <= MAX_BUCKETS
    assert metrics.steps == count
    assert metrics.step[-1] == count
    stretches = [points[first : first + size] for first in range(0, count, size)]
    for name in SERIES:
        band = metrics.series[name]
        values = [[getattr(point, name) for point in stretch] for stretch in stretches]
        assert band.mean == pytest.approx([sum(value) / len(value) for value in values])
        assert band.low.tolist() == [min(value) for value in values]
        assert band.high.tolist() == [max(value) for value in values]
    assert metrics.series["loss"].high.max() == 999.0


def test_reading_bit_by_bit_gives_what_reading_at_once_gives(path):
    dice = random.Random(2)
    lines = [to_line(step_point(step)) for step in range(1, 3001)]
    lines.insert(1500, to_line(evaluation(30)))
    lines.insert(700, to_line(step_point(701, loss=math.nan)))
    whole = ("\n".join(lines) + "\n").encode()
    path.parent.mkdir()
    path.write_bytes(b"")
    reader, written = MetricsReader(path), 0
    while written < len(whole):  # cut anywhere, so also within lines
        part = whole[written : written + dice.randrange(1, 40_000)]
        with path.open("ab") as file:
            file.write(part)
        written += len(part)
        reader.read()
    assert same(reader.read(), MetricsReader(path).read())
    assert reader.read().steps == 3001


def test_the_same_picture_is_given_while_nothing_is_new(path):
    write(path, [step_point(1)])
    reader = MetricsReader(path)
    first = reader.read()
    assert reader.read() is first
    with path.open("ab") as file:
        file.write(b'{"step": 2, "ep')
    assert reader.read() is first
    write(path, [step_point(2)])
    assert reader.read().steps == 2
    assert first.steps == 1


def test_a_run_that_was_continued_from_an_earlier_step_is_read_anew(path):
    write(path, [step_point(step) for step in range(1, 101)])
    reader = MetricsReader(path)
    assert reader.read().steps == 100
    offset = len("".join(to_line(step_point(step)) + "\n" for step in range(1, 81)))
    with MetricsWriter(path) as writer:
        writer.truncate(offset)
        assert reader.read().steps == 80
        for step in range(81, 131):  # beyond where it had read to, with other times
            writer.write(step_point(step, step_time=9.0))
    metrics = reader.read()
    assert metrics.step.tolist() == list(range(1, 131))
    assert same(metrics, MetricsReader(path).read())


def test_a_file_regrown_between_two_looks_is_noticed(path):
    write(path, [step_point(step) for step in range(1, 101)])
    reader = MetricsReader(path)
    reader.read()
    path.unlink()
    write(path, [step_point(step, step_time=9.0) for step in range(1, 201)])
    assert same(reader.read(), MetricsReader(path).read())
    path.unlink()
    assert reader.read().empty


def test_broken_lines_are_left_out_and_the_rest_is_read(path):
    lines = [to_line(step_point(1)), "\0\0\0", "[1, 2]", '{"step": 2}', "{", to_line(step_point(3)), ""]
    path.parent.mkdir()
    path.write_text("\n".join(lines))
    assert MetricsReader(path).read().step.tolist() == [1, 3]


def test_a_run_without_a_gpu_has_no_vram(path):
    write(path, [step_point(step, vram=None) for step in range(1, 5)])
    metrics = MetricsReader(path).read()
    assert metrics.series["vram"].empty
    assert not metrics.series["loss"].empty


# ---- TensorBoard, and what may be imported ------------------------------------------------------------------------


@pytest.mark.slow
def test_tensorboard_holds_the_same_figures_and_forgets_what_is_taken_again(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    first = TensorBoardWriter(tmp_path)
    for step in range(1, 6):
        first.write(step_point(step))
    first.write(evaluation(1))
    first.write(step_point(6, loss=math.nan))
    first.close()
    again = TensorBoardWriter(tmp_path, purge_step=4)
    again.write(step_point(4, loss=7.0))
    again.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert {*events.Tags()["scalars"]} == {*STEP_TAGS.values(), *EVALUATION_TAGS.values()}
    losses = [(event.step, event.value) for event in events.Scalars("train/loss")]
    assert losses == [*((step, pytest.approx(step_point(step).loss)) for step in (1, 2, 3)), (4, 7.0)]


def test_reading_and_drawing_figures_never_imports_torch():
    code = "import sys, ui.plots, pipeline.training.verdict; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0

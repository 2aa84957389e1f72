"""Before training: every row that can't be used is named with its reason, and nothing usable is refused in words."""

import json

import numpy as np
import pytest

from pipeline.audio import CLIP_RATE, write_wav
from pipeline.errors import DatasetError, DatasetMissingError, TrainingError
from pipeline.options import TrainConfig
from pipeline.progress import Progress
from pipeline.training.audit import AuditLimits, Auditor
from pipeline.training.cache import ClipCache
from pipeline.training.run import find_dataset
from pipeline.workspace import write_text
from tests.models import demo_base
from tests.training_data import ClipSpec, add_row, make_project


class Told(Progress):
    """Remembers what it is told."""

    def __init__(self):
        self.lines = []

    def log(self, message, kind="General"):
        self.lines.append(message)


@pytest.fixture
def project(ws):
    return make_project(ws, "anna", [ClipSpec(2, 4), ClipSpec(3, 5)], [ClipSpec(2, 4)])


def audit(project, language="en", **limits):
    from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer

    auditor = Auditor(
        ClipCache(project.cache / "training", "key"),
        VoiceBpeTokenizer(str(demo_base() / "vocab.json")),
        AuditLimits(language, **{"max_seconds": 11.0, "max_audio_positions": 608, **limits}),
    )
    return auditor.audit(project.train_csv, project.eval_csv, Progress())


def add_clip(project, file, text, seconds=2.0):
    write_wav(project.path / file, np.sin(np.arange(int(seconds * CLIP_RATE)) / 20).astype(np.float32) / 2, CLIP_RATE)
    add_row(project.train_csv, file, text)


def test_every_unusable_row_is_named_with_its_reason(project):
    add_row(project.train_csv, "wavs/gone.wav", "Where is it?")
    add_clip(project, "wavs/long.wav", "Too long.", 12.5)
    add_clip(project, "wavs/short.wav", "Too short.", 0.3)
    add_clip(project, "wavs/tokens.wav", "one two three four five six seven " * 20)
    add_clip(project, "wavs/unknown.wav", "Smile ☺ and heart ♥ and smile ☺ again.")
    add_clip(project, "wavs/empty.wav", "  ")
    write_text(project.path / "wavs/text.wav", "this is no sound")
    add_row(project.train_csv, "wavs/text.wav", "No sound.")

    made = audit(project)
    reasons = {row.source.removeprefix("wavs/").removesuffix(".wav"): row.reason for row in made.rejected}
    assert len(made.train) == 2
    assert len(made.eval) == 1
    assert reasons["gone"] == "the file isn't there"
    assert "12.5 s long" in reasons["long"]
    assert "11 s" in reasons["long"]
    assert "0.30 s long" in reasons["short"]
    assert "0.5 s" in reasons["short"]
    assert "tokens, and 200 are the most" in reasons["tokens"]
    assert "“☺” “♥”" in reasons["unknown"]
    assert reasons["empty"] == "its text is empty"
    assert "text.wav" in reasons["text"]
    assert set(reasons) == {"gone", "long", "short", "tokens", "unknown", "empty", "text"}
    assert len(made.warnings) == 7
    assert all(sentence.endswith(".") for sentence in made.warnings)


def test_a_clip_longer_than_the_models_positions_is_named(project):
    add_clip(project, "wavs/long.wav", "Too long for the model.", 29.0)
    (row,) = audit(project, max_seconds=30.0).rejected
    assert "more than this model can take" in row.reason


def test_hindi_digits_are_named(project):
    add_clip(project, "wavs/hindi.wav", "यह 5 है")
    assert any("Hindi" in row.reason for row in audit(project, language="hi").rejected)


def test_usable_clips_keep_their_tokens_and_length(project):
    first = audit(project).train[0]
    assert first.samples == 2 * CLIP_RATE
    assert first.codes == 44
    assert first.tokens.dtype == np.int64
    assert 0 not in first.tokens
    assert 1 not in first.tokens


@pytest.mark.parametrize("split", ["train", "eval"])
def test_nothing_usable_is_refused_in_words(project, split):
    csv = project.train_csv if split == "train" else project.eval_csv
    for row in csv.read_text().splitlines()[1:]:
        (project.path / row.split("|")[0]).unlink()
    with pytest.raises(TrainingError, match=r"none of the \d rows .* can be used; wavs/.*: the file isn't there"):
        audit(project)


def test_a_csv_without_rows_is_refused_in_words(project):
    write_text(project.eval_csv, "audio_file|text|speaker_name\n")
    with pytest.raises(TrainingError, match=r"There is no clip to evaluate with: .* has no rows"):
        audit(project)


def test_a_csv_of_another_kind_is_refused_in_words(project):
    write_text(project.train_csv, "a,b,c\n1,2,3\n")
    with pytest.raises(DatasetError, match="audio_file"):
        audit(project)


# ---- Which dataset ------------------------------------------------------------------------------------------------


def test_ones_own_csv_is_found_with_its_eval_csv_and_language_beside_it(ws, project, tmp_path):
    other = ws.project("other")
    write_text(project.language_file, "de\n")
    found = find_dataset(other, TrainConfig(project="other", train_csv=str(project.train_csv)))
    assert (found.eval_csv, found.language) == (project.eval_csv, "de")


def test_a_dataset_that_lacks_a_part_is_refused_in_words(ws, project):
    other = ws.project("other")
    with pytest.raises(DatasetMissingError):
        find_dataset(other, TrainConfig(project="other"))
    with pytest.raises(TrainingError, match=r"There is no file “/nowhere\.csv”"):
        find_dataset(other, TrainConfig(project="other", train_csv="/nowhere.csv"))
    project.language_file.unlink()
    with pytest.raises(TrainingError, match=r"lang\.txt"):
        find_dataset(other, TrainConfig(project="other", train_csv=str(project.train_csv)))
    project.eval_csv.unlink()
    with pytest.raises(TrainingError, match="Eval CSV file path"):
        find_dataset(other, TrainConfig(project="other", train_csv=str(project.train_csv)))


def test_a_refused_dataset_leaves_no_run_and_speaks_before_training(ws, project):
    from pipeline.training.run import train
    from tests.models import install_demo_base

    install_demo_base(ws)
    write_text(project.eval_csv, "audio_file|text|speaker_name\n")
    with pytest.raises(TrainingError):
        train(ws, TrainConfig(project="anna", base="demo"), Told())
    assert not list(project.runs.glob("*"))


def test_what_is_left_out_is_in_the_log_the_audit_and_the_report(ws, project):
    from pipeline.training.run import train
    from tests.models import install_demo_base

    install_demo_base(ws)
    add_row(project.train_csv, "wavs/gone.wav", "Where is it?")
    told = Told()
    report = train(ws, TrainConfig(project="anna", base="demo", epochs=1, speak_samples=False), told)
    assert any("gone.wav" in line and line.startswith("Warning: ") for line in told.lines)
    assert any("gone.wav" in line for line in report.warnings)
    kept = json.loads((project.runs / report.run / "audit.json").read_text())
    assert kept["rejected"][0]["source"] == "wavs/gone.wav"
    assert (kept["train"], kept["eval"], kept["steps"]) == (2, 1, 1)

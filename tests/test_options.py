"""Options check themselves, and records survive their way through files."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import options
from pipeline.errors import SettingError
from pipeline.options import DatasetOptions, SpeakOptions, TrainConfig
from pipeline.records import Clip, DatasetReport, Recording, Rejection, from_json, to_json
from pipeline.settings import describe

KINDS = [
    DatasetOptions,
    options.ValidateOptions,
    TrainConfig,
    SpeakOptions,
    options.VoiceOptions,
    options.ExportRequest,
    options.CheckOptions,
    options.DemoOptions,
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_is_explained(kind: type) -> None:
    for about in describe(kind).values():
        assert about.label
        assert about.help.endswith("."), about.name


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"language": "xx"}, "Dataset Language “xx”"),
        ({"eval_percent": 90}, "Evaluation Data Split is 90; it must be between 1 and 50 %"),
        ({"min_seconds": 0.5}, "Min Audio Length"),
        ({"precision": "int4"}, "Model Precision"),
        ({"whisper_model": "tiny.en", "language": "de"}, "hears English only, and the language is German"),
        ({"device": "tpu"}, "Device"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        DatasetOptions(project="anna", **wrong)  # type: ignore[arg-type]


def test_speech_needs_words_and_a_reference() -> None:
    with pytest.raises(SettingError, match="Input Text is empty"):
        SpeakOptions(model="m", text="  ", references=("a.wav",))
    with pytest.raises(SettingError, match="no reference"):
        SpeakOptions(model="m", text="Hello.")


def test_records_come_back_from_json_as_they_were() -> None:
    report = DatasetReport(
        project="anna", clips=1, seconds=2.5, train=1, eval=0, added=1,
        rejected=(Rejection("a.wav", "is silent"),), rows=(Clip("wavs/a.wav", "Ça va?", "anna", "train", snr=None),),
    )  # fmt: skip
    assert from_json(DatasetReport, to_json(report)) == report
    config = TrainConfig(project="anna", learning_rate=1e-5)
    assert from_json(TrainConfig, to_json(config)) == config
    recording = Recording(Path("a.wav"), seconds=1.0)
    assert from_json(Recording, to_json(recording)) == recording


def test_a_request_with_a_wrong_field_is_refused_in_words() -> None:
    with pytest.raises(SettingError, match="epochs"):
        from_json(TrainConfig, '{"project": "anna", "epochs": "many"}')

"""What can be deleted as one is deleted whole, nothing else is touched, and never while a job uses it."""

from __future__ import annotations

import sys

import pytest

from pipeline import jobs
from pipeline.errors import JobRunningError
from pipeline.options import DemoOptions
from pipeline.review import reviewed_file
from pipeline.storage import check_not_in_use, dataset_files, delete_all, generated_files, sample_files, total_size
from pipeline.workspace import Project, Workspace, size_of


@pytest.fixture
def project(ws: Workspace) -> Project:
    """Return a project with a file of every kind."""
    project = ws.project("anna")
    for path in (
        project.wavs / "0.wav",
        project.train_csv,
        project.eval_csv,
        project.language_file,
        project.dataset_manifest,
        project.path / "report.json",
        project.validation,
        reviewed_file(project),
        project.settings_file,
        project.cache / "codes" / "0.npy",
        project.runs / "run-1" / "best_model.pth",
        project.speech / "1.wav",
        ws.samples / "voice.wav",
        ws.samples / "more" / "voice.mp3",
        ws.samples / "README.md",
        ws.base_models / "anna" / "model.pth",
        ws.voices / "anna.wav",
        ws.project("ben").train_csv,
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 1000)
    return project


def _names(ws: Workspace) -> set[str]:
    return {path.relative_to(ws.root).as_posix() for path in ws.root.rglob("*") if path.is_file()}


def test_deleting_a_dataset_leaves_runs_speech_settings_and_others(ws: Workspace, project: Project) -> None:
    before, files = _names(ws), dataset_files(project)
    said = total_size(files)
    assert delete_all(ws, files) == said == 9000
    gone = before - _names(ws)
    assert gone == {
        "finetune/anna/wavs/0.wav",
        "finetune/anna/metadata_train.csv",
        "finetune/anna/metadata_eval.csv",
        "finetune/anna/lang.txt",
        "finetune/anna/dataset.json",
        "finetune/anna/report.json",
        "finetune/anna/validation.json",
        "finetune/anna/reviewed.json",
        "finetune/anna/cache/codes/0.npy",
    }
    assert dataset_files(project) == []


def test_deleting_generated_data_leaves_exports_voices_samples_and_settings(ws: Workspace, project: Project) -> None:
    freed = delete_all(ws, generated_files(project))
    assert freed == 11_000
    assert _names(ws) == {
        "finetune/anna/settings.json",
        "finetune/ben/metadata_train.csv",
        "finetune/put-voice-samples-in-here/README.md",
        "finetune/put-voice-samples-in-here/voice.wav",
        "finetune/put-voice-samples-in-here/more/voice.mp3",
        "models/xtts/anna/model.pth",
        "voices/anna.wav",
    }


def test_deleting_samples_keeps_the_folder_and_its_readme(ws: Workspace, project: Project) -> None:
    assert delete_all(ws, sample_files(ws)) == 2000
    assert [path.name for path in ws.samples.iterdir()] == ["README.md"]
    assert sample_files(ws) == []
    assert size_of(project.wavs) == 1000


def test_nothing_is_in_use_where_no_job_runs(ws: Workspace, project: Project) -> None:
    check_not_in_use(ws)
    check_not_in_use(ws, "anna")


def test_what_a_job_works_on_is_in_use(ws: Workspace, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "WORKER", (sys.executable, "-m", "tests.job_worker"))
    job = jobs.start_job(ws, "nap", DemoOptions(project="anna", epochs=600))
    try:
        with pytest.raises(JobRunningError, match="“nap” for project “anna” is running"):
            check_not_in_use(ws, "anna")
        check_not_in_use(ws, "ben")
    finally:
        jobs.kill_job(ws, job)
    check_not_in_use(ws, "anna")

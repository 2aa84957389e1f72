"""A voice is found by every name it goes by, and what is missing is said."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pipeline.errors import FinetuneError, ModelError, ModelMissingError
from pipeline.voices import base_of, find_voice, speech_folder
from pipeline.workspace import Workspace

from .models import install_demo_base, make_run


def test_a_models_folder_a_project_a_run_and_paths_are_voices(ws: Workspace) -> None:
    older = make_run(ws, name="run-20240101-000000")
    newer = make_run(ws, name="run-20240102-000000")
    base = ws.base_models / "demo"
    assert find_voice(ws, "demo").model == base / "model.pth"
    assert find_voice(ws, "anna").model == newer.best_model
    assert find_voice(ws, "anna/run-20240101-000000").model == older.best_model
    assert find_voice(ws, str(older.folder)).model == older.best_model
    assert find_voice(ws, str(older.best_model)).vocab == older.vocab
    assert find_voice(ws, str(base)).speakers == base / "speakers_xtts.pth"


def test_the_latest_run_is_the_newest_that_has_a_model(ws: Workspace) -> None:
    older = make_run(ws, name="run-20240101-000000")
    make_run(ws, name="run-20240102-000000").best_model.unlink()
    assert find_voice(ws, "anna").model == older.best_model


def test_a_relative_path_is_a_voice(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = install_demo_base(ws)
    monkeypatch.chdir(ws.root)
    assert find_voice(ws, os.path.join("models", "xtts", "demo")).model == folder / "model.pth"  # noqa: PTH118


def test_a_run_takes_speakers_and_mel_stats_from_its_base(ws: Workspace) -> None:
    run = make_run(ws)
    base = ws.base_models / "demo"
    assert base_of(ws, run.folder) == base
    assert find_voice(ws, "anna").mel_stats == base / "mel_stats.pth"


def test_a_moved_workspace_finds_the_base_again_by_its_name(ws: Workspace, tmp_path: Path) -> None:
    make_run(ws)
    ws.root.rename(tmp_path / "moved")
    moved = Workspace(tmp_path / "moved")
    voice = find_voice(moved, "anna")
    assert voice.speakers == moved.base_models / "demo" / "speakers_xtts.pth"


def test_a_run_without_its_base_is_still_a_voice(ws: Workspace) -> None:
    run = make_run(ws)
    shutil.rmtree(ws.base_models / "demo")
    assert base_of(ws, run.folder) is None
    assert find_voice(ws, "anna").speakers is None
    run.train_config.write_text("{", encoding="utf-8")
    assert base_of(ws, run.folder) is None


@pytest.mark.parametrize("name", ["", "nobody", "nobody/none", "../../etc", "/nowhere/at/all", "a\0b", "..", "."])
def test_no_voice_is_told_in_words(ws: Workspace, name: str) -> None:
    with pytest.raises(FinetuneError):
        find_voice(ws, name)


def test_what_a_voice_lacks_is_named(ws: Workspace) -> None:
    run = make_run(ws)
    run.vocab.unlink()
    with pytest.raises(ModelMissingError, match=r"lacks vocab\.json"):
        find_voice(ws, "anna")
    (ws.project("new").path).mkdir()
    with pytest.raises(ModelMissingError, match="no trained model yet"):
        find_voice(ws, "new")
    with pytest.raises(ModelError, match=r"isn't a model"):
        find_voice(ws, str(run.config))


def test_a_projects_speech_is_kept_with_the_project(ws: Workspace) -> None:
    make_run(ws)
    assert speech_folder(ws, find_voice(ws, "anna")) == ws.project("anna").speech
    assert speech_folder(ws, find_voice(ws, "demo")).parent == ws.projects_folder

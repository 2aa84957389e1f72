"""An exported voice is whole, loads in stock Coqui and has spoken; or there is none."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch

from pipeline import export
from pipeline.base_models import REQUIRED_FILES, inspect_model
from pipeline.errors import FinetuneError, InvalidNameError, ModelError, ModelMissingError, Stopped, WorkspaceError
from pipeline.export import MANIFEST, SPOKEN, export_voice
from pipeline.jobs import end_job, kill_job, read_job, start_job
from pipeline.options import ExportRequest
from pipeline.progress import Progress
from pipeline.records import ExportedVoice
from pipeline.training.runs import RunFiles
from pipeline.weights import read_state
from pipeline.workspace import REPOSITORY, Workspace

from .models import make_clips, make_run

LENGTHS = {"short.wav": 2.0, "good.wav": 6.5, "long.wav": 30.5}


@pytest.fixture
def run(ws: Workspace) -> RunFiles:
    files = make_run(ws)
    make_clips(ws.project("anna"), LENGTHS)
    return files


@pytest.fixture
def untried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the trial, which takes seconds: for what is decided before and after it."""

    def write_sound(parts: object, folder: Path, *_: object) -> None:
        (folder / SPOKEN).write_bytes(b"sound")

    monkeypatch.setattr(export, "_try", write_sound)


def _request(**more: object) -> ExportRequest:
    return ExportRequest(**{"project": "anna", "name": "Anna 2", "device": "cpu", **more})  # type: ignore[arg-type]


def _all_files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# ---- The whole of it ----------------------------------------------------------------------------------------------


def test_an_exported_voice_is_whole_and_stock_coqui_loads_it_and_speaks(ws: Workspace, run: RunFiles) -> None:
    exported = export_voice(ws, _request(), Progress())
    folder = ws.base_models / "Anna 2"
    assert Path(exported.path) == folder
    assert inspect_model(folder).whole
    wavs = {"wavs/too_short/short.wav", "wavs/suitable/good.wav", "wavs/too_long/long.wav", "wavs/audio_report.txt"}
    assert _all_files(folder) == {*REQUIRED_FILES, "demo.json", SPOKEN, MANIFEST, *wavs}
    assert exported.spoken == SPOKEN
    _check_manifest(folder, exported)
    _check_stock_coqui(folder)


def _check_manifest(folder: Path, exported: ExportedVoice) -> None:
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    assert {file["name"] for file in manifest["files"]} == _all_files(folder) - {MANIFEST}
    assert [file.name for file in exported.files] == [file["name"] for file in manifest["files"]]
    for file in manifest["files"]:
        content = (folder / file["name"]).read_bytes()
        assert (file["bytes"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert (manifest["project"], manifest["run"], manifest["demo"]) == ("anna", "run-20240101-000000", True)


def _check_stock_coqui(folder: Path) -> None:
    """Load and speak with nothing but coqui-tts, as its documentation says, and see that it leaves the files alone."""
    from TTS.tts.configs.xtts_config import XttsConfig
    from TTS.tts.models.xtts import Xtts

    before = (folder / "model.pth").read_bytes()
    config = XttsConfig()
    config.load_json(str(folder / "config.json"))
    with pytest.warns(UserWarning, match="deprecated"):  # what most programs still call
        model = Xtts.init_from_config(config)
    model.load_checkpoint(config, checkpoint_dir=folder)
    (speaker,) = model.speaker_manager.speakers.values()
    said = model.inference("Hi.", "en", speaker["gpt_cond_latent"], speaker["speaker_embedding"], max_new_tokens=20)
    assert len(said["wav"]) > 0
    assert (folder / "model.pth").read_bytes() == before


def test_half_precision_is_half_the_size_and_speaks_too(ws: Workspace, run: RunFiles) -> None:
    exported = export_voice(ws, _request(half=True), Progress())
    sizes = {file.name: file.bytes for file in exported.files}
    assert sizes["model.pth"] == pytest.approx(run.best_model.stat().st_size / 2, rel=0.02)
    state = read_state(Path(exported.path) / "model.pth")
    assert {value.dtype for value in state.values() if value.is_floating_point()} == {torch.float16}


@pytest.mark.usefixtures("untried")
def test_a_trainers_checkpoint_is_exported_without_optimizer_and_dvae(ws: Workspace, run: RunFiles) -> None:
    state = read_state(run.best_model)
    beside = {"dvae.embed": torch.zeros(5), **{f"xtts.{key}": value for key, value in state.items()}}
    torch.save({"model": beside, "optimizer": {"state": torch.zeros(9)}}, run.folder / "checkpoint_7.pth")
    exported = export_voice(ws, _request(checkpoint="checkpoint_7.pth"), Progress())
    saved = torch.load(Path(exported.path) / "model.pth", weights_only=True)
    assert saved.keys() == {"model", "config"}
    assert saved["model"].keys() == state.keys()


@pytest.mark.usefixtures("untried")
def test_a_project_without_clips_is_exported_with_empty_folders(ws: Workspace) -> None:
    make_run(ws)
    exported = export_voice(ws, _request(), Progress())
    assert "0 clips" in (Path(exported.path) / "wavs" / "audio_report.txt").read_text(encoding="utf-8")
    assert sorted(path.name for path in (Path(exported.path) / "wavs").iterdir() if path.is_dir()) == [
        "suitable", "too_long", "too_short",
    ]  # fmt: skip


def test_a_voice_that_does_not_work_is_not_kept(ws: Workspace, run: RunFiles) -> None:
    state = {key: value for key, value in read_state(run.best_model).items() if "gpt.final_norm" not in key}
    run.best_model.unlink()
    torch.save({"model": state}, run.best_model)
    with pytest.raises(ModelError, match=r"isn't kept: .*final_norm|isn't kept: RuntimeError"):
        export_voice(ws, _request(), Progress())
    assert [path.name for path in ws.base_models.iterdir() if not path.name.startswith(".demo")] == ["demo"]


# ---- What is refused ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("untried")
def test_a_folder_that_is_there_is_replaced_only_on_request(ws: Workspace, run: RunFiles) -> None:
    export_voice(ws, _request(), Progress())
    (ws.base_models / "Anna 2" / "note.txt").write_text("mine")
    with pytest.raises(WorkspaceError, match="is there already"):
        export_voice(ws, _request(), Progress())
    assert (ws.base_models / "Anna 2" / "note.txt").exists()
    export_voice(ws, _request(overwrite=True), Progress())
    assert not (ws.base_models / "Anna 2" / "note.txt").exists()


@pytest.mark.usefixtures("untried")
def test_what_is_no_exported_voice_is_never_replaced(ws: Workspace, run: RunFiles) -> None:
    shutil.copytree(ws.base_models / "demo", ws.base_models / "xtts-v2")
    with pytest.raises(WorkspaceError, match="isn't an exported voice"):
        export_voice(ws, _request(name="xtts-v2", overwrite=True), Progress())
    with pytest.raises(InvalidNameError, match="demo"):
        export_voice(ws, _request(name="Demo", overwrite=True), Progress())
    (ws.base_models / "demo").rename(ws.base_models / "voice")
    (ws.base_models / "voice" / MANIFEST).write_text("{}", encoding="utf-8")
    settings = json.loads(run.train_config.read_text(encoding="utf-8"))
    run.train_config.write_text(json.dumps({**settings, "base": str(ws.base_models / "voice")}), encoding="utf-8")
    with pytest.raises(WorkspaceError, match="trained from"):
        export_voice(ws, _request(name="voice", overwrite=True), Progress())


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (_request(project="nobody"), "no project “nobody”"),
        (_request(run="run-1"), "has no run “run-1”; it has run-20240101-000000"),
        (_request(checkpoint="none.pth"), r"no checkpoint “none\.pth”; it has best_model\.pth"),
        (_request(checkpoint="../../x.pth"), "isn't a file's name"),
        (_request(checkpoint="config.json"), "no checkpoint"),
        (_request(name="../x"), "can't be used"),
        (_request(name="con"), "can't be used"),
        (_request(project="../x"), "can't be used"),
    ],
)
def test_wrong_requests_are_refused_in_words_and_leave_nothing(
    ws: Workspace, run: RunFiles, request_: ExportRequest, error: str
) -> None:
    with pytest.raises(FinetuneError, match=error):
        export_voice(ws, request_, Progress())
    assert sorted(path.name for path in ws.base_models.iterdir()) == ["demo"]


def test_a_base_that_is_gone_or_not_whole_is_told(ws: Workspace, run: RunFiles) -> None:
    (ws.base_models / "demo" / "dvae.pth").unlink()
    with pytest.raises(ModelMissingError, match=r"dvae\.pth is missing in"):
        export_voice(ws, _request(), Progress())
    shutil.rmtree(ws.base_models / "demo")
    with pytest.raises(ModelMissingError, match="is gone"):
        export_voice(ws, _request(), Progress())


def test_a_project_that_was_never_trained_is_told(ws: Workspace) -> None:
    make_clips(ws.project("anna"), {"a.wav": 2.0})
    with pytest.raises(ModelMissingError, match="no trained model yet"):
        export_voice(ws, _request(), Progress())


@pytest.mark.usefixtures("untried")
def test_a_full_disk_is_told_before_anything_is_written(
    ws: Workspace, run: RunFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(ws.root)
    monkeypatch.setattr(export.shutil, "disk_usage", lambda path: usage._replace(free=1_000_000))
    with pytest.raises(WorkspaceError, match=r"needs 0\.\d GB and 0\.0 GB are free"):
        export_voice(ws, _request(), Progress())


# ---- Stopping -----------------------------------------------------------------------------------------------------


class StopsAt(Progress):
    """Asks to stop as soon as it is told that something begins."""

    def __init__(self, message: str) -> None:
        self._message = message
        self._stop = False

    def update(self, fraction: float | None, message: str) -> None:
        self._stop = self._stop or message.startswith(self._message)

    @property
    def stop_requested(self) -> bool:
        return self._stop


@pytest.mark.parametrize("message", ["Writing the weights", "Copying", "Trying", "Writing the manifest"])
def test_a_stop_at_any_moment_leaves_no_folder_and_no_process(
    ws: Workspace, run: RunFiles, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if message == "Writing the manifest":
        monkeypatch.setattr(export, "_try", lambda *_: None)
    with pytest.raises(Stopped):
        export_voice(ws, _request(), StopsAt(message))
    assert sorted(path.name for path in ws.base_models.iterdir()) == ["demo"]
    assert not [child for child in psutil.Process().children() if "pipeline.trial" in " ".join(child.cmdline())]


def _wait(ready: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)


def test_a_stopped_job_leaves_nothing_and_a_killed_one_is_cleared_by_the_next(
    ws: Workspace, run: RunFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = start_job(ws, "export", _request())
    _wait(lambda: "Trying" in read_job(ws, job).message)
    assert end_job(ws, job, grace=30.0).state == "stopped"
    assert sorted(path.name for path in ws.base_models.iterdir()) == ["demo"]

    job = start_job(ws, "export", _request())
    _wait(lambda: "Trying" in read_job(ws, job).message)
    children = psutil.Process(json.loads((ws.jobs / job / "process.json").read_text())["pid"]).children(recursive=True)
    kill_job(ws, job)
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert not (ws.base_models / "Anna 2").exists()
    assert [path for path in ws.base_models.iterdir() if path.name.startswith(".Anna 2.")]

    monkeypatch.setattr(export, "_try", lambda parts, folder, *_: (folder / SPOKEN).write_bytes(b"sound"))
    export_voice(ws, _request(), Progress())
    assert sorted(path.name for path in ws.base_models.iterdir()) == ["Anna 2", "demo"]


@pytest.mark.usefixtures("untried")
def test_a_folder_that_a_killed_export_was_replacing_is_put_back(ws: Workspace, run: RunFiles) -> None:
    export_voice(ws, _request(), Progress())
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    (ws.base_models / "Anna 2").rename(ws.base_models / f".Anna 2.{gone.stdout.strip()}.old")
    with pytest.raises(WorkspaceError, match="is there already"):
        export_voice(ws, _request(), Progress())
    assert (ws.base_models / "Anna 2" / MANIFEST).is_file()


def test_importing_the_trial_does_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, pipeline.trial; print('torch' in sys.modules)"],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ},
    )
    assert done.stdout.strip() == "False", done.stderr

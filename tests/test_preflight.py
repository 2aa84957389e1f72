"""Every check says what it found; a missing GPU is a note; what fails stops no other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pipeline import preflight
from pipeline.device import Vram
from pipeline.errors import DeviceError, Stopped
from pipeline.options import CheckOptions
from pipeline.preflight import DEEP_CHECKS, QUICK_CHECKS, run_checks
from pipeline.progress import Progress
from pipeline.records import Check, CheckReport
from pipeline.workspace import Workspace

from .models import install_demo_base

NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


def _by_name(report: CheckReport) -> dict[str, Check]:
    return {check.name: check for check in report.checks}


@pytest.fixture
def one(ws: Workspace) -> Callable[..., Check]:
    """Return a function that does one check by its name."""

    def do(name: str, **options: object) -> Check:
        bench = preflight._Bench(ws, CheckOptions(**options), Progress())  # type: ignore[arg-type]
        return preflight._tried(name, {**QUICK_CHECKS, **DEEP_CHECKS}[name], bench)

    return do


def test_the_quick_checks_are_those_of_the_checklist_and_each_tells_what_it_found(ws: Workspace) -> None:
    report = run_checks(ws, CheckOptions(), Progress())
    assert [check.name for check in report.checks] == [
        "Disk space", "RAM", "GPU VRAM", "CUDA", "PyTorch", "TTS version", "Base model", "Recommendation",
    ]  # fmt: skip
    assert all(check.detail for check in report.checks)
    assert all(check.remedy for check in report.checks if check.status in ("warning", "failed"))
    assert report.ok == all(check.status != "failed" for check in report.checks)


@NO_GPU
def test_a_missing_gpu_is_a_note_and_asking_for_one_a_failure(one: Callable[..., Check]) -> None:
    assert one("GPU VRAM").status == "warning"
    assert one("CUDA").status == "warning"
    assert one("CUDA", device="cuda").status == "failed"
    assert "CPU" in one("Recommendation").detail


def test_every_deep_check_really_does_its_work(ws: Workspace) -> None:
    report = _by_name(run_checks(ws, CheckOptions(deep=True, device="cpu"), Progress()))
    assert list(report)[-3:] == ["Whisper", "MP3", "Tokenizer"]
    assert report["Whisper"].status == "ok", report["Whisper"]
    assert "on the CPU hears: “" in report["Whisper"].detail
    assert report["MP3"].status == "ok", report["MP3"]
    assert "440 Hz" in report["MP3"].detail
    assert report["Tokenizer"].status == "ok"


@pytest.mark.parametrize("language", ["ja", "zh", "ko"])
def test_the_tokenizer_reads_a_sentence_with_a_models_vocabulary(
    ws: Workspace, one: Callable[..., Check], language: str
) -> None:
    install_demo_base(ws)
    check = one("Tokenizer", language=language)
    assert (check.status, "0 unknown" in check.detail) == ("ok", True)


def test_a_whisper_model_that_is_not_there_fails_in_words(ws: Workspace) -> None:
    check = _by_name(run_checks(ws, CheckOptions(deep=True, whisper_model="/nowhere", device="cpu"), Progress()))[
        "Whisper"
    ]
    assert check.status == "failed"
    assert "/nowhere" in check.detail


def test_whisper_that_hears_something_else_fails() -> None:
    assert preflight._share_known("") == 0.0
    assert preflight._share_known("xyzzy plugh quux") < 0.5
    assert preflight._share_known("The key to the old house is under the stone") > 0.9


def test_base_models_are_named_and_those_that_are_not_whole_too(ws: Workspace, one: Callable[..., Check]) -> None:
    assert one("Base model").status == "warning"
    folder = install_demo_base(ws, "xtts-v2")
    (folder / "demo.json").unlink()
    (install_demo_base(ws, "broken") / "dvae.pth").unlink()
    check = one("Base model")
    assert check.status == "ok"
    assert check.detail == "xtts-v2. Not whole: broken lacks dvae.pth."


def test_little_space_and_memory_are_told_with_what_to_do(
    one: Callable[..., Check], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = preflight.shutil.disk_usage("/")
    for free, status in ((1e9, "failed"), (8e9, "warning"), (90e9, "ok")):
        monkeypatch.setattr(preflight.shutil, "disk_usage", lambda path, free=free: usage._replace(free=int(free)))
        check = one("Disk space")
        assert (check.status, bool(check.remedy)) == (status, status != "ok")
    monkeypatch.setattr(preflight, "_container_limit", lambda: int(4e9))
    assert one("RAM").status == "failed"


def test_a_gpu_that_others_use_is_told(one: Callable[..., Check], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "read_vram", lambda: Vram("Card", int(24e9), int(23e9)))
    assert one("GPU VRAM").status == "ok"
    monkeypatch.setattr(preflight, "read_vram", lambda: Vram("Card", int(24e9), int(10e9)))
    check = one("GPU VRAM")
    assert (check.status, "14.0 GB" in check.remedy) == ("warning", True)
    monkeypatch.setattr(preflight, "read_vram", lambda: Vram("Card", int(2e9), int(2e9)))
    assert one("GPU VRAM").status == "warning"


def test_a_check_that_fails_stops_no_other(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver() -> Vram:
        raise DeviceError("The driver doesn't answer: restart the machine.")

    def no_library(bench: object) -> Check:
        raise ImportError("libc10_cuda.so: no such file")

    monkeypatch.setattr(preflight, "read_vram", no_driver)
    monkeypatch.setitem(preflight.QUICK_CHECKS, "PyTorch", no_library)
    report = run_checks(ws, CheckOptions(device="cpu"), Progress())
    found = _by_name(report)
    assert not report.ok
    assert found["GPU VRAM"].detail.startswith("The driver")
    assert "libc10_cuda" in found["PyTorch"].detail
    assert found["PyTorch"].remedy
    assert len(found) == len(QUICK_CHECKS)


def test_other_versions_than_those_tested_are_noted() -> None:
    assert preflight._pinned("torch")
    assert preflight._pinned("coqui-tts")
    assert preflight._versioned("PyTorch", "2.10.1+cu128", "2.10.0", "").status == "ok"
    assert preflight._versioned("PyTorch", "2.7.0", "2.10.0", "").status == "warning"
    assert preflight._versioned("PyTorch", "2.7.0", "", "").status == "ok"


def test_the_checks_can_be_stopped(ws: Workspace) -> None:
    class Stop(Progress):
        @property
        def stop_requested(self) -> bool:
            return True

    with pytest.raises(Stopped):
        run_checks(ws, CheckOptions(), Stop())


def test_the_checks_leave_the_workspace_as_it_was(ws: Workspace) -> None:
    def files() -> list[Path]:
        return sorted(ws.root.rglob("*"))

    before = files()
    run_checks(ws, CheckOptions(device="cpu"), Progress())
    assert files() == before

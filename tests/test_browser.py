"""The whole job in a real browser, by clicking through the tabs with the demo kit."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from pipeline.base_models import REQUIRED_FILES
from pipeline.workspace import DEMO_VOICE

from .browser import Server, Visitor, find_browser, open_browser, serve, wait_until

PROJECT = "trial"
EPOCHS = 8  # long enough to reload the page while it runs

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def server(browser: Browser, workspace: Path) -> Iterator[Server]:
    with serve(workspace) as server:
        yield server


@pytest.fixture(scope="module")
def visitor(browser: Browser, server: Server, workspace: Path) -> Iterator[Visitor]:
    page = browser.new_page(viewport={"width": 1360, "height": 1000})
    page.goto(server.url)
    visitor = Visitor(page)
    visitor.visible("#steps").first.wait_for()
    yield visitor
    page.screenshot(path=workspace / "last.png", full_page=True)  # for whoever looks into a failure


def test_the_page_answers_within_four_seconds(server: Server) -> None:
    print(f"The page answered after {server.seconds:.1f} CPU seconds.")
    assert server.seconds < 4  # of computing, so that a machine busy with something else doesn't matter


def test_the_whole_job_by_clicking(visitor: Visitor, workspace: Path) -> None:
    make_project(visitor, workspace)
    check_machine(visitor)
    create_dataset(visitor, workspace)
    validate(visitor)
    train(visitor, workspace)
    speak(visitor, workspace)
    export(visitor, workspace)
    assert not visitor.errors


def make_project(visitor: Visitor, workspace: Path) -> None:
    visitor.fill("New project", PROJECT)
    visitor.press("Create")
    wait_until(lambda: visitor.field("Project").input_value() == PROJECT)
    assert (workspace / "finetune" / PROJECT).is_dir()


def check_machine(visitor: Visitor) -> None:
    visitor.go_to_tab("🚀 Pre-flight Checklist")
    visitor.press("Run System Checks")
    visitor.wait_for_job()
    visitor.visible("#check-boxes .box").first.wait_for()
    boxes = visitor.visible("#check-boxes .box").all_inner_texts()
    assert any("disk" in box.lower() for box in boxes), boxes


def create_dataset(visitor: Visitor, workspace: Path) -> None:
    visitor.go_to_tab("📁 Step 1 - Generating the dataset")
    visitor.page.locator("#upload-samples input[type=file]").set_input_files(DEMO_VOICE)
    visitor.visible(f"#recordings >> text={DEMO_VOICE.name}").first.wait_for()
    visitor.choose("Whisper Model", "demo")
    visitor.press("Step 1 - Create dataset")
    visitor.wait_for_job()
    assert (workspace / "finetune" / PROJECT / "metadata_train.csv").is_file()


def validate(visitor: Visitor) -> None:
    visitor.go_to_tab("📊 Dataset Validation")
    visitor.choose("Whisper Model", "demo")
    visitor.press("Run Validation")
    visitor.wait_for_job()
    visitor.visible("text=Whisper Text").first.wait_for()


def train(visitor: Visitor, workspace: Path) -> None:
    visitor.go_to_tab("💻 Step 2 - Training")
    visitor.choose("Select the Model to train", "demo")
    visitor.fill("Number of epochs", str(EPOCHS))
    visitor.choose("Learning Rate", "1e-3")
    visitor.press("Step 2 - Run the training")
    visitor.wait_for_job("running", "left")  # so it has begun, and says how long it will take
    visitor.page.reload()
    visitor.visible("#steps").first.wait_for()
    wait_until(lambda: visitor.field("Project").input_value() == PROJECT)
    wait_until(lambda: "Training" in visitor.visible("#now-running").inner_text())
    visitor.wait_for_job("running", "so far")  # the tab shows a run that this page hasn't started
    visitor.wait_for_job()
    visitor.visible(".js-plotly-plot").first.wait_for()
    reports = list((workspace / "finetune" / PROJECT / "runs").glob("*/report.json"))
    assert len(reports) == 1
    report = json.loads(reports[0].read_text(encoding="utf-8"))
    assert report["epochs"] == EPOCHS
    assert report["best_loss"] < report["first_loss"]


def speak(visitor: Visitor, workspace: Path) -> None:
    visitor.go_to_tab("✅ Step 3 - Testing")
    visitor.fill("Input Text", "The river was high after the rain.")
    visitor.press("Generate TTS")
    visitor.visible("text=/Spoke [0-9.]+ seconds/").first.wait_for(timeout=180_000)
    assert list((workspace / "finetune" / PROJECT / "speech").glob("*.wav"))


def export(visitor: Visitor, workspace: Path) -> None:
    visitor.go_to_tab("📦 Model Export")
    visitor.press("Compact and move model")
    visitor.wait_for_job()
    visitor.visible("#export-files >> text=model.pth").first.wait_for()
    folder = workspace / "models" / "xtts" / PROJECT
    assert set(REQUIRED_FILES) <= {path.name for path in folder.iterdir()}
    assert (folder / "wavs" / "audio_report.txt").is_file()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_pages_process_never_loaded_torch(visitor: Visitor, server: Server) -> None:
    assert "libtorch" not in Path(f"/proc/{server.process.pid}/maps").read_text()


def test_a_reload_shows_every_result_again(visitor: Visitor) -> None:
    visitor.page.reload()
    visitor.visible("#steps").first.wait_for()
    for title in ("📁 Step 1 - Generating the dataset", "💻 Step 2 - Training", "📦 Model Export"):
        visitor.go_to_tab(title)
        visitor.wait_for_job(seconds=30)


def test_without_a_browser_ci_fails_and_others_are_told_why_nothing_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no Chromium"):
        find_browser()
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="no Chromium"):
        find_browser()

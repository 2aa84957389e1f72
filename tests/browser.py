"""The page in a real browser: finds one, serves a workspace, and clicks as a person does."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright

REPOSITORY = Path(__file__).resolve().parent.parent
QUIET = ("background-networking", "component-update", "sync")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", *(f"--disable-{what}" for what in QUIET)]
PATIENCE = 60.0  # seconds for the page to show something: a machine may be busy


def find_browser() -> str:
    """Return a Chromium. Without one the test is skipped, in CI it fails: there it would never be noticed."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    if os.environ.get("CI"):
        pytest.fail("There is no Chromium on this machine: install one (apt-get install chromium).")
    pytest.skip("There is no Chromium on this machine: install one to run this test.")


@contextmanager
def open_browser() -> Iterator[Browser]:
    executable = find_browser()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@dataclass(frozen=True)
class Server:
    """`python finetune.py ui` on a workspace."""

    url: str
    process: subprocess.Popen[str]
    seconds: float  # of computing from its start until it answered


@contextmanager
def serve(workspace: Path) -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(REPOSITORY / "finetune.py"), "ui", "--no-browser", "--port", str(port)]
    with (workspace / "ui.log").open("w") as log:
        process = subprocess.Popen([*command, "--workspace", str(workspace)], stdout=log, stderr=log, text=True)
        url = f"http://127.0.0.1:{port}/"
        try:
            wait_until(lambda: answers(url) or process.poll() is not None)
            assert process.poll() is None, (workspace / "ui.log").read_text()
            times = psutil.Process(process.pid).cpu_times()
            yield Server(url, process, times.user + times.system)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"It did not come about within {seconds:.0f} seconds."
        time.sleep(0.05)


class Visitor:
    """A person at the page: sees what is visible, clicks, types and chooses."""

    def __init__(self, page: Page) -> None:
        self.page = page
        page.set_default_timeout(PATIENCE * 1000)
        self.errors: list[str] = []
        page.on("pageerror", lambda fault: self.errors.append(str(fault)))

    def visible(self, selector: str) -> Locator:
        return self.page.locator(selector).filter(visible=True)

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).filter(visible=True).first.click()

    def go_to_tab(self, title: str) -> None:
        self.page.get_by_role("tab", name=title, exact=True).filter(visible=True).first.click()

    def field(self, label: str) -> Locator:
        """Return the input under a label. Gradio's label elements hold more than the label, so get_by_label fails."""
        words = f"//span[@data-testid='block-info'][normalize-space()='{label}']"
        block = "/ancestor::*[contains(concat(' ', @class, ' '), ' block ')][1]"
        return self.visible(f"xpath={words}{block}//*[self::input or self::textarea]").first

    def fill(self, label: str, value: str) -> None:
        field = self.field(label)
        field.fill(value)
        field.press("Tab")

    def choose(self, label: str, option: str) -> None:
        """Choose in a drop-down by what it shows."""
        field = self.field(label)
        field.click()
        field.fill(option)
        self.page.get_by_role("option", name=option).filter(visible=True).first.click()

    def job(self) -> str:
        """Return what the panel of the tab in view says of its job."""
        panels = self.visible(".job-panel")
        return str(panels.first.inner_text()) if panels.count() else ""

    def wait_for_job(self, kind: str = "ok", words: str = "", seconds: float = 600) -> None:
        """Wait until the job in view runs or is done (`running`, `ok`) and says these words.

        What it says of a failure ends the wait.
        """
        deadline = time.monotonic() + seconds
        while not (self.visible(f".job-panel .job.{kind}").count() and words in self.job()):
            failed = self.visible(".job-panel .job.failed")
            assert not failed.count(), failed.first.inner_text()
            assert time.monotonic() < deadline, f"The job never was “{kind} {words}”; it says: {self.job()}"
            self.page.wait_for_timeout(200)

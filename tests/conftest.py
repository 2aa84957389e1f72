"""What every test may use: a workspace of its own, and the command line as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Before torch is imported anywhere: threads that wait shall sleep, or tests beside each other crawl (pipeline/jobs.py).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

from pipeline.workspace import Workspace

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    """Return an empty workspace, ready to use."""
    workspace = Workspace(tmp_path / "workspace")
    workspace.prepare()
    return workspace


@pytest.fixture
def cli(ws: Workspace) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs `python finetune.py …` in the workspace of the test."""

    def run(*arguments: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(REPOSITORY / "finetune.py"), *arguments, "--workspace", str(ws.root)],
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )

    return run


@pytest.fixture
def cli_json(cli: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., Any]:
    """Return a function that runs a command with --json and returns what standard output holds."""

    def run(*arguments: str, timeout: float = 600) -> Any:
        done = cli(*arguments, "--json", timeout=timeout)
        assert done.returncode == 0, f"{arguments} ended with {done.returncode}: {done.stderr}"
        return json.loads(done.stdout)

    return run

"""The command line refuses what is wrong with one sentence and status 1, and does nothing else."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.settings import describe
from pipeline.worker import STAGES
from pipeline.workspace import Workspace

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dataset", "../x"], "project name “../x”"),
        (["dataset", "anna", "--language", "xx"], "Dataset Language “xx”"),
        (["dataset", "anna", "--min-seconds", "much"], "--min-seconds"),
        (["train", "a/b"], "project name"),
        (["train", "anna", "--epochs", "0"], "Number of epochs is 0"),
        (["train", "anna", "--optimizer", "Magic"], "Optimizer “Magic”"),
        (["export", "anna", "CON"], "model name “CON”"),
        (["say", "anna", "Hello."], "no reference"),
        (["bogus"], "bogus"),
        (["dataset"], "project"),
    ],
)
def test_wrong_input_gets_one_sentence_and_status_1(cli: Run, ws: Workspace, arguments: list[str], said: str) -> None:
    done = cli(*arguments)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""
    assert not list(ws.jobs.glob("*-*")), "no job was started"


@pytest.mark.parametrize("arguments", [["download", "--accept-license"], ["evaluate", "anna"]])
def test_what_is_not_built_yet_says_so_and_exits_with_2(cli: Run, arguments: list[str]) -> None:
    done = cli(*arguments)
    assert done.returncode == 2
    assert "isn't built yet" in done.stderr


def test_with_json_a_fault_is_an_object_too(cli: Run) -> None:
    done = cli("dataset", "../x", "--json")
    assert "../x" in json.loads(done.stdout)["error"]


def test_projects_of_an_empty_workspace_are_an_empty_list(cli_json: Callable[..., Any]) -> None:
    assert cli_json("projects") == []


def test_every_setting_is_an_option_with_its_default(cli: Run) -> None:
    from cli.commands import app

    commands = {command.callback.__name__: command for command in app.registered_commands if command.callback}
    for command, stage in {"dataset": "dataset", "validate": "validate", "train": "train", "export": "export",
                           "say": "speak", "doctor": "checks", "demo": "demo"}.items():  # fmt: skip
        from pipeline import options

        wanted = set(describe(getattr(options, STAGES[stage][0])))
        offered = set(commands[command].callback.__signature__.parameters)  # type: ignore[union-attr]
        assert wanted <= offered, command


def test_help_needs_no_torch(tmp_path: Path) -> None:
    import sys

    code = "import sys; from cli.commands import main; main(['--help']); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent, capture_output=True)

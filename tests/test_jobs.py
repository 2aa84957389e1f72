"""A job can be watched, stopped, killed and found again; only what is on disk is needed for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pipeline import jobs
from pipeline.errors import JobError, JobRunningError
from pipeline.options import CheckOptions, DemoOptions
from pipeline.worker import FileProgress
from pipeline.workspace import Workspace


@pytest.fixture(autouse=True)
def _small_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "WORKER", (sys.executable, "-m", "tests.job_worker"))


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it didn't come to pass"
        time.sleep(0.02)


def start(ws: Workspace, stage: str, tenths: int = 3) -> str:
    return jobs.start_job(ws, stage, DemoOptions(project="anna", epochs=tenths, seed=5))


def test_a_job_is_done_with_its_report_and_every_event(ws: Workspace) -> None:
    job = start(ws, "nap")
    events = list(jobs.watch_job(ws, job))
    status = jobs.read_job(ws, job)
    assert (status.state, status.fraction, status.message) == ("done", 1.0, "Rested")
    assert status.result == {"path": str(ws.root), "seconds": 0.3, "seed": 5}
    assert [event["message"] for event in events if event["type"] == "log"] == ["breath 0", "breath 1", "breath 2"]
    assert status.project == "anna"


def test_a_second_heavy_job_is_refused_in_words_and_a_light_one_is_not(ws: Workspace) -> None:
    job = start(ws, "nap", 100)
    with pytest.raises(JobRunningError, match="“nap” for project “anna” is running"):
        start(ws, "nap")
    light = jobs.start_job(ws, "checks", CheckOptions())
    list(jobs.watch_job(ws, light))
    assert jobs.read_job(ws, light).state == "done"
    running = jobs.running_job(ws)
    assert running is not None
    assert running.id == job
    jobs.end_job(ws, job)
    assert jobs.running_job(ws) is None
    assert jobs.end_job(ws, start(ws, "nap", 100)).state == "stopped"


def test_a_resident_voice_gives_way(ws: Workspace) -> None:
    voice = start(ws, "voice", 100)
    job = start(ws, "nap", 1)
    assert jobs.read_job(ws, voice).state == "stopped"
    list(jobs.watch_job(ws, job))
    assert jobs.read_job(ws, job).state == "done"


def test_stopping_gracefully_is_told_apart_from_failing(ws: Workspace) -> None:
    job = start(ws, "nap", 100)
    wait_for(lambda: jobs.read_job(ws, job).message.startswith("Napping"))
    jobs.stop_job(ws, job)
    assert jobs.read_job(ws, job).stopping
    wait_for(lambda: not jobs.read_job(ws, job).running)
    assert jobs.read_job(ws, job).state == "stopped"


def test_what_does_not_listen_is_ended_with_its_children(ws: Workspace) -> None:
    job = start(ws, "stubborn")
    wait_for(lambda: jobs.read_events(ws, job)[0])
    child = jobs.read_events(ws, job)[0][0]["pid"]
    status = jobs.end_job(ws, job, grace=0.3)
    assert status.state == "stopped"
    wait_for(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)


@pytest.mark.parametrize(
    ("stage", "state", "said"),
    [
        ("fail", "failed", "“a.wav” holds no sound: choose another file."),
        ("bug", "failed", "KeyError: 'gremlin'"),
        ("die", "died", "about to fall over"),
    ],
)
def test_a_job_that_fails_says_why_in_one_line(ws: Workspace, stage: str, state: str, said: str) -> None:
    job = start(ws, stage)
    list(jobs.watch_job(ws, job))
    status = jobs.read_job(ws, job)
    assert status.state == state
    assert said in status.error
    assert "\n" not in status.error


def test_another_process_finds_the_job_again(ws: Workspace) -> None:
    job = start(ws, "nap", 100)
    code = (
        "import sys; from pipeline import jobs; from pipeline.workspace import Workspace;"
        "ws = Workspace(sys.argv[1]); found = jobs.running_job(ws); print(found.id); jobs.end_job(ws, found.id)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(ws.root)], capture_output=True, text=True, check=True, cwd=jobs.REPOSITORY
    )
    assert done.stdout.strip() == job
    assert jobs.read_job(ws, job).state == "stopped"


def test_a_process_id_used_again_is_not_taken_for_the_job(ws: Workspace) -> None:
    job = start(ws, "die")
    list(jobs.watch_job(ws, job))
    (ws.jobs / job / "process.json").write_text(json.dumps({"pid": os.getpid(), "born": 1.0}))
    assert jobs.read_job(ws, job).state == "died"


def test_a_half_written_event_waits_for_its_end(ws: Workspace) -> None:
    job = start(ws, "nap", 1)
    list(jobs.watch_job(ws, job))
    events = ws.jobs / job / "events.jsonl"
    _, offset = jobs.read_events(ws, job)
    with events.open("a") as file:
        file.write('{"type": "lo')
    assert jobs.read_events(ws, job, offset) == ([], offset)
    with events.open("a") as file:
        file.write('g"}\n')
    assert jobs.read_events(ws, job, offset)[0] == [{"type": "log"}]


def test_only_the_newest_jobs_are_kept(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "KEPT_JOBS", 2)
    for _ in range(4):
        list(jobs.watch_job(ws, jobs.start_job(ws, "checks", CheckOptions())))
    assert len(list(ws.jobs.glob("*-*"))) == 2


def test_an_unknown_job_is_an_error_in_words(ws: Workspace) -> None:
    with pytest.raises(JobError, match="no job “x”"):
        jobs.read_job(ws, "x")


@pytest.mark.parametrize(("stage", "presses"), [("nap", 1), ("stubborn", 2)])
def test_ctrl_c_in_the_terminal_leaves_no_process(ws: Workspace, stage: str, presses: int) -> None:
    code = (
        "import sys; from pipeline import jobs; jobs.WORKER = (sys.executable, '-m', 'tests.job_worker');"
        "from cli import commands; from pipeline.options import DemoOptions;"
        f"commands.app.command('go')(lambda: commands._run({str(ws.root)!r}, {stage!r}, DemoOptions(epochs=100)));"
        "sys.exit(commands.main(['go']))"
    )
    terminal = subprocess.Popen([sys.executable, "-c", code], cwd=jobs.REPOSITORY, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: (found := jobs.running_job(ws)) and jobs.read_events(ws, found.id)[0])
    job = jobs.running_job(ws)
    assert job is not None
    worker = jobs.read_json(ws.jobs / job.id / "process.json")["pid"]
    for _ in range(presses):
        terminal.send_signal(signal.SIGINT)
        time.sleep(0.5)
    said = terminal.communicate(timeout=60)[1]
    assert terminal.returncode == 130
    assert "Traceback" not in said
    assert not psutil.pid_exists(worker)


def test_a_job_whose_process_is_just_being_made_has_not_died(ws: Workspace) -> None:
    folder = ws.jobs / "20260101-000000-nap-abc"
    folder.mkdir(parents=True)
    request = {"stage": "nap", "workspace": str(ws.root), "options": {}, "started": time.time()}
    (folder / "request.json").write_text(json.dumps(request))
    assert jobs.read_job(ws, folder.name).running
    (folder / "request.json").write_text(json.dumps({**request, "started": time.time() - 60}))
    assert jobs.read_job(ws, folder.name).state == "died"


def test_progress_comes_no_faster_than_anyone_can_see_but_no_new_doing_is_missed(tmp_path: Path) -> None:
    progress = FileProgress(tmp_path)
    for number in range(100):
        progress.update(number / 200, f"Copying {number} of 100")
    progress.update(0.5, "Trying the voice")
    told = [json.loads(line)["message"] for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert told[0] == "Copying 0 of 100"
    assert told[-1] == "Trying the voice"
    assert len(told) < 20

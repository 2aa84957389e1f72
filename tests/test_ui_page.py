"""The page follows what lies on disk, shows what changed and nothing else, and never loads what the stages need."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline import jobs
from pipeline.errors import InvalidNameError, WorkspaceError
from pipeline.options import CheckOptions, DemoOptions
from pipeline.workspace import Workspace

gr = pytest.importorskip("gradio")

from ui.context import TABS, Page  # noqa: E402 - needs gradio
from ui.feedback import describe_job, duration, job_key, notice, settings_table, size  # noqa: E402
from ui.jobbook import JobBook  # noqa: E402
from ui.runbook import RunBook, tail  # noqa: E402

REPOSITORY = Path(__file__).resolve().parent.parent
TITLES = [
    "🚀 Pre-flight Checklist",
    "📁 Step 1 - Generating the dataset",
    "📊 Dataset Validation",
    "💻 Step 2 - Training",
    "✅ Step 3 - Testing",
    "📦 Model Export",
]


@pytest.fixture(autouse=True)
def _small_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "WORKER", (sys.executable, "-m", "tests.job_worker"))


def wait_until_ended(book: JobBook, job: str) -> Any:
    deadline = time.monotonic() + 30
    while True:
        status = book.status(job)
        assert status is not None
        if not status.running:
            return status
        assert time.monotonic() < deadline
        time.sleep(0.05)


# ---- The page as a whole ------------------------------------------------------------------------------------------


def test_the_page_has_the_six_tabs_in_the_order_of_the_work(ws: Workspace) -> None:
    from ui.app import build_app

    config = build_app(ws).get_config_file()
    labels = [part["props"].get("label") for part in config["components"] if part["type"] == "tabitem"]
    assert [label for label in labels if label in TITLES] == TITLES
    assert list(TABS.values()) == TITLES


def test_every_event_shows_its_progress_in_one_place_and_is_no_public_endpoint(ws: Workspace) -> None:
    """Else Gradio's page walks through all its components for each of them, each second."""
    from ui.app import build_app

    events = build_app(ws).get_config_file()["dependencies"]
    ticking = [event for event in events if any(name in ("tick", "change", "load") for _, name in event["targets"])]
    assert ticking
    assert all(event["api_visibility"] == "private" for event in events if event["backend_fn"])
    assert all(event["show_progress"] == "hidden" for event in ticking if event["backend_fn"])


@pytest.fixture
def served(ws: Workspace) -> Iterator[tuple[psutil.Process, str, float]]:
    """Yield the process of an interface, its address, and the CPU seconds until it answered."""
    script = (
        "import sys, socket\n"
        "from pathlib import Path\n"
        "from pipeline.workspace import Workspace\n"
        "from ui.access import ServeOptions\n"
        "from ui.app import serve\n"
        "import threading, json, time\n"
        "def tell():\n"
        "    for line in sys.stdin:\n"
        "        print(json.dumps(sorted(sys.modules)), flush=True)\n"
        "threading.Thread(target=tell, daemon=True).start()\n"
        f"serve(Workspace(Path({str(ws.root)!r})), ServeOptions(port=int(sys.argv[1]), open_browser=False))\n"
    )
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    interface = subprocess.Popen(
        [sys.executable, "-c", script, str(port)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    process = psutil.Process(interface.pid)
    address = f"http://127.0.0.1:{port}"
    try:
        spent = wait_for_answer(address, process)
        process.interface = interface  # type: ignore[attr-defined]
        yield process, address, spent
    finally:
        interface.kill()
        interface.wait()


def wait_for_answer(address: str, process: psutil.Process) -> float:
    deadline = time.monotonic() + 90
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                assert answer.status == 200
            times = process.cpu_times()
            return times.user + times.system
        except OSError:
            assert process.is_running()
            assert time.monotonic() < deadline, "the interface doesn't answer"
            time.sleep(0.1)


def test_the_interface_answers_soon_without_torch_and_serves_nothing_of_the_workspace(
    ws: Workspace, served: tuple[Any, str, float]
) -> None:
    process, address, spent = served
    assert spent < 6, "CPU seconds until the first answer; an idle machine needs less than 4 seconds"
    process.interface.stdin.write("\n")
    process.interface.stdin.flush()
    loaded = set(json.loads(process.interface.stdout.readline()))
    assert not loaded & {"torch", "TTS", "faster_whisper", "transformers", "onnxruntime", "ctranslate2", "trainer"}
    secret = ws.projects_folder / "anna" / "settings.json"
    secret.parent.mkdir()
    secret.write_text("{}")
    for path in (secret, ws.root / "models", REPOSITORY / "finetune.py"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{address}/gradio_api/file={path}", timeout=10)
        assert refused.value.code in (403, 404)


def test_with_a_password_nothing_is_answered_before_it_is_given(ws: Workspace) -> None:
    import httpx

    from ui.access import Login
    from ui.app import build_app, look

    page = build_app(ws)
    options = {"prevent_thread_lock": True, "quiet": True, **look()}
    _, address, _ = page.launch(auth=Login("anna", "öffne dich").check, **options)
    try:
        with httpx.Client(base_url=address, timeout=20) as client:
            assert client.get("/config").status_code == 401
            assert client.post("/gradio_api/queue/join", json={"fn_index": 0, "data": []}).status_code == 401
            assert client.post("/login", data={"username": "anna", "password": "offne dich"}).status_code == 400
            assert client.get("/config").status_code == 401
            assert client.post("/login", data={"username": "anna", "password": "öffne dich"}).status_code == 200
            assert client.get("/config").status_code == 200
    finally:
        page.close()


# ---- Following the disk -------------------------------------------------------------------------------------------


def listening_page(ws: Workspace) -> tuple[Page, list[int]]:
    """Return a page with one watch, whose key is the list's first number."""
    state = [0]
    with gr.Blocks() as blocks:
        page = Page(ws)
        box, other = gr.Textbox(), gr.Textbox()
        page.watch(lambda project: state[0], lambda project: (f"{project} {state[0]}", "same"), [box, other])
        page.watch(lambda project: "still", lambda project: "once", [gr.Textbox()])
        page.listen(blocks, lambda: "", [page.project])
    return page, state


def shown_after(page: Page, project: str, shown: list[str]) -> tuple[list[str], list[Any]]:
    there = page._look(project)
    if there == shown:
        return shown, []
    new, *values = page._show(there, shown, project)
    return new, values


def test_only_what_has_changed_is_shown_again(ws: Workspace) -> None:
    page, state = listening_page(ws)
    shown, values = shown_after(page, "anna", [])
    assert values == ["anna 0", "same", "once"]
    shown, values = shown_after(page, "anna", shown)
    assert values == []
    state[0] = 1
    shown, values = shown_after(page, "anna", shown)
    assert values == ["anna 1", "same", gr.skip()]
    shown, values = shown_after(page, "bert", shown)
    assert values == ["bert 1", "same", "once"]


def test_a_second_browser_sees_the_same(ws: Workspace) -> None:
    page, _ = listening_page(ws)
    first, _ = shown_after(page, "anna", [])
    second, values = shown_after(page, "anna", [])
    assert first == second
    assert values == ["anna 0", "same", "once"]


def test_a_part_that_fails_leaves_the_others_alone(ws: Workspace) -> None:
    with gr.Blocks() as blocks:
        page = Page(ws)
        page.watch(lambda project: 1, lambda project: [].pop(), [gr.Textbox(), gr.Textbox()])
        page.watch(lambda project: 1, lambda project: page.open(project), [gr.Textbox()])
        page.watch(lambda project: 1 / 0, lambda project: ["too", "many"] * 2, [gr.Textbox(), gr.Textbox()])
        page.watch(lambda project: 1, lambda project: "fine", [gr.Textbox()])
        page.listen(blocks, lambda: "", [page.project])
    _, values = shown_after(page, "", [])
    assert values == [*[gr.skip()] * 5, "fine"]


# ---- Projects and files -------------------------------------------------------------------------------------------


def test_a_project_is_made_by_its_name_and_bad_names_are_refused(ws: Workspace) -> None:
    with gr.Blocks():
        page = Page(ws)
    assert page.make_project("  Jörg 2 ") == "Jörg 2"
    assert page.make_project("Jörg 2") == "Jörg 2"
    assert [project.name for project in ws.list_projects()] == ["Jörg 2"]
    for name in ("../x", "a/b", "con", ""):
        with pytest.raises(InvalidNameError):
            page.make_project(name)
    with pytest.raises(InvalidNameError, match="No project is chosen"):
        page.open("")


def test_only_sounds_and_reports_of_the_workspace_are_handed_out(ws: Workspace, tmp_path: Path) -> None:
    with gr.Blocks():
        page = Page(ws)
    sound = ws.project("anna").wavs / "a.wav"
    sound.parent.mkdir(parents=True)
    sound.write_bytes(b"RIFF")
    copy = page.playable(sound)
    assert copy is not None
    assert Path(copy).read_bytes() == b"RIFF"
    assert ws.root not in Path(copy).parents
    assert page.playable(sound.with_name("missing.wav")) is None
    outside, weights = tmp_path / "b.wav", sound.with_name("model.pth")
    for path in (outside, weights, sound.parent / ".." / ".." / ".." / ".." / "b.wav"):
        path.write_bytes(b"x")
        with pytest.raises(WorkspaceError, match="isn't a sound or a report"):
            page.playable(path)


# ---- Jobs ---------------------------------------------------------------------------------------------------------


def test_the_latest_job_of_a_stage_and_project_is_found_again_by_a_new_interface(ws: Workspace) -> None:
    job = jobs.start_job(ws, "nap", DemoOptions(project="anna", epochs=3, seed=5))
    book = JobBook(ws)
    assert book.running().id == job  # type: ignore[union-attr]
    assert book.latest("nap", "anna").running  # type: ignore[union-attr]
    wait_until_ended(book, job)
    for reader in (book, JobBook(ws)):
        assert reader.running() is None
        assert reader.latest("nap", "anna").state == "done"  # type: ignore[union-attr]
        assert reader.latest("nap", "bert") is None
        assert reader.latest("fail", "anna") is None


def test_the_log_grows_and_is_filtered_by_kinds(ws: Workspace) -> None:
    book = JobBook(ws)
    job = jobs.start_job(ws, "nap", DemoOptions(project="anna", epochs=3, seed=5))
    wait_until_ended(book, job)
    assert book.log_count(job) == 3
    assert [line.split("  ")[1] for line in book.log(job).splitlines()] == ["breath 0", "breath 1", "breath 2"]
    assert book.log(job, ("Audio",)) == book.log(job)
    assert book.log(job, ("General",)) == ""
    assert book.log(job, ()) == ""


def test_the_time_left_goes_by_the_pace_since_the_first_fraction(ws: Workspace) -> None:
    folder = ws.jobs / "20200101-000000-train-abcdef"
    folder.mkdir(parents=True)
    began = time.time() - 110
    (folder / "request.json").write_text(json.dumps({"stage": "train", "options": {}, "started": began}))
    known = {"pid": psutil.Process().pid, "born": psutil.Process().create_time()}
    (folder / "process.json").write_text(json.dumps(known))
    told = [(0, None), (100, 0.5), (110, 0.6)]  # 100 s of preparing, then a tenth in ten seconds
    lines = [json.dumps({"t": began + t, "type": "progress", "fraction": f, "message": "…"}) for t, f in told]
    (folder / "events.jsonl").write_text("\n".join(lines[:2]) + "\n")
    assert JobBook(ws).latest("train").seconds_left is None  # type: ignore[union-attr]
    (folder / "events.jsonl").write_text("\n".join(lines) + "\n")
    assert JobBook(ws).latest("train").seconds_left == pytest.approx(40, abs=4)  # type: ignore[union-attr]


def test_a_training_run_that_was_stopped_says_how_to_go_on() -> None:
    report = {"epochs": 2, "steps": 23, "best_loss": 7.1277, "best_epoch": 1, "stopped": True}
    status = jobs.JobStatus("id", "train", "anna", "done", 0.4, "", 0.0, 24.0, None, True, report)
    assert "everything is saved" in describe_job(status)
    assert "Continue Previous Project" in describe_job(status)
    ended = jobs.JobStatus("id", "train", "anna", "done", 1.0, "", 0.0, 24.0, None, False, {**report, "stopped": False})
    assert "Trained 2 epochs, 23 steps; best evaluation loss 7.128, after epoch 1." in describe_job(ended)
    assert "Continue" not in describe_job(ended)


def test_looking_at_ended_jobs_costs_no_reading(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    book = JobBook(ws)
    wait_until_ended(book, jobs.start_job(ws, "checks", CheckOptions()))
    monkeypatch.setattr("ui.jobbook.read_job", lambda *_: pytest.fail("it was read again"))
    assert book.latest("checks").state == "done"  # type: ignore[union-attr]


def test_a_job_without_a_process_is_starting_and_later_dead(ws: Workspace) -> None:
    folder = ws.jobs / "20200101-000000-train-abcdef"
    folder.mkdir(parents=True)
    request = {"stage": "train", "options": {"project": "anna"}, "started": time.time()}
    (folder / "request.json").write_text(json.dumps(request))
    assert JobBook(ws).latest("train", "anna").running  # type: ignore[union-attr]
    (folder / "request.json").write_text(json.dumps({**request, "started": time.time() - 60}))
    assert JobBook(ws).latest("train", "anna").state == "died"  # type: ignore[union-attr]


def test_what_became_of_a_job_is_said_in_words(ws: Workspace) -> None:
    book = JobBook(ws)
    failed = wait_until_ended(book, jobs.start_job(ws, "fail", DemoOptions(project="anna")))
    assert "“a.wav” holds no sound: choose another file." in describe_job(failed)
    assert 'class="job failed"' in describe_job(failed)
    died = wait_until_ended(book, jobs.start_job(ws, "die", DemoOptions(project="anna")))
    assert 'class="job failed"' in describe_job(died)
    assert "Traceback" not in describe_job(died)
    assert describe_job(None, "Nothing yet") == '<div class="job idle">Nothing yet</div>'
    assert job_key(None) == ()
    assert job_key(failed) == job_key(book.status(failed.id))


def test_what_others_wrote_is_never_taken_for_html() -> None:
    assert "<script>" not in notice("<script>alert(1)</script>")


def test_times_and_sizes_are_said_as_a_person_would() -> None:
    assert [duration(seconds) for seconds in (0.4, 59.4, 61, 3599, 7620)] == [
        "0 s", "59 s", "1 min 01 s", "59 min 59 s", "2 h 07 min",
    ]  # fmt: skip
    assert [size(count) for count in (12, 820_000, 1_870_000_000)] == ["12 bytes", "820 KB", "1.9 GB"]


def test_the_help_explains_every_setting() -> None:
    from pipeline.options import TrainConfig
    from pipeline.settings import describe

    table = settings_table(TrainConfig)
    assert all(f"**{about.label}**" in table and about.help in table for about in describe(TrainConfig).values())


# ---- Runs ---------------------------------------------------------------------------------------------------------


def test_figures_of_a_growing_run_are_looked_at_every_two_seconds(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("ui.runbook.time.monotonic", lambda: now[0])
    book, file = RunBook(ws), ws.root / "metrics.jsonl"
    assert book.version(file) == (0, 0)
    file.write_text("1\n")
    first = book.version(file)
    assert first != (0, 0)
    file.write_text("1\n22\n")
    assert book.version(file) == first
    now[0] += 2.5
    assert book.version(file) != first


def test_the_end_of_a_log_is_shown_in_whole_lines(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    assert tail(log) == ""
    log.write_text("ü first\nsecond\n", encoding="utf-8")
    assert tail(log) == "ü first\nsecond\n"
    log.write_text("".join(f"line {number}\n" for number in range(10_000)))
    assert tail(log).startswith("line ")
    assert tail(log).endswith("line 9999\n")
    assert len(tail(log)) <= 20_000


def test_a_project_without_runs_has_none(ws: Workspace) -> None:
    assert RunBook(ws).find("") is None
    assert RunBook(ws).find("anna") is None

"""start_finetune.sh, tried on a small program of the same shape: real environments, real pip, tiny packages."""

from __future__ import annotations

import base64
import hashlib
import http.server
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

import pipeline.environment
from pipeline.environment import Environment, Machine, answers, choose_index, install

REPOSITORY = Path(__file__).resolve().parent.parent
TOOLS = ("bash", "dirname", "env")
PROGRAM = "import json, os, sys\nprint(json.dumps({'arguments': sys.argv[1:], 'folder': os.getcwd()}))\n"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a script for bash")


def make_wheel(folder: Path, name: str, version: str, requires: str = "") -> Path:
    """Write the smallest wheel pip takes: one module that knows its version."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = []
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            lines.append(f"{path},sha256={digest},{len(text.encode())}\n")
        archive.writestr(f"{info}/RECORD", "".join([*lines, f"{info}/RECORD,,\n"]))
    return wheel


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A folder with the script, a program that prints its arguments, and one tiny package to install."""
    folder = tmp_path / "a program"
    folder.mkdir()
    shutil.copy(REPOSITORY / "start_finetune.sh", folder)
    (folder / "pipeline").mkdir()
    shutil.copy(REPOSITORY / "pipeline" / "environment.py", folder / "pipeline")
    (folder / "finetune.py").write_text(PROGRAM)
    wheel = make_wheel(tmp_path / "wheels", "tinypackage", "1.0")
    (folder / "requirements.txt").write_text(f"tinypackage @ {wheel.as_uri()}\n")
    return folder


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """PyTorch's own index in small: two of its builds, served on this machine."""
    root = tmp_path / "index"
    for build in ("cpu", "cu126"):
        make_wheel(root / build / "torch", "torch", f"2.10.0+{build}")
        make_wheel(root / build / "torchaudio", "torchaudio", f"2.10.0+{build}", "Requires-Dist: torch==2.10.0\n")
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=str(root)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def environment(**more: str) -> dict[str, str]:
    """Without what this machine sets up for pip, so that each test says what can be reached."""
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "TORCH_", "PYTORCH_"))}
    nothing = {"PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0", "PIP_INDEX_URL": "http://127.0.0.1:9/simple"}
    return {**plain, **nothing, "PYTHON": sys.executable, "TORCH_INDEX": "plain", "NO_PROXY": "127.0.0.1", **more}


def start(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(folder / "start_finetune.sh"), *arguments]
    return subprocess.run(
        command, env=environment(**more), capture_output=True, text=True, timeout=120, cwd=folder.parent
    )


def fake_path(folder: Path, **scripts: str) -> str:
    """Return a PATH with a few real tools, and these scripts under their names."""
    folder.mkdir()
    for tool in TOOLS:
        real = shutil.which(tool)
        if real and tool not in scripts:
            (folder / tool).symlink_to(real)
    for name, text in scripts.items():
        file = folder / name
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)
    return str(folder)


def nvidia_smi(cuda: str, capability: str = "8.6") -> str:
    return (
        f'case "$*" in *compute_cap*) echo {capability};; '
        f'*) echo "| NVIDIA-SMI 1.2   Driver Version: 1.2   CUDA Version: {cuda}  |";; esac'
    )


def test_the_first_start_installs_and_the_second_only_runs(program: Path) -> None:
    first = start(program, "demo", "--json", "two words")
    assert first.returncode == 0, first.stderr
    assert "Installing" in first.stderr
    assert first.stdout == f'{{"arguments": ["demo", "--json", "two words"], "folder": "{program.parent}"}}\n'
    stamp = (program / ".venv" / "installed").stat().st_mtime_ns
    began = time.monotonic()
    second = start(program, "demo", "--json", "two words")
    assert (second.stdout, second.stderr) == (first.stdout, "")
    assert time.monotonic() - began < 4
    assert (program / ".venv" / "installed").stat().st_mtime_ns == stamp


def test_other_requirements_are_installed_at_the_next_start(program: Path, tmp_path: Path) -> None:
    assert start(program).returncode == 0
    wheel = make_wheel(tmp_path / "wheels", "tinypackage", "2.0")
    (program / "requirements.txt").write_text(f"tinypackage @ {wheel.as_uri()}\n")
    (program / "finetune.py").write_text("import tinypackage\nprint(tinypackage.VERSION)\n")
    assert start(program).stdout == "2.0\n"


def test_an_installation_that_was_killed_is_repeated(program: Path, tmp_path: Path) -> None:
    good = (program / "requirements.txt").read_text()
    slow = make_slow_server(tmp_path)
    (program / "requirements.txt").write_text(f"tinypackage @ {slow}/tinypackage-1.0-py3-none-any.whl\n")
    command = ["bash", str(program / "start_finetune.sh")]
    killed = subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL, start_new_session=True)
    mark = program / ".venv" / "installing"
    assert wait_for(lambda: (program / ".venv" / "install.log").exists()), "pip never started"
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert mark.exists()
    assert not (program / ".venv" / "installed").exists()
    (program / "requirements.txt").write_text(good)
    again = start(program, "projects")
    assert again.returncode == 0, again.stderr
    assert "did not finish" in again.stderr
    assert not mark.exists()


def make_slow_server(tmp_path: Path) -> str:
    """Serve files that never come: what a stalled download looks like."""

    class Silent(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(60)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def wait_for(condition: object, seconds: float = 60) -> bool:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_two_installations_do_not_get_in_each_others_way(program: Path, tmp_path: Path) -> None:
    slow = make_slow_server(tmp_path)
    (program / "requirements.txt").write_text(f"tinypackage @ {slow}/tinypackage-1.0-py3-none-any.whl\n")
    command = ["bash", str(program / "start_finetune.sh")]
    first = subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        assert wait_for(lambda: (program / ".venv" / "install.log").exists()), "pip never started"
        second = start(program)
        assert second.returncode == 1
        assert second.stderr.splitlines()[-1].startswith("Another start is installing just now")
        assert first.poll() is None
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()


def test_status_and_output_are_those_of_the_program(program: Path) -> None:
    (program / "finetune.py").write_text("import sys\nprint('out')\nprint('err', file=sys.stderr)\nsys.exit(2)\n")
    assert start(program).returncode == 2
    again = start(program)
    assert (again.returncode, again.stdout, again.stderr) == (2, "out\n", "err\n")


def test_no_python_is_said_in_one_sentence_with_what_was_found(program: Path, tmp_path: Path) -> None:
    path = fake_path(tmp_path / "bin", python3='echo "3.9 yes"')
    said = start(program, PATH=path, PYTHON="")
    assert said.returncode == 1
    assert said.stdout == ""
    assert said.stderr.count("\n") == 1
    assert "No Python 3.10, 3.11 or 3.12 was found (python3 is 3.9)" in said.stderr
    assert not (program / ".venv").exists()


def test_a_python_that_cannot_make_environments_is_named_with_the_remedy(program: Path, tmp_path: Path) -> None:
    path = fake_path(tmp_path / "bin", python3='echo "3.11 no"')
    said = start(program, PATH=path, PYTHON="")
    assert said.returncode == 1
    assert "sudo apt install python3.11-venv" in said.stderr


def test_a_python_that_was_named_and_is_not_there_is_said(program: Path) -> None:
    said = start(program, PYTHON="/no/such/python")
    assert said.returncode == 1
    assert said.stderr == "PYTHON=/no/such/python can't be used: name a Python 3.10, 3.11 or 3.12.\n"


def test_too_little_disk_space_is_said_before_anything_is_written(
    program: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCH_INDEX", "plain")
    monkeypatch.setattr(pipeline.environment, "DISK_NEEDED", 10**9)
    monkeypatch.setattr(pipeline.environment, "DISK_NEEDED_CPU", 10**9)
    with pytest.raises(SystemExit):
        install(Environment(program))
    assert "needs 1000000000 GB, and" in capsys.readouterr().err
    assert not (program / ".venv").exists()


def test_no_network_is_said_and_the_next_start_tries_again(program: Path) -> None:
    good = (program / "requirements.txt").read_text()
    (program / "requirements.txt").write_text("a-package-from-the-net==1.0\n")
    said = start(program)
    assert said.returncode == 1
    assert "the package index can't be reached" in said.stderr.splitlines()[-1]
    assert said.stdout == ""
    (program / "requirements.txt").write_text(good)
    assert start(program).returncode == 0


LINUX, WINDOWS = ("Linux", "x86_64"), ("Windows", "AMD64")


@pytest.mark.parametrize(
    ("machine", "choice"),
    [
        (Machine(*LINUX, cuda=(13, 0), capability=(9, 0)), "plain"),
        (Machine(*LINUX, cuda=(12, 8)), "plain"),
        (Machine(*LINUX, cuda=(12, 4)), "P/cu126"),
        (Machine(*LINUX, cuda=(13, 0), capability=(6, 1)), "P/cu126"),  # a GTX 1080: CUDA 12.8 has no code for it
        (Machine(*LINUX, cuda=(11, 4)), "P/cpu"),  # no build works with that driver
        (Machine(*LINUX), "P/cpu"),
        (Machine("Linux", "aarch64", cuda=(13, 0)), "P/cu128"),
        (Machine(*WINDOWS, cuda=(12, 9)), "P/cu128"),
        (Machine(*WINDOWS, cuda=(12, 1)), "P/cu126"),
        (Machine(*WINDOWS), "plain"),
        (Machine("Darwin", "arm64"), "plain"),
    ],
)
def test_pytorch_follows_system_driver_and_gpu(machine: Machine, choice: str) -> None:
    assert choose_index(machine, "P", answers=lambda _: True) == choice
    without = choose_index(machine, "P", answers=lambda _: False)
    assert without == ("plain" if choice == "P/cpu" else choice)


@pytest.mark.parametrize(
    ("cuda", "capability", "choice"),
    [("13.0", "9.0", "plain"), ("12.4", "8.6", "INDEX/cu126"), ("13.0", "12.0\n6.1", "plain"), ("11.4", "6.1", "cpu")],
)
@pytest.mark.skipif(platform.system() != "Linux" or platform.machine() != "x86_64", reason="the choice of Linux")
def test_driver_and_gpus_are_read_from_nvidia_smi(
    program: Path, tmp_path: Path, index: str, cuda: str, capability: str, choice: str
) -> None:
    smi = nvidia_smi(cuda, f'"$(printf "{capability}")"')
    path = fake_path(tmp_path / "bin", **{"nvidia-smi": smi})
    said = start(program, "--print-torch-index", PATH=path, TORCH_INDEX="", PYTORCH_WHEELS=index)
    assert said.returncode == 0, said.stderr
    assert said.stdout.strip() == {"cpu": f"{index}/cpu"}.get(choice, choice.replace("INDEX", index))
    assert ("knows CUDA 11.4, which is too old" in said.stderr) == (cuda == "11.4")


def test_an_index_that_does_not_answer_is_given_up_after_seconds(tmp_path: Path, index: str) -> None:
    assert answers(f"{index}/cpu")
    assert not answers(f"{index}/rocm")
    began = time.monotonic()
    assert not answers(make_slow_server(tmp_path))
    assert time.monotonic() - began < 7


def test_cpu_builds_come_without_what_belongs_to_cuda(program: Path, index: str) -> None:
    locked = (program / "requirements.txt").read_text()
    cuda = "nvidia-cublas-cu12==12.8.4.1\ntriton==3.6.0 ; sys_platform == 'linux'\ncuda-bindings==12.9.4\n"
    (program / "requirements.txt").write_text(f"{cuda}torch==2.10.0\ntorchaudio==2.10.0\n{locked}")
    (program / "finetune.py").write_text("import torch, torchaudio, tinypackage\nprint(torch.VERSION)\n")
    said = start(program, TORCH_INDEX=f"{index}/cpu")
    assert said.returncode == 0, said.stderr
    assert said.stdout == "2.10.0+cpu\n"


@pytest.mark.skipif(platform.system() != "Linux", reason="the choice of Linux")
def test_a_gpu_that_is_added_later_brings_another_pytorch(program: Path, tmp_path: Path, index: str) -> None:
    path = fake_path(tmp_path / "bin", **{"nvidia-smi": "exit 9"})
    (program / "requirements.txt").write_text("torch==2.10.0\ntorchaudio==2.10.0\n")
    (program / "finetune.py").write_text("import torch\nprint(torch.VERSION)\n")
    reachable = {"PATH": path, "TORCH_INDEX": "", "PYTORCH_WHEELS": index}
    assert start(program, **reachable).stdout == "2.10.0+cpu\n"
    assert start(program, **reachable).stderr == ""
    (tmp_path / "bin" / "nvidia-smi").write_text(f"#!/bin/sh\n{nvidia_smi('12.6')}\n")
    said = start(program, **reachable)
    assert said.stdout == "2.10.0+cu126\n", said.stderr
    assert "An NVIDIA GPU is here now" in said.stderr

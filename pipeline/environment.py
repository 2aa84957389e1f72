"""Make the environment in .venv: what start_finetune.sh and .bat run before the program.

Runs with nothing but Python itself, as a script, so it imports nothing of the project. What it says goes to standard
error: standard output belongs to the program.

    TORCH_INDEX      where PyTorch comes from instead of the choice below: `plain` for the usual package index, or a URL
    PYTORCH_WHEELS   a mirror of PyTorch's own indexes
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

PLAIN = "plain"
PYTORCH = "https://download.pytorch.org/whl"
# What PyTorch 2.10's builds work with: CUDA 12.8 is what the usual index has for Linux. A driver for an older CUDA 12
# runs the CUDA 12.6 build, which also still has code for GPUs older than Volta (7.0).
USUAL_CUDA = (12, 8)
OLDEST_CUDA = (12, 0)
USUAL_CAPABILITY = (7, 0)
# GB: with CUDA's libraries 9 and pip's cache beside it; without them 2.
DISK_NEEDED, DISK_NEEDED_CPU = 12, 4
ANSWER_SECONDS = 5.0
# What belongs to the usual index's PyTorch and would fight with another build.
_CUDA_PACKAGE = re.compile(r"^(torch|torchaudio|triton|cuda-[a-z]+|nvidia-[a-z0-9-]+)==")
_NO_NETWORK = re.compile(
    r"Temporary failure in name resolution|nodename nor servname|getaddrinfo failed|Network is unreachable|"
    r"Connection refused|NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError"
)


def say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def fail(sentence: str) -> NoReturn:
    say(sentence)
    sys.exit(1)


# ---- Which PyTorch ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Machine:
    """What decides about PyTorch's build."""

    system: str  # platform.system(): Linux, Windows, Darwin
    processor: str  # platform.machine(): x86_64, AMD64, aarch64, arm64
    cuda: tuple[int, int] | None = None  # the newest CUDA that the NVIDIA driver knows; None without one
    capability: tuple[int, int] = USUAL_CAPABILITY  # of the newest NVIDIA GPU


def look_at_machine() -> Machine:
    """Ask the system, and the NVIDIA driver if there is one."""
    tool = shutil.which("nvidia-smi") or "/usr/lib/wsl/lib/nvidia-smi"
    system, processor = platform.system(), platform.machine()
    version = re.search(r"CUDA Version:\s*(\d+)\.(\d+)", _output(tool))
    if not version:
        return Machine(system, processor)
    answer = _output(tool, "--query-gpu=compute_cap", "--format=csv,noheader")
    found = [(int(major), int(minor)) for major, minor in re.findall(r"^(\d+)\.(\d+)", answer, re.MULTILINE)]
    return Machine(system, processor, (int(version[1]), int(version[2])), max(found, default=USUAL_CAPABILITY))


def _output(*command: str) -> str:
    """Return what a command prints; nothing where it isn't there, fails or hangs."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def answers(index: str) -> bool:
    """Tell whether one of PyTorch's indexes can be reached within seconds."""
    reached = []

    def ask() -> None:
        try:
            urllib.request.urlopen(f"{index}/torch/", timeout=ANSWER_SECONDS).close()
            reached.append(True)
        except (OSError, ValueError):
            return

    # In a thread, because looking up a name may take longer than any timeout of the connection.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(ANSWER_SECONDS + 0.5)
    return bool(reached)


def choose_index(machine: Machine, pytorch: str = PYTORCH, answers: Callable[[str], bool] = answers) -> str:
    """Return where PyTorch should come from: PLAIN, or the URL of one of PyTorch's own indexes."""
    if machine.system == "Darwin":
        return PLAIN
    if machine.cuda is None or machine.cuda < OLDEST_CUDA:
        # The usual index's build for Windows has no CUDA anyway.
        return f"{pytorch}/cpu" if machine.system == "Linux" and answers(f"{pytorch}/cpu") else PLAIN
    if machine.cuda < USUAL_CUDA or machine.capability < USUAL_CAPABILITY:
        return f"{pytorch}/cu126"
    if (machine.system, machine.processor) == ("Linux", "x86_64"):
        return PLAIN
    return f"{pytorch}/cu128"  # the usual index has builds with CUDA for Linux on x86 only


def torch_index(machine: Machine) -> str:
    if chosen := os.environ.get("TORCH_INDEX"):
        return chosen
    if machine.cuda is not None and machine.cuda < OLDEST_CUDA:
        say(
            f"The NVIDIA driver knows CUDA {machine.cuda[0]}.{machine.cuda[1]}, which is too old for every build of "
            "this PyTorch: update the driver and start again; until then the CPU is used."
        )
    return choose_index(machine, os.environ.get("PYTORCH_WHEELS", PYTORCH))


# ---- The environment ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Environment:
    """The folder .venv of one copy of the program."""

    home: Path

    @property
    def folder(self) -> Path:
        return self.home / ".venv"

    @property
    def requirements(self) -> Path:
        return self.home / "requirements.txt"

    @property
    def python(self) -> Path:
        return self.folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")

    @property
    def stamp(self) -> Path:
        """What was installed; written last, so its presence means whole."""
        return self.folder / "installed"

    @property
    def mark(self) -> Path:
        """There, and locked, while an installation runs; there and free after one that was interrupted."""
        return self.folder / "installing"

    @property
    def log(self) -> Path:
        return self.folder / "install.log"

    @property
    def wanted(self) -> str:
        return hashlib.sha256(self.requirements.read_bytes()).hexdigest()

    def is_whole(self) -> bool:
        """Tell whether everything is installed, from these requirements, and still fits the machine."""
        if self.mark.exists() or not self.stamp.exists() or not self.works():
            return False
        installed, index = self.stamp.read_text(encoding="utf-8").split("\n")[:2]
        if (
            index.endswith("/cpu")
            and not os.environ.get("TORCH_INDEX")
            and (look_at_machine().cuda or (0,)) >= OLDEST_CUDA
        ):
            say("An NVIDIA GPU is here now: PyTorch is installed anew.")
            return False
        return installed == self.wanted

    def holds_other_pytorch(self, index: str) -> bool:
        """Tell whether PyTorch was installed from somewhere else: pip would take its version for good enough."""
        return self.stamp.exists() and self.stamp.read_text(encoding="utf-8").split("\n")[1] != index

    def works(self, *command: str) -> bool:
        """Tell whether the environment's Python runs: the one it was made with may be gone."""
        try:
            return subprocess.run([self.python, *(command or ("-c", ""))], capture_output=True).returncode == 0
        except OSError:
            return False

    def empty(self) -> None:
        """Delete everything but the mark."""
        for part in self.folder.iterdir():
            if part.is_dir() and not part.is_symlink():
                shutil.rmtree(part)
            elif part != self.mark:
                part.unlink()


def install(environment: Environment) -> None:
    """Make the environment, or bring it up to date."""
    machine = look_at_machine()
    if (machine.system, machine.processor) == ("Darwin", "x86_64"):
        fail("PyTorch is no longer built for Macs with Intel processors, so the program can't run on this one.")
    interrupted = environment.mark.exists()
    index = torch_index(machine)
    usable = environment.works("-m", "pip", "--version") and not environment.holds_other_pytorch(index)
    anew = interrupted or not usable
    if anew:
        _check_disk(environment, machine, index)
    with _marked(environment):
        if interrupted:
            say("The last installation did not finish: it is made anew.")
        environment.stamp.unlink(missing_ok=True)
        if anew:
            environment.empty()
            say("Making the environment .venv …")
            made = subprocess.run([sys.executable, "-m", "venv", environment.folder], stdout=sys.stderr)
            if made.returncode:
                fail(f"The environment could not be made with {sys.executable}: the lines above say why.")
        say(f"Installing what the program needs (once; some minutes and up to 9 GB). PyTorch: {index}.")
        _install_packages(environment, index)
        environment.stamp.write_text(f"{environment.wanted}\n{index}\n", encoding="utf-8")
    environment.mark.unlink(missing_ok=True)
    say("Everything is installed.")


def _check_disk(environment: Environment, machine: Machine, index: str) -> None:
    small = machine.system == "Darwin" or index.endswith("/cpu") or (machine.system == "Windows" and index == PLAIN)
    needed = DISK_NEEDED_CPU if small else DISK_NEEDED
    free = shutil.disk_usage(environment.home).free / 1e9
    if free < needed:
        fail(
            f"There is not enough disk space: the installation needs {needed} GB, and {environment.home} has "
            f"{free:.1f} GB free."
        )


@contextmanager
def _marked(environment: Environment) -> Iterator[None]:
    """Hold the mark's lock, which the system frees however this process ends."""
    try:
        environment.folder.mkdir(exist_ok=True)
        mark = environment.mark.open("a")
    except OSError as fault:
        fail(f"“{environment.folder}” can't be written ({fault.strerror}): put the program into a folder of your own.")
    with mark:
        if not _lock(mark):
            fail("Another start is installing just now: wait until it has finished.")
        yield


def _lock(file: IO[str]) -> bool:
    """Lock the file for this process; False where another one has it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _install_packages(environment: Environment, index: str) -> None:
    """Install the locked versions; from PyTorch's own index first what it has, with the CUDA it needs."""
    if index == PLAIN:
        _pip(environment, "--no-deps", "-r", str(environment.requirements))
        return
    lines = environment.requirements.read_text(encoding="utf-8").splitlines()
    torch = [line.split(";")[0].strip() for line in lines if line.startswith(("torch==", "torchaudio=="))]
    _pip(environment, *torch, "--index-url", index)
    rest = environment.folder / "requirements.txt"
    rest.write_text("\n".join(line for line in lines if not _CUDA_PACKAGE.match(line)), encoding="utf-8")
    _pip(environment, "--no-deps", "-r", str(rest))


def _pip(environment: Environment, *arguments: str) -> None:
    """Run pip install. It unpacks gigabytes: beside the environment, not in a /tmp that may lie in memory."""
    unpacked = environment.folder / "tmp"
    unpacked.mkdir(exist_ok=True)
    command = [str(environment.python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    done = subprocess.run(
        [*command, "--log", str(environment.log), *arguments],
        stdout=sys.stderr,
        env={**os.environ, "TMPDIR": str(unpacked), "TEMP": str(unpacked), "TMP": str(unpacked)},
    )
    shutil.rmtree(unpacked, ignore_errors=True)
    if done.returncode:
        _explain(environment)


def _explain(environment: Environment) -> NoReturn:
    """Say in one sentence why pip failed, as far as its log tells."""
    log = environment.log.read_text(encoding="utf-8", errors="replace") if environment.log.exists() else ""
    if "No space left on device" in log or "not enough space on the disk" in log:
        fail(
            f"The disk became full during the installation: free some space ({DISK_NEEDED} GB are needed, pip's cache "
            "included) and start again."
        )
    if _NO_NETWORK.search(log):
        fail(
            "The packages could not be downloaded, because the package index can't be reached: check the network "
            "(and the proxy, if there is one) and start again."
        )
    fail(
        f"The installation failed; the last lines above say why, and all of it is in {environment.log}. "
        "Start again to repeat it."
    )


def main(arguments: list[str]) -> int:
    if arguments == ["--print-torch-index"]:
        print(torch_index(look_at_machine()))
        return 0
    environment = Environment(Path(__file__).resolve().parent.parent)
    try:
        if not environment.is_whole():
            install(environment)
    except KeyboardInterrupt:
        say("The installation was interrupted; the next start repeats it.")
        return 130
    except OSError as fault:
        fail(f"The environment can't be made: {fault}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""A Whisper model fetched by its name, from a server in the hub's place."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.whisper_models import NEEDED, missing_files
from pipeline.workspace import DEMO_WHISPER, REPOSITORY, Workspace

REPO = "Systran/faster-whisper-tiny.en"  # what faster-whisper fetches for tiny.en
COMMIT = "0" * 40
FETCH = """
import sys
from pathlib import Path
from pipeline.errors import FinetuneError
from pipeline.progress import Progress
from pipeline.transcribe import load_whisper
from pipeline.workspace import Workspace
try:
    with load_whisper(Workspace(Path(sys.argv[1])), "tiny.en", "mixed", "cpu", Progress()) as whisper:
        print(whisper.english_only)
except FinetuneError as fault:
    sys.exit(f"{type(fault).__name__}: {fault}")
"""


def _etag(name: str) -> str:
    return hashlib.sha1((DEMO_WHISPER / name).read_bytes()).hexdigest()


class Hub(BaseHTTPRequestHandler):
    """Answers as the hub does, with the bundled model in the place of tiny.en; `cut` breaks off the large file."""

    files = (*NEEDED, "vocabulary.json", "preprocessor_config.json")
    cut = False
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        if path.startswith(f"/api/models/{REPO}/tree/"):
            tree = [
                {"type": "file", "path": name, "size": (DEMO_WHISPER / name).stat().st_size, "oid": _etag(name)}
                for name in self.files
            ]
            self._send(json.dumps(tree).encode(), "application/json", body)
            return
        if path.startswith(f"/api/models/{REPO}"):
            about = {"id": REPO, "sha": COMMIT, "siblings": [{"rfilename": name} for name in self.files]}
            self._send(json.dumps(about).encode(), "application/json", body)
            return
        name = path.rpartition("/")[2]
        if f"/{REPO}/resolve/" not in path or name not in self.files:
            self.send_error(404)
            return
        self._send((DEMO_WHISPER / name).read_bytes(), "application/octet-stream", body, _etag(name))

    def _send(self, data: bytes, kind: str, body: bool, etag: str = "") -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        if etag:
            self.send_header("ETag", f'"{etag}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            if self.cut and len(data) > 10**6:
                self.wfile.write(data[: len(data) // 2])
                self.close_connection = True
            else:
                self.wfile.write(data)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def fetch(ws: Workspace, endpoint: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(ws.root / "hf"), "HF_HUB_DISABLE_XET": "1"}
    environment |= {"HF_HUB_ETAG_TIMEOUT": "2", "HF_HUB_DOWNLOAD_TIMEOUT": "2"}
    command = [sys.executable, "-c", FETCH, str(ws.root)]
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=120)


def test_a_model_is_fetched_by_its_name_into_the_workspace(ws: Workspace, hub: str) -> None:
    done = fetch(ws, hub)
    assert (done.returncode, done.stdout.strip()) == (0, "True"), done.stderr
    folder = ws.whisper_models / "tiny.en"
    assert missing_files(folder) == ()
    assert (folder / "model.bin").read_bytes() == (DEMO_WHISPER / "model.bin").read_bytes()


def test_a_fetched_model_needs_no_hub_the_next_time(ws: Workspace, hub: str) -> None:
    assert fetch(ws, hub).returncode == 0
    assert fetch(ws, "http://127.0.0.1:1").returncode == 0


def test_a_hub_that_cannot_be_reached_gives_one_clear_sentence(ws: Workspace) -> None:
    done = fetch(ws, "http://127.0.0.1:1")
    assert done.returncode == 1
    assert "ModelMissingError: The Whisper model “tiny.en”" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_download_that_breaks_off_leaves_no_model_and_is_taken_up_again(
    ws: Workspace, hub: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hub, "cut", True)
    done = fetch(ws, hub)
    assert done.returncode == 1
    assert "ModelMissingError" in done.stderr
    assert "model.bin" in missing_files(ws.whisper_models / "tiny.en")
    monkeypatch.setattr(Hub, "cut", False)
    assert fetch(ws, hub).returncode == 0
    assert not any(Path(ws.whisper_models).rglob("*.incomplete"))

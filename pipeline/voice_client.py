"""Asking a resident voice to speak: the page's side, and the letters both sides exchange. Torch-free.

The stage `voice` (synthesize.serve_voice) is a job that stays. In its folder, requests/<id>.json holds a SpeakOptions,
and replies/<id>.json, once it is there, a Speech or an error in words. Requests are answered in order.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .errors import FinetuneError, JobError
from .jobs import JobStatus, end_job, read_job, running_job, start_job
from .options import SpeakOptions, VoiceOptions
from .records import Speech, from_json, to_json
from .workspace import Workspace, read_json, write_json, write_text

STAGE = "voice"


@dataclass(frozen=True)
class Reply:
    """What became of a request."""

    state: Literal["waiting", "done", "failed"]
    speech: Speech | None = None
    error: str = ""  # one sentence, where it failed


@dataclass(frozen=True)
class VoiceRequest:
    id: str
    options: SpeakOptions


# ---- The page's side ----------------------------------------------------------------------------------------------


def load_voice(ws: Workspace, model: str, project: str = "", device: str = "auto") -> str:
    """Return the id of the resident voice's job, started now unless it has this model already.

    It returns at once; the job's message says when the voice is ready. Raises JobRunningError where a heavy job runs.
    """
    options = VoiceOptions(model=model, project=project, device=device)
    loaded = loaded_voice(ws)
    if loaded and _options_of(ws, loaded.id) == options:
        return loaded.id
    return start_job(ws, STAGE, options)


def loaded_voice(ws: Workspace) -> JobStatus | None:
    """Return the resident voice's job, if one runs and wasn't asked to stop."""
    job = running_job(ws)
    return job if job and job.stage == STAGE and not job.stopping else None


def _options_of(ws: Workspace, job: str) -> VoiceOptions | None:
    request = read_json(ws.jobs / job / "request.json") or {}
    try:
        return VoiceOptions(**request["options"])
    except (FinetuneError, KeyError, TypeError):
        return None


def request_speech(ws: Workspace, options: SpeakOptions) -> str:
    """Ask the loaded voice to say something and return the request's id. Raises JobError where none is loaded."""
    job = loaded_voice(ws)
    if job is None:
        raise JobError("No voice is loaded: press “Load Fine-tuned XTTS model” first.")
    name = f"{time.time_ns():020d}-{os.urandom(2).hex()}"  # in the order they were asked
    write_text(ws.jobs / job.id / "requests" / f"{name}.json", to_json(options))
    return f"{job.id}/{name}"


def read_reply(ws: Workspace, request: str) -> Reply:
    """Return what became of a request. Raises JobError for an id that never was."""
    job, _, name = request.partition("/")
    if not name or Path(name).name != name:
        raise JobError(f"There is no request “{request}”.")
    status = read_job(ws, job)  # before the reply, which may be the last thing the job wrote
    reply = read_json(ws.jobs / job / "replies" / f"{name}.json")
    if reply is not None:
        if reply.get("error"):
            return Reply("failed", error=reply["error"])
        return Reply("done", Speech(**reply["speech"]))
    if not status.running:
        return Reply("failed", error=status.error or "The voice was unloaded before it spoke: load it again.")
    if not (ws.jobs / job / "requests" / f"{name}.json").is_file():
        raise JobError(f"There is no request “{request}”.")
    return Reply("waiting")


def unload_voice(ws: Workspace, grace: float = 10.0) -> None:
    """Give the voice's memory back: end the resident job, if one runs."""
    job = running_job(ws)
    if job and job.stage == STAGE:
        end_job(ws, job.id, grace)


# ---- The voice's side ---------------------------------------------------------------------------------------------


def take_request(folder: Path) -> VoiceRequest | None:
    """Return the oldest request without a reply. One that can't be read is answered with the reason."""
    replied = _names(folder / "replies")
    for name in sorted(_names(folder / "requests") - replied):
        try:
            text = (folder / "requests" / f"{name}.json").read_text(encoding="utf-8")
            return VoiceRequest(name, from_json(SpeakOptions, text))
        except (OSError, FinetuneError) as fault:
            answer(folder, name, error=str(fault))
    return None


def _names(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name[:-5] for entry in entries if entry.name.endswith(".json") and entry.name[0] != "."}
    except FileNotFoundError:
        return set()


def answer(folder: Path, name: str, speech: Speech | None = None, error: str = "") -> None:
    """Write the reply to a request."""
    reply: dict[str, Any] = {"error": error} if speech is None else {"speech": vars(speech)}
    write_json(folder / "replies" / f"{name}.json", reply)

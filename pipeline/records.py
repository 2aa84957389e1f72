"""The records that flow between stages.

Times are in seconds from the start of the recording, loudness in LUFS, ratios in decibels where the name says so.
Every record is frozen. `to_json` and `from_json` carry them through files.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from .errors import SettingError

Seconds = float
Split = Literal["train", "eval"]
Ending = Literal["sentence", "clause", "pause", "forced"]
Status = Literal["ok", "warning", "failed", "skipped"]
Record = TypeVar("Record")


def to_json(record: Any, *, indent: int | None = None) -> str:
    """Return a record as JSON: paths as strings, nothing that strict readers refuse."""
    return json.dumps(dataclasses.asdict(record), ensure_ascii=False, indent=indent, default=str, allow_nan=False)


def from_json(kind: type[Record], text: str) -> Record:
    """Return the record of type `kind` that `to_json` wrote. Raises SettingError where the fields don't fit."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_json(text)
    except ValidationError as fault:
        first = fault.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SettingError(f"{where or kind.__name__}: {first['msg']}.") from fault


# ---- Audio and words ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recording:
    """One file of the intake, as the table shows it before anything runs."""

    path: Path
    sha256: str = ""  # of the file's bytes: what it is known by
    seconds: Seconds = 0.0
    sample_rate: int = 0
    channels: int = 0
    codec: str = ""
    loudness: float | None = None  # integrated, LUFS; None until measured
    problem: str = ""  # why it can't be used; empty where it can


@dataclass(frozen=True)
class Span:
    """A stretch of time: of speech, or of silence."""

    start: Seconds
    end: Seconds

    @property
    def seconds(self) -> Seconds:
        return self.end - self.start


@dataclass(frozen=True)
class Word:
    """One word as it was said. `text` has its punctuation and no space around it."""

    text: str
    start: Seconds
    end: Seconds
    probability: float = 1.0


@dataclass(frozen=True)
class Limits:
    """What every clip must keep."""

    min_seconds: Seconds = 2.0
    max_seconds: Seconds = 10.0
    max_characters: int = 250
    max_tokens: int = 200
    padding: Seconds = 0.15  # of the silence beside it that a clip takes along, at most


@dataclass(frozen=True)
class ClipPlan:
    """A decision: this stretch of the recording becomes a clip with this text."""

    start: Seconds  # with padding
    end: Seconds
    text: str
    ending: Ending
    words: tuple[Word, ...] = ()
    note: str = ""  # what a person should know: where it had to be cut without a pause


@dataclass(frozen=True)
class Rejection:
    """What of the audio isn't in the dataset, and why."""

    source: str  # the recording's file name
    reason: str
    start: Seconds | None = None
    end: Seconds | None = None
    text: str = ""


@dataclass(frozen=True)
class Clip:
    """A row of the dataset with all that is known about it."""

    file: str  # relative to the project's folder: wavs/….wav
    text: str
    speaker: str
    split: Split
    source: str = ""  # file name of the recording
    source_sha256: str = ""
    start: Seconds = 0.0
    end: Seconds = 0.0
    seconds: Seconds = 0.0
    ending: Ending = "sentence"
    note: str = ""
    words_per_second: float | None = None
    loudness: float | None = None  # LUFS
    snr: float | None = None  # dB
    clipped: float | None = None  # share of samples at full scale
    confidence: float | None = None  # Whisper's mean word probability
    edge_drop: float | None = None  # dB by which its louder end lies below its speech; small: a word is cut
    similarity: float | None = None  # to the speaker's average voice; None without a base model
    flags: tuple[str, ...] = ()  # why it stands out


# ---- Stage: dataset -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DatasetReport:
    """What came of creating a dataset: totals, every clip, everything left out."""

    project: str
    clips: int
    seconds: Seconds
    train: int
    eval: int
    added: int
    rejected: tuple[Rejection, ...] = ()
    warnings: tuple[str, ...] = ()
    rows: tuple[Clip, ...] = ()


# ---- Stage: validation --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mismatch:
    """A clip whose text isn't what Whisper hears."""

    file: str
    split: Split
    text: str
    heard: str
    score: float  # word error rate of `heard` against `text`, normalised


@dataclass(frozen=True)
class ValidationReport:
    """What validation found: mismatches worst first, and rows whose file is missing."""

    project: str
    clips: int
    missing: tuple[str, ...] = ()
    mismatches: tuple[Mismatch, ...] = ()


@dataclass(frozen=True)
class Correction:
    """What a person decided about one clip."""

    file: str
    text: str
    trim: Span | None = None  # keep this part of the clip's audio; None: leave it as it is


# ---- Models -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BaseModel:
    """A folder of models/xtts: whole, or with what is missing."""

    name: str
    path: Path
    missing: tuple[str, ...] = ()
    demo: bool = False  # its weights are random: it makes noise

    @property
    def whole(self) -> bool:
        return not self.missing


# ---- Stage: training ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TrainReport:
    """What came of training; losses are evaluation losses."""

    project: str
    run: str
    epochs: int
    steps: int
    seconds: Seconds
    first_loss: float
    best_loss: float
    best_epoch: int
    best_model: str
    stopped: bool  # on request or early
    verdict: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """A training run on disk."""

    name: str
    path: Path
    project: str
    base: str
    epochs: int  # finished
    can_continue: bool
    has_best: bool


# ---- Stage: speaking ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Voice:
    """Which files make a voice. `model` is weights of a base, of an exported model, or a run's best_model.pth."""

    model: Path
    config: Path
    vocab: Path
    speakers: Path | None = None
    mel_stats: Path | None = None


@dataclass(frozen=True)
class Speech:
    """What was spoken."""

    path: str
    seconds: Seconds
    seed: int


# ---- Stage: export ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ExportedFile:
    name: str  # relative to the folder, with /
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ExportedVoice:
    """An exported model's folder, whole and tried."""

    path: str
    files: tuple[ExportedFile, ...]
    spoken: str = ""  # the sentence it said when it was tried, relative to the folder


# ---- Checks -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    """One box of the Pre-flight Checklist."""

    name: str
    status: Status
    detail: str  # what was found
    needed: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class CheckReport:
    ok: bool
    checks: tuple[Check, ...] = field(default=())


# ---- Stage: demo --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DemoReport:
    dataset: DatasetReport
    training: TrainReport
    export: ExportedVoice
    speech: Speech

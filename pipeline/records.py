"""The records that flow between stages, and the options each stage takes.

Times are in seconds from the start of the recording, loudness in LUFS, ratios in decibels where the name says so.
Every record is frozen; options check themselves. `to_json` and `from_json` carry them through files.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from .errors import SettingError
from .languages import DEFAULT_WHISPER_MODEL, LANGUAGES, PRECISIONS, is_english_only

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
    similarity: float | None = None  # to the speaker's average voice; None without a base model
    flags: tuple[str, ...] = ()  # why it stands out


# ---- Stage: dataset -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DatasetOptions:
    """Settings of “Step 1 - Generating the dataset”; the names are those of the command line."""

    project: str
    audio: tuple[str, ...] = ()  # files or folders; empty: what lies in put-voice-samples-in-here
    language: str = "en"
    whisper_model: str = DEFAULT_WHISPER_MODEL
    precision: str = "mixed"
    eval_percent: float = 15.0
    bpe_tokenizer: bool = False
    vad: bool = True
    min_seconds: Seconds = 2.0
    max_seconds: Seconds = 10.0
    loudness: bool = True  # bring each source to the same loudness
    speaker: str = ""  # empty: the project's name
    seed: int = 0
    device: str = "auto"
    accept_new_settings: bool = False  # add to a dataset that was made with other settings

    def __post_init__(self) -> None:
        _check_language(self.language, self.whisper_model)
        _one_of("Model Precision", self.precision, PRECISIONS)
        _within("Evaluation Data Split", self.eval_percent, 1, 50, "%")
        _within("Min Audio Length", self.min_seconds, 1, 5, "s")
        _within("Max Audio Length", self.max_seconds, 8, 20, "s")


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
class ValidateOptions:
    """Settings of “Dataset Validation”. Empty paths mean the project's own dataset."""

    project: str
    train_csv: str = ""
    eval_csv: str = ""
    audio_folder: str = ""
    language: str = ""  # empty: the dataset's
    whisper_model: str = DEFAULT_WHISPER_MODEL
    precision: str = "mixed"
    device: str = "auto"

    def __post_init__(self) -> None:
        _check_language(self.language or "en", self.whisper_model)
        _one_of("Model Precision", self.precision, PRECISIONS)


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

OPTIMIZERS = (
    "AdamW",
    "SGD with Momentum",
    "RMSprop",
    "Adagrad",
    "Adam",
    "Rectified Adam",
    "Step Wise",
    "Noam",
)
SCHEDULERS = (
    "None",
    "Cosine Annealing",
    "Cosine Annealing Warm Restarts",
    "Cyclic",
    "Exponential",
    "Multi Step",
    "Reduce on Plateau",
    "Step",
    "One Cycle",
)
TRAIN_PRECISIONS = ("auto", "bf16", "fp16", "float32")
CONDITIONINGS = ("same clip", "another clip")


@dataclass(frozen=True)
class TrainConfig:
    """Settings of “Step 2 - Training”. Empty paths mean the project's own dataset."""

    project: str
    base: str = ""  # a folder of models/xtts, or a path; empty: the only one there
    train_csv: str = ""
    eval_csv: str = ""
    learning_rate: float = 5e-6
    scheduler: str = "Cosine Annealing Warm Restarts"
    optimizer: str = "AdamW"
    epochs: int = 10
    batch_size: int = 4
    grad_accumulation: int = 1
    max_audio_seconds: Seconds = 11.0
    workers: int = 0
    warmup: bool = False  # “Perform Warmup Learning”
    disable_shared_memory: bool = False
    continue_run: bool = False  # “Continue Previous Project”
    run: str = ""  # the run to go on with; empty: the project's latest
    precision: str = "auto"
    lora: bool = False
    lora_rank: int = 16
    early_stopping: bool = False
    patience: int = 3  # epochs without a better smoothed evaluation loss
    gradient_clip: float = 1.0
    weight_decay: float = 1e-2
    conditioning: str = "same clip"
    sample_text: str = ""  # spoken after each epoch; empty: a sentence of the language
    speak_samples: bool = True
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        _one_of("Optimizer", self.optimizer, OPTIMIZERS)
        _one_of("Learning Rate Scheduler", self.scheduler, SCHEDULERS)
        _one_of("Precision", self.precision, TRAIN_PRECISIONS)
        _one_of("Conditioning", self.conditioning, CONDITIONINGS)
        _within("Learning Rate", self.learning_rate, 1e-8, 1, "")
        _within("Number of epochs", self.epochs, 1, 10_000, "")
        _within("Batch size", self.batch_size, 1, 512, "")
        _within("Grad accumulation steps", self.grad_accumulation, 1, 1024, "")
        _within("Max permitted audio size in seconds", self.max_audio_seconds, 1, 30, "s")
        _within("Workers/Threads", self.workers, 0, 64, "")
        _within("LoRA rank", self.lora_rank, 1, 512, "")
        _within("Patience", self.patience, 1, 1000, "epochs")


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
    config: TrainConfig
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
class SpeakOptions:
    """One thing to say. `model` is a folder's name in models/xtts, a run as PROJECT/RUN, a project, or a path."""

    model: str
    text: str
    references: tuple[str, ...]
    out: str = ""  # empty: a new file in the project's or the model's folder of generated speech
    language: str = "en"
    temperature: float = 0.75
    length_penalty: float = 1.0
    repetition_penalty: float = 5.0
    top_k: int = 50
    top_p: float = 0.85
    speed: float = 1.0
    split_sentences: bool = True
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        _one_of("Language", self.language, tuple(LANGUAGES))
        _within("Temperature", self.temperature, 0.01, 2, "")
        _within("Top-p", self.top_p, 0.01, 1, "")
        _within("Top-k", self.top_k, 1, 1024, "")
        _within("Speed", self.speed, 0.25, 4, "")
        _within("Repetition penalty", self.repetition_penalty, 1, 20, "")
        if not self.text.strip():
            raise SettingError("Input Text is empty: type what the voice should say.")
        if not self.references:
            raise SettingError("There is no reference audio: choose at least one clip of the voice.")


@dataclass(frozen=True)
class Speech:
    """What was spoken."""

    path: str
    seconds: Seconds
    seed: int


@dataclass(frozen=True)
class VoiceOptions:
    """A voice that stays loaded and answers requests of the page, until another job needs the memory."""

    model: str  # as in SpeakOptions
    project: str = ""
    device: str = "auto"


# ---- Stage: export ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ExportRequest:
    """Settings of “Model Export”."""

    project: str
    name: str  # the folder in models/xtts
    run: str = ""  # empty: the project's latest with a best model
    checkpoint: str = ""  # empty: the run's best model
    overwrite: bool = False
    half: bool = False
    device: str = "auto"


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
class CheckOptions:
    """What the checks are for. With `deep`, also those that load a model."""

    deep: bool = False
    language: str = "en"
    device: str = "auto"


@dataclass(frozen=True)
class CheckReport:
    ok: bool
    checks: tuple[Check, ...] = field(default=())


# ---- Stage: demo --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DemoOptions:
    """The whole job on what the project brings with it."""

    project: str = "demo"
    audio: tuple[str, ...] = ()  # empty: the bundled voice
    epochs: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        _within("Number of epochs", self.epochs, 1, 1000, "")


@dataclass(frozen=True)
class DemoReport:
    dataset: DatasetReport
    training: TrainReport
    export: ExportedVoice
    speech: Speech


# ---- Checking settings --------------------------------------------------------------------------------------------


def _one_of(label: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SettingError(f"{label} “{value}” isn't known: choose one of {', '.join(allowed)}.")


def _within(label: str, value: float, low: float, high: float, unit: str) -> None:
    if not low <= value <= high:
        raise SettingError(f"{label} is {value:g} and must be between {low:g} and {high:g} {unit}".rstrip() + ".")


def _check_language(language: str, whisper_model: str) -> None:
    _one_of("Dataset Language", language, tuple(LANGUAGES))
    if is_english_only(whisper_model) and language != "en":
        raise SettingError(
            f"The Whisper model “{whisper_model}” hears English only, and the language is "
            f"{LANGUAGES[language]}: choose a model without “.en”."
        )

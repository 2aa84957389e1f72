"""The training stage: from a project's dataset and a base model to a run's folder with its best model."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base_models import inspect_model, resolve_base
from ..device import pick_device, read_vram
from ..errors import DatasetMissingError, TrainingError
from ..languages import LANGUAGES
from ..options import TrainConfig
from ..progress import Progress
from ..records import Run, TrainReport, from_json, to_json
from ..voices import base_of
from ..workspace import Project, Workspace, read_json, write_json, write_text
from .audit import Audit, AuditLimits, Auditor, TrainClip
from .cache import ClipCache, codes_key
from .checkpoints import GIB, EpochSums, Standing, check_space, load_last, memory_needed, space_needed, used_space
from .compute import choose_precision, use_all_cores
from .data import TrainingData, steps_in_epoch
from .loop import Trainer, Work
from .lora import add_lora
from .model import Encoder, conditioning_mel, load_model
from .objective import Marks
from .runlog import RunLog, in_words
from .runs import RunFiles, find_run, new_run_folder
from .samples import Sampler, choose_sentence
from .schedule import rate_advice

if TYPE_CHECKING:
    from TTS.tts.models.xtts import Xtts

# What a continued run takes from the new request; everything else stays as it was begun.
_MAY_CHANGE = ("epochs", "device", "workers", "disable_shared_memory")


def train(ws: Workspace, config: TrainConfig, progress: Progress) -> TrainReport:
    """Train, or go on with a run, and return what came of it. What it leaves: runs.RunFiles.

    Stops at the next step when asked to, with all saved; the report then has `stopped`. Raises TrainingError where
    training can't start or go on, and Stopped where it was asked to stop before the first step.
    """
    use_all_cores()
    earlier = find_run(ws, config.project, config.run) if config.continue_run else None
    request = _continued(ws, config, earlier) if earlier else new_request(ws, config, progress)
    prepared = prepare(ws, request, progress)
    files = RunFiles(earlier.path if earlier else new_run_folder(ws.project(config.project)))
    ws.delete(files.report)  # of an earlier sitting: it isn't finished now
    _write_settings(files, request, prepared)
    progress.log(f"Run “{files.folder.name}” of project “{config.project}”, base model {request.config.base}")
    saved = load_last(files)
    standing, tensors = saved if saved else (Standing(), None)
    log = RunLog(files, progress, standing.metrics_bytes, standing.step)
    _compare_data(standing, prepared.audit, log)
    try:
        work = make_work(prepared, request, files)
        trainer = Trainer(work, standing, log, progress)
        if tensors is not None:
            trainer.keeper.restore(tensors)
            log.write(f"Going on from step {standing.step}, in epoch {standing.epoch}.")
        stopped = trainer.run()
        report = _report(trainer, stopped, prepared.audit.warnings)
        write_text(files.report, to_json(report, indent=1) + "\n")
        log.write(f"The checkpoints take {used_space(files) / GIB:.2f} GiB.")
        log.write(f"{report.verdict} It took {in_words(report.seconds)}.")
    finally:
        log.close()
    return report


# ---- Which run ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """The settings as they count, and the base model's folder."""

    config: TrainConfig
    base: Path
    used: int = 0  # bytes that the run's checkpoints take already


def new_request(ws: Workspace, config: TrainConfig, progress: Progress) -> Request:
    project = ws.project(config.project)
    find_dataset(project, config)  # before a base model is made for nothing
    base = resolve_base(ws, config.base, progress)
    device = pick_device(config.device)
    return Request(dataclasses.replace(config, project=project.name, base=str(base), device=device), base)


def _continued(ws: Workspace, config: TrainConfig, run: Run) -> Request:
    """Return the run's own settings; only more epochs, and what changes no result, are taken from the new ones."""
    files = RunFiles(run.path)
    begun = from_json(TrainConfig, json.dumps(read_json(files.train_config)))
    base = base_of(ws, run.path) or resolve_base(ws, begun.base)
    taken = {name: getattr(config, name) for name in _MAY_CHANGE}
    taken["epochs"] = max(begun.epochs, config.epochs)
    taken["device"] = pick_device(config.device)
    begun = dataclasses.replace(begun, **taken, project=run.project, base=str(base), continue_run=True)
    return Request(begun, base, used_space(files))


def _write_settings(files: RunFiles, request: Request, prepared: Prepared) -> None:
    """Write what the run is made with; train_config.json last, for its presence makes the folder a run."""
    for source, copy in (("config.json", files.config), ("vocab.json", files.vocab)):
        if not copy.is_file():
            write_text(copy, (request.base / source).read_text(encoding="utf-8"))
    write_json(files.audit, prepared.summary)
    write_json(files.train_config, json.loads(to_json(request.config)))


# ---- Before the first step ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dataset:
    """Where the rows are, and what language they are in."""

    train_csv: Path
    eval_csv: Path
    language: str


def find_dataset(project: Project, config: TrainConfig) -> Dataset:
    """Return the project's dataset, or that of the settings: its language is in the lang.txt beside it, or else the
    project's. Raises DatasetMissingError, or TrainingError where a part of it isn't named.
    """
    if not config.train_csv:
        if not project.has_dataset:
            raise DatasetMissingError(project.name)
        return Dataset(project.train_csv, Path(config.eval_csv or project.eval_csv), project.language)
    train_csv = Path(config.train_csv).expanduser()
    if not train_csv.is_file():
        raise TrainingError(f"There is no file “{train_csv}”: correct the “Train CSV file path”.")
    eval_csv = Path(config.eval_csv).expanduser() if config.eval_csv else train_csv.with_name(project.eval_csv.name)
    if not eval_csv.is_file():
        raise TrainingError(f"“{train_csv}” needs clips to evaluate with: give an “Eval CSV file path” too.")
    for beside in (train_csv.with_name(project.language_file.name), project.language_file):
        if beside.is_file():
            language = beside.read_text(encoding="utf-8").strip()
            if language in LANGUAGES:
                return Dataset(train_csv, eval_csv, language)
            raise TrainingError(f"“{beside}” names the language “{language}”, which XTTS doesn't know.")
    raise TrainingError(
        f"The language of “{train_csv}” isn't known: write its code, such as en, into a file lang.txt beside it."
    )


@dataclass(frozen=True, eq=False)
class Prepared:
    """The model and the data, checked."""

    xtts: Xtts
    audit: Audit
    cache: ClipCache
    language: str
    summary: dict[str, Any]  # of the audit, for audit.json and the page


def prepare(ws: Workspace, request: Request, progress: Progress) -> Prepared:
    """Load the model, judge the dataset, compute what codes are missing, see that the disk has room."""
    config = request.config
    progress.update(None, "Loading the base model")
    xtts = load_model(request.base)
    progress.check()
    project = ws.project(config.project)
    cache = ClipCache(project.cache / "training", codes_key(request.base))
    dataset = find_dataset(project, config)
    limits = AuditLimits(dataset.language, config.max_audio_seconds, xtts.gpt.max_mel_tokens)
    audit = Auditor(cache, xtts.tokenizer, limits).audit(dataset.train_csv, dataset.eval_csv, progress)
    summary = _tell_audit(audit, config, progress)
    encoder = Encoder(request.base, xtts.gpt.num_audio_tokens, config.device)
    encoded = encoder.encode_missing((*audit.train, *audit.eval), cache, progress)
    progress.log(f"Audio codes: {encoded} clips computed, the others were kept from before.", kind="Data Processing")
    if config.lora:
        add_lora(xtts.gpt, config.lora_rank, config.seed)
    progress.log(check_space(project.path, space_needed(xtts, config.optimizer), request.used))
    _tell_memory(xtts, config, progress)
    advice = rate_advice(config.optimizer, config.learning_rate, config.lora)
    if advice and not inspect_model(request.base).demo:  # random weights have everything to learn
        progress.log(f"Warning: {advice}")
    return Prepared(xtts, audit, cache, dataset.language, summary)


def _tell_audit(audit: Audit, config: TrainConfig, progress: Progress) -> dict[str, Any]:
    """Say what will be trained on, and every row that won't."""
    steps = steps_in_epoch(len(audit.train), config.batch_size * config.grad_accumulation)
    progress.log(
        f"{len(audit.train)} clips ({in_words(audit.seconds)}) to train on, {len(audit.eval)} to evaluate with; "
        f"{steps} steps an epoch, {steps * config.epochs} steps in {config.epochs} epochs."
    )
    for sentence in audit.warnings:
        progress.log(f"Warning: {sentence}", kind="Data Processing")
    summary = {
        "train": len(audit.train),
        "eval": len(audit.eval),
        "seconds": round(audit.seconds, 3),
        "steps_per_epoch": steps,
        "steps": steps * config.epochs,
        "rejected": [dataclasses.asdict(row) for row in audit.rejected],
    }
    progress.event("audit", **summary)
    return summary


def _tell_memory(xtts: Xtts, config: TrainConfig, progress: Progress) -> None:
    """Say what of the GPU's memory will be needed and is free."""
    vram = read_vram(config.device)
    if vram is None:
        return
    needed = memory_needed(xtts, config.optimizer)
    progress.log(
        f"GPU memory: weights, gradients and optimizer take {needed / GIB:.1f} GiB, and the batches come on top; "
        f"{vram.free / GIB:.1f} of {vram.total / GIB:.1f} GiB are free.",
        kind="GPU Memory",
    )
    if needed > vram.free:
        progress.log("Warning: that is more than is free: close what else uses the GPU, or train with LoRA.")


# ---- The trainer and its report -----------------------------------------------------------------------------------


def make_work(prepared: Prepared, request: Request, files: RunFiles) -> Work:
    config, xtts, audit = request.config, prepared.xtts, prepared.audit
    marks = Marks.of(xtts.gpt)
    train_data = TrainingData(audit.train, prepared.cache, marks, config.seed)
    eval_data = TrainingData(audit.eval, prepared.cache, marks)
    train_data.another_clip = eval_data.another_clip = config.conditioning == "another clip"
    sampler = None
    if config.speak_samples:
        sampler = Sampler(xtts, files, choose_sentence(config, audit.eval, prepared.language))
    return Work(
        xtts=xtts,
        mel=conditioning_mel(request.base),
        train=train_data,
        eval=eval_data,
        config=config,
        files=files,
        precision=choose_precision(config.precision, config.device),
        sampler=sampler,
    )


def _compare_data(standing: Standing, audit: Audit, log: RunLog) -> None:
    """Where the clips have changed since the run was saved, begin its epoch again, and say so."""
    train_data, eval_data = fingerprint(audit.train), fingerprint(audit.eval)
    if standing.data not in ("", train_data):
        standing.done, standing.sums = 0, EpochSums()
        log.warn("The training clips have changed since: the epoch begins again, with those there are now.", standing)
    if standing.eval_data not in ("", eval_data):
        standing.best = None
        log.warn("The evaluation clips have changed since: the best model is chosen anew from here on.", standing)
    standing.data, standing.eval_data = train_data, eval_data


def fingerprint(clips: Sequence[TrainClip]) -> str:
    """Return what tells whether the clips, their texts or their order have changed."""
    parts = [f"{clip.sha256} {clip.tokens.tolist()} {clip.speaker}" for clip in clips]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _report(trainer: Trainer, stopped: bool, warnings: tuple[str, ...]) -> TrainReport:
    at, files = trainer.at, trainer.work.files
    best = at.best or trainer.unfinished or at.first
    if best is None or at.first is None:
        raise TrainingError("The run has no evaluation yet: go on with it first.")
    return TrainReport(
        project=trainer.config.project,
        run=files.folder.name,
        epochs=at.epochs,
        steps=at.step,
        seconds=round(at.seconds, 1),
        first_loss=at.first.eval_loss,
        best_loss=best.eval_loss,
        best_epoch=best.epoch,
        best_model=str(files.best_model) if files.best_model.is_file() else "",
        stopped=stopped,
        verdict=trainer.verdict().sentence,
        warnings=(*warnings, *at.warnings),
    )

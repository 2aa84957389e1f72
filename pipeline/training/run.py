"""The training stage: from a project's dataset and a base model to a run's folder with its best model."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import torch

from ..base_models import resolve_base
from ..device import pick_device
from ..errors import DatasetMissingError, SettingError, TrainingError
from ..options import TrainConfig
from ..progress import Progress
from ..records import TrainReport, from_json, to_json
from ..workspace import Workspace, read_json, write_json, write_text
from .audit import Audit, AuditLimits, Auditor, TrainClip
from .cache import ClipCache, codes_key
from .checkpoints import GIB, Standing, check_space, load_last, space_needed, used_space
from .data import TrainingData, steps_in_epoch
from .loop import Trainer, Work
from .lora import add_lora
from .model import Encoder, conditioning_mel, load_model
from .objective import Marks
from .runlog import RunLog, in_words
from .runs import RunFiles, find_run, new_run_folder
from .samples import Sampler, choose_sentence

if TYPE_CHECKING:
    from TTS.tts.models.xtts import Xtts

# What a continued run takes from the new request; everything else stays as it was begun.
_MAY_CHANGE = ("epochs", "device", "workers", "disable_shared_memory")


def train(ws: Workspace, config: TrainConfig, progress: Progress) -> TrainReport:
    """Train, or go on with a run, and return what came of it. What it leaves: runs.RunFiles.

    Stops at the next step when asked to, with all saved; the report then has `stopped`. Raises TrainingError where
    training can't start or go on, and Stopped where it was asked to stop before the first step.
    """
    _use_all_cores()
    request = _open_run(ws, config) if config.continue_run else _new_run(ws, config, progress)
    config, files = request.config, request.files
    progress.log(f"Run “{files.folder.name}” of project “{config.project}”, base model {config.base}")
    prepared = _prepare(ws, request, progress)
    saved = load_last(files)
    standing, tensors = saved if saved else (Standing(), None)
    log = RunLog(files, progress, standing.metrics_bytes, standing.step)
    try:
        trainer = _build_trainer(prepared, request, standing, log, progress)
        if tensors is not None:
            trainer.keeper.restore(tensors)
            log.write(f"Going on from step {standing.step}, in epoch {standing.epoch}.")
        stopped = trainer.run()
        report = _report(trainer, stopped)
        write_text(files.report, to_json(report, indent=1) + "\n")
        log.write(f"The checkpoints take {used_space(files) / GIB:.2f} GiB.")
        log.write(f"{report.verdict} It took {in_words(report.seconds)}.")
    finally:
        log.close()
    return report


# ---- Which run ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """The run's settings as they count, its folder and its base model's."""

    config: TrainConfig
    files: RunFiles
    base: Path


def _new_run(ws: Workspace, config: TrainConfig, progress: Progress) -> Request:
    project = ws.project(config.project)
    if not config.train_csv and not project.has_dataset:
        raise DatasetMissingError(project.name)
    base = resolve_base(ws, config.base, progress)
    config = dataclasses.replace(config, project=project.name, base=str(base), device=pick_device(config.device))
    files = RunFiles(new_run_folder(project))
    shutil.copyfile(base / "config.json", files.config)
    shutil.copyfile(base / "vocab.json", files.vocab)
    write_json(files.train_config, json.loads(to_json(config)))
    return Request(config, files, base)


def _open_run(ws: Workspace, config: TrainConfig) -> Request:
    """Return the run to go on with, by its own settings; only more epochs and what changes no result are taken."""
    run = find_run(ws, config.project, config.run)
    files = RunFiles(run.path)
    begun = from_json(TrainConfig, json.dumps(read_json(files.train_config)))
    taken = {name: getattr(config, name) for name in _MAY_CHANGE}
    taken["epochs"] = max(begun.epochs, config.epochs)
    taken["device"] = pick_device(config.device)
    begun = dataclasses.replace(begun, **taken, continue_run=True)
    write_json(files.train_config, json.loads(to_json(begun)))
    return Request(begun, files, resolve_base(ws, begun.base))


# ---- Before the first step ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Prepared:
    """The model and the data, checked."""

    xtts: Xtts
    audit: Audit
    cache: ClipCache
    language: str


def _prepare(ws: Workspace, request: Request, progress: Progress) -> Prepared:
    """Load the model, judge the dataset, compute what codes are missing, see that the disk has room."""
    config, files = request.config, request.files
    progress.update(None, "Loading the base model")
    xtts = load_model(request.base)
    progress.check()
    project = ws.project(config.project)
    cache = ClipCache(project.cache / "training", codes_key(request.base))
    language = project.language if project.has_dataset else "en"
    limits = AuditLimits(language, config.max_audio_seconds, xtts.gpt.max_mel_tokens)
    csvs = Path(config.train_csv or project.train_csv), Path(config.eval_csv or project.eval_csv)
    audit = Auditor(cache, xtts.tokenizer, limits).audit(*csvs, progress)
    _tell_audit(audit, config, files, progress)
    encoder = Encoder(request.base, xtts.gpt.num_audio_tokens, config.device)
    encoded = encoder.encode_missing((*audit.train, *audit.eval), cache, progress)
    progress.log(f"Audio codes: {encoded} clips computed, the others were kept from before.", kind="Data Processing")
    if config.lora:
        add_lora(xtts.gpt, config.lora_rank, config.seed)
    progress.log(check_space(files, space_needed(xtts, config.optimizer)))
    return Prepared(xtts, audit, cache, language)


def _tell_audit(audit: Audit, config: TrainConfig, files: RunFiles, progress: Progress) -> None:
    """Say what will be trained on, and every row that won't."""
    steps = steps_in_epoch(len(audit.train), config.batch_size * config.grad_accumulation)
    progress.log(
        f"{len(audit.train)} clips ({in_words(audit.seconds)}) to train on, {len(audit.eval)} to evaluate with; "
        f"{steps} steps an epoch, {steps * config.epochs} steps in {config.epochs} epochs."
    )
    for row in audit.rejected:
        progress.log(f"Warning: “{row.source}” isn't used: {row.reason}.", kind="Data Processing")
    data = {
        "train": len(audit.train),
        "eval": len(audit.eval),
        "seconds": round(audit.seconds, 3),
        "steps_per_epoch": steps,
        "steps": steps * config.epochs,
        "rejected": [dataclasses.asdict(row) for row in audit.rejected],
    }
    write_json(files.audit, data)
    progress.event("audit", **data)


# ---- The trainer and its report -----------------------------------------------------------------------------------


def _build_trainer(
    prepared: Prepared, request: Request, standing: Standing, log: RunLog, progress: Progress
) -> Trainer:
    config, xtts, audit = request.config, prepared.xtts, prepared.audit
    marks = Marks.of(xtts.gpt)
    train_data = TrainingData(audit.train, prepared.cache, marks, config.seed)
    eval_data = TrainingData(audit.eval, prepared.cache, marks)
    train_data.another_clip = eval_data.another_clip = config.conditioning == "another clip"
    sampler = None
    if config.speak_samples:
        sampler = Sampler(xtts, request.files, choose_sentence(config, audit.eval, prepared.language))
    work = Work(
        xtts=xtts,
        mel=conditioning_mel(request.base),
        train=train_data,
        eval=eval_data,
        config=config,
        files=request.files,
        precision=choose_precision(config.precision, config.device),
        sampler=sampler,
    )
    _compare_data(standing, audit, progress)
    trainer = Trainer(work, standing, log, progress)
    for row in audit.rejected:
        sentence = f"“{row.source}” isn't used: {row.reason}."
        if sentence not in standing.warnings:
            standing.warnings.append(sentence)
    return trainer


def _compare_data(standing: Standing, audit: Audit, progress: Progress) -> None:
    """Where the clips have changed since the run was saved, begin its epoch again, and say so."""
    train_data, eval_data = fingerprint(audit.train), fingerprint(audit.eval)
    if standing.data and standing.data != train_data:
        progress.log("Warning: the training clips have changed since; the epoch begins again with those there are.")
        standing.done = 0
        standing.sums = type(standing.sums)()
    if standing.eval_data and standing.eval_data != eval_data:
        progress.log("Warning: the evaluation clips have changed since; the best model is chosen anew from here on.")
        standing.best = None
    standing.data, standing.eval_data = train_data, eval_data


def fingerprint(clips: Sequence[TrainClip]) -> str:
    """Return what tells whether the clips, their texts or their order have changed."""
    parts = [f"{clip.sha256} {clip.tokens.tolist()} {clip.speaker}" for clip in clips]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _report(trainer: Trainer, stopped: bool) -> TrainReport:
    at, files = trainer.at, trainer.work.files
    best = at.best or at.first
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
        warnings=tuple(at.warnings),
    )


# ---- Device -------------------------------------------------------------------------------------------------------


def choose_precision(wanted: str, device: str) -> str:
    """Return the precision as Accelerate names it. Raises SettingError where the device doesn't have it."""
    if device != "cuda":
        if wanted in ("auto", "float32"):
            return "no"
        raise SettingError(f"Precision {wanted} needs an NVIDIA GPU, and this trains on “{device}”: choose float32.")
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    if wanted == "bf16" and not bf16:
        raise SettingError("This GPU doesn't compute in bf16: choose the precision auto, fp16 or float32.")
    if wanted == "auto":
        return "bf16" if bf16 else "fp16"
    return "no" if wanted == "float32" else wanted


def _use_all_cores() -> None:
    """Undo torch.set_num_threads(1), which silero-vad and Coqui's dataset module call when they are imported."""
    if torch.get_num_threads() == 1 and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(psutil.cpu_count(logical=False) or 1)

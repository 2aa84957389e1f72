"""Small datasets for training: sounds made from a seed, with texts, in the project's own form."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.audio import CLIP_RATE, write_wav
from pipeline.options import TrainConfig
from pipeline.progress import Progress
from pipeline.training.checkpoints import Standing
from pipeline.training.runlog import RunLog
from pipeline.training.runs import RunFiles, new_run_folder
from pipeline.workspace import Project, Workspace, write_text

if TYPE_CHECKING:
    from pipeline.training.loop import Trainer

SENTENCE = (
    "the north wind and the sun were disputing which was the stronger when a traveller came along wrapped in a warm "
    "cloak they agreed that the one who first succeeded in making him take it off should be considered"
)


@dataclass(frozen=True)
class ClipSpec:
    """A clip to make."""

    seconds: float
    words: int
    speaker: str = "anna"


def make_sound(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Return something like a voice: a gliding hum in syllables, and a little hiss."""
    count = int(seconds * CLIP_RATE)
    time = np.arange(count) / CLIP_RATE
    pitch = np.interp(time, np.linspace(0, seconds, 8), rng.uniform(90, 220, 8))
    phase = 2 * np.pi * np.cumsum(pitch) / CLIP_RATE
    hum = sum(np.sin(n * phase) / n for n in range(1, 8))
    syllables = 0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(3, 5) * time)
    return (0.15 * hum * syllables + 0.01 * rng.standard_normal(count)).astype(np.float32)


def make_text(words: int, rng: np.random.Generator) -> str:
    text = " ".join(rng.choice(SENTENCE.split(), words))
    return text[0].upper() + text[1:] + "."


def make_project(ws: Workspace, name: str, train: list[ClipSpec], held_back: list[ClipSpec], seed: int = 0) -> Project:
    """Write a project with those clips and its two CSVs."""
    project = ws.project(name)
    rng = np.random.default_rng(seed)
    for split, specs, csv in (("train", train, project.train_csv), ("eval", held_back, project.eval_csv)):
        rows = ["audio_file|text|speaker_name"]
        for number, spec in enumerate(specs):
            file = f"wavs/{split}_{number:03d}.wav"
            write_wav(project.path / file, make_sound(spec.seconds, rng), CLIP_RATE)
            rows.append(f"{file}|{make_text(spec.words, rng)}|{spec.speaker}")
        write_text(csv, "\n".join(rows) + "\n")
    write_text(project.language_file, "en\n")
    return project


def add_row(csv: Path, file: str, text: str, speaker: str = "anna") -> None:
    """Add a row to a CSV, whatever is wrong with it."""
    write_text(csv, csv.read_text(encoding="utf-8") + f"{file}|{text}|{speaker}\n")


def make_trainer(ws: Workspace, config: TrainConfig, *, dropout: bool = True) -> Trainer:
    """Return a trainer at the start of a new run, as `train` makes it."""
    from pipeline.training.loop import Trainer
    from pipeline.training.run import make_work, new_request, prepare

    request = new_request(ws, config, Progress())
    prepared = prepare(ws, request, Progress())
    files = RunFiles(new_run_folder(ws.project(config.project)))
    write_text(files.config, (request.base / "config.json").read_text(encoding="utf-8"))
    work = make_work(prepared, request, files)
    if not dropout:
        for module in work.xtts.gpt.modules():
            if type(module).__name__.startswith("Dropout"):
                module.p = 0.0
    return Trainer(work, Standing(), RunLog(files, Progress(), 0, 0), Progress())

"""The training loop: steps, evaluations, checkpoints, until the epochs are done or somebody asks to stop.

Each step minimises what Coqui's recipe minimises (objective.py), over the clips that `plan_epoch` chose. A step's
clips may be computed in several batches: every batch is divided by the tokens of the whole step, so that the sum of
their gradients is that of one large batch. Dropout draws from a seed of (seed, step, batch): with the data's own
seeding a run that was interrupted anywhere goes on bit for bit, where the device computes the same sum the same way
each time (the CPU does, with the same number of threads).

Not covered: several processes (each would need its share of a step's clips).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..device import memory_told
from ..errors import FinetuneError, TrainingError, WorkspaceError
from ..options import TrainConfig
from ..progress import Progress
from ..records import Seconds
from .audit import TrainClip
from .checkpoints import EpochSums, Keeper, Standing, Tokens, Trained
from .compute import build_accelerator, is_out_of_memory, seed_of
from .data import Batch, BatchKey, LoaderOptions, TrainingData, cut_step, load_batches, plan_epoch, steps_in_epoch
from .metrics import EvaluationPoint, StepPoint
from .objective import MEL_WEIGHT, TEXT_WEIGHT, Objective, loss_of
from .optim import Scheduler, build_optimizer, build_scheduler
from .runlog import Pace, RunLog, in_words
from .runs import RunFiles
from .samples import Sampler
from .schedule import effective_schedule, plan_steps
from .verdict import Verdict, judge, should_stop

if TYPE_CHECKING:
    from TTS.tts.models.xtts import Xtts


@dataclass(frozen=True, eq=False)
class Work:
    """What is trained, on what, and where it goes."""

    xtts: Xtts
    mel: nn.Module  # samples to conditioning mels
    train: TrainingData
    eval: TrainingData
    config: TrainConfig
    files: RunFiles
    precision: str  # as Accelerate names it: no, bf16, fp16
    sampler: Sampler | None


@dataclass(frozen=True)
class Losses:
    """Means over tokens, weighted as in the loss: text and audio add up to it."""

    text: float
    audio: float

    @classmethod
    def of(cls, text: float, audio: float, tokens: Tokens) -> Losses:
        """Make them of the sums of cross-entropies over so many tokens."""
        return cls(TEXT_WEIGHT * text / tokens.text, MEL_WEIGHT * audio / tokens.audio)

    @property
    def total(self) -> float:
        return self.text + self.audio


@dataclass(frozen=True, eq=False)
class Gradient:
    """What came of adding up a step's gradients: they themselves are in the parameters."""

    sums: Tensor  # of the text and the audio cross-entropy, on the device
    waited: Seconds  # for data


class Trainer:
    """A run in the making. `run` takes it from where it stands to its end."""

    def __init__(self, work: Work, standing: Standing, log: RunLog, progress: Progress) -> None:
        self.work = work
        self.config = work.config
        self.at = standing
        self.log = log
        self.progress = progress
        self.epochs = work.config.epochs
        self.accelerator = build_accelerator(work.precision, work.config.device)
        self.device = self.accelerator.device
        work.xtts.to(self.device)
        self.mel = work.mel.to(self.device)
        self.step_size = self.config.batch_size * self.config.grad_accumulation
        self.at.batch_size = self.at.batch_size or self.config.batch_size
        self.steps_per_epoch = steps_in_epoch(len(work.train.clips), self.step_size)
        objective = Objective(work.xtts.gpt)
        optimizer = build_optimizer(
            self.config.optimizer, objective, self.config.learning_rate, self.config.weight_decay
        )
        schedule = effective_schedule(self.config.optimizer, self.config.scheduler)
        self.scheduler: Scheduler = build_scheduler(
            schedule, optimizer, plan_steps(self.epochs, self.steps_per_epoch, self.config.warmup)
        )
        self.model, self.optimizer = self.accelerator.prepare(objective, optimizer)
        parameters = {name: p for name, p in objective.gpt.named_parameters() if p.requires_grad}
        trained = Trained(work.xtts, parameters, self.optimizer, self.scheduler, self.accelerator.scaler)
        self.keeper = Keeper(work.files, trained)
        self.unfinished: EvaluationPoint | None = None  # of the model that is kept without a finished epoch
        self._pace = Pace()
        self._early_stopping = self.config.early_stopping and not standing.stopped_early
        standing.stopped_early = False  # somebody wants it to go on

    # ---- The run ------------------------------------------------------------------------------------------------

    def run(self) -> bool:
        """Train to the end. Returns whether it stopped before: on request, or early by the verdict.

        Raises TrainingError where it can't go on, and DeviceError where memory runs out beside the batches; what was
        saved last is then whole.
        """
        try:
            with memory_told("training", self.device.type):
                return self._run()
        except (WorkspaceError, OSError) as fault:  # the disk is full
            raise TrainingError(f"Training stopped at step {self.at.step}: {fault} {self.what_is_kept()}") from fault

    def _run(self) -> bool:
        if self.at.epoch > self.epochs:
            self.log.write(f"All {self.epochs} epochs are done already: ask for more to go on.")
            return False
        if self.at.first is None:
            self.progress.update(0.0, "Evaluating the base model")
            self.at.first = self._point(self.evaluate(), None)
            self.log.write(f"Evaluation loss before training: {self.at.first.eval_loss:.4f}")
        while self.at.epoch <= self.epochs:
            if not self._train_epoch():
                self._keep_a_model()
                self._save()
                return True
            self._finish_epoch()
            if self._should_stop_early():
                self.at.stopped_early = True
                break
            if self.keeper.is_due(within_epoch=False):
                self._save()
        self._save()
        return self.at.stopped_early

    def _should_stop_early(self) -> bool:
        asked = self._early_stopping and self.at.epoch <= self.epochs
        return asked and should_stop(self.at.evaluations, self.config.patience)

    def _train_epoch(self) -> bool:
        """Take the epoch's steps that aren't done yet. Returns False where it was asked to stop."""
        steps = plan_epoch(self.work.train.clips, self.config.seed, self.at.epoch, self.step_size)
        self.log.epoch_begins(self.at.epoch, self.epochs)
        batches = self._load(steps)
        while self.at.done < len(steps):
            if self.progress.stop_requested:
                return False
            point = self._take_step(steps[self.at.done], batches)
            if point is None:  # out of memory: again, with smaller batches
                self._halve_batch()
                batches = self._load(steps)
                continue
            self.at.done += 1
            self.at.step += 1
            self._tell(point, len(steps))
            if self.keeper.is_due(within_epoch=True):
                self._save()
        return True

    def _load(self, steps: Sequence[tuple[int, ...]]) -> Iterator[Batch]:
        """Return the batches of the epoch's steps to come."""
        todo = steps[self.at.done :]
        keys = [BatchKey(self.at.epoch, batch) for step in todo for batch in cut_step(step, self.at.batch_size)]
        options = LoaderOptions(self.config.workers, self.config.disable_shared_memory)
        return load_batches(self.work.train, keys, options)

    # ---- A step -------------------------------------------------------------------------------------------------

    def _take_step(self, step: tuple[int, ...], batches: Iterator[Batch]) -> StepPoint | None:
        """Make one step of the optimizer, or return None where memory ran out before it."""
        started = time.perf_counter()
        clips = [self.work.train.clips[number] for number in step]
        tokens = Tokens.of(clips)
        gradient = self._add_up(step, tokens, batches)
        if gradient is None:
            return None
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip or float("inf"))
        # The one moment of a step at which the host waits for the device.
        text, audio, grad_norm = torch.stack([*gradient.sums, norm.to(gradient.sums)]).tolist()
        losses = Losses.of(text, audio, tokens)
        point = StepPoint(
            step=self.at.step + 1,
            epoch=self.at.epoch,
            loss=losses.total,
            loss_text_ce=losses.text,
            loss_mel_ce=losses.audio,
            lr=self.scheduler.learning_rate,
            grad_norm=grad_norm,
            step_time=0.0,
            loader_time=gradient.waited,
            vram=self._vram(),
        )
        self._refuse_nan(point, clips)
        self.optimizer.step()
        self.scheduler.step()
        self.optimizer.zero_grad()
        self.at.sums.add(text, audio, tokens)
        return replace(point, step_time=time.perf_counter() - started)

    def _add_up(self, step: tuple[int, ...], tokens: Tokens, batches: Iterator[Batch]) -> Gradient | None:
        """Add up the gradients of a step's batches; None where memory ran out."""
        self.model.train()
        waited, sums = 0.0, torch.zeros(2, device=self.device)
        for number in range(len(cut_step(step, self.at.batch_size))):
            asked = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - asked
            try:
                torch.manual_seed(seed_of(self.config.seed, self.at.step, number))
                part = self._sums(batch)
                self.accelerator.backward(loss_of(part, tokens.text, tokens.audio))
            except RuntimeError as fault:
                if not is_out_of_memory(fault):
                    raise
                return None
            sums += part.detach()
        return Gradient(sums, waited)

    def _sums(self, batch: Batch) -> Tensor:
        with torch.no_grad():
            mels = self.mel(batch.conditioning.to(self.device))
        sums: Tensor = self.model(batch.packed.to(self.device), mels)
        return sums

    def _refuse_nan(self, point: StepPoint, clips: Sequence[TrainClip]) -> None:
        """Stop before the weights take harm. With fp16 an infinite gradient is usual: the scaler skips that step."""
        scaled = self.accelerator.scaler is not None
        if math.isfinite(point.loss) and (scaled or math.isfinite(point.grad_norm)):
            return
        self.log.point(point)
        what = "gradient" if math.isfinite(point.loss) else "loss"
        raise TrainingError(
            f"The {what} is no longer a number at step {point.step} (epoch {point.epoch}), with the clips "
            f"{', '.join(clip.file for clip in clips)}: listen to them, lower the learning rate, or choose the "
            f"precision float32. {self.what_is_kept()}"
        )

    def _halve_batch(self) -> None:
        """Compute half as many rows at once, twice as often: the same step with less memory."""
        self.optimizer.zero_grad()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if self.at.batch_size <= 1:
            raise TrainingError(
                "Memory ran out with a single clip: lower “Max permitted audio size in seconds”, train with LoRA, or "
                f"close what else uses the {self.device.type}'s memory. {self.what_is_kept()}"
            )
        self.at.batch_size = -(-self.at.batch_size // 2)
        accumulation = -(-self.step_size // self.at.batch_size)
        self.log.warn(
            f"Memory ran out: from step {self.at.step + 1} on, {self.at.batch_size} clips are computed at once and "
            f"{accumulation} such batches make a step. The result is the same; it takes a little longer.",
            self.at,
        )

    def _vram(self) -> int | None:
        if self.device.type != "cuda":
            return None
        most = torch.cuda.max_memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        return most

    # ---- An epoch's end -----------------------------------------------------------------------------------------

    def evaluate(self) -> Losses:
        """Return the loss over all evaluation clips."""
        return self.evaluate_on(self.work.eval)

    def evaluate_on(self, data: TrainingData) -> Losses:
        """Return the loss over all clips of the data: the same loss as in training, without dropout."""
        self.model.eval()
        while True:
            keys = data.evaluation(self.at.batch_size)
            try:
                with torch.no_grad():
                    parts = [self._sums(batch) for batch in load_batches(data, keys, LoaderOptions())]
                break
            except RuntimeError as fault:
                if not is_out_of_memory(fault):
                    raise
            self._halve_batch()
        text, audio = torch.stack(parts).double().sum(0).tolist()
        return Losses.of(text, audio, Tokens.of(data.clips))

    def _finish_epoch(self) -> None:
        """Evaluate, keep the model if it is the best so far, speak a sentence."""
        started = time.monotonic()
        train = Losses.of(self.at.sums.text, self.at.sums.audio, self.at.sums.tokens)
        self._say(f"Epoch {self.at.epoch} of {self.epochs}: evaluating")
        point = self._point(self.evaluate(), train)
        self.scheduler.epoch(point.eval_loss)
        if point.best:
            self.keeper.remember_best()
            self.at.best = point
        self.at.evaluations.append(point)
        self.log.point(point)
        verdict = self.verdict()
        self.log.epoch_ends(point, verdict, str(self.work.files.best_model))
        self.progress.event("evaluation", epoch=point.epoch, eval_loss=point.eval_loss, verdict=verdict.sentence)
        self._speak(point.epoch)
        self._pace.between_epochs = time.monotonic() - started
        self.at.epoch += 1
        self.at.done = 0
        self.at.sums = EpochSums()

    def _point(self, losses: Losses, train: Losses | None) -> EvaluationPoint:
        """Make the evaluation's record; without `train` it is of the base model. Raises TrainingError for no number."""
        if not math.isfinite(losses.total):
            raise TrainingError(
                f"The evaluation loss is no number after step {self.at.step}: lower the learning rate, choose the "
                f"precision float32, or take another base model. {self.what_is_kept()}"
            )
        best = self.at.best
        return EvaluationPoint(
            step=self.at.step,
            epoch=self.at.epoch if train else 0,
            eval_loss=losses.total,
            eval_loss_text_ce=losses.text,
            eval_loss_mel_ce=losses.audio,
            train_loss=train.total if train else losses.total,
            best=train is not None and (best is None or losses.total < best.eval_loss),
        )

    def verdict(self) -> Verdict:
        return judge(self.at.evaluations, self.config.patience)

    def _speak(self, epoch: int) -> None:
        if self.work.sampler is None or self.progress.stop_requested:
            return
        self._say(f"Epoch {epoch} of {self.epochs}: speaking a sentence")
        try:
            path = self.work.sampler.speak(epoch, str(self.device))
        except FinetuneError as fault:
            self.log.warn(f"No sentence was spoken after epoch {epoch}: {fault}", self.at)
            return
        self.progress.event("sample", epoch=epoch, path=str(path))

    # ---- Checkpoints --------------------------------------------------------------------------------------------

    def _save(self) -> None:
        if not self.keeper.weights_are_finite():
            raise TrainingError(
                f"The weights are no longer numbers after step {self.at.step} (epoch {self.at.epoch}): lower the "
                f"learning rate or choose the precision float32. {self.what_is_kept()}"
            )
        self.at.metrics_bytes = self.log.metrics_bytes
        self.at.seconds += self._pace.lap()
        self.keeper.save(self.at)

    def _keep_a_model(self) -> None:
        """Where it was stopped before the first epoch's end, keep the weights as they are rather than none.

        They are no candidate for the best: the run, continued, ends as if it had not been stopped.
        """
        if self.at.best is None and self.at.step > 0:
            self.keeper.remember_best()
            sums = self.at.sums
            self.unfinished = self._point(self.evaluate(), Losses.of(sums.text, sums.audio, sums.tokens))
            sentence = f"Stopped before the end of epoch {self.at.epoch}: the model is kept as it is."
            self.log.warn(sentence, self.at)

    def what_is_kept(self) -> str:
        if not self.work.files.last_state.is_file():
            return "Nothing was saved yet."
        return "What was saved last is whole: go on from there with “Continue Previous Project”."

    # ---- Telling ------------------------------------------------------------------------------------------------

    def _tell(self, point: StepPoint, steps: int) -> None:
        self.log.point(point)
        self.log.step(point, self.at.done, steps)
        seconds = self._pace.estimate(point.step_time, self._steps_left(), self.epochs - self.at.epochs)
        self._say(
            f"Epoch {point.epoch} of {self.epochs}, step {self.at.done} of {steps}, loss {point.loss:.3f}, "
            f"{in_words(seconds)} left"
        )

    def _steps_left(self) -> int:
        return max(0, self.epochs - self.at.epochs) * self.steps_per_epoch - self.at.done

    def _say(self, message: str) -> None:
        self.progress.update(self.at.step / max(1, self.at.step + self._steps_left()), message)

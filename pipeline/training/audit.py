"""The look at the dataset before training: which rows can be used, and why the others can't."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..audio import CLIP_RATE
from ..dataset_files import CsvRow, read_csv
from ..errors import AudioError, TrainingError
from ..languages import LANGUAGES, MAX_TEXT_TOKENS, tokenizer_language
from ..progress import Progress
from ..records import Rejection, Seconds, Split
from .cache import ClipCache, code_count
from .objective import IntArray, audio_targets

if TYPE_CHECKING:
    from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer

MIN_SECONDS: Seconds = 0.5  # XTTSDataset.load_item of coqui-tts: shorter ones are useless and can cause trouble
UNKNOWN = "[UNK]"


@dataclass(frozen=True, eq=False)
class TrainClip:
    """A row that training can use."""

    file: str  # as the CSV names it
    path: Path
    text: str
    speaker: str
    sha256: str  # of the file: what the cache knows it by
    samples: int  # at 22,050 Hz
    tokens: IntArray

    @property
    def codes(self) -> int:
        return code_count(self.samples)

    @property
    def seconds(self) -> Seconds:
        return self.samples / CLIP_RATE


@dataclass(frozen=True)
class AuditLimits:
    """What a row must keep to be used."""

    language: str
    max_seconds: Seconds
    max_audio_positions: int  # of the model's table: a clip's codes with start and stops
    max_tokens: int = MAX_TEXT_TOKENS


@dataclass(frozen=True)
class Audit:
    """What of the two CSVs can be used, and what can't and why."""

    train: tuple[TrainClip, ...]
    eval: tuple[TrainClip, ...]
    rejected: tuple[Rejection, ...]

    @property
    def seconds(self) -> Seconds:
        return sum(clip.seconds for clip in self.train)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person must know before training: a sentence for every row that isn't used."""
        return tuple(f"“{row.source}” isn't used: {row.reason}." for row in self.rejected)


class Auditor:
    """Judges rows one by one. Decodes each clip into the cache on the way."""

    def __init__(self, cache: ClipCache, tokenizer: VoiceBpeTokenizer, limits: AuditLimits) -> None:
        self._cache = cache
        self._tokenizer = tokenizer
        self._limits = limits
        self._unknown = tokenizer.tokenizer.token_to_id(UNKNOWN)

    def audit(self, train_csv: Path, eval_csv: Path, progress: Progress) -> Audit:
        """Judge all rows of both CSVs. Raises TrainingError where nothing is left to train or to evaluate on."""
        train, not_trained = self._judge_csv(train_csv, "train", progress)
        held_back, not_evaluated = self._judge_csv(eval_csv, "eval", progress)
        audit = Audit(tuple(train), tuple(held_back), (*not_trained, *not_evaluated))
        _refuse_empty(audit.train, not_trained, train_csv, "train on")
        _refuse_empty(audit.eval, not_evaluated, eval_csv, "evaluate with")
        return audit

    def _judge_csv(self, csv: Path, split: Split, progress: Progress) -> tuple[list[TrainClip], list[Rejection]]:
        clips, rejected = [], []
        rows = read_csv(csv)
        for number, row in enumerate(rows):
            progress.check()
            progress.update(None, f"Looking at the {split} clips: {number + 1} of {len(rows)}")
            judged = self._judge(row, csv.parent)
            if isinstance(judged, TrainClip):
                clips.append(judged)
            else:
                rejected.append(Rejection(source=row.file, reason=judged, text=row.text))
        return clips, rejected

    def _judge(self, row: CsvRow, folder: Path) -> TrainClip | str:
        """Return the clip, or why the row can't be used."""
        if not row.text.strip():
            return "its text is empty"
        path = folder / row.file
        if not path.is_file():
            return "the file isn't there"
        tokens = self._encode(row.text)
        if isinstance(tokens, str):
            return tokens
        try:
            sha256 = self._cache.add(path)
        except AudioError as fault:
            return str(fault).rstrip(".")
        samples = len(self._cache.samples(sha256))
        problem = self._problem_of_length(samples)
        return problem or TrainClip(row.file, path, row.text, row.speaker, sha256, samples, tokens)

    def _problem_of_length(self, samples: int) -> str:
        seconds = samples / CLIP_RATE
        if seconds < MIN_SECONDS:
            return f"it is {seconds:.2f} s long, and at least {MIN_SECONDS} s are needed"
        if seconds > self._limits.max_seconds:
            return f"it is {seconds:.1f} s long, and “Max permitted audio size” is {self._limits.max_seconds:g} s"
        if audio_targets(code_count(samples)) > self._limits.max_audio_positions:
            return f"it is {seconds:.1f} s long, which is more than this model can take"
        return ""

    def _encode(self, text: str) -> IntArray | str:
        """Return the text's tokens, or why the model can't read it."""
        language = tokenizer_language(self._limits.language)
        try:
            tokens = np.array(self._tokenizer.encode(text, language), dtype=np.int64)
        except NotImplementedError:
            name = LANGUAGES.get(self._limits.language, self._limits.language)
            return f"XTTS can't write out the numbers of {name}: write them as words"
        if self._unknown is not None and (tokens == self._unknown).any():
            return f"the model doesn't know {self._unknown_characters(text, language)}"
        if (tokens == 0).any():
            return "its text holds [STOP], which marks the end of a text"
        if len(tokens) > self._limits.max_tokens:
            return f"its text has {len(tokens)} tokens, and {self._limits.max_tokens} are the most"
        return tokens

    def _unknown_characters(self, text: str, language: str) -> str:
        """Name the characters that no token stands for, as the tokenizer's cleaning leaves them."""
        cleaned = self._tokenizer.preprocess_text(text, language.split("-")[0])
        raw = self._tokenizer.tokenizer
        unknown = [letter for letter in dict.fromkeys(cleaned) if not letter.isspace()]
        unknown = [letter for letter in unknown if self._unknown in raw.encode(letter).ids]
        if not unknown:
            return "a part of its text"
        return f"the character{'s' if len(unknown) > 1 else ''} " + " ".join(f"“{letter}”" for letter in unknown)


def _refuse_empty(clips: tuple[TrainClip, ...], rejected: list[Rejection], csv: Path, purpose: str) -> None:
    if clips:
        return
    if not rejected:
        raise TrainingError(f"There is no clip to {purpose}: “{csv}” has no rows. Create the dataset again.")
    raise TrainingError(
        f"There is no clip to {purpose}: none of the {len(rejected)} rows of “{csv}” can be used; "
        f"{rejected[0].source}: {rejected[0].reason}."
    )

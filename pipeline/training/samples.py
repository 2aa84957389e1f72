"""A sentence spoken with the weights of the moment, so that progress can be heard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..audio import write_wav
from ..options import SpeakOptions, TrainConfig
from ..synthesize import SPEECH_RATE, Speaker
from .audit import TrainClip
from .model import ready_to_speak
from .runs import RunFiles

if TYPE_CHECKING:
    from TTS.tts.models.xtts import Xtts

FEW_WORDS = 3  # an evaluation text with fewer tells little


@dataclass(frozen=True, eq=False)
class Sampler:
    """Speaks the same sentence with the same voice and seed each time."""

    xtts: Xtts
    files: RunFiles
    options: SpeakOptions

    def speak(self, epoch: int, device: str) -> Path:
        """Write and return samples/epoch_NNN.wav. Raises an error of errors.py where it can't."""
        path = self.files.sample(epoch)
        with ready_to_speak(self.xtts):
            said = Speaker(self.xtts, device).say(self.options)
        path.parent.mkdir(exist_ok=True)
        write_wav(path, said, SPEECH_RATE)
        return path


def choose_sentence(config: TrainConfig, clips: Sequence[TrainClip], language: str) -> SpeakOptions:
    """Return what is spoken: the chosen sentence, or the shortest evaluation text that has a few words.

    The reference is the longest evaluation clip: none of it was trained on.
    """
    texts = sorted((clip.text for clip in clips), key=len)
    text = next((text for text in texts if len(text.split()) >= FEW_WORDS), texts[-1])
    return SpeakOptions(
        model=config.project,
        text=config.sample_text.strip() or text,
        references=(str(max(clips, key=lambda clip: clip.samples).path),),
        language=language,
        seed=config.seed,
    )

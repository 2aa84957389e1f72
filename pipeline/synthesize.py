"""Speaking: references become conditioning, text becomes pieces, pieces become sound.

`speak` does it once and writes a WAV; `serve_voice` stays loaded and answers the page's requests (voice_client.py
has the page's side and says how the two talk). A Speaker is a loaded voice; training uses one to be heard.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .audio import CLIP_RATE, FloatArray, join, stream, write_wav
from .device import memory_told, pick_device
from .errors import AudioError, FinetuneError, ModelError, SettingError, Stopped
from .languages import CHARACTER_LIMITS, LANGUAGES
from .options import SpeakOptions, VoiceOptions
from .progress import Progress
from .records import Seconds, Speech, Voice
from .speech_text import split_text
from .voice_client import answer, take_request
from .voices import find_voice, speech_folder
from .weights import load_xtts, silent_transformers
from .workspace import Workspace

if TYPE_CHECKING:
    from TTS.tts.models.xtts import Xtts

SPEECH_RATE = 24_000
PAUSE: Seconds = 0.1  # between pieces, whose own ends have most of the pause
CODES_PER_SECOND = CLIP_RATE / 1024  # XTTS's audio codes: one for 1,024 samples

# Nobody speaks faster than the one or slower than the other, in characters a second as the tokenizer spells them out
# (numbers as words, Chinese as pinyin). Between them generation must end: an XTTS that misses its stop babbles on.
FASTEST, SLOWEST = 60.0, 5.0
LONGEST_EXTRA: Seconds = 2.0

SHORTEST_REFERENCE: Seconds = 0.5
IDLE_LIMIT: Seconds = 30 * 60.0  # a voice nobody asks anything gives its memory back
IDLE_STEP: Seconds = 0.05
READY = "Ready to speak"


@dataclass(frozen=True)
class Conditioning:
    """What the model knows of a voice: latents for the GPT (1, 32, width), an embedding for the decoder (1, 512, 1)."""

    latents: torch.Tensor
    embedding: torch.Tensor


# ---- A loaded voice -----------------------------------------------------------------------------------------------


class Speaker:
    """A model that is ready for inference, and what it last heard of its voice."""

    def __init__(self, model: Xtts, device: str) -> None:
        self.model = model
        self.device = device
        self._heard: tuple[object, Conditioning] | None = None

    def say(self, options: SpeakOptions, progress: Progress | None = None) -> FloatArray:
        """Return what the options ask for, mono at 24 kHz. The same seed gives the same sound on the same machine.

        Raises AudioError for a bad reference, SettingError for a text that can't be said, Stopped.
        """
        progress = progress or Progress()
        with memory_told("speaking", self.device), torch.inference_mode():
            progress.update(0.0, "Listening to the reference")
            voice = self._listen(options.references)
            pieces = self._pieces(options, progress)
            said = []
            for number, piece in enumerate(pieces):
                progress.check()
                progress.update(number / len(pieces), f"Speaking sentence {number + 1} of {len(pieces)}")
                said.append(self._say_piece(piece, voice, replace(options, seed=options.seed + number), progress))
        progress.check()
        return join(said, SPEECH_RATE, PAUSE)

    def _listen(self, references: Sequence[str]) -> Conditioning:
        """Return the conditioning of the references, averaged; each counts the same, however long it is."""
        files = tuple((path, Path(path).stat().st_mtime_ns if Path(path).exists() else 0) for path in references)
        if self._heard and self._heard[0] == files:
            return self._heard[1]
        config = self.model.config
        each = []
        for path in references:
            audio = torch.from_numpy(read_reference(Path(path), config.max_ref_len)).unsqueeze(0).to(self.device)
            if config.sound_norm_refs:
                audio = audio / audio.abs().max() * 0.75  # as Coqui does where the config says so
            latents = self.model.get_gpt_cond_latents(
                audio, CLIP_RATE, length=config.gpt_cond_len, chunk_length=config.gpt_cond_chunk_len
            )
            each.append(Conditioning(latents, self.model.get_speaker_embedding(audio, CLIP_RATE)))
        voice = Conditioning(
            torch.stack([heard.latents for heard in each]).mean(0),
            torch.stack([heard.embedding for heard in each]).mean(0),
        )
        self._heard = (files, voice)
        return voice

    def _pieces(self, options: SpeakOptions, progress: Progress) -> list[str]:
        """Cut the text into what the model can say at once, and say which characters it doesn't know."""
        limit = CHARACTER_LIMITS[options.language]
        text = " ".join(options.text.split())
        if not options.split_sentences and len(text) > limit:
            raise SettingError(
                f"Input Text has {len(text)} characters and XTTS can say {limit} of {LANGUAGES[options.language]} at "
                "once: shorten it, or switch “Split sentences” on."
            )
        pieces = split_text(options.text, options.language) if options.split_sentences else [text]
        fitting = [part for piece in pieces for part in self._within_tokens(piece, options.language)]
        unknown = self._unknown(fitting, options.language)
        if unknown:
            progress.log(f"Warning: the model doesn't know {' '.join(unknown)}; it can't say that.")
        return fitting

    def _within_tokens(self, piece: str, language: str) -> list[str]:
        """Halve a piece as long as it has more tokens than the GPT takes: numbers grow when they are spelled out."""
        most = self.model.args.gpt_max_text_tokens - 2
        if len(self._encode(piece, language)) <= most:
            return [piece]
        halves = split_text(piece, language, limit=max(1, (len(piece) + 1) // 2))
        return [part for half in halves for part in self._within_tokens(half, language)]

    def _spell(self, piece: str, language: str) -> str:
        """Return the piece as the tokenizer spells it out: numbers as words, other scripts in Latin letters."""
        try:
            return str(self.model.tokenizer.preprocess_text(piece.strip().lower(), language))
        except NotImplementedError as fault:  # num2words has no Hindi
            raise SettingError(
                f"XTTS can't read the digits in “{piece[:60]}” in {LANGUAGES[language]}: write the numbers as words."
            ) from fault

    def _encode(self, piece: str, language: str) -> list[int]:
        self._spell(piece, language)
        return list(self.model.tokenizer.encode(piece.strip().lower(), lang=language))

    def _unknown(self, pieces: Sequence[str], language: str) -> list[str]:
        """Return the characters the tokenizer has no token for, in the order of their appearance."""
        tokenizer = self.model.tokenizer.tokenizer
        letters = dict.fromkeys("".join("".join(self._spell(piece, language).split()) for piece in pieces))
        none = tokenizer.token_to_id("[UNK]")
        return [letter for letter in letters if none in tokenizer.encode(letter).ids]

    def _say_piece(self, piece: str, voice: Conditioning, options: SpeakOptions, progress: Progress) -> FloatArray:
        """Say one piece, mono at 24 kHz. Torch's own random state is left as it was."""
        gpt = self.model.gpt
        spelled = len(self._spell(piece, options.language))
        longest = int((spelled / SLOWEST + LONGEST_EXTRA) * CODES_PER_SECOND)
        shortest = 1 + int(spelled / FASTEST * CODES_PER_SECOND)
        allowed = gpt.max_gen_mel_tokens
        devices = [torch.cuda.current_device()] if self.device == "cuda" else []
        with torch.random.fork_rng(devices=devices), silent_transformers():
            torch.manual_seed(options.seed)
            gpt.max_gen_mel_tokens = min(allowed, longest)
            try:
                spoken = self.model.inference(
                    piece,
                    options.language,
                    voice.latents,
                    voice.embedding,
                    temperature=options.temperature,
                    length_penalty=options.length_penalty,
                    repetition_penalty=options.repetition_penalty,
                    top_k=options.top_k,
                    top_p=options.top_p,
                    speed=options.speed,
                    min_new_tokens=min(shortest, allowed - 1),
                    stopping_criteria=_stops_with(progress),
                )["wav"]
            except RuntimeError as fault:
                if "probability tensor" not in str(fault):
                    raise
                raise _no_numbers() from fault
            finally:
                gpt.max_gen_mel_tokens = allowed
        samples: FloatArray = np.atleast_1d(np.asarray(spoken, dtype=np.float32))
        if not np.isfinite(samples).all():
            raise _no_numbers()
        return samples


def _no_numbers() -> ModelError:
    return ModelError(
        "The model gives NaN for numbers: its weights are damaged or its training went wrong; take another checkpoint."
    )


def _stops_with(progress: Progress) -> Any:
    """Return a stopping criterion that ends generation within a token of the user's asking."""
    from transformers import StoppingCriteria, StoppingCriteriaList

    class StopRequested(StoppingCriteria):
        def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
            return torch.full((len(input_ids),), progress.stop_requested, device=input_ids.device)

    return StoppingCriteriaList([StopRequested()])


def read_reference(path: Path, longest: Seconds) -> FloatArray:
    """Return at most `longest` seconds of a reference, mono at 22,050 Hz. Raises AudioError where it is no voice."""
    with_voice = next(iter(stream(path, CLIP_RATE, block_seconds=longest)), np.zeros(0, np.float32))
    if len(with_voice) < SHORTEST_REFERENCE * CLIP_RATE:
        raise AudioError(
            f"The reference “{path.name}” is {len(with_voice) / CLIP_RATE:.2f} s long; at least "
            f"{SHORTEST_REFERENCE:g} s are needed, and 6 s and more are best."
        )
    if not np.abs(with_voice).max() > 0:
        raise AudioError(f"The reference “{path.name}” is silent: choose a clip in which the voice is heard.")
    return with_voice


# ---- Stages -------------------------------------------------------------------------------------------------------


def speak(ws: Workspace, options: SpeakOptions, progress: Progress) -> Speech:
    """Say one text and write it as a 24 kHz WAV. Raises FinetuneError with what stands in the way."""
    _check_out(options)
    voice = find_voice(ws, options.model)
    device = pick_device(options.device)
    progress.update(None, "Loading the voice")
    speaker = load_speaker(voice, device)
    progress.check()
    return _write(speaker, options, speech_folder(ws, voice), progress)


def load_speaker(voice: Voice, device: str) -> Speaker:
    """Return the voice, loaded. Raises ModelError, DeviceError."""
    with memory_told("loading the voice", device):
        return Speaker(load_xtts(voice, device), device)


def _check_out(options: SpeakOptions) -> None:
    if options.out and Path(options.out).suffix.lower() != ".wav":
        raise SettingError(f"The output file “{options.out}” must end with .wav.")


def _write(speaker: Speaker, options: SpeakOptions, folder: Path, progress: Progress) -> Speech:
    """Say it and write it: to `options.out`, or to a new file in the folder."""
    samples = speaker.say(options, progress)
    out = Path(options.out).expanduser() if options.out else _new_file(folder)
    write_wav(out, samples, SPEECH_RATE)
    progress.update(1.0, f"Spoke {len(samples) / SPEECH_RATE:.1f} seconds")
    return Speech(str(out), round(len(samples) / SPEECH_RATE, 3), options.seed)


def _new_file(folder: Path) -> Path:
    """Return a name in the folder that is not taken, by the clock."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    names = (folder / f"{stamp}{suffix}.wav" for suffix in ("", *(f"-{n}" for n in range(2, 10_000))))
    return next(name for name in names if not name.exists())


@dataclass(frozen=True)
class ServedVoice:
    """What a resident voice did until it gave its memory back."""

    requests: int


def serve_voice(ws: Workspace, options: VoiceOptions, progress: Progress) -> ServedVoice:
    """Keep a voice loaded and answer the requests in the job's folder, until stopped or idle for half an hour.

    A request that names another model loads that one in its place.
    """
    folder = progress.folder
    if folder is None:
        raise SettingError("A resident voice needs a job's folder: start it as the stage “voice”.")
    resident = _Resident(ws, pick_device(options.device), progress)
    resident.speaker_of(options.model)
    progress.update(1.0, READY)  # complete, so that it is shown at once
    answered, idle_since = 0, time.monotonic()
    while time.monotonic() - idle_since < IDLE_LIMIT:
        progress.check()
        request = take_request(folder)
        if request is None:
            time.sleep(IDLE_STEP)
            continue
        try:
            answer(folder, request.id, resident.speak(request.options))
        except Stopped:
            raise
        except FinetuneError as fault:
            answer(folder, request.id, error=str(fault))
        progress.update(1.0, READY)
        answered, idle_since = answered + 1, time.monotonic()
    return ServedVoice(answered)


class _Resident:
    """Holds the voice that spoke last, and loads another in its place when asked to."""

    def __init__(self, ws: Workspace, device: str, progress: Progress) -> None:
        self._ws, self._device, self._progress = ws, device, progress
        self._speaker: Speaker | None = None
        self._stamp: tuple[Voice, int] | None = None

    def speaker_of(self, model: str) -> Speaker:
        voice = find_voice(self._ws, model)
        if self._speaker is None or _stamp(voice) != self._stamp:
            self._speaker = None  # first, for two may not fit
            self._progress.update(None, "Loading the voice")
            self._stamp = _stamp(voice)
            self._speaker = load_speaker(voice, self._device)
            self._progress.log(f"Loaded {voice.model}", "Model Operations")
        return self._speaker

    def speak(self, options: SpeakOptions) -> Speech:
        _check_out(options)
        speaker = self.speaker_of(options.model)
        return _write(speaker, options, speech_folder(self._ws, find_voice(self._ws, options.model)), self._progress)


def _stamp(voice: Voice) -> tuple[Voice, int]:
    """Return what tells this voice from another, and from itself before more training."""
    return voice, voice.model.stat().st_mtime_ns

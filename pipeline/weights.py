"""Checkpoints and configs of XTTS: reading what others wrote, writing what stock Coqui loads.

A checkpoint is `{"model": state, "config": …}`. Coqui's trainer puts `xtts.` before the keys and the DVAE beside
them; the published model.pth pickles an XttsConfig, which Coqui's own loader replaces by writing the file anew. Here
files are only read.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

from .errors import ModelError, ModelMissingError, WorkspaceError
from .records import Voice
from .workspace import atomic_path, read_json

if TYPE_CHECKING:
    from TTS.tts.configs.xtts_config import XttsConfig
    from TTS.tts.layers.xtts.dvae import DiscreteVAE
    from TTS.tts.models.xtts import Xtts

State = dict[str, torch.Tensor]

# What a trainer's checkpoint holds beside the voice, and what generation adds to the GPT (the same tensors again).
_NOT_WEIGHTS = ("dvae.", "torch_mel_spectrogram_", "gpt.gpt_inference.", "gpt.gpt.wte.")
_ZIP, _OLD = b"PK", b"\x80\x02"  # how torch's files begin: as a zip, before torch 1.6 as a pickle
# What torch's unpickler stumbles into when bytes are missing or wrong.
_DAMAGE = (
    RuntimeError,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    struct.error,
)


def read_state(path: Path, *, mapped: bool = False) -> State:
    """Return the weights of a checkpoint on the CPU, named as in Coqui's Xtts; the file stays as it is.

    `mapped` leaves them in the file until they are used: for a copy that is dropped soon, without its memory.
    Raises ModelMissingError where there is no file, ModelError where it holds no XTTS weights.
    """
    checkpoint = read_tensors(path, mapped=mapped)
    state = checkpoint.get("model", checkpoint) if isinstance(checkpoint, dict) else None
    if not isinstance(state, Mapping):
        raise ModelError(f"“{path}” isn't an XTTS checkpoint: it holds no weights.")
    named = {str(key).removeprefix("xtts."): value for key, value in state.items()}
    weights = {
        key: value
        for key, value in named.items()
        if isinstance(value, torch.Tensor) and not key.startswith(_NOT_WEIGHTS)
    }
    if "gpt.text_embedding.weight" not in weights:
        raise ModelError(f"“{path}” isn't an XTTS checkpoint: its weights are of another model.")
    return weights


def read_tensors(path: Path, *, mapped: bool = False) -> Any:
    """Return what torch saved, on the CPU: tensors, plain values, Coqui's config classes, nothing that could be code.

    Raises ModelMissingError where there is no file, ModelError where it is broken or holds more.
    """
    if not path.is_file():
        raise ModelMissingError(f"There is no model file “{path}”.")
    try:
        with path.open("rb") as file:
            begins = file.read(2)
        if begins not in (_ZIP, _OLD):
            raise _broken(path)
        how: dict[str, Any] = {"map_location": "cpu", "weights_only": True, "mmap": mapped and begins == _ZIP}
        try:
            return torch.load(path, **how)
        except pickle.UnpicklingError:  # perhaps the published one, with its config
            with _config_classes_allowed():
                return torch.load(path, **how)
    except pickle.UnpicklingError as fault:
        raise ModelError(
            f"“{path}” isn't loaded: it holds more than weights, which could be harmful code. Use the published file."
        ) from fault
    except _DAMAGE as fault:
        raise _broken(path) from fault


def _broken(path: Path) -> ModelError:
    return ModelError(f"“{path}” is broken or was not copied whole: copy or download it again.")


@contextmanager
def _config_classes_allowed() -> Iterator[None]:
    """Allow Coqui's config classes for one load, under their names of today and of the published checkpoints."""
    from TTS.config.shared_configs import BaseDatasetConfig
    from TTS.tts.configs.xtts_config import XttsArgs, XttsAudioConfig, XttsConfig

    classes: list[Any] = [XttsConfig, XttsArgs, XttsAudioConfig, BaseDatasetConfig]
    for moved in (XttsArgs, XttsAudioConfig):  # both were in models.xtts when the checkpoints were made
        classes.append((moved, f"TTS.tts.models.xtts.{moved.__name__}"))
    with torch.serialization.safe_globals(classes):
        yield


def write_checkpoint(path: Path, state: Mapping[str, Any], config: Mapping[str, Any] | None = None) -> None:
    """Write `{"model": state, "config": config}` in one step: the old file or the new one is there, never a half.

    Raises WorkspaceError where the disk is full or the folder can't be written.
    """
    content = {"model": dict(state)} if config is None else {"model": dict(state), "config": dict(config)}
    write_tensors(path, content)


def write_tensors(path: Path, content: Any) -> None:
    """Save any tensors in one step. The same content gives the same bytes, whatever the file is called.

    Raises WorkspaceError where the disk is full or the folder can't be written.
    """
    with atomic_path(path) as beside, beside.open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as fault:  # torch's writer hides the OSError of a full disk
            raise WorkspaceError(f"“{path}” can't be written: is the disk full? ({fault})") from fault


def read_config(path: Path) -> XttsConfig:
    """Return the config of a folder or of a config.json, `Infinity` and unknown keys of other versions included."""
    from TTS.tts.configs.xtts_config import XttsConfig

    file = path / "config.json" if path.is_dir() else path
    data = read_json(file)
    if data is None:
        raise ModelMissingError(f"There is no config “{file}”.")
    config = XttsConfig()
    try:
        config.from_dict(data)
    except (TypeError, ValueError, KeyError, AttributeError, AssertionError) as fault:
        raise ModelError(f"“{file}” isn't the config of an XTTS model: {fault}.") from fault
    if config.model != "xtts":
        raise ModelError(f"“{file}” is the config of a “{config.model}” model, not of XTTS.")
    return config


def new_dvae(audio_tokens: int) -> DiscreteVAE:
    """Return XTTS's DVAE with random weights; `audio_tokens` counts start and stop too.

    The sizes are those of GPTTrainer in coqui-tts 0.28.0.
    """
    from TTS.tts.layers.xtts.dvae import DiscreteVAE

    return DiscreteVAE(
        channels=80,
        normalization=None,
        positional_dims=1,
        num_tokens=audio_tokens - 2,
        codebook_dim=512,
        hidden_dim=512,
        num_resnet_blocks=3,
        kernel_size=3,
        num_layers=2,
        use_transposed_convs=False,
    )


def load_xtts(voice: Voice, device: str = "cpu") -> Xtts:
    """Return the voice's model on the device, ready for inference. Nothing is written; read-only folders do.

    Raises ModelMissingError or ModelError, with the file in question.
    """
    from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer
    from TTS.tts.models.xtts import Xtts

    config = read_config(voice.config)
    if not voice.vocab.is_file():
        raise ModelMissingError(f"There is no vocabulary “{voice.vocab}”.")
    state = read_state(voice.model, mapped=True)
    config.model_args.gpt_number_text_tokens = None  # so that the GPT is built once, below, with the vocabulary
    with silent_transformers(), _NoInit():
        model = Xtts(config)
        model.tokenizer = VoiceBpeTokenizer(vocab_file=voice.vocab)
        model.init_models()
    if "mel_stats" not in state and voice.mel_stats is not None:
        state["mel_stats"] = read_tensors(voice.mel_stats)
    _fill(model, state, voice)
    with silent_transformers():
        model.eval()  # Coqui's makes the GPT ready for generation, and returns nothing
    return model.to(device)


@contextmanager
def silent_transformers() -> Iterator[None]:
    """Keep transformers from warning about GPT-2's token ids and lengths, which XTTS has no use for."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


class _NoInit(TorchFunctionMode):
    """Leaves new weights as the memory is: the checkpoint fills them all, and drawing 430 M numbers takes seconds."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _DRAWING:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


_DRAWING = frozenset(
    {
        torch.nn.init.uniform_,
        torch.nn.init.normal_,
        torch.nn.init.trunc_normal_,
        torch.nn.init.kaiming_uniform_,
        torch.nn.init.kaiming_normal_,
        torch.nn.init.xavier_uniform_,
        torch.nn.init.xavier_normal_,
        torch.Tensor.uniform_,
        torch.Tensor.normal_,
    }
)


def _fill(model: Xtts, state: State, voice: Voice) -> None:
    """Put the weights into the model, or say which don't fit."""
    rows, tokens = len(state["gpt.text_embedding.weight"]), model.tokenizer.get_number_tokens()
    if rows != tokens:
        raise ModelError(
            f"“{voice.model}” knows {rows} text tokens and “{voice.vocab}” has {tokens}: they don't belong together. "
            "Take the vocab.json that came with the model."
        )
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
    except RuntimeError as fault:
        line = str(fault).strip().split("\n")[-1].strip()
        raise ModelError(f"“{voice.model}” doesn't fit “{voice.config}”: {line}") from fault
    if missing or unexpected:
        what = f"it lacks {missing[0]}" if missing else f"{unexpected[0]} is unknown"
        raise ModelError(f"“{voice.model}” doesn't fit “{voice.config}”: {what}.")


def halve(state: State) -> State:
    """Return the weights in 16 bit; what 16 bit can't hold stays as it is. Loading makes them 32 bit again."""
    largest = torch.finfo(torch.float16).max
    return {
        key: value.half() if value.is_floating_point() and value.abs().max() <= largest else value
        for key, value in state.items()
    }

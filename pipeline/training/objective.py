"""What training makes smaller: the text and audio cross-entropies of Coqui's GPT, packed so that nothing is masked.

Coqui's `GPT.forward` pads the text between text and audio and masks the padding away. Here every row is packed as
[conditioning | text | audio] and padded on its right only: causal attention never looks to the right, so no mask is
needed, and hidden states are gathered by indices that were made on the host. The losses are the same (see
tests/test_training_objective.py):

- conditioning: the latents of the perceiver (32), without a position;
- text: [START] and the tokens; targets are the tokens and [STOP]. Positions count from 0;
- audio: the start code, the codes and three stop codes; targets are the codes and four stop codes. Positions count
  from 0 again.

Not covered: masking the loss of the stretch used as conditioning, which Coqui does to the last row of a batch only,
and in the wrong unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from TTS.tts.layers.xtts.gpt import GPT

IntArray = npt.NDArray[np.int64]

# Weights of the two losses: GPTArgs.gpt_loss_text_ce_weight and gpt_loss_mel_ce_weight of coqui-tts 0.28.0.
TEXT_WEIGHT = 0.01
MEL_WEIGHT = 1.0
STOP_CODES = 3  # stop codes after the audio that the model reads; it has to predict one more


@dataclass(frozen=True)
class Marks:
    """The tokens around a row's text and audio, and the number of conditioning latents before them."""

    start_text: int
    stop_text: int
    start_audio: int
    stop_audio: int
    latents: int

    @classmethod
    def of(cls, gpt: GPT) -> Marks:
        return cls(
            start_text=gpt.start_text_token,
            stop_text=gpt.stop_text_token,
            start_audio=gpt.start_audio_token,
            stop_audio=gpt.stop_audio_token,
            latents=gpt.conditioning_perceiver.latents.shape[0],
        )


@dataclass(frozen=True)
class Part:
    """The text or the audio of a batch's rows, one after another without padding. All of shape (tokens of the batch,).

    `slots` are places in the flattened (rows x length) matrix of the packed batch.
    """

    ids: Tensor
    positions: Tensor
    slots: Tensor
    targets: Tensor

    def to(self, device: torch.device | str) -> Part:
        return Part(*(getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)))


@dataclass(frozen=True)
class Packed:
    """The tokens of a batch, packed. Counts are known on the host, so that nothing has to ask the device for them."""

    rows: int
    length: int  # of the longest row, conditioning included
    text: Part
    audio: Part

    @property
    def text_tokens(self) -> int:
        """Predicted text tokens of the batch: what the text loss is a mean over."""
        return len(self.text.targets)

    @property
    def audio_tokens(self) -> int:
        return len(self.audio.targets)

    def to(self, device: torch.device | str) -> Packed:
        return Packed(self.rows, self.length, self.text.to(device), self.audio.to(device))


def text_targets(tokens: int) -> int:
    """Return how many predictions a text of that many tokens asks for."""
    return tokens + 1


def audio_targets(codes: int) -> int:
    """Return how many predictions that many audio codes ask for."""
    return codes + STOP_CODES + 1


def pack(texts: Sequence[IntArray], codes: Sequence[IntArray], marks: Marks) -> Packed:
    """Pack rows of text tokens and audio codes, each an array of its own length."""
    stops = np.full(STOP_CODES + 1, marks.stop_audio)
    text_rows = [np.concatenate([[marks.start_text], text, [marks.stop_text]]) for text in texts]
    audio_rows = [np.concatenate([[marks.start_audio], row, stops]) for row in codes]
    # The model reads all but the last of a row and predicts all but the first.
    text_lengths = np.array([len(row) - 1 for row in text_rows])
    audio_lengths = np.array([len(row) - 1 for row in audio_rows])
    length = int(marks.latents + (text_lengths + audio_lengths).max())
    starts = np.arange(len(text_rows)) * length + marks.latents
    return Packed(
        rows=len(text_rows),
        length=length,
        text=_part(text_rows, text_lengths, starts),
        audio=_part(audio_rows, audio_lengths, starts + text_lengths),
    )


def _part(rows: list[IntArray], lengths: IntArray, starts: IntArray) -> Part:
    positions = np.concatenate([np.arange(length) for length in lengths])
    return Part(
        ids=torch.from_numpy(np.concatenate([row[:-1] for row in rows])),
        positions=torch.from_numpy(positions),
        slots=torch.from_numpy(np.repeat(starts, lengths) + positions),
        targets=torch.from_numpy(np.concatenate([row[1:] for row in rows])),
    )


class Objective(nn.Module):
    """Coqui's GPT with its losses, as one module, so that wrappers (autocast, several GPUs) see the whole of it."""

    def __init__(self, gpt: GPT) -> None:
        super().__init__()
        self.gpt = gpt

    def forward(self, packed: Packed, mels: Tensor) -> Tensor:
        """Return the sums of the text and of the audio cross-entropy over the batch's tokens, shape (2,), float32.

        Sums, so that batches can be added up and divided once by all their tokens. `mels` are the conditioning's,
        of shape (rows, 80, frames).
        """
        gpt: Any = self.gpt
        text, audio = packed.text, packed.audio
        latents = gpt.get_style_emb(mels).transpose(1, 2)
        text_states = gpt.text_embedding(text.ids) + gpt.text_pos_embedding.emb(text.positions)
        audio_states = gpt.mel_embedding(audio.ids) + gpt.mel_pos_embedding.emb(audio.positions)
        states = text_states.new_zeros(packed.rows, packed.length, text_states.shape[-1])
        states[:, : latents.shape[1]] = latents.to(states.dtype)
        flat = states.flatten(0, 1)
        flat = flat.index_copy(0, text.slots, text_states).index_copy(0, audio.slots, audio_states)
        # No mask: causal attention in its fastest form. No cache: nothing is generated here.
        hidden = gpt.gpt(inputs_embeds=flat.view_as(states), use_cache=False).last_hidden_state.flatten(0, 1)
        text_logits = gpt.text_head(gpt.final_norm(hidden.index_select(0, text.slots)))
        audio_logits = gpt.mel_head(gpt.final_norm(hidden.index_select(0, audio.slots)))
        return torch.stack(
            [
                F.cross_entropy(logits.float(), part.targets, reduction="sum", label_smoothing=gpt.label_smoothing)
                for logits, part in ((text_logits, text), (audio_logits, audio))
            ]
        )


def loss_of(sums: Tensor, text_tokens: int, audio_tokens: int) -> Tensor:
    """Return the loss to be minimised: the weighted sum of the two mean cross-entropies over that many tokens."""
    return TEXT_WEIGHT * sums[0] / text_tokens + MEL_WEIGHT * sums[1] / audio_tokens

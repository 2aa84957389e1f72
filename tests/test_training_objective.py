"""The packed objective is Coqui's: same losses, same gradients, on the installed coqui-tts."""

import numpy as np
import pytest
import torch
from TTS.tts.layers.xtts.gpt import GPT

from pipeline.training.objective import Marks, Objective, loss_of, pack

STRIDE = 1024


@pytest.fixture(scope="module")
def gpt():
    torch.manual_seed(0)
    model = GPT(
        layers=2, model_dim=64, heads=4, max_text_tokens=402, max_mel_tokens=605, max_prompt_tokens=70,
        number_text_tokens=300, start_text_token=261, stop_text_token=0, num_audio_tokens=1026,
        start_audio_token=1024, stop_audio_token=1025, use_perceiver_resampler=True,
    )  # fmt: skip
    for parameter in model.parameters():  # the attention of a new conditioning encoder is zero: let it take part
        parameter.data.add_(torch.randn_like(parameter) * 0.02)
    return model.eval()  # no dropout


def make_rows(lengths, seed=0):
    rng = np.random.default_rng(seed)
    texts = [rng.integers(2, 260, tokens) for tokens, _ in lengths]
    codes = [rng.integers(0, 1024, count) for _, count in lengths]
    return texts, codes, torch.randn(len(lengths), 80, 517, generator=torch.Generator().manual_seed(seed))


def losses_of_coqui(gpt, texts, codes, mels):
    """Coqui's own forward on its own form of the batch: padded text, padded codes, no prompt masking."""
    text = torch.zeros(len(texts), max(map(len, texts)), dtype=torch.long)
    code = torch.zeros(len(codes), max(map(len, codes)), dtype=torch.long)
    for row, (tokens, audio) in enumerate(zip(texts, codes, strict=True)):
        text[row, : len(tokens)] = torch.from_numpy(tokens)
        code[row, : len(audio)] = torch.from_numpy(audio)
    text_lengths = torch.tensor([len(tokens) for tokens in texts])
    wav_lengths = torch.tensor([len(audio) * STRIDE - 7 for audio in codes])
    return gpt(text, text_lengths, code, wav_lengths, cond_mels=mels.unsqueeze(1))[:2]


BATCHES = {
    "very different lengths": [(12, 43), (40, 130), (25, 194), (3, 11)],
    "one row": [(17, 60)],
    "two equal rows": [(17, 60), (17, 60)],
    "200 tokens of text": [(200, 60), (5, 100)],
    "the longest audio": [(90, 250), (1, 12)],
    "long text beside short audio": [(200, 11), (2, 250), (150, 150)],
}


@pytest.mark.parametrize("lengths", BATCHES.values(), ids=BATCHES.keys())
def test_losses_and_gradients_equal_coquis(gpt, lengths):
    texts, codes, mels = make_rows(lengths)
    gpt.zero_grad()
    text_loss, mel_loss = losses_of_coqui(gpt, texts, codes, mels)
    (0.01 * text_loss + mel_loss).backward()
    expected = {name: parameter.grad.clone() for name, parameter in gpt.named_parameters()}
    gpt.zero_grad()

    packed = pack(texts, codes, Marks.of(gpt))
    sums = Objective(gpt)(packed, mels)
    loss_of(sums, packed.text_tokens, packed.audio_tokens).backward()

    assert sums[0].item() / packed.text_tokens == pytest.approx(text_loss.item(), abs=1e-5)
    assert sums[1].item() / packed.audio_tokens == pytest.approx(mel_loss.item(), abs=1e-5)
    for name, parameter in gpt.named_parameters():
        difference = (parameter.grad - expected[name]).abs().max().item()
        assert difference < 1e-5, f"the gradient of {name} differs by {difference}"
        assert expected[name].abs().sum() > 0, f"{name} takes no part, so its comparison says nothing"


def test_attention_is_causal_and_never_masked(gpt, monkeypatch):
    calls = []
    attention = torch.nn.functional.scaled_dot_product_attention

    def watched(*args, **kwargs):
        calls.append((kwargs.get("attn_mask"), kwargs.get("is_causal")))
        return attention(*args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    texts, codes, mels = make_rows(BATCHES["very different lengths"])
    Objective(gpt)(pack(texts, codes, Marks.of(gpt)), mels)
    assert calls == [(None, True)] * gpt.layers


def test_a_rows_losses_do_not_depend_on_its_neighbours(gpt):
    texts, codes, mels = make_rows(BATCHES["very different lengths"])
    marks, objective = Marks.of(gpt), Objective(gpt)
    with torch.no_grad():
        together = objective(pack(texts, codes, marks), mels)
        alone = sum(
            objective(pack([text], [code], marks), mel.unsqueeze(0))
            for text, code, mel in zip(texts, codes, mels, strict=True)
        )
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-3)

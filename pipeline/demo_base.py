"""A tiny XTTS with random weights, made from a seed in seconds: the demo's base model, and that of the tests.

It has every part of the real one (GPT, conditioning encoder, HiFi-GAN decoder, speaker encoder, DVAE, tokenizer) and
files of the same form, but its GPT has 2 layers of width 64. It trains, loads and generates; what it speaks is noise.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .device import kept_threads
from .languages import LANGUAGES, tokenizer_language
from .weights import new_dvae, silent_transformers, write_checkpoint, write_tensors
from .workspace import DEMO_MARKER, atomic_folder, write_json, write_text

if TYPE_CHECKING:
    from TTS.tts.configs.xtts_config import XttsConfig
    from TTS.tts.layers.xtts.dvae import DiscreteVAE
    from TTS.tts.models.xtts import Xtts

DEMO_SPEAKER = "Demo Speaker"
WIDTH = 64
LAYERS = 2
HEADS = 4
AUDIO_TOKENS = 1026  # 1,024 codes, start and stop: as the real one
SAMPLE_RATE = 22050

# Raises the stop token's chance in the untrained GPT, so that generation mostly ends by itself: an even guess among
# 1,026 tokens would stop once in 48 seconds of sound; with this it is mostly under one.
STOP_BIAS = 2.0
LOUDER = 20.0  # what the untrained decoder makes lies near -54 dB: so much louder, it can be heard

# The characters XTTS's text cleaners leave of its 17 languages: Chinese, Japanese and Korean arrive in Latin letters.
_LETTERS = (
    "abcdefghijklmnopqrstuvwxyz0123456789"
    "àáâãäåæçèéêëìíîïñòóôõöøùúûüýÿßœ¿¡ąćęłńśźżčďěňřšťůžőűğış"
    "абвгдежзийклмнопрстуфхцчшщъыьэюяё"
    "ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىيًٌٍَُِّْ"
    "ँंःअआइईउऊऋएऐऑओऔकखगघङचछजझञटठडढणतथदधनपफबभमयरलवशषसह़ािीुूृेैॉोौ्।"
)
_MARKS = "!'(),-./:;?–—…’‘“”«»„，。！？、"
# Joined in this order, as a tokenizer learns them: first the most frequent pairs.
_MERGES = (
    "t h,th e,h e,i n,e r,a n,r e,o n,a t,e n,n d,o u,s t,e s,o r,i s,i t,a r,t o,in g,th at,w a,wa s,h a,d e,"
    "l e,v e,e d,n t,l l,u n,i ch,c h,s ch,e i,q u,qu e,l a,a s,o s,ou t,an d,о в,с т,н а,п о,т о,н е"
)


def make_demo_base(folder: Path, seed: int = 0) -> Path:
    """Write the demo base into `folder`, whole or not at all, and return the folder.

    The seed decides the weights of model.pth. Tokenizer, DVAE, mel statistics and the made speaker are always the
    same, so that what was computed with one demo base goes with every other.
    """
    with kept_threads(), atomic_folder(folder, overwrite=True) as beside:
        config = _config()
        write_text(beside / "vocab.json", _vocabulary())
        mel_stats = _mel_stats()
        write_tensors(beside / "mel_stats.pth", mel_stats)
        config.model_args.gpt_number_text_tokens = len(_tokens())
        write_text(beside / "config.json", _config_text(config))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = _model(config, beside / "vocab.json")
            model.mel_stats = mel_stats
            write_checkpoint(beside / "model.pth", model.state_dict(), json.loads(_config_text(config)))
            torch.manual_seed(1)
            write_tensors(beside / "dvae.pth", _dvae(beside / "mel_stats.pth").state_dict())
            write_tensors(beside / "speakers_xtts.pth", {DEMO_SPEAKER: _speaker()})
        write_json(beside / DEMO_MARKER, {"demo": True, "seed": seed, "note": "Random weights: it speaks noise."})
    return folder


# ---- Config and vocabulary ----------------------------------------------------------------------------------------


def _config() -> XttsConfig:
    """Return the published config.json's values, but for the GPT's size."""
    from TTS.tts.configs.xtts_config import XttsConfig

    config = XttsConfig()
    config.temperature, config.top_k, config.top_p = 0.75, 50, 0.85
    config.length_penalty, config.repetition_penalty = 1.0, 5.0
    config.gpt_cond_len, config.gpt_cond_chunk_len, config.max_ref_len = 30, 4, 30
    config.sound_norm_refs = False
    args = config.model_args
    args.gpt_layers, args.gpt_n_model_channels, args.gpt_n_heads = LAYERS, WIDTH, HEADS
    args.decoder_input_dim = WIDTH  # the decoder reads what the GPT writes
    args.gpt_num_audio_tokens, args.gpt_start_audio_token, args.gpt_stop_audio_token = AUDIO_TOKENS, 1024, 1025
    args.gpt_max_audio_tokens, args.gpt_max_text_tokens, args.gpt_max_prompt_tokens = 605, 402, 70
    args.gpt_use_perceiver_resampler = True
    return config


def _config_text(config: XttsConfig) -> str:
    """Return the config as the published config.json is: `Infinity` in it, and no dvae_sample_rate."""
    data: dict[str, Any] = json.loads(config.to_json())
    del data["audio"]["dvae_sample_rate"]
    return json.dumps(data, indent=4)


def _vocabulary() -> str:
    """Return vocab.json: a BPE over whitespace-split text, [START] among the last ids, as the published one."""
    vocabulary = {token: number for number, token in enumerate(_tokens())}
    special = [token for token in vocabulary if token.startswith("[")]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": vocabulary[token], "content": token, **flags} for token in special],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "[UNK]",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "vocab": vocabulary,
            "merges": _MERGES.split(","),
        },
    }
    return json.dumps(tokenizer, ensure_ascii=False, indent=1)


def _tokens() -> list[str]:
    """Return the tokens in the order of their ids."""
    tags = [f"[{tokenizer_language(language)}]" for language in LANGUAGES]
    pieces = [merge.replace(" ", "") for merge in _MERGES.split(",")]
    tokens = ["[STOP]", "[UNK]", "[SPACE]", *_MARKS, *_LETTERS, *pieces, *tags[:-1], "[START]", tags[-1]]
    return list(dict.fromkeys(tokens))


# ---- Weights ------------------------------------------------------------------------------------------------------


def _model(config: XttsConfig, vocab: Path) -> Xtts:
    """Return the model with weights from torch's random state."""
    from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer
    from TTS.tts.models.xtts import Xtts

    unbuilt = config.copy()
    unbuilt.model_args.gpt_number_text_tokens = None  # the GPT is built once, below
    with silent_transformers():
        model = Xtts(unbuilt)
        model.tokenizer = VoiceBpeTokenizer(vocab_file=vocab)
        model.init_models()
    with torch.no_grad():
        model.gpt.mel_head.bias[config.model_args.gpt_stop_audio_token] += STOP_BIAS
        model.hifigan_decoder.waveform_decoder.conv_post.weight *= LOUDER
    return model


def _speaker() -> dict[str, torch.Tensor]:
    """Return a made speaker in the form of speakers_xtts.pth: latents (1, 32, width), embedding (1, 512, 1)."""
    embedding = torch.nn.functional.normalize(torch.randn(1, 512, 1), dim=1)
    return {"gpt_cond_latent": torch.randn(1, 32, WIDTH) * 0.5, "speaker_embedding": embedding}


def _mel_stats() -> torch.Tensor:
    """Return the 80 values log-mels are divided by: in the published file each band's largest magnitude in speech."""
    return torch.linspace(7.0, 10.0, 80)


def _dvae(mel_stats: Path) -> DiscreteVAE:
    """Return a DVAE whose codes tell sounds apart: its codebook is what its encoder says of many kinds of sound.

    A codebook of random vectors would give every sound the same few codes, and training nothing to learn.
    """
    from TTS.tts.layers.tortoise.arch_utils import TorchMelSpectrogram

    dvae = new_dvae(AUDIO_TOKENS).eval()
    last = dvae.encoder[-1]
    with torch.inference_mode():
        mel = TorchMelSpectrogram(mel_norm_file=str(mel_stats), sampling_rate=SAMPLE_RATE)(_sounds())
        heard = dvae.encoder(mel).transpose(1, 2).flatten(0, 1)  # (sounds x codes, 512)
        mean, spread = heard.mean(0), heard.std(0) + 1e-6
        last.weight.data.div_(spread[:, None, None])
        last.bias.data.sub_(mean).div_(spread)
        chosen = torch.randperm(len(heard))[: AUDIO_TOKENS - 2]
        codebook = ((heard - mean) / spread)[chosen].T.contiguous()  # (512, 1024)
    dvae.codebook.embed.copy_(codebook)
    dvae.codebook.embed_avg.copy_(codebook)
    return dvae


def _sounds(count: int = 32, seconds: float = 2.0) -> torch.Tensor:
    """Return sounds somewhat like speech, (count, samples): gliding harmonics of changing colour, hiss, pauses."""
    samples = int(seconds * SAMPLE_RATE)
    time = torch.arange(samples) / SAMPLE_RATE

    def slow(low: float, high: float, bends: int = 12) -> torch.Tensor:
        """Draw smooth random curves between low and high, (count, samples)."""
        points = torch.rand(count, 1, bends) * (high - low) + low
        return torch.nn.functional.interpolate(points, samples, mode="linear", align_corners=True)[:, 0]

    pitch = torch.cumsum(slow(80, 300), dim=1) / SAMPLE_RATE
    colour = slow(0.5, 2.0)
    voiced = sum(torch.sin(2 * torch.pi * n * pitch) / n**colour for n in range(1, 25))
    hiss = torch.randn(count, samples) * slow(0.0, 1.0)
    loudness = slow(-0.5, 1.0).clamp(min=0.001) * (1 + 0.2 * torch.sin(2 * torch.pi * 5 * time))
    return 0.2 * loudness * (voiced + 0.3 * hiss)

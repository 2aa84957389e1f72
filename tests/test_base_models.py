"""Base models are listed whole or with what they lack, and the demo base is a whole XTTS made from its seed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from pipeline.base_models import DEMO, REQUIRED_FILES, inspect_model, list_base_models, resolve_base
from pipeline.demo_base import DEMO_SPEAKER, make_demo_base
from pipeline.errors import FinetuneError, InvalidNameError, ModelMissingError, SettingError
from pipeline.languages import LANGUAGES
from pipeline.sentences import SENTENCES
from pipeline.weights import read_state
from pipeline.workspace import REPOSITORY, Workspace

from .models import demo_base, install_demo_base


def _make_whole(ws: Workspace, name: str) -> Path:
    folder = ws.base_models / name
    folder.mkdir()
    for file in REQUIRED_FILES:
        (folder / file).write_text("x")
    return folder


def test_the_demo_is_offered_before_it_is_made(ws: Workspace) -> None:
    (demo,) = list_base_models(ws)
    assert (demo.name, demo.demo, demo.whole, demo.path.exists()) == (DEMO, True, True, False)


def test_models_are_listed_whole_or_with_what_they_lack(ws: Workspace) -> None:
    _make_whole(ws, "xtts-v2")
    (_make_whole(ws, "broken") / "dvae.pth").unlink()
    (ws.base_models / "broken" / "vocab.json").write_bytes(b"")
    (ws.base_models / ".anna.1.new").mkdir()
    (ws.base_models / "a file").write_text("")
    found = {model.name: model for model in list_base_models(ws)}
    assert list(found) == ["broken", "xtts-v2", DEMO]
    assert found["broken"].missing == ("vocab.json", "dvae.pth")
    assert found["xtts-v2"].whole


def test_a_base_is_found_by_name_by_path_and_where_it_is_the_only_one(ws: Workspace, tmp_path: Path) -> None:
    folder = _make_whole(ws, "xtts-v2")
    install_demo_base(ws)
    for wanted in ("xtts-v2", "  xtts-v2 ", str(folder), ""):
        assert resolve_base(ws, wanted) == folder
    _make_whole(ws, "second")
    with pytest.raises(SettingError, match="second, xtts-v2"):
        resolve_base(ws, "")


def test_what_is_not_there_is_told_with_what_is(ws: Workspace) -> None:
    with pytest.raises(ModelMissingError, match="no whole base model"):
        resolve_base(ws, "")
    with pytest.raises(ModelMissingError, match=r"“nobody”.*there is: demo"):
        resolve_base(ws, "nobody")
    (_make_whole(ws, "half") / "dvae.pth").unlink()
    with pytest.raises(ModelMissingError, match=r"lacks dvae\.pth"):
        resolve_base(ws, "half")
    with pytest.raises(InvalidNameError):
        resolve_base(ws, "..")
    with pytest.raises(FinetuneError):
        resolve_base(ws, "../../etc")


def test_a_model_trained_from_the_demo_is_not_taken_unasked(ws: Workspace) -> None:
    install_demo_base(ws, "exported-demo")
    assert inspect_model(ws.base_models / "exported-demo").demo
    with pytest.raises(ModelMissingError):
        resolve_base(ws, "")


def test_the_demo_base_is_made_once_and_anew_for_another_seed(ws: Workspace) -> None:
    folder = install_demo_base(ws)
    before = (folder / "model.pth").stat().st_mtime_ns
    assert resolve_base(ws, DEMO) == resolve_base(ws, DEMO, seed=0) == folder
    assert (folder / "model.pth").stat().st_mtime_ns == before
    resolve_base(ws, DEMO, seed=5)
    assert json.loads((folder / "demo.json").read_text(encoding="utf-8"))["seed"] == 5
    ours, made = read_state(demo_base() / "model.pth"), read_state(folder / "model.pth")
    assert not torch.equal(ours["gpt.mel_head.weight"], made["gpt.mel_head.weight"])
    # What was computed with one demo base goes with every other.
    for same in ("vocab.json", "config.json", "dvae.pth", "mel_stats.pth", "speakers_xtts.pth"):
        assert (folder / same).read_bytes() == (demo_base() / same).read_bytes()


def test_the_same_seed_gives_the_same_bytes_and_leaves_torch_as_it_was(tmp_path: Path) -> None:
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    folder = make_demo_base(tmp_path / "again", 0)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), state)
    for file in REQUIRED_FILES:
        assert (folder / file).read_bytes() == (demo_base() / file).read_bytes(), file


def test_the_demo_base_looks_like_the_published_one() -> None:
    folder = demo_base()
    assert inspect_model(folder).whole
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["max_audio_len"] == config["max_text_len"] == float("inf")
    assert config["optimizer_params"] is None
    assert "zh-cn" in config["languages"]
    assert "dvae_sample_rate" not in config["audio"]
    inference = {
        "temperature": 0.75, "length_penalty": 1.0, "repetition_penalty": 5.0, "top_k": 50, "top_p": 0.85,
        "gpt_cond_len": 30, "gpt_cond_chunk_len": 4, "max_ref_len": 30, "sound_norm_refs": False,
    }  # fmt: skip
    assert {key: config[key] for key in inference} == inference
    args = config["model_args"]
    assert (args["gpt_layers"], args["gpt_n_model_channels"], args["gpt_n_heads"]) == (2, 64, 4)
    assert args["decoder_input_dim"] == args["gpt_n_model_channels"]
    assert (args["gpt_num_audio_tokens"], args["gpt_start_audio_token"], args["gpt_stop_audio_token"]) == (
        1026, 1024, 1025,
    )  # fmt: skip
    speakers = torch.load(folder / "speakers_xtts.pth", weights_only=True)
    assert speakers[DEMO_SPEAKER]["gpt_cond_latent"].shape == (1, 32, 64)
    assert speakers[DEMO_SPEAKER]["speaker_embedding"].shape == (1, 512, 1)
    assert torch.load(folder / "mel_stats.pth", weights_only=True).shape == (80,)


def test_its_vocabulary_has_the_form_of_the_published_one() -> None:
    data = json.loads((demo_base() / "vocab.json").read_text(encoding="utf-8"))
    tokenizer = Tokenizer.from_file(str(demo_base() / "vocab.json"))
    assert [tokenizer.token_to_id(token) for token in ("[STOP]", "[UNK]", "[SPACE]")] == [0, 1, 2]
    size = tokenizer.get_vocab_size()
    assert size - 3 <= tokenizer.token_to_id("[START]") < size
    assert (data["model"]["type"], data["pre_tokenizer"]["type"]) == ("BPE", "Whitespace")
    assert data["decoder"] is None
    assert data["model"]["fuse_unk"] is False


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_it_knows_every_character_of_a_sentence_in_each_language(language: str) -> None:
    from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer

    tokenizer = VoiceBpeTokenizer(vocab_file=demo_base() / "vocab.json")
    assert 1 not in tokenizer.encode(SENTENCES[language], lang=language)


def test_its_dvae_tells_sounds_apart() -> None:
    from pipeline.demo_base import _dvae, _sounds

    torch.manual_seed(1)
    dvae = _dvae(demo_base() / "mel_stats.pth")
    from TTS.tts.layers.tortoise.arch_utils import TorchMelSpectrogram

    mel = TorchMelSpectrogram(mel_norm_file=str(demo_base() / "mel_stats.pth"), sampling_rate=22050)
    codes = dvae.get_codebook_indices(mel(_sounds(count=4)))
    assert codes.shape == (4, 44)  # 2 seconds at 1,024 samples a code, rounded up
    assert len(codes.unique()) > 40


def test_listing_models_needs_no_torch(ws: Workspace) -> None:
    script = (
        "import sys; from pathlib import Path; from pipeline.base_models import list_base_models; "
        "from pipeline.workspace import Workspace; from pipeline.voices import find_voice; "
        "from pipeline import export, references, voice_client, recommend, preflight; "
        f"list_base_models(Workspace(Path({str(ws.root)!r}))); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.stdout.strip() == "False", done.stderr

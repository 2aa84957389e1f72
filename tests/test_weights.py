"""Checkpoints of every origin are read, none is changed, and what is written is what stock Coqui loads."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipeline.errors import ModelError, ModelMissingError, WorkspaceError
from pipeline.records import Voice
from pipeline.weights import halve, load_xtts, read_config, read_state, write_checkpoint, write_tensors
from pipeline.workspace import REPOSITORY

from .models import demo_base


def _voice(folder: Path) -> Voice:
    return Voice(folder / "model.pth", folder / "config.json", folder / "vocab.json")


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def _published(path: Path) -> Path:
    """Write a checkpoint as Coqui published it: an XttsConfig pickled in it, whose classes were elsewhere then."""
    from TTS.tts.configs.xtts_config import XttsArgs, XttsAudioConfig, XttsConfig
    from TTS.tts.models import xtts as old_home

    config = XttsConfig()
    config.load_json(str(demo_base() / "config.json"))
    homes = {kind: kind.__module__ for kind in (XttsArgs, XttsAudioConfig)}
    try:
        for kind in homes:
            kind.__module__ = old_home.__name__
        torch.save({"model": read_state(demo_base() / "model.pth"), "config": config}, path)
    finally:
        for kind, home in homes.items():
            kind.__module__ = home
    return path


def test_the_published_checkpoint_is_read_and_its_bytes_stay(tmp_path: Path) -> None:
    path = _published(tmp_path / "model.pth")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)  # so this file needs the config classes
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    assert _same(read_state(path), read_state(demo_base() / "model.pth"))
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


def test_a_trainers_checkpoint_loses_its_prefix_and_what_is_not_the_voice(tmp_path: Path) -> None:
    state = read_state(demo_base() / "model.pth")
    trainers = {f"xtts.{key}": value for key, value in state.items()}
    trainers["dvae.codebook.embed"] = torch.zeros(2)
    trainers["torch_mel_spectrogram_dvae.mel_stft.window"] = torch.zeros(2)
    torch.save({"model": trainers, "optimizer": {"state": {}}, "step": 7}, tmp_path / "best_model.pth")
    assert _same(read_state(tmp_path / "best_model.pth"), state)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "harm"),)

    torch.save({"model": {"gpt.text_embedding.weight": torch.zeros(2)}, "config": Harmful()}, tmp_path / "model.pth")
    with pytest.raises(ModelError, match="harmful"):
        read_state(tmp_path / "model.pth")
    assert not (tmp_path / "harm").exists()


def test_files_that_are_no_checkpoint_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("hello")
    (tmp_path / "empty.pth").write_bytes(b"")
    half = (demo_base() / "model.pth").read_bytes()[:50_000]
    (tmp_path / "half.pth").write_bytes(half)
    (tmp_path / "noise.pth").write_bytes(b"\x80\x02" + bytes(range(256)))
    torch.save({"model": {"other.weight": torch.zeros(2)}}, tmp_path / "other.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    for path in sorted(tmp_path.glob("*.pth")):
        with pytest.raises(ModelError, match=path.name):
            read_state(path)
    with pytest.raises(ModelMissingError, match=r"none\.pth"):
        read_state(tmp_path / "none.pth")


def test_what_is_written_is_read_again_the_same_and_has_the_same_bytes_under_any_name(tmp_path: Path) -> None:
    state = read_state(demo_base() / "model.pth")
    write_checkpoint(tmp_path / "one.pth", state, {"max_audio_len": float("inf")})
    write_checkpoint(tmp_path / "two.pth", state, {"max_audio_len": float("inf")})
    assert _same(read_state(tmp_path / "one.pth"), state)
    assert (tmp_path / "one.pth").read_bytes() == (tmp_path / "two.pth").read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on file sizes there")
def test_a_full_disk_is_told_in_words_and_the_old_file_stays(tmp_path: Path) -> None:
    target = tmp_path / "model.pth"
    write_tensors(target, {"model": torch.zeros(4)})
    before = target.read_bytes()
    script = (
        "import resource, signal, sys, torch\n"
        "from pathlib import Path\n"
        "from pipeline.errors import WorkspaceError\n"
        "from pipeline.weights import write_tensors\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        "    write_tensors(Path(sys.argv[1]), {'model': torch.zeros(1_000_000)})\n"
        "except WorkspaceError as fault:\n"
        "    print(fault)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(target)], capture_output=True, text=True, cwd=REPOSITORY)
    assert "can't be written" in done.stdout, done.stderr
    assert target.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["model.pth"]


def test_a_folder_that_cannot_be_made_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="can't be written"):
        write_tensors(tmp_path / "file" / "model.pth", {})


def test_a_config_with_infinity_and_unknown_keys_is_read(tmp_path: Path) -> None:
    text = (demo_base() / "config.json").read_text(encoding="utf-8")
    assert "Infinity" in text
    data = {**json.loads(text), "of_another_version": 1}
    (tmp_path / "config.json").write_text(json.dumps(data), encoding="utf-8")
    config = read_config(tmp_path)
    assert config.max_audio_len == float("inf")
    assert (config.gpt_cond_len, config.model_args.gpt_num_audio_tokens) == (30, 1026)
    assert config.audio.dvae_sample_rate == 22050  # which the published config lacks


def test_configs_of_nothing_and_of_other_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match="no config"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text('{"model": "vits"}', encoding="utf-8")
    with pytest.raises(ModelError, match="vits"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(ModelError, match="isn't the config"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(WorkspaceError, match="can't be read"):
        read_config(tmp_path)


def test_a_model_loads_from_a_folder_that_cannot_be_written_and_leaves_it_alone(tmp_path: Path) -> None:
    folder = tmp_path / "voice"
    shutil.copytree(demo_base(), folder)
    _published(folder / "model.pth")
    before = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        model = load_xtts(_voice(folder))
    finally:
        folder.chmod(stat.S_IRWXU)
    assert not model.gpt.training
    assert hasattr(model.gpt, "gpt_inference")
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()} == before


def test_a_loaded_model_has_the_files_weights() -> None:
    state = read_state(demo_base() / "model.pth")
    loaded = load_xtts(_voice(demo_base())).state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())


def test_parts_that_do_not_belong_together_are_named(tmp_path: Path) -> None:
    shutil.copytree(demo_base(), tmp_path / "voice")
    voice = _voice(tmp_path / "voice")
    vocab = json.loads(voice.vocab.read_text(encoding="utf-8"))
    vocab["model"]["vocab"]["newword"] = len(vocab["model"]["vocab"])
    voice.vocab.write_text(json.dumps(vocab), encoding="utf-8")
    with pytest.raises(ModelError, match="don't belong together"):
        load_xtts(voice)
    shutil.copy(demo_base() / "vocab.json", voice.vocab)
    config = json.loads(voice.config.read_text(encoding="utf-8"))
    config["model_args"]["gpt_layers"] = 3
    voice.config.write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ModelError, match=r"it lacks gpt\.gpt\.h\.2"):
        load_xtts(voice)
    config["model_args"].update(gpt_layers=2, gpt_n_model_channels=128, decoder_input_dim=128)
    voice.config.write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ModelError, match="doesn't fit"):
        load_xtts(voice)


def test_half_precision_halves_what_it_can_hold_and_leaves_the_rest() -> None:
    state = {"weight": torch.tensor([1.5, -2.0]), "large": torch.tensor([1e6]), "count": torch.tensor([3])}
    half = halve(state)
    assert half["weight"].dtype == torch.float16
    assert half["large"].dtype == torch.float32
    assert half["count"].dtype == torch.int64

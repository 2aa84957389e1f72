"""Voices compared: XTTS's own speaker encoder, taken out of a base model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.audio import CLIP_RATE, decode
from pipeline.base_models import resolve_base
from pipeline.dataset import create_dataset, read_dataset
from pipeline.options import DatasetOptions
from pipeline.progress import Progress
from pipeline.similarity import SpeakerEncoder, find_encoder, measure_similarity
from pipeline.workspace import DEMO_MARKER, DEMO_VOICE, Workspace

from .recordings import record, write_srt
from .speech import needs_espeak


@pytest.fixture(scope="module")
def with_base(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a workspace whose demo base counts as a real one."""
    ws = Workspace(tmp_path_factory.mktemp("ws"))
    ws.prepare()
    made = resolve_base(ws, "demo", seed=3)
    assert find_encoder(ws) is None  # the demo's weights are random: they tell nothing
    folder = made.rename(ws.base_models / "xtts")
    (folder / DEMO_MARKER).unlink()
    return ws


def test_the_vector_of_a_voice_is_coquis(with_base: Workspace) -> None:
    import torch

    from pipeline.records import Voice
    from pipeline.weights import load_xtts

    folder = with_base.base_models / "xtts"
    model = load_xtts(Voice(folder / "model.pth", folder / "config.json", folder / "vocab.json"))
    samples = decode(DEMO_VOICE, CLIP_RATE)[: CLIP_RATE * 4]
    with torch.inference_mode():
        theirs = model.get_speaker_embedding(torch.from_numpy(samples)[None], CLIP_RATE).numpy().reshape(-1)
    assert np.allclose(SpeakerEncoder(folder / "model.pth").embed(samples), theirs, atol=1e-5)


@needs_espeak
def test_clips_of_a_dataset_get_their_similarity_and_each_is_computed_once(with_base: Workspace) -> None:
    ws = with_base
    options = DatasetOptions("anna", whisper_model="demo", device="cpu")
    write_srt(record(ws.samples, "one.wav", count=4, seed=0))
    create_dataset(ws, options, Progress())
    first = read_dataset(ws.project("anna"))
    assert all(clip.similarity is not None and -1 <= clip.similarity <= 1.0001 for clip in first)
    write_srt(record(ws.samples, "two.wav", count=4, seed=1))
    create_dataset(ws, options, Progress())
    clips = read_dataset(ws.project("anna"))
    assert all(clip.similarity is not None for clip in clips)

    class Silent(Progress):
        def update(self, fraction: float | None, message: str) -> None:
            raise AssertionError(f"computed again: {message}")

    again = measure_similarity(ws, ws.project("anna"), clips, Silent())
    assert again == {clip.file: clip.similarity for clip in clips}


def test_a_broken_base_model_is_a_warning(ws: Workspace, tmp_path: Path) -> None:
    from pipeline.base_models import REQUIRED_FILES
    from pipeline.records import Clip

    folder = ws.base_models / "broken"
    folder.mkdir()
    for name in REQUIRED_FILES:
        (folder / name).write_bytes(b"broken")
    project = ws.project("anna")
    project.wavs.mkdir(parents=True)
    (project.wavs / "a.wav").write_bytes(b"sound")

    class Log(Progress):
        lines: list[str] = []  # noqa: RUF012

        def log(self, message: str, kind: str = "General") -> None:
            self.lines.append(message)

    assert measure_similarity(ws, project, [Clip("wavs/a.wav", "A.", "anna", "train")], Log()) == {}
    assert Log.lines[0].startswith("Warning: the voices")

"""In a real browser: a clip is heard, trimmed, corrected, dropped; deleting asks first; a reload shows the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.audio import CLIP_RATE, probe, write_wav
from pipeline.dataset_files import DatasetSettings, Manifest, SourceEntry, commit, open_for_change, read_dataset
from pipeline.options import ValidateOptions
from pipeline.records import Clip, Rejection, to_json
from pipeline.validation_files import HeardClip, Validation
from pipeline.workspace import Project, Workspace, write_text

from .browser import Visitor, open_browser, serve, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TEXTS = ("The cat sat down.", "It was two o'clock.", "Nobody knew <b>why</b>.", "She said nothing.", "Then it rained.")
HEARD = ("The bat sat down.", "It was two o'clock", "Somebody new fly.", "She said nothing.", "Than it reigned.")
SECONDS = 4.0


def _voice(seed: int) -> np.ndarray:
    """Noise that swells and fades like syllables, mono float32 at CLIP_RATE."""
    random = np.random.default_rng(seed)
    time = np.arange(int(SECONDS * CLIP_RATE)) / CLIP_RATE
    smooth = np.convolve(random.standard_normal(len(time)), np.ones(8) / 8, mode="same")
    return (0.2 * smooth * np.abs(np.sin(time * 7))).astype(np.float32)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project whose dataset was validated: three of five clips differ, one is flagged."""
    ws = Workspace(tmp_path_factory.mktemp("editing"))
    ws.prepare()
    project = ws.project("anna")
    settings = DatasetSettings("en", "demo", vad=True, min_seconds=2.0, max_seconds=10.0, loudness=True)
    clips, heard = [], []
    for number, text in enumerate(TEXTS):
        path = project.wavs / f"{number}.wav"
        write_wav(path, _voice(number), CLIP_RATE)
        flags = ("noisy: speech is only 9 dB above the noise",) if number == 3 else ()
        split = "eval" if number == 1 else "train"
        clips.append(Clip(f"wavs/{number}.wav", text, "anna", split, seconds=SECONDS, flags=flags, source="a.flac"))
        heard.append(HeardClip(f"wavs/{number}.wav", HEARD[number], path.stat().st_size))
    source = SourceEntry("a.flac", "0", 30.0, settings, rejected=(Rejection("a.flac", "no words here", 1.0, 2.0),))
    with open_for_change(project):
        commit(project, Manifest("anna", settings, "anna", 0, 15.0, sources=(source,), clips=tuple(clips)))
    options = ValidateOptions(project="anna", whisper_model="demo")
    write_text(project.validation, to_json(Validation(options, "en", tuple(heard))))
    write_wav(ws.samples / "left over.wav", _voice(9), CLIP_RATE)
    return project


@pytest.fixture(scope="module")
def visitor(project: Project) -> Iterator[Visitor]:
    workspace = project.path.parent.parent
    with open_browser() as browser, serve(workspace) as server:
        page = browser.new_page(viewport={"width": 1360, "height": 1000})
        page.goto(f"{server.url}?project=anna")
        visitor = Visitor(page)
        visitor.visible("#steps").first.wait_for()
        yield visitor
        page.screenshot(path=workspace / "last.png", full_page=True)
    assert not visitor.errors


def text_of(project: Project, file: str) -> str:
    return {clip.file: clip.text for clip in read_dataset(project)}.get(file, "")


def choose_row(visitor: Visitor, table: str, words: str) -> None:
    visitor.visible(f"{table} .virtual-row").filter(has_text=words).first.get_by_text(words).first.click()


def rows(visitor: Visitor, table: str) -> int:
    return visitor.visible(f"{table} .virtual-row").count()


def chosen(visitor: Visitor) -> str:
    """Return the file of the clip in the editor."""
    return str(visitor.visible("#about-clip").inner_text().split(" · ")[1])


def test_a_clip_of_the_report_can_be_heard_and_dropped(visitor: Visitor, project: Project) -> None:
    visitor.go_to_tab("📁 Step 1 - Generating the dataset")
    visitor.visible("#dataset-summary >> text=5 clips").first.wait_for()
    wait_until(lambda: rows(visitor, "#clips") == 5)
    choose_row(visitor, "#clips", "She said nothing.")
    visitor.visible("#about-chosen >> text=Noisy: speech is only 9 dB").first.wait_for()
    visitor.visible("#chosen-clip button[aria-label=Play]").first.wait_for()
    visitor.press("Drop this clip")
    visitor.visible("#dataset-summary >> text=4 clips").first.wait_for()
    assert "wavs/3.wav" not in {clip.file for clip in read_dataset(project)}
    assert "noisy" not in visitor.visible("#clips").inner_text()


def test_texts_are_shown_as_they_are(visitor: Visitor) -> None:
    visitor.go_to_tab("📊 Dataset Validation")
    wait_until(lambda: rows(visitor, "#mismatches") == 3)
    assert "<b>why</b>" in visitor.visible("#mismatches").inner_text()
    assert visitor.visible("#mismatches mark").count() >= 3


def test_a_clip_is_trimmed_and_corrected_and_the_next_one_comes(visitor: Visitor, project: Project) -> None:
    choose_row(visitor, "#mismatches", "Then it")
    visitor.visible("#clip-sound button[aria-label='Trim audio to selection']").first.wait_for()
    file = chosen(visitor)
    before = probe(project.path / file).seconds
    visitor.page.locator("#text-to-save textarea").fill("What was said.")
    visitor.visible("label.selected:has-text('Edit Manually')").first.wait_for()
    visitor.visible("#clip-sound button[aria-label='Trim audio to selection']").first.click()
    visitor.visible("#clip-sound >> text=Trim").first.click()
    visitor.page.wait_for_timeout(1500)  # the browser sends the part
    visitor.press("Save Audio and Correction")
    wait_until(lambda: chosen(visitor) != file)
    assert text_of(project, file) == "What was said."
    assert probe(project.path / file).seconds < 0.8 * before
    visitor.visible("#clip-sound button[aria-label=Play]").first.wait_for()


def test_whispers_text_is_taken_by_a_click(visitor: Visitor, project: Project) -> None:
    file = chosen(visitor)
    visitor.visible("label:has-text('Use Whisper')").first.click()
    heard = HEARD[int(Path(file).stem)]
    wait_until(lambda: visitor.page.locator("#text-to-save textarea").input_value() == heard)
    visitor.press("Save Audio and Correction")
    wait_until(lambda: chosen(visitor) != file)
    assert text_of(project, file) == heard


def test_an_empty_text_is_refused_in_words_and_nothing_is_lost(visitor: Visitor, project: Project) -> None:
    file = chosen(visitor)
    before = text_of(project, file)
    visitor.page.locator("#text-to-save textarea").fill(" ... ")
    visitor.press("Save Audio and Correction")
    visitor.visible("text=type what is said, or delete the clip").first.wait_for()
    assert text_of(project, file) == before
    assert visitor.page.locator("#text-to-save textarea").input_value() == " ... "


def test_deleting_a_clip_asks_first(visitor: Visitor, project: Project) -> None:
    file = chosen(visitor)
    visitor.press("Delete Clip")
    visitor.visible(f"text=This takes “{file}” out of the dataset").first.wait_for()
    assert text_of(project, file)
    visitor.press("Yes, delete")
    wait_until(lambda: not text_of(project, file))


def test_deleting_samples_and_datasets_asks_first_and_says_what_goes(visitor: Visitor, project: Project) -> None:
    visitor.go_to_tab("📁 Step 1 - Generating the dataset")
    visitor.visible("#recordings >> text=left over.wav").first.wait_for()
    visitor.press("Delete Existing Audio Samples")
    visitor.visible("text=/This deletes 1 files .* frees 176 KB/").first.wait_for()
    visitor.press("Keep")
    assert visitor.visible("#recordings >> text=left over.wav").count()
    visitor.press("Delete Existing Audio Samples")
    visitor.press("Yes, delete")
    visitor.visible("#recordings >> text=No recordings yet").first.wait_for()
    visitor.press("Delete Existing Training Dataset")
    visitor.press("Yes, delete")
    wait_until(lambda: not project.has_dataset)
    visitor.visible("#dataset-summary >> text=no dataset yet").first.wait_for()


def test_a_reload_shows_the_same(visitor: Visitor) -> None:
    visitor.page.reload()
    visitor.visible("#steps").first.wait_for()
    visitor.visible("#dataset-summary >> text=no dataset yet").first.wait_for()

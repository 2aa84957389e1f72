"""The training guide is true to the settings and figures of the program."""

from __future__ import annotations

import re

import pytest

from pipeline.options import OPTIMIZERS, SCHEDULERS, TrainConfig
from pipeline.recommend import GB, memory_needed
from pipeline.settings import describe
from pipeline.training import schedule, verdict
from ui.feedback import HELP_FOLDER
from ui.training_guide import FIGURES, read_sections

GUIDE = (HELP_FOLDER / "training.md").read_text(encoding="utf-8")
SECTIONS = {section.title: "".join(section.parts[::2]) for section in read_sections(GUIDE)}


def test_every_section_has_a_title_of_its_own_and_text():
    assert len(SECTIONS) == GUIDE.count("\n## ") + 1
    assert all(text.strip() for text in SECTIONS.values())


def test_every_marker_names_a_figure_and_every_figure_is_shown():
    markers = [part for section in read_sections(GUIDE) for part in section.parts[1::2]]
    assert sorted(markers) == sorted(FIGURES)
    assert GUIDE.count("<!--") == len(markers)


def test_text_and_figures_stand_in_their_order():
    sections = read_sections("ignored\n## One\na\n<!-- figures: minima -->\nb\n## Two\nc\n")
    assert [(section.title, section.parts) for section in sections] == [
        ("One", ("a\n", "minima", "\nb\n")),
        ("Two", ("c\n",)),
    ]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_is_explained(name):
    assert f"- **{name}**" in SECTIONS["Optimizers"]


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_is_explained(name):
    assert f"- **{name}**" in SECTIONS["Schedulers"]


def test_every_word_in_bold_that_looks_like_a_setting_is_one():
    labels = {setting.label for setting in describe(TrainConfig).values()}
    for name in ("Batch size", "Grad accumulation steps", "Workers/Threads", "Perform Warmup Learning", "Patience",
                 "Continue Previous Project", "LoRA rank", "Weight decay", "Gradient clipping", "Conditioning",
                 "Disable Shared Memory Use", "Early stopping", "Number of epochs", "Device", "Run", "Seed", "LoRA",
                 "Select the Model to train"):  # fmt: skip
        assert name in labels
        assert f"**{name}**" in GUIDE


def test_the_table_of_memory_is_the_programs_own_estimate():
    rows = re.findall(r"^\| (Full fine-tune|LoRA) \| (.+) \|$", GUIDE, re.MULTILINE)
    assert len(rows) == 2
    for kind, cells in rows:
        for batch_size, cell in zip((1, 2, 4, 8), cells.split(" | "), strict=True):
            told = float(cell.removesuffix(" GB"))
            assert told == pytest.approx(memory_needed(kind == "LoRA", batch_size) / GB, abs=0.5)


def test_the_figures_of_the_guide_are_the_programs():
    settings = describe(TrainConfig)
    assert settings["learning_rate"].default == schedule.USUAL_RATE == 5e-6
    assert settings["patience"].default == 3
    assert "(3 unless changed)" in SECTIONS["The verdict and early stopping"]
    assert (verdict.GAIN, verdict.RISE) == (0.005, 0.01)
    assert "half a percent" in SECTIONS["The verdict and early stopping"]
    assert "more than one percent" in SECTIONS["The verdict and early stopping"]
    rates = schedule.USUAL_RATES
    assert (rates["SGD with Momentum"], rates["Adagrad"]) == (5e-3, 5e-5)
    assert "5e-3" in SECTIONS["Optimizers"]
    assert "5e-5" in SECTIONS["Optimizers"]
    assert schedule.CYCLIC_TOP == 3
    assert "three times the rate" in SECTIONS["Schedulers"]

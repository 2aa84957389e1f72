"""Words find their silences, however wrong Whisper's times are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import fftconvolve

from pipeline.audio import FloatArray, write_wav
from pipeline.hearing import HearingOptions, hear_recording
from pipeline.placing import place_words
from pipeline.records import Limits, Span, Word
from pipeline.segment import plan_clips
from pipeline.silence import Envelope, Sound, listen
from tests.speech import RATE, Spoken, add_noise, jitter, needs_espeak, story


def hear(samples: FloatArray, folder: Path, *, vad: bool = True) -> Sound:
    write_wav(folder / "spoken.wav", samples, RATE)
    heard = hear_recording(folder / "spoken.wav", None, HearingOptions("en", vad))
    return listen(heard.envelope, heard.speech)


def wrong_places(sound: Sound, words: tuple[Word, ...], spoken: Spoken) -> int:
    """Count the pauses between true sentences in which no silence was found or one with another place in the text."""
    placement = place_words(words, sound, "en")
    assert [word.text for word in placement.words] == [word.text for word in words]
    wrong = 0
    for end in spoken.sentence_ends - {len(spoken.words) - 1}:
        start, stop = spoken.words[end].end, spoken.words[end + 1].start
        inside = [
            int(placement.places[gap])
            for gap in range(len(sound.starts))
            if min(stop, sound.ends[gap]) - max(start, sound.starts[gap]) > 0.03
        ]
        wrong += {place for place in inside if place >= 0} != {end + 1}
    return wrong


def echoing(samples: FloatArray, random: np.random.Generator) -> FloatArray:
    """Put the speech into a room whose sound dies away by 60 dB in 0.4 s."""
    tail = random.standard_normal(round(0.4 * RATE)) * 10 ** (-3 * np.linspace(0, 1, round(0.4 * RATE)))
    tail[0] = 6.0
    return fftconvolve(samples, tail / np.sqrt((tail**2).sum()))[: len(samples)].astype(np.float32)


def with_music(samples: FloatArray, random: np.random.Generator) -> FloatArray:
    """Put plucked notes under the speech, 20 dB softer."""
    time = np.arange(RATE // 2) / RATE
    notes = [np.sin(2 * np.pi * 220 * 2 ** (n / 12) * time) * np.exp(-2 * time) for n in random.integers(0, 12, 400)]
    music = np.resize(np.concatenate(notes), len(samples))
    level = np.sqrt((samples[np.abs(samples) > 0.01] ** 2).mean())
    return (samples + music / music.std() * level * 0.1).astype(np.float32)


@needs_espeak
@pytest.mark.parametrize("spoil", ["nothing", "noise 30 dB", "noise 15 dB", "echo", "music"])
@pytest.mark.parametrize("error", [0.0, 0.4])
def test_sentences_find_their_pauses(spoil: str, error: float, tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    spoken = story("en", 25, seed=4)
    samples = {
        "nothing": lambda: spoken.samples,
        "noise 30 dB": lambda: add_noise(spoken.samples, 30, random),
        "noise 15 dB": lambda: add_noise(spoken.samples, 15, random),
        "echo": lambda: echoing(spoken.samples, random),
        "music": lambda: with_music(spoken.samples, random),
    }[spoil]()
    words = jitter(spoken.words, error, random) if error else spoken.words
    assert wrong_places(hear(samples, tmp_path), words, spoken) == 0


@needs_espeak
def test_a_whole_shift_of_the_times_is_seen_through(tmp_path: Path) -> None:
    spoken = story("en", 15, seed=5)
    words = tuple(replace(word, start=word.start + 0.3, end=word.end + 0.3) for word in spoken.words)
    assert wrong_places(hear(spoken.samples, tmp_path), words, spoken) == 0


@needs_espeak
@pytest.mark.parametrize("vad", [True, False])
def test_a_sentence_that_whisper_skipped_is_in_no_clip_and_listed(vad: bool, tmp_path: Path) -> None:
    spoken = story("en", 8, seed=9, pauses=(0.6, 1.0))
    ends = sorted(spoken.sentence_ends)
    first, last = ends[3] + 1, ends[4] + 1
    words = spoken.words[:first] + spoken.words[last:]
    sound = hear(spoken.samples, tmp_path, vad=vad)
    speech = sound.speech if vad else [Span(0.0, sound.envelope.seconds)]
    plan = plan_clips(words, sound.envelope, speech, Limits(), "en")
    skipped = (spoken.words[first].start, spoken.words[last - 1].end)
    for clip in plan.clips:
        assert clip.end <= skipped[0] + 0.1 or clip.start >= skipped[1] - 0.1
    assert any(
        one.start is not None and one.start < skipped[1] and (one.end or 0) > skipped[0] and not one.text
        for one in plan.rejected
    )


@needs_espeak
def test_missing_and_added_words_leave_the_others_where_they_are(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    spoken = story("en", 25, seed=12)
    sound = hear(spoken.samples, tmp_path)
    words: list[Word] = []
    for number, word in enumerate(jitter(spoken.words, 0.15, random)):
        if random.random() < 0.05 and number not in spoken.sentence_ends:
            continue
        words.append(word)
        if random.random() < 0.05 and number not in spoken.sentence_ends:
            words.append(Word("um", word.end, word.end))
    plan = plan_clips(words, sound.envelope, list(sound.speech), Limits(), "en")
    for clip in plan.clips:
        said = [word.text for word in spoken.words if clip.start < (word.start + word.end) / 2 < clip.end]
        told = [word.text for word in clip.words if word.text != "um"]
        left = iter(said)
        assert all(text in left for text in told), (told, said)


def test_no_sound_at_all_leaves_every_word_unspoken() -> None:
    sound = listen(Envelope(0.01, np.full(500, -100, np.float32)), [])
    words = (Word("Thank", 1.0, 1.4), Word("you.", 1.4, 1.8))
    assert place_words(words, sound, "en").unspoken == words

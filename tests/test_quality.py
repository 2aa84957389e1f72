"""Figures of clips against sounds whose figures are known, and what stands out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pipeline.audio import CLIP_RATE, FloatArray
from pipeline.quality import count_words, flag_clips, measure_clip, similarities
from pipeline.records import Clip, Word


def _clip(number: int = 0, **known: object) -> Clip:
    base = Clip(f"wavs/{number}.wav", f"This is sentence number {number} of many.", "anna", "train", seconds=4.0)
    return dataclasses.replace(base, **known)  # type: ignore[arg-type]


def _speech_like(snr: float, seconds: float = 4.0, level: float = 0.2) -> FloatArray:
    """Return bursts of noise at `level` with pauses, over noise that is `snr` dB lower; both ends are pauses."""
    generator = np.random.default_rng(0)
    count = round(seconds * CLIP_RATE)
    time = np.arange(count) / CLIP_RATE
    bursts = ((time * 2) % 1 > 0.4) & (time > 0.2) & (time < seconds - 0.2)
    noise = generator.standard_normal(count) * level * 10 ** (-snr / 20)
    return (generator.standard_normal(count) * level * bursts + noise).astype(np.float32)


@pytest.mark.parametrize("snr", [5.0, 10.0, 20.0, 30.0, 40.0])
def test_the_estimated_ratio_of_speech_to_noise_is_near_the_true_one(snr: float) -> None:
    measured = measure_clip(_clip(), _speech_like(snr), CLIP_RATE, "en")
    assert measured.snr == pytest.approx(snr, abs=2.0)


def test_digital_silence_between_words_counts_as_no_noise_at_all() -> None:
    assert measure_clip(_clip(), _speech_like(200.0), CLIP_RATE, "en").snr == 80.0


def test_the_share_of_clipped_samples_and_the_length_are_exact() -> None:
    samples = np.full(CLIP_RATE * 2, 0.1, np.float32)
    samples[:441] = 1.0
    measured = measure_clip(_clip(), samples, CLIP_RATE, "en")
    assert measured.clipped == pytest.approx(0.01)
    assert measured.seconds == 2.0


def test_a_sine_at_a_known_level_has_its_known_loudness() -> None:
    time = np.arange(CLIP_RATE * 5) / CLIP_RATE
    samples = (0.1 * np.sin(2 * np.pi * 997 * time)).astype(np.float32)
    # BS.1770: a 997 Hz sine of full scale measures -3.01 LUFS, and 0.1 is 20 dB below.
    assert measure_clip(_clip(), samples, CLIP_RATE, "en").loudness == pytest.approx(-23.01, abs=0.1)


def test_a_cut_word_leaves_its_trace_at_the_edge() -> None:
    whole = _speech_like(40.0)
    cut = whole[round(0.35 * CLIP_RATE) : round(3.3 * CLIP_RATE)]  # begins in the middle of a burst
    fine, bad = (measure_clip(_clip(), samples, CLIP_RATE, "en") for samples in (whole, cut))
    assert fine.edge_drop > 30 > 3 > bad.edge_drop  # type: ignore[operator]
    assert "speech may touch its beginning or end" in flag_clips([bad], "en")[0].flags


def test_silence_and_sounds_of_no_length_have_figures_too() -> None:
    for samples in (np.zeros(CLIP_RATE, np.float32), np.zeros(0, np.float32), np.zeros(7, np.float32)):
        measured = measure_clip(_clip(), samples, CLIP_RATE, "en")
        assert measured.loudness is None
        assert measured.snr == 0.0


def test_confidence_is_the_mean_of_the_words() -> None:
    words = [Word("a", 0, 1, 0.5), Word("b", 1, 2, 1.0)]
    assert measure_clip(_clip(), _speech_like(30), CLIP_RATE, "en", words).confidence == 0.75
    assert measure_clip(_clip(), _speech_like(30), CLIP_RATE, "en").confidence is None


def test_words_are_counted_as_the_language_writes_them() -> None:
    assert count_words("I don't know, really.", "en") == 4
    assert count_words("你好，世界。", "zh") == 4


def test_ordinary_clips_are_not_flagged_and_the_odd_one_says_why() -> None:
    clips = [_clip(n, words_per_second=2.4 + 0.05 * n, loudness=-23 - 0.1 * n, snr=30 + n / 2) for n in range(12)]
    assert not any(clip.flags for clip in flag_clips(clips, "en"))
    clips[3] = dataclasses.replace(clips[3], loudness=-38.0)
    flagged = {clip.file: clip.flags for clip in flag_clips(clips, "en")}
    assert [file for file, flags in flagged.items() if flags] == ["wavs/3.wav"]
    assert flagged["wavs/3.wav"][0].startswith("much quieter than the others (-38 LUFS, median -23")


def test_a_good_figure_is_no_fault_however_much_better_the_others_are() -> None:
    clips = [_clip(number, snr=35.0 if number == 3 else 80.0) for number in range(12)]
    assert not any(clip.flags for clip in flag_clips(clips, "en"))


def test_absolute_rules_hold_in_a_dataset_of_one() -> None:
    (clip,) = flag_clips([_clip(clipped=0.02, snr=6.0, confidence=0.3, similarity=0.2)], "en")
    assert len(clip.flags) == 4
    assert clip.flags[0] == "clipped: 2.0% of its samples are at full scale"


def test_a_text_that_cannot_be_said_in_its_time_is_flagged() -> None:
    long = _clip(text="A very long sentence that nobody on earth could ever say in the second it has.", seconds=1.0)
    assert "doesn't fit its length" in flag_clips([long], "en")[0].flags[0]


def test_duplicates_name_the_clip_they_repeat() -> None:
    first, second = _clip(0, snr=30.0), _clip(1, snr=30.1, text="this is sentence number 0 of many", seconds=4.01)
    flags = [clip.flags for clip in flag_clips([first, second], "en")]
    assert flags == [(), ("duplicate: the same audio as wavs/0.wav",)]
    other = dataclasses.replace(second, seconds=6.0)
    assert not any(clip.flags for clip in flag_clips([first, other], "en"))


def test_another_speaker_is_far_from_the_mean() -> None:
    generator = np.random.default_rng(1)
    voice = generator.standard_normal(64)
    clips = [_clip(number) for number in range(20)]
    vectors = {clip.file: voice + 0.2 * generator.standard_normal(64) for clip in clips}
    vectors["wavs/7.wav"] = generator.standard_normal(64)
    known = similarities(vectors)
    measured = [dataclasses.replace(clip, similarity=known[clip.file]) for clip in clips]
    flagged = [clip.file for clip in flag_clips(measured, "en") if clip.flags]
    assert flagged == ["wavs/7.wav"]

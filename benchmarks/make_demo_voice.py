"""Make assets/demo-voice.flac from assets/demo-sentences.txt with espeak-ng, or measure how the demo Whisper hears it.

    python benchmarks/make_demo_voice.py           # speaks the sentences, one a line, and writes the FLAC
    python benchmarks/make_demo_voice.py --hear    # prints the word error rate of the bundled Whisper on it

The voice is espeak-ng's en-us at 170 words a minute and pitch 50: the one the bundled Whisper was made for. The
sentences were picked from about 180, and put in order, by how well that Whisper hears them (2.6 % of the words wrong
with faster-whisper's batched pipeline); over all 180 it was about 11 %, and assets/demo-whisper/README.md has more.
"""

from __future__ import annotations

import argparse
import io
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from pipeline.workspace import DEMO_TRANSCRIPT, DEMO_VOICE, DEMO_WHISPER

RATE = 22050  # Hz: what espeak-ng speaks and what XTTS trains on
PAUSES = (0.35, 1.2)  # seconds between sentences
PAUSE_SEED = 7
QUIET = 30  # 16 bit steps: espeak-ng's silence around a sentence is below it


def speak(sentence: str) -> npt.NDArray[np.int16]:
    """Return one sentence as 16 bit samples at 22,050 Hz, without the silence around it."""
    import soundfile

    command = ["espeak-ng", "-v", "en-us", "-s", "170", "-p", "50", "--stdout", sentence]
    wav = subprocess.run(command, capture_output=True, check=True).stdout
    samples, rate = soundfile.read(io.BytesIO(wav), dtype="int16")
    if rate != RATE:
        raise SystemExit(f"espeak-ng spoke at {rate} Hz, not {RATE}.")
    loud = np.flatnonzero(np.abs(samples) > QUIET)
    return np.asarray(samples[max(0, loud[0] - 110) : loud[-1] + 220], dtype=np.int16)


def make(sentences: list[str], out: Path) -> None:
    import soundfile

    pauses = random.Random(PAUSE_SEED)
    parts = [np.zeros(RATE // 2, dtype=np.int16)]
    for sentence in sentences:
        parts += [speak(sentence), np.zeros(int(pauses.uniform(*PAUSES) * RATE), dtype=np.int16)]
    samples = np.concatenate(parts)
    soundfile.write(out, samples, RATE, format="FLAC", subtype="PCM_16")
    print(f"{out}: {len(sentences)} sentences, {len(samples) / RATE:.1f} s, {out.stat().st_size / 1e6:.1f} MB")


def words(text: str) -> list[str]:
    return "".join(letter if letter.isalpha() or letter == "'" else " " for letter in text.lower()).split()


def hear(sentences: list[str], recording: Path) -> None:
    """Print the bundled Whisper's word error rate with faster-whisper's batched pipeline and its own VAD."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel
    from rapidfuzz.distance import Levenshtein

    model = WhisperModel(str(DEMO_WHISPER), device="cpu", compute_type="int8", cpu_threads=2)
    segments, _ = BatchedInferencePipeline(model).transcribe(str(recording), batch_size=8, word_timestamps=True)
    heard = " ".join(segment.text.strip() for segment in segments)
    said = words(" ".join(sentences))
    wrong = Levenshtein.distance(said, words(heard))
    print(heard)
    print(f"word error rate {wrong / len(said):.1%}: {wrong} of {len(said)} words")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--hear", action="store_true", help="measure instead of making")
    sentences = DEMO_TRANSCRIPT.read_text(encoding="utf-8").splitlines()
    if options.parse_args().hear:
        hear(sentences, DEMO_VOICE)
    else:
        make(sentences, DEMO_VOICE)


if __name__ == "__main__":
    main()

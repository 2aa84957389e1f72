"""Measures dataset creation: everything but Whisper, the whole against the usual procedure, memory against length.

    python benchmarks/dataset.py [--minutes 12] [--hours 3] [--whisper] [--json]

The recording is the bundled voice over and over, the model the bundled Whisper. The usual procedure is what tools of
this kind do: find speech, write each stretch into a temporary WAV, transcribe these one by one. Memory is measured in
processes of their own, on 10 minutes and on --hours, with subtitles in Whisper's place; --whisper listens there too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pipeline.audio import CLIP_RATE, WHISPER_RATE, FloatArray, decode, stream, write_wav
from pipeline.dataset import create_dataset
from pipeline.options import DatasetOptions
from pipeline.progress import Progress
from pipeline.records import Seconds, Span, Word
from pipeline.transcribe import Whisper
from pipeline.vad import find_speech
from pipeline.workspace import DEMO_VOICE, DEMO_WHISPER, Workspace


def make_recording(path: Path, seconds: Seconds) -> Path:
    """Write the bundled voice over and over, without holding it, and subtitles beside it for a run without Whisper."""
    voice = decode(DEMO_VOICE, CLIP_RATE)
    speech = find_speech([decode(DEMO_VOICE, WHISPER_RATE)])
    times = max(1, round(seconds * CLIP_RATE / len(voice)))
    with soundfile.SoundFile(path, "w", CLIP_RATE, 1) as file:
        for _ in range(times):
            file.write(voice)
    length = len(voice) / CLIP_RATE
    cues = [
        f"{_clock(span.start + turn * length)} --> {_clock(span.end + turn * length)}\nSentence {turn} {number}."
        for turn in range(times)
        for number, span in enumerate(speech)
    ]
    path.with_suffix(".srt").write_text("\n\n".join(cues), encoding="utf-8")
    return path


def _clock(seconds: Seconds) -> str:
    whole = round(seconds * 1000)
    return f"{whole // 3600000:02d}:{whole // 60000 % 60:02d}:{whole // 1000 % 60:02d},{whole % 1000:03d}"


class Stopwatch:
    """Adds up the time that Whisper takes: loading, hearing."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **known: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **known)
            finally:
                self.seconds += time.perf_counter() - start

        return timed


def measure_ours(recording: Path, folder: Path) -> dict[str, float]:
    """Create a dataset of the recording as the program does, and time Whisper apart."""
    from pipeline import dataset

    watch = Stopwatch()
    hear, load = Whisper.words, dataset.load_whisper
    Whisper.words = watch.around(hear)  # type: ignore[method-assign]
    dataset.load_whisper = watch.around(load)
    start, computed = time.perf_counter(), time.process_time()
    report = create_dataset(_workspace(folder), _options(recording), Progress())
    total = time.perf_counter() - start
    Whisper.words, dataset.load_whisper = hear, load  # type: ignore[method-assign]
    return {
        "seconds": total,
        "whisper": watch.seconds,
        "rest": total - watch.seconds,
        "computed": time.process_time() - computed,
        "clips": report.clips,
    }


def measure_usual(recording: Path, folder: Path) -> dict[str, float]:
    """Do what the usual procedure does with the same model: a temporary WAV for each stretch of speech, one by one."""
    from faster_whisper import WhisperModel

    start, computed = time.perf_counter(), time.process_time()
    model = WhisperModel(str(DEMO_WHISPER), device="cpu", compute_type="int8")
    speech = find_speech(stream(recording, WHISPER_RATE))
    samples = decode(recording, CLIP_RATE)
    clips = 0
    for number, span in enumerate(speech):
        path = folder / f"temporary {number}.wav"
        write_wav(path, _part(samples, span), CLIP_RATE)
        words = _transcribe(model, path)
        if words:
            last = span.start + words[-1].end
            write_wav(folder / f"clip {number}.wav", _part(samples, Span(span.start, last)), CLIP_RATE)
            clips += 1
        path.unlink()
    return {
        "seconds": time.perf_counter() - start,
        "computed": time.process_time() - computed,
        "clips": clips,
    }


def _part(samples: FloatArray, span: Span) -> FloatArray:
    return samples[round(span.start * CLIP_RATE) : round(span.end * CLIP_RATE)]


def _transcribe(model: Any, path: Path) -> list[Word]:
    segments, _ = model.transcribe(str(path), language="en", word_timestamps=True)
    return [Word(word.word, word.start, word.end) for segment in segments for word in segment.words or ()]


def measure_peak(recording: Path, whisper: bool) -> float:
    """Return the peak memory, in MB, of a process that makes a dataset of the recording."""
    command = [sys.executable, __file__, "--peak-of", str(recording), *(["--whisper"] if whisper else [])]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def report_peak(recording: Path, whisper: bool) -> None:
    """Make a dataset in this process and print its peak memory in MB."""
    if whisper:
        recording.with_suffix(".srt").unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        create_dataset(_workspace(Path(folder)), _options(recording), Progress())
    print(_peak_mb())


def _peak_mb() -> float:
    """Return this process's peak memory. On Linux ru_maxrss begins with the parent's, so the kernel's own is read."""
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset / 2**20
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 2**10
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _workspace(folder: Path) -> Workspace:
    ws = Workspace(folder)
    ws.prepare()
    return ws


def _options(recording: Path) -> DatasetOptions:
    return DatasetOptions("benchmark", audio=(str(recording),), whisper_model="demo", device="cpu")


def run(minutes: float, hours: float, whisper: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recording = make_recording(folder / "voice.flac", minutes * 60)
        recording.with_suffix(".srt").unlink()
        seconds = soundfile.info(recording).duration
        usual = measure_usual(recording, folder)
        ours = measure_ours(recording, folder / "ours")
        result: dict[str, Any] = {
            "audio_seconds": round(seconds, 1),
            "ours": {key: round(value, 2) for key, value in ours.items()},
            "usual": {key: round(value, 2) for key, value in usual.items()},
            "rest_times_real_time": round(seconds / ours["rest"], 1),
            "times_as_fast_as_usual": round(usual["seconds"] / ours["seconds"], 2),
            # Of all cores together: what is left of the comparison where other programs are busy beside it.
            "times_less_computed_than_usual": round(usual["computed"] / ours["computed"], 2),
        }
        if hours:
            short = measure_peak(make_recording(folder / "short.flac", 600), whisper)
            long = measure_peak(make_recording(folder / "long.flac", hours * 3600), whisper)
            result["peak_mb"] = {"10 minutes": round(short), f"{hours:g} hours": round(long)}
            result["peak_difference_mb"] = round(long - short)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=12.0, help="length of the recording for the speeds")
    parser.add_argument("--hours", type=float, default=3.0, help="length of the recording for memory; 0 leaves it out")
    parser.add_argument("--whisper", action="store_true", help="listen with Whisper where memory is measured")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON only")
    parser.add_argument("--peak-of", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.peak_of:
        report_peak(asked.peak_of, asked.whisper)
        return
    result = run(asked.minutes, asked.hours, asked.whisper)
    if asked.json:
        print(json.dumps(result, indent=1))
        return
    ours, usual = result["ours"], result["usual"]
    print(f"{result['audio_seconds']:.0f} s of audio, {ours['clips']:.0f} clips in {ours['seconds']} s")
    print(f"everything but Whisper: {ours['rest']} s, {result['rest_times_real_time']} times real time (goal: 150)")
    print(f"usual procedure: {usual['seconds']} s; ours is {result['times_as_fast_as_usual']} times as fast (goal: 3)")
    if "peak_mb" in result:
        peaks = ", ".join(f"{peak} MB for {length}" for length, peak in result["peak_mb"].items())
        print(f"peak memory: {peaks}; {result['peak_difference_mb']} MB apart (goal: under 100)")


if __name__ == "__main__":
    main()

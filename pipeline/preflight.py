"""The Pre-flight Checklist: what this machine has, found out by doing rather than by version numbers."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from .base_models import list_base_models
from .device import Vram, problem_with, read_vram
from .errors import FinetuneError, Stopped
from .languages import LANGUAGES
from .options import CheckOptions
from .progress import Progress
from .recommend import GB, recommend
from .records import Check, CheckReport, Seconds, Status
from .sentences import SENTENCES
from .workspace import DEMO_TRANSCRIPT, DEMO_VOICE, REPOSITORY, Workspace

# A full fine-tune keeps a best model (1.9 GB) and a last state (5.1 GB, twice while it is written); an export takes 2.
DISK_WANTED = 16 * GB
DISK_LEAST = 3 * GB
RAM_WANTED = 16 * GB
RAM_LEAST = 6 * GB
VRAM_WANTED = 12 * GB
BUSY = 0.3  # share of the VRAM that other programs may hold before it is said
HEARD_SECONDS: Seconds = 5.0


@dataclass(frozen=True)
class _Bench:
    """What every check works on."""

    ws: Workspace
    options: CheckOptions
    progress: Progress


def run_checks(ws: Workspace, options: CheckOptions, progress: Progress) -> CheckReport:
    """Do the checks, with `deep` also those that need a model, and return them. A failing check stops no other."""
    bench = _Bench(ws, options, progress)
    plan = [*QUICK_CHECKS.items(), *(DEEP_CHECKS.items() if options.deep else ())]
    done = []
    for number, (name, check) in enumerate(plan):
        progress.check()
        progress.update(number / len(plan), f"Checking: {name}")
        done.append(_tried(name, check, bench))
        progress.log(f"{name}: {done[-1].status}. {done[-1].detail}")
    progress.update(1.0, "Checked")
    return CheckReport(ok=all(check.status != "failed" for check in done), checks=tuple(done))


def _tried(name: str, check: Callable[[_Bench], Check], bench: _Bench) -> Check:
    """Do one check; what it can't get past is its result."""
    try:
        return check(bench)
    except Stopped:
        raise
    except FinetuneError as fault:
        return Check(name, "failed", str(fault))
    except (ImportError, OSError, RuntimeError, ValueError) as fault:
        return Check(name, "failed", f"{type(fault).__name__}: {fault}", remedy=_REINSTALL)


_REINSTALL = "Delete the folder .venv and start again: it is made anew with the versions that work together."


# ---- The machine --------------------------------------------------------------------------------------------------


def _check_disk(bench: _Bench) -> Check:
    free = shutil.disk_usage(bench.ws.root).free
    status = _level(free, DISK_WANTED, DISK_LEAST)
    return Check(
        "Disk space",
        status,
        f"{free / GB:.1f} GB are free on the disk of {bench.ws.root}.",
        f"{DISK_WANTED / GB:.0f} GB for a full fine-tune and its export; {DISK_LEAST / GB:.0f} GB at least",
        "" if status == "ok" else "Free some space, or choose another workspace with --workspace DIR.",
    )


def _level(there: float, wanted: float, least: float) -> Status:
    if there < least:
        return "failed"
    return "ok" if there >= wanted else "warning"


def _check_ram(bench: _Bench) -> Check:
    memory = psutil.virtual_memory()
    total = min(memory.total, _container_limit() or memory.total)
    status = _level(total, RAM_WANTED, RAM_LEAST)
    return Check(
        "RAM",
        status,
        f"{total / GB:.1f} GB, of which {min(memory.available, total) / GB:.1f} GB are free.",
        f"{RAM_WANTED / GB:.0f} GB; {RAM_LEAST / GB:.0f} GB at least",
        "" if status == "ok" else "Close other programs, and choose a smaller Whisper model such as small or medium.",
    )


def _container_limit() -> int | None:
    """Return the memory a container may use, where one is set (Linux, cgroup v2)."""
    try:
        text = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _check_vram(bench: _Bench) -> Check:
    vram = read_vram()
    needed = f"{VRAM_WANTED / GB:.0f} GB for a full fine-tune, 6 GB for LoRA"
    if vram is None:
        return Check(
            "GPU VRAM",
            "warning",
            "No NVIDIA GPU is found; everything runs on the CPU, slowly.",
            needed,
            "Train on a machine with an NVIDIA GPU if there is one.",
        )
    used = vram.total - vram.free
    detail = f"{vram.name}: {vram.total / GB:.1f} GB, of which {vram.free / GB:.1f} GB are free."
    if used > BUSY * vram.total:
        return Check("GPU VRAM", "warning", detail, needed, f"Close the programs that hold {used / GB:.1f} GB of it.")
    enough = recommend(vram.total).device == "cuda"
    remedy = "" if enough else "Train on a machine with a larger GPU, or on the CPU."
    return Check("GPU VRAM", "ok" if enough else "warning", detail, needed, remedy)


def _check_cuda(bench: _Bench) -> Check:
    import torch

    problem = problem_with("cuda")
    if not problem:
        return Check("CUDA", "ok", f"CUDA {torch.version.cuda}: a matrix product and a convolution came out right.")
    # A machine without a GPU does everything on the CPU; one whose GPU doesn't work should be mended.
    status: Status = "failed" if torch.cuda.is_available() or bench.options.device == "cuda" else "warning"
    found, _, remedy = problem.partition(": ")
    return Check("CUDA", status, f"{found}.", "an NVIDIA GPU with a working driver", _sentence_case(remedy))


def _sentence_case(text: str) -> str:
    return text[:1].upper() + text[1:]


# ---- Programs and models ------------------------------------------------------------------------------------------


def _check_torch(bench: _Bench) -> Check:
    import torch
    import torchaudio

    pinned = _pinned("torch")
    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "the CPU only"
    detail = f"PyTorch {torch.__version__} for {built}, torchaudio {torchaudio.__version__}."
    return _versioned("PyTorch", torch.__version__, pinned, detail)


def _check_tts(bench: _Bench) -> Check:
    from TTS.tts.models.xtts import Xtts

    version = importlib.metadata.version("coqui-tts")
    return _versioned("TTS version", version, _pinned("coqui-tts"), f"coqui-tts {version}; {Xtts.__name__} imports.")


def _versioned(name: str, version: str, pinned: str, detail: str) -> Check:
    """Warn where major and minor version aren't those this program was tested with."""
    same = not pinned or version.split(".")[:2] == pinned.split(".")[:2]
    remedy = "" if same else f"If something fails: {_sentence_lower(_REINSTALL)}"
    return Check(name, "ok" if same else "warning", detail, pinned, remedy)


def _sentence_lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _pinned(package: str) -> str:
    """Return the version of a package in requirements.txt; empty where it isn't there."""
    try:
        text = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8")
    except OSError:
        return ""
    match = re.search(rf"^{re.escape(package)}(?:\[[^]]*\])?==([^\s;\\]+)", text, re.MULTILINE)
    return match[1] if match else ""


def _check_base_model(bench: _Bench) -> Check:
    models = list_base_models(bench.ws)
    whole = [model.name for model in models if model.whole and not model.demo]
    broken = [f"{model.name} lacks {', '.join(model.missing)}" for model in models if model.missing]
    needed = "a whole XTTS v2 model in models/xtts"
    more = f" Not whole: {'; '.join(broken)}." if broken else ""
    if whole:
        return Check("Base model", "ok", f"{', '.join(whole)}.{more}", needed)
    return Check(
        "Base model",
        "warning",
        f"There is only the demo model, whose speech is noise.{more}",
        needed,
        f"Copy XTTS v2's files to a folder in {bench.ws.base_models}.",
    )


def _check_recommendation(bench: _Bench) -> Check:
    vram: Vram | None = None
    if bench.options.device in ("auto", "cuda") and not problem_with("cuda"):
        vram = read_vram()
    return Check("Recommendation", "ok", recommend(vram.total if vram else None).sentence)


# ---- By doing -----------------------------------------------------------------------------------------------------


def _check_whisper(bench: _Bench) -> Check:
    """Transcribe the beginning of the bundled voice, and compare with what is known to be said there."""
    from .audio import WHISPER_RATE, stream
    from .transcribe import load_whisper

    options = bench.options
    speech = next(iter(stream(DEMO_VOICE, WHISPER_RATE, block_seconds=HEARD_SECONDS)))
    with load_whisper(bench.ws, options.whisper_model, "mixed", options.device, bench.progress) as whisper:
        heard = whisper.hear(speech, "en")
        where = whisper.device
    share = _share_known(heard)
    detail = f"Whisper “{options.whisper_model}” on the {where.upper()} hears: “{heard}”"
    needed = "the words of the bundled voice"
    if share < 0.5:
        return Check("Whisper", "failed", detail, needed, "Choose another Whisper model; this one may be broken.")
    if where == "cpu" and options.device in ("auto", "cuda") and not problem_with("cuda"):
        remedy = f"The GPU's libraries for Whisper (cuBLAS 12) aren't found. {_REINSTALL}"
        return Check("Whisper", "warning", detail, needed, remedy)
    return Check("Whisper", "ok", detail, needed)


def _share_known(heard: str) -> float:
    """Return the share of the heard words that the bundled voice's transcript has; 0 where nothing was heard."""
    known = set(re.findall(r"\w+", DEMO_TRANSCRIPT.read_text(encoding="utf-8").lower()))
    words = re.findall(r"\w+", heard.lower())
    return sum(word in known for word in words) / len(words) if words else 0.0


def _check_mp3(bench: _Bench) -> Check:
    """Encode a second of a tone as MP3 and decode it as recordings are decoded."""
    import numpy as np

    from .audio import CLIP_RATE, decode

    with tempfile.TemporaryDirectory(prefix="xtts-mp3-") as folder:
        file = Path(folder) / "tone.mp3"
        _encode_tone(file, hertz=440.0)
        sound = decode(file, CLIP_RATE)
    spectrum = np.abs(np.fft.rfft(sound))
    hertz = float(np.argmax(spectrum)) * CLIP_RATE / len(sound)
    right = abs(hertz - 440.0) < 5 and 0.9 < len(sound) / CLIP_RATE < 1.2
    detail = f"An MP3 of a 440 Hz tone was decoded: {hertz:.0f} Hz, {len(sound) / CLIP_RATE:.2f} s."
    return Check("MP3", "ok" if right else "failed", detail, "the tone that was encoded", "" if right else _REINSTALL)


def _encode_tone(path: Path, hertz: float, sample_rate: int = 44_100) -> None:
    """Write one second of a sine as MP3 with PyAV."""
    import av
    import numpy as np

    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(sample_rate) / sample_rate)
    with av.open(str(path), "w") as container:
        track = container.add_stream("mp3", rate=sample_rate, layout="mono")
        frame = av.AudioFrame.from_ndarray((wave * 32767).astype(np.int16)[None, :], format="s16", layout="mono")
        frame.sample_rate = sample_rate
        resampler = av.AudioResampler(format=track.format, layout="mono", rate=sample_rate)
        for piece in resampler.resample(frame):
            container.mux(track.encode(piece))
        container.mux(track.encode(None))


def _check_tokenizer(bench: _Bench) -> Check:
    """Have Coqui's tokenizer read a sentence of the language, with a base model's vocabulary where there is one."""
    from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer

    language = bench.options.language
    vocabularies = [model.path / "vocab.json" for model in list_base_models(bench.ws) if model.whole]
    vocab = next((path for path in vocabularies if path.is_file()), None)
    tokenizer = VoiceBpeTokenizer(vocab_file=vocab)
    spelled = tokenizer.preprocess_text(SENTENCES[language], language)
    detail = f"{LANGUAGES[language]}: “{SENTENCES[language]}” is read as “{spelled}”"
    if vocab is None:
        return Check("Tokenizer", "ok", f"{detail}.", "a sentence is read")
    tokens = tokenizer.encode(SENTENCES[language], lang=language)
    unknown = tokens.count(tokenizer.tokenizer.token_to_id("[UNK]"))
    return Check(
        "Tokenizer",
        "warning" if unknown else "ok",
        f"{detail}: {len(tokens)} tokens, {unknown} unknown.",
        "every character is known",
        f"{vocab.parent.name} doesn't know all characters of {LANGUAGES[language]}." if unknown else "",
    )


QUICK_CHECKS: dict[str, Callable[[_Bench], Check]] = {
    "Disk space": _check_disk,
    "RAM": _check_ram,
    "GPU VRAM": _check_vram,
    "CUDA": _check_cuda,
    "PyTorch": _check_torch,
    "TTS version": _check_tts,
    "Base model": _check_base_model,
    "Recommendation": _check_recommendation,
}
DEEP_CHECKS: dict[str, Callable[[_Bench], Check]] = {
    "Whisper": _check_whisper,
    "MP3": _check_mp3,
    "Tokenizer": _check_tokenizer,
}

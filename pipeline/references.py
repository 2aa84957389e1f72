"""Clips that show how a voice sounds: which of a project's are long enough, which are best, where they are kept."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .dataset_files import find_manifest
from .errors import AudioError, DatasetError, SettingError
from .records import Clip, Seconds
from .workspace import Project, Workspace, atomic_path, check_name

# XTTS listens to at most 30 seconds of a reference; below 6 it hears too little of the voice.
SHORTEST: Seconds = 6.0
LONGEST: Seconds = 30.0
SOUND_SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a"})

_GOOD_SNR = 20.0  # dB: below, the noise of the room is heard in what is spoken
_GOOD_CONFIDENCE = 0.6  # Whisper's: below, the clip is hard to understand
_ENOUGH: Seconds = 12.0  # more of the same clip tells the model little more


@dataclass(frozen=True)
class Reference:
    """A clip that can be a reference."""

    path: Path
    seconds: Seconds
    text: str = ""
    clip: Clip | None = None  # what the dataset knows of it


def list_references(project: Project, min_seconds: Seconds = SHORTEST) -> list[Reference]:
    """Return the project's clips of at least that length, best first."""
    known = {Path(clip.file).name: clip for clip in _known_clips(project)}
    found = []
    for path in sorted(project.wavs.glob("*")) if project.wavs.is_dir() else ():
        if path.suffix.lower() not in SOUND_SUFFIXES or path.name.startswith("."):
            continue
        seconds = _length(path)
        if seconds >= max(min_seconds, 0.01):
            clip = known.get(path.name)
            found.append(Reference(path, round(seconds, 3), clip.text if clip else "", clip))
    return rank_references(found)


def _known_clips(project: Project) -> tuple[Clip, ...]:
    try:
        manifest = find_manifest(project)
    except DatasetError:
        return ()  # the sounds can be used all the same
    return manifest.clips if manifest else ()


def _length(path: Path) -> Seconds:
    """Return the length of a sound file by its header; 0 where it can't be read."""
    import soundfile

    try:
        return float(soundfile.info(str(path)).duration)
    except (soundfile.SoundFileError, OSError):
        return 0.0


def rank_references(references: Sequence[Reference]) -> list[Reference]:
    """Return the references, best first: clean ones before others, then longer ones up to what the model needs.

    Clean means that nothing in the dataset's report speaks against the clip: no flag, no full-scale samples, little
    noise, words that Whisper was sure of. Where nothing is known of a clip, its length decides.
    """

    def worth(reference: Reference) -> tuple[int, float, float, str]:
        clip = reference.clip
        faults = 0
        if clip:
            faults = (
                len(clip.flags)
                + int((clip.clipped or 0.0) > 0)
                + int(clip.snr is not None and clip.snr < _GOOD_SNR)
                + int(clip.confidence is not None and clip.confidence < _GOOD_CONFIDENCE)
            )
        suitable = SHORTEST <= reference.seconds <= LONGEST
        length = min(reference.seconds, _ENOUGH) if reference.seconds <= LONGEST else 0.0
        return (0 if suitable else 1) + faults, -length, -((clip.snr or 0.0) if clip else 0.0), reference.path.name

    return sorted(references, key=worth)


def copy_references(ws: Workspace, files: Sequence[Path], voice: str) -> list[Path]:
    """Copy clips to voices/ under the voice's name, numbered where there are several; return where they lie.

    A file that is there already is never replaced. Raises SettingError, AudioError where a clip is gone.
    """
    name = check_name(voice, "voice")
    if not files:
        raise SettingError("No reference is chosen: choose at least one clip.")
    lacking = [path.name for path in files if not path.is_file()]
    if lacking:
        raise AudioError(f"“{lacking[0]}” isn't there any more: refresh the list and choose again.")
    copies = []
    for source in files:
        target = _free_name(ws.voices, name, source.suffix.lower())
        with atomic_path(target) as beside:
            shutil.copyfile(source, beside)
        copies.append(target)
    return copies


def _free_name(folder: Path, name: str, suffix: str) -> Path:
    number = 1
    while True:
        path = folder / (f"{name}{suffix}" if number == 1 else f"{name}-{number}{suffix}")
        if not path.exists():
            return path
        number += 1


# ---- For an exported voice ----------------------------------------------------------------------------------------

# Folder -> what it is for, as audio_report.txt says it; in the order of the report.
FOLDERS = {
    "suitable": f"{SHORTEST:g} to {LONGEST:g} seconds: use these as reference audio.",
    "too_short": f"Under {SHORTEST:g} seconds: the model hears too little of the voice in one of these alone.",
    "too_long": f"Over {LONGEST:g} seconds: the model hears the first {LONGEST:g} seconds of these only.",
}
REPORT = "audio_report.txt"


def folder_for(seconds: Seconds) -> str:
    """Return which of FOLDERS a clip of that length belongs in."""
    if seconds < SHORTEST:
        return "too_short"
    return "suitable" if seconds <= LONGEST else "too_long"


def write_wavs(folder: Path, references: Sequence[Reference]) -> None:
    """Copy the clips into the folders of an exported voice by their length, and write the report about them."""
    for name in FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for reference in references:
        shutil.copyfile(reference.path, folder / folder_for(reference.seconds) / reference.path.name)
    (folder / REPORT).write_text(describe_wavs(references), encoding="utf-8", newline="\n")


def describe_wavs(references: Sequence[Reference]) -> str:
    """Return audio_report.txt: what each folder is for, and every file with its length, best references first."""
    total = sum(reference.seconds for reference in references)
    lines = [
        "Clips of this voice",
        "===================",
        "",
        f"{len(references)} clips, {total / 60:.1f} minutes. In each folder the best references come first: clips",
        "without noise, clipping or doubtful words, then the longer ones.",
    ]
    for name, purpose in FOLDERS.items():
        inside = [reference for reference in references if folder_for(reference.seconds) == name]
        lines += ["", f"{name}/ ({len(inside)} clips)", purpose]
        lines += [_describe(reference) for reference in inside] or ["  (none)"]
    return "\n".join(lines) + "\n"


def _describe(reference: Reference) -> str:
    line = f"  {reference.seconds:6.2f} s  {reference.path.name}"
    clip = reference.clip
    notes = []
    if clip and clip.snr is not None:
        notes.append(f"signal to noise {clip.snr:.0f} dB")
    if clip:
        notes.extend(clip.flags)
    if reference.text:
        notes.append(f"“{reference.text}”")
    return "  ".join([line, *notes])

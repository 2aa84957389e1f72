"""What a person decides about clips: another text, a part of the sound, away with it, the other split.

Each decision is one step: sound, CSV and manifest change together, and what was replaced or dropped stays under cache/.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Collection, Sequence

from .audio import CLIP_RATE, decode, trim, write_wav
from .dataset_files import Manifest, Move, commit, open_for_change, read_manifest
from .errors import DatasetError
from .quality import flag_clips, measure_clip
from .records import Clip, Correction, Seconds, Span, Split
from .text import clean_text
from .workspace import Project, atomic_path

SHORTEST: Seconds = 0.5  # of a clip that training takes (Coqui's XTTS dataset)
_PENDING = "cache/pending"  # trimmed sounds on their way
_ORIGINALS = "cache/originals"  # sounds as they were before they were trimmed
_DROPPED = "cache/dropped"  # sounds of dropped clips


def apply_correction(project: Project, correction: Correction) -> Clip:
    """Give a clip another text, and keep only a part of its sound if that is asked for; return the clip as it is then.

    Raises DatasetError where the clip isn't there, the text is empty or the part can't be.
    """
    return apply_corrections(project, [correction])[0]


def apply_corrections(project: Project, corrections: Sequence[Correction]) -> list[Clip]:
    """Apply many corrections in one step: all or none."""
    with open_for_change(project):
        manifest = read_manifest(project)
        clips = {clip.file: clip for clip in manifest.clips}
        bring = []
        for correction in corrections:
            clip = dataclasses.replace(_known(clips, correction.file, project), text=_checked_text(correction))
            if correction.trim is not None:
                clip = _trim(project, clip, correction.trim, manifest.settings.language)
                bring.append(Move(f"{_PENDING}/{_name(clip.file)}", clip.file))
            clips[clip.file] = clip
        _commit(project, manifest, clips.values(), bring=bring)
        return [clips[correction.file] for correction in corrections]


def drop_clips(project: Project, files: Collection[str]) -> int:
    """Take clips out of the dataset; return how many. Their sounds go to cache/dropped/.

    A dropped clip doesn't come back when recordings are added. Raises DatasetError where one isn't there.
    """
    with open_for_change(project):
        manifest = read_manifest(project)
        clips = {clip.file: clip for clip in manifest.clips}
        for file in files:
            _known(clips, file, project)
        # Only what this program wrote: rows of somebody else's CSV may name files that lie anywhere.
        ours = [file for file in files if file.startswith("wavs/") and ".." not in file]
        moves = [Move(file, f"{_DROPPED}/{_name(file)}") for file in ours]
        _commit(project, manifest, [clip for clip in manifest.clips if clip.file not in files], drop=moves)
    return len(set(files))


def drop_clip(project: Project, file: str) -> None:
    """Take one clip out of the dataset."""
    drop_clips(project, [file])


def drop_missing(project: Project) -> tuple[str, ...]:
    """Take the rows out whose sound is missing, and return their files."""
    missing = find_missing(project)
    if missing:
        drop_clips(project, missing)
    return missing


def find_missing(project: Project) -> tuple[str, ...]:
    """Return the files that rows name and that aren't there."""
    return tuple(clip.file for clip in read_manifest(project).clips if not (project.path / clip.file).is_file())


def move_clip(project: Project, file: str, split: Split) -> Clip:
    """Move a clip to the other split and return it. Raises DatasetError where it is the last of its split."""
    with open_for_change(project):
        manifest = read_manifest(project)
        clips = {clip.file: clip for clip in manifest.clips}
        clip = _known(clips, file, project)
        if clip.split != split and sum(one.split == clip.split for one in manifest.clips) == 1:
            what = "training" if clip.split == "train" else "evaluation"
            raise DatasetError(f"“{file}” is the only clip for {what}: move another one there first.")
        clips[file] = dataclasses.replace(clip, split=split)
        _commit(project, manifest, clips.values())
        return clips[file]


def _commit(
    project: Project, manifest: Manifest, clips: Collection[Clip], bring: Sequence[Move] = (), drop: Sequence[Move] = ()
) -> None:
    flagged = flag_clips(tuple(clips), manifest.settings.language)
    commit(project, dataclasses.replace(manifest, clips=flagged), bring, drop)


def _known(clips: dict[str, Clip], file: str, project: Project) -> Clip:
    if file not in clips:
        raise DatasetError(f"“{file}” isn't a clip of “{project.name}”: refresh the table.")
    return clips[file]


def _checked_text(correction: Correction) -> str:
    text = clean_text(correction.text)
    if not any(letter.isalnum() for letter in text):
        raise DatasetError(f"The text of “{correction.file}” is empty: type what is said, or delete the clip.")
    return text


def _name(file: str) -> str:
    return file.rpartition("/")[2]


def _trim(project: Project, clip: Clip, keep: Span, language: str) -> Clip:
    """Write the part of a clip's sound beside, keep the original, and return the clip measured anew."""
    path = project.path / clip.file
    if not path.is_file():
        raise DatasetError(f"The sound “{clip.file}” is missing: drop the row, or put the file back.")
    samples = decode(path, CLIP_RATE)
    seconds = len(samples) / CLIP_RATE
    start, end = max(0.0, keep.start), min(seconds, keep.end)
    if end - start < SHORTEST:
        raise DatasetError(
            f"From {keep.start:.2f} to {keep.end:.2f} s of “{clip.file}” ({seconds:.2f} s) leaves less than "
            f"{SHORTEST} s: choose a longer part, or delete the clip."
        )
    part = trim(samples, CLIP_RATE, Span(start, end))
    original = project.path / _ORIGINALS / _name(clip.file)
    if not original.exists():
        with atomic_path(original) as beside:
            shutil.copyfile(path, beside)
    write_wav(project.path / _PENDING / _name(clip.file), part, CLIP_RATE)
    moved = dataclasses.replace(clip, start=round(clip.start + start, 3), end=round(clip.start + end, 3))
    measured = measure_clip(moved, part, CLIP_RATE, language)
    return dataclasses.replace(measured, confidence=clip.confidence)

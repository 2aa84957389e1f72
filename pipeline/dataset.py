"""Stage “Step 1 - Generating the dataset”: recordings in, a dataset that Coqui's formatter reads out.

Each recording is finished by itself and its result kept under cache/finished/; when all are, the dataset is changed in
one step. Stopped or killed before, the dataset is as it was, and the next run takes what is finished from there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from .clips import ClipMaker, clip_stem
from .dataset_files import (
    DatasetSettings,
    Finished,
    Manifest,
    commit,
    find_manifest,
    open_for_change,
    read_staged,
    recover,
    settings_key,
    staged_file,
)
from .dataset_files import read_dataset as read_dataset
from .dataset_report import make_report
from .errors import AudioError, DatasetError
from .hearing import Ears
from .intake import Source, list_recordings, take_in
from .languages import LANGUAGES
from .options import DatasetOptions
from .progress import Progress
from .quality import flag_clips
from .records import Clip, DatasetReport, Rejection, Seconds, to_json
from .similarity import measure_similarity
from .split import split_clips
from .transcribe import load_whisper
from .workspace import Project, Workspace, write_text

__all__ = ["create_dataset", "list_recordings", "read_dataset"]

HEARING_SHARE = 0.95  # of the progress bar: the first pass over a recording, with Whisper; the rest writes clips


def create_dataset(ws: Workspace, options: DatasetOptions, progress: Progress) -> DatasetReport:
    """Make a dataset of recordings, or add to the one there is, and return its report.

    Raises DatasetError where there is nothing usable or the settings differ from the dataset's, AudioError where a
    path isn't there, ModelError where Whisper can't be had, Stopped.
    """
    project = ws.project(options.project)
    settings = _settings(options)
    recover(project)
    old = find_manifest(project)
    _check_settings(old, settings, options)
    intake = take_in([Path(path).expanduser() for path in options.audio] or [ws.samples], progress)
    known = {source.sha256: source.name for source in old.sources} if old else {}
    again = [_known_again(source, known) for source in intake.sources if source.sha256 in known]
    rejected = [*intake.rejected, *(one for one in again if one is not None)]
    new = [source for source in intake.sources if source.sha256 not in known]
    if not (new or old):
        raise DatasetError(_nothing(rejected, options, ws))
    work = _Work(ws, project, settings, options, progress)
    finished = work.finish(new)
    rejected += work.rejected
    if not old and not any(one.clips for one in finished):
        raise DatasetError(_nothing([*rejected, *(r for one in finished for r in one.entry.rejected)], options, ws))
    manifest = old
    if finished or manifest is None:
        clips = [*(old.clips if old else ()), *(clip for one in finished for clip in one.clips)]
        voices = measure_similarity(ws, project, clips, progress)
        manifest = _add(project, finished, new, voices, options)
        work.clean_up(finished, manifest)
    report = make_report(manifest, sum(len(one.clips) for one in finished), rejected)
    _tell(report, progress)
    return report


def _settings(options: DatasetOptions) -> DatasetSettings:
    return DatasetSettings(
        language=options.language,
        whisper_model=options.whisper_model,
        vad=options.vad,
        min_seconds=options.min_seconds,
        max_seconds=options.max_seconds,
        loudness=options.loudness,
    )


def _check_settings(old: Manifest | None, new: DatasetSettings, options: DatasetOptions) -> None:
    """Refuse to mix: another language always, other settings unless that was accepted."""
    if old is None or not old.clips:
        return
    if old.settings.language != new.language:
        raise DatasetError(
            f"The dataset of “{options.project}” is {LANGUAGES.get(old.settings.language, old.settings.language)} and "
            f"the language chosen is {LANGUAGES[new.language]}: choose another project name, or delete the dataset."
        )
    before, after = dataclasses.asdict(old.settings), dataclasses.asdict(new)
    other = [
        f"{name.replace('_', ' ')} {before[name]} → {after[name]}" for name in after if before[name] != after[name]
    ]
    foreign = not old.settings.whisper_model  # CSVs that somebody else made, nobody knows how
    if other and not foreign and not options.accept_new_settings:
        raise DatasetError(
            f"The dataset of “{options.project}” was made with other settings ({', '.join(other)}): use those, agree "
            "to add with the new ones (“Add with these settings”, --accept-new-settings), or delete the dataset."
        )


def _known_again(source: Source, known: dict[str, str]) -> Rejection | None:
    """Report a recording that the dataset has under another name; the same name again is no news."""
    if known[source.sha256] == source.name:
        return None
    return Rejection(source.name, f"is the same audio as “{known[source.sha256]}”, which the dataset has already")


def _nothing(rejected: Sequence[Rejection], options: DatasetOptions, ws: Workspace) -> str:
    """Say why there is no dataset."""
    if not rejected:
        where = ", ".join(options.audio) or str(ws.samples)
        return f"There are no recordings in {where}: put some there, or name files or folders with --audio."
    reasons = "; ".join(f"“{one.source}” {one.reason}" for one in rejected[:5])
    more = f"; and {len(rejected) - 5} more" if len(rejected) > 5 else ""
    return f"No clip came of the recordings: {reasons}{more}."


@dataclass
class _Work:
    """One run over the new recordings."""

    ws: Workspace
    project: Project
    settings: DatasetSettings
    options: DatasetOptions
    progress: Progress
    rejected: list[Rejection] = field(default_factory=list)
    _done: Seconds = 0.0  # of audio, in recordings that are finished
    _total: Seconds = 0.0

    def finish(self, sources: Sequence[Source]) -> list[Finished]:
        """Return what comes of each recording, in their order; those that a run before finished are taken from it."""
        staged = {source.sha256: read_staged(self._staged(source), self.project) for source in sources}
        left = [source for source in sources if staged[source.sha256] is None]
        if len(left) < len(sources):
            self.progress.log(f"{len(sources) - len(left)} recordings were finished before and are taken as they are.")
        self._total = sum(source.recording.seconds for source in left)
        maker = ClipMaker(self.project.path, self.settings, self._speaker, self.progress)
        with self._whisper(maker, left) as ears:
            for number, source in enumerate(left):
                staged[source.sha256] = self._make(maker, source, ears, f"{number + 1} of {len(left)}")
        return [one for source in sources if (one := staged[source.sha256]) is not None]

    @property
    def _speaker(self) -> str:
        return " ".join((self.options.speaker or self.project.name).replace("|", " ").split())

    def _staged(self, source: Source) -> Path:
        transcript = source.transcript or ""
        return staged_file(self.project, source.sha256, settings_key(self.settings, self._speaker, transcript))

    def _whisper(self, maker: ClipMaker, sources: Sequence[Source]) -> AbstractContextManager[Ears | None]:
        """Return Whisper as a context, loaded once for all recordings; nothing where none needs it."""
        if not any(maker.needs_whisper(source) for source in sources):
            return nullcontext()
        options = self.options
        whisper = load_whisper(self.ws, options.whisper_model, options.precision, options.device, self.progress)
        try:
            whisper.check_language(options.language)
        except BaseException:
            whisper.close()
            raise
        return whisper

    def _make(self, maker: ClipMaker, source: Source, ears: Ears | None, place: str) -> Finished | None:
        """Make a recording's clips and keep the result; None where the recording can't be used."""
        length = source.recording.seconds

        def tell(seconds: Seconds) -> None:
            self.progress.check()
            done = (self._done + HEARING_SHARE * min(seconds, length)) / self._total if self._total else None
            self.progress.update(done, f"Listening to “{source.name}” ({place}), {_clock(seconds)} of {_clock(length)}")

        self.progress.log(f"“{source.name}”: {_clock(length)}, {source.recording.codec}", "Audio")
        try:
            finished = maker.make(source, ears, tell)
        except AudioError as fault:
            self.rejected.append(Rejection(source.name, str(fault)))
            self.progress.log(f"Warning: {fault}", "Audio")
            return None
        finally:
            self._done += length
        write_text(self._staged(source), to_json(finished))
        self.progress.log(f"“{source.name}” gave {len(finished.clips)} clips", "Data Processing")
        return finished

    def clean_up(self, finished: Sequence[Finished], manifest: Manifest) -> None:
        """Remove what only an interrupted run needs: results that are in the dataset now, and clips of no row."""
        if not finished:
            return
        done = {one.entry.sha256[:16] for one in finished}
        for path in (self.project.cache / "finished").glob("*.json"):
            if path.name.partition("-")[0] in done:
                path.unlink()
        kept = {clip.file for clip in manifest.clips}
        stems = {clip_stem(one.entry.name, one.entry.sha256) for one in finished}
        for path in self.project.wavs.iterdir() if self.project.wavs.is_dir() else ():
            half_written = path.name.startswith(".") and path.suffix == ".tmp"
            stem = path.name.lstrip(".").rpartition("_")[0]
            if stem in stems and (half_written or f"wavs/{path.name}" not in kept):
                path.unlink()


def _clock(seconds: Seconds) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"


def _add(
    project: Project,
    finished: Sequence[Finished],
    sources: Sequence[Source],
    voices: Mapping[str, float],
    options: DatasetOptions,
) -> Manifest:
    """Add what came of the recordings to the dataset, in one step, and return it."""
    settings = _settings(options)
    with open_for_change(project):
        manifest = find_manifest(project) or Manifest(
            project.name, settings, options.speaker or project.name, options.seed, options.eval_percent
        )
        new = _split(manifest.clips, finished, sources, options)
        clips = [
            dataclasses.replace(clip, similarity=voices.get(clip.file, clip.similarity))
            for clip in (*manifest.clips, *new)
        ]
        manifest = dataclasses.replace(
            manifest,
            settings=settings,
            sources=(*manifest.sources, *(one.entry for one in finished)),
            clips=flag_clips(clips, settings.language),
        )
        return commit(project, manifest)


def _split(
    old: Sequence[Clip], finished: Sequence[Finished], sources: Sequence[Source], options: DatasetOptions
) -> tuple[Clip, ...]:
    """Return the new clips with their split: as the table says that they came with, else by their words' hash."""
    told = {source.sha256 for source in sources if source.transcript and source.transcript.split}
    new = [clip for one in finished for clip in one.clips]
    kept = [clip for clip in new if clip.source_sha256 in told]
    free = [clip for clip in new if clip.source_sha256 not in told]
    decided = {clip.file: clip for clip in split_clips([*old, *kept], free, options.eval_percent, options.seed)}
    return tuple(decided.get(clip.file, clip) for clip in new)


def _tell(report: DatasetReport, progress: Progress) -> None:
    """Say in the log what the report holds."""
    for one in report.rejected:
        if one.start is None:
            progress.log(f"Not used: “{one.source}” {one.reason}", "Audio")
    for clip in report.rows:
        for flag in clip.flags:
            progress.log(f"{clip.file}: {flag}", "Duplicates" if flag.startswith("duplicate") else "Validation")
    for warning in report.warnings:
        progress.log(f"Warning: {warning}")
    progress.update(1.0, f"{report.clips} clips, {_clock(report.seconds)} of speech")
    progress.log(f"The dataset has {report.clips} clips ({report.train} for training, {report.eval} for evaluation).")

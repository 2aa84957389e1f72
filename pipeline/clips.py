"""From a recording to its clips: hear it, decide where to cut, write the sounds, measure them."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .ahead import ahead
from .align import align_text, words_of_cues, words_of_text
from .audio import CLIP_RATE, fade, stream, write_wav
from .dataset_files import DatasetSettings, Finished, SourceEntry
from .hearing import Ears, Heard, HearingOptions, cut_spans, hear_recording
from .intake import Source
from .languages import CHARACTER_LIMITS, MAX_TEXT_TOKENS
from .loudness import gain_to
from .progress import Progress
from .quality import measure_clip
from .records import Clip, ClipPlan, Limits, Rejection, Seconds, Span, Word
from .segment import plan_clips
from .transcripts import Transcript

CUT_BLOCK: Seconds = 10.0
_STEM = 40  # characters of a recording's name that its clips' names take along


@dataclass(frozen=True)
class ClipMaker:
    """Makes the clips of one recording after another for a project."""

    folder: Path  # the project's
    settings: DatasetSettings
    speaker: str
    progress: Progress

    @property
    def limits(self) -> Limits:
        settings = self.settings
        return Limits(settings.min_seconds, settings.max_seconds, CHARACTER_LIMITS[settings.language], MAX_TEXT_TOKENS)

    def needs_whisper(self, source: Source) -> bool:
        """Tell whether the recording's words have to be heard: nobody wrote them down, or not when they are said."""
        transcript = source.transcript
        return transcript is None or not (transcript.cues or self._fits(transcript, source.recording.seconds))

    def _fits(self, transcript: Transcript, seconds: Seconds) -> bool:
        """Tell whether a recording with its text makes one clip as it is."""
        return 0 < seconds <= self.limits.max_seconds and len(transcript.text) <= self.limits.max_characters

    def make(self, source: Source, ears: Ears | None, tell: Callable[[Seconds], None]) -> Finished:
        """Make the clips of a recording. Raises AudioError where it can't be decoded or nobody speaks in it."""
        options = HearingOptions(self.settings.language, self.settings.vad, tell)
        heard = hear_recording(source.recording.path, ears if self.needs_whisper(source) else None, options)
        entry = self._entry(source, heard)
        plans, rejected = self._plan(source, heard)
        clips = self._write(source, plans, entry.gain)
        rejected = [dataclasses.replace(one, source=source.name) for one in rejected]
        for one in rejected:
            self.progress.log(_describe(one), "Segments")
        notes = [Rejection(source.name, f"{note}; the rest of it is used") for note in heard.notes]
        return Finished(dataclasses.replace(entry, rejected=(*notes, *rejected)), tuple(clips))

    def _entry(self, source: Source, heard: Heard) -> SourceEntry:
        loudness = heard.loudness.lufs
        gain = 20 * np.log10(gain_to(heard.loudness)) if self.settings.loudness else 0.0
        return SourceEntry(
            name=source.name,
            sha256=source.sha256,
            seconds=round(heard.seconds, 3),
            settings=self.settings,
            transcript=source.transcript.file if source.transcript else "",
            loudness=None if loudness is None else round(loudness, 2),
            gain=round(float(gain), 3),
            notes=heard.notes,
        )

    def _plan(self, source: Source, heard: Heard) -> tuple[list[ClipPlan], list[Rejection]]:
        if heard.loudness.lufs is None:
            return [], [Rejection(source.name, "is silent")]
        if not heard.speech:
            return [], [Rejection(source.name, "nobody speaks in it")]
        words, rejected = self._words(source, heard)
        if not words:
            return [], [*rejected, Rejection(source.name, "no words are heard in it")]
        plan = plan_clips(words, heard.envelope, list(heard.speech), self.limits, self.settings.language)
        return list(plan.clips), [*rejected, *plan.rejected]

    def _words(self, source: Source, heard: Heard) -> tuple[list[Word], list[Rejection]]:
        """Return the words with their times: Whisper's, or the transcript's."""
        transcript = source.transcript
        if transcript is None:
            return list(heard.words), []
        if transcript.cues:
            return words_of_cues(transcript.cues, heard, self.limits, self.settings.language), []
        if not self.needs_whisper(source):
            return words_of_text(transcript.text, heard), []
        aligned = align_text(transcript.text, heard, self.settings.language)
        return aligned.words, aligned.unheard

    def _write(self, source: Source, plans: list[ClipPlan], gain: float) -> list[Clip]:
        """Write the clips' sounds, in a second pass over the recording."""
        plans = sorted(plans, key=lambda plan: plan.start)
        spans = (Span(plan.start, plan.end) for plan in plans)
        factor = np.float32(10 ** (gain / 20))
        clips = []
        with closing(stream(source.recording.path, CLIP_RATE, CUT_BLOCK)) as blocks, closing(ahead(blocks)) as decoded:
            for number, (plan, sound) in enumerate(zip(plans, cut_spans(decoded, CLIP_RATE, spans), strict=True)):
                self.progress.check()
                samples = fade(sound * factor, CLIP_RATE)
                clip = self._clip(source, plan, number)
                write_wav(self.folder / clip.file, samples, CLIP_RATE)
                clips.append(measure_clip(clip, samples, CLIP_RATE, self.settings.language, plan.words))
        return clips

    def _clip(self, source: Source, plan: ClipPlan, number: int) -> Clip:
        transcript = source.transcript
        return Clip(
            file=f"wavs/{clip_stem(source.name, source.sha256)}_{number:04d}.wav",
            text=plan.text,
            speaker=self.speaker,
            split=(transcript.split if transcript else None) or "train",
            source=source.name,
            source_sha256=source.sha256,
            start=round(plan.start, 3),
            end=round(plan.end, 3),
            ending=plan.ending,
            note=plan.note,
        )


def clip_stem(name: str, sha256: str) -> str:
    """Return what the names of a recording's clips begin with: safe on every system, and its own by the content."""
    stem = unicodedata.normalize("NFC", Path(name).stem)
    safe = "".join(letter if letter.isalnum() or letter == "-" else "_" for letter in stem)
    return f"{safe[:_STEM].strip('_') or 'clip'}_{sha256[:10]}"


def _describe(one: Rejection) -> str:
    where = "" if one.start is None else f" at {one.start:.1f} s"
    what = f" (“{one.text}”)" if one.text else ""
    return f"“{one.source}”{where}: {one.reason}{what}"

"""The recordings that wait in the samples folder, looked at once and kept while they don't change."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Hashable
from pathlib import Path

from pipeline.audio import CLIP_RATE, stream
from pipeline.errors import AudioError
from pipeline.intake import list_recordings
from pipeline.loudness import measure_loudness
from pipeline.records import Recording, Seconds
from pipeline.transcripts import find_transcripts
from pipeline.workspace import Workspace

from .context import stamp

# Measuring decodes the whole file, some two hundred times faster than it plays: longer ones are left to the stage.
LONGEST_MEASURED: Seconds = 1800.0

_State = tuple[tuple[str, tuple[int, int]], ...]


class RecordingBook:
    """The table of recordings, for all browsers. Loudness comes later, from a thread of its own."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws
        self._lock = threading.Lock()
        self._listed: tuple[_State, list[Recording]] | None = None
        self._loudness: dict[str, float | None] = {}  # by sha256
        self._measuring: threading.Thread | None = None

    def key(self) -> Hashable:
        """Return what changes when a file comes, goes or changes, and when another loudness is known."""
        return (self._state(), len(self._loudness))

    def recordings(self) -> list[Recording]:
        """Return the recordings with the loudness that is known by now, and have the others measured."""
        state = self._state()
        with self._lock:
            if self._listed is None or self._listed[0] != state:
                self._listed = (state, list_recordings(self._ws))
            found = self._listed[1]
            missing = [item for item in found if _measurable(item) and item.sha256 not in self._loudness]
            if missing and self._measuring is None:
                self._measuring = threading.Thread(target=self._measure, args=(missing,), daemon=True)
                self._measuring.start()
        return [dataclasses.replace(item, loudness=self._loudness.get(item.sha256)) for item in found]

    def transcripts(self) -> dict[Path, str]:
        """Return the file that has the text of a recording, for those that have one."""
        sounds = [recording.path for recording in self.recordings()]
        found = find_transcripts(sounds, sorted(self._ws.samples.rglob("*.csv")))
        return {path: transcript.file for path, transcript in found.by_recording.items()}

    def is_measured(self, recording: Recording) -> bool:
        return recording.sha256 in self._loudness

    def _state(self) -> _State:
        folder: Path = self._ws.samples
        return tuple(sorted((str(path.relative_to(folder)), stamp(path)) for path in folder.rglob("*")))

    def _measure(self, recordings: list[Recording]) -> None:
        for recording in recordings:
            try:
                loudness = measure_loudness(stream(recording.path, CLIP_RATE), CLIP_RATE).lufs
            except AudioError:
                loudness = None  # broken further on, or deleted meanwhile: the stage will say so
            self._loudness[recording.sha256] = loudness
        self._measuring = None


def _measurable(recording: Recording) -> bool:
    return not recording.problem and recording.seconds <= LONGEST_MEASURED

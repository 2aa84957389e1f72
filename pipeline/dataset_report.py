"""What came of a dataset, in totals and clip by clip: as a record, as JSON and as CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .records import Clip, DatasetReport, Rejection, Seconds

if TYPE_CHECKING:
    from .dataset_files import Manifest

MIN_TOTAL: Seconds = 120.0  # less than this hardly gives a voice
GOOD_TOTAL: Seconds = 300.0

_COLUMNS = (
    "file",
    "split",
    "text",
    "source",
    "start",
    "end",
    "seconds",
    "ending",
    "words_per_second",
    "loudness",
    "snr",
    "clipped",
    "confidence",
    "similarity",
    "edge_drop",
    "note",
)


def make_report(manifest: Manifest, added: int = 0, rejected: Sequence[Rejection] = ()) -> DatasetReport:
    """Return the report of a dataset: `rejected` are whole files, what was left out of the others is known here."""
    clips = manifest.clips
    return DatasetReport(
        project=manifest.project,
        clips=len(clips),
        seconds=round(sum(clip.seconds for clip in clips), 3),
        train=sum(clip.split == "train" for clip in clips),
        eval=sum(clip.split == "eval" for clip in clips),
        added=added,
        rejected=(*rejected, *(one for source in manifest.sources for one in source.rejected)),
        warnings=tuple(_warnings(clips)),
        rows=clips,
    )


def _warnings(clips: Sequence[Clip]) -> list[str]:
    found = []
    seconds = sum(clip.seconds for clip in clips)
    if seconds < MIN_TOTAL:
        found.append(
            f"The dataset holds {seconds:.0f} seconds of speech; at least {MIN_TOTAL / 60:.0f} minutes are needed for "
            f"a voice, and {GOOD_TOTAL / 60:.0f} are recommended: add recordings."
        )
    if clips and not any(clip.split == "eval" for clip in clips):
        found.append("The dataset has one clip only, so there is none for evaluation: add recordings.")
    duplicates = sum(any(flag.startswith("duplicate") for flag in clip.flags) for clip in clips)
    if duplicates:
        found.append(f"{duplicates} clips are duplicates of others; they are flagged in the report.")
    return found


def length_histogram(clips: Sequence[Clip]) -> dict[int, int]:
    """Return how many clips last so many whole seconds."""
    lengths = [int(clip.seconds) for clip in clips]
    return {length: lengths.count(length) for length in range(min(lengths), max(lengths) + 1)} if lengths else {}


def report_json(manifest: Manifest) -> str:
    """Return the dataset's report for other programs: totals, settings, sources, clips, what was left out."""
    report = make_report(manifest)
    data: dict[str, Any] = {
        **{key: value for key, value in dataclasses.asdict(report).items() if key not in ("added", "rows")},
        "settings": dataclasses.asdict(manifest.settings),
        "lengths": length_histogram(manifest.clips),
        "sources": [_without_rejected(dataclasses.asdict(source)) for source in manifest.sources],
        "rows": [dataclasses.asdict(clip) for clip in manifest.clips],
    }
    return json.dumps(data, ensure_ascii=False, indent=1) + "\n"


def _without_rejected(source: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in source.items() if key != "rejected"}


def report_csv(manifest: Manifest) -> str:
    """Return the clips with their figures as a table for a spreadsheet."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((*_COLUMNS, "flags"))
    for clip in manifest.clips:
        writer.writerow((*(getattr(clip, column) for column in _COLUMNS), "; ".join(clip.flags)))
    return out.getvalue()

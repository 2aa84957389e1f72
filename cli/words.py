"""The stages' reports in plain words for the terminal. Reports are the dictionaries that `--json` prints."""

from __future__ import annotations

from typing import Any

Report = dict[str, Any]


def duration(seconds: float) -> str:
    """Return seconds as people say them: 42 s, 3:05 min, 1:02:07 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d} min"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d} h"


def dataset_in_words(report: Report) -> str:
    lines = [
        f"Dataset “{report['project']}”: {report['clips']} clips, {duration(report['seconds'])} "
        f"({report['train']} to train, {report['eval']} to evaluate, {report['added']} new).",
        *(f"Warning: {warning}" for warning in report.get("warnings", [])),
    ]
    if report["rejected"]:
        lines.append(f"Left out ({len(report['rejected'])}):")
        lines += [f"  {left['source']}: {left['reason']}" for left in report["rejected"]]
    return "\n".join(lines)


def validation_in_words(report: Report) -> str:
    lines = [
        f"Validated {report['clips']} clips of “{report['project']}”: {len(report['mismatches'])} differ, "
        f"{len(report['missing'])} files are missing."
    ]
    lines += [f"  missing: {file}" for file in report["missing"]]
    for row in report["mismatches"]:
        lines += [f"  {row['score']:.0%} {row['file']} ({row['split']})", f"      text:  {row['text']}"]
        lines += [f"      heard: {row['heard']}"]
    return "\n".join(lines)


def training_in_words(report: Report) -> str:
    return "\n".join(
        [
            f"Training {report['run']}: {report['epochs']} epochs, {report['steps']} steps, "
            f"{duration(report['seconds'])}{', stopped and saved' if report['stopped'] else ''}.",
            f"Evaluation loss from {report['first_loss']:.4f} to {report['best_loss']:.4f} "
            f"(best after epoch {report['best_epoch']}). {report['verdict']}",
            *(f"Warning: {warning}" for warning in report.get("warnings", [])),
            f"Best model: {report['best_model']}",
        ]
    )


def speech_in_words(report: Report) -> str:
    return f"Spoken: {report['path']} ({duration(report['seconds'])}, seed {report['seed']})."


def export_in_words(report: Report) -> str:
    total = sum(file["bytes"] for file in report["files"]) / 1e6
    return f"Exported: {report['path']} ({len(report['files'])} files, {total:.0f} MB, loaded again and tried)."


def demo_in_words(report: Report) -> str:
    return "\n".join(
        [
            "1. " + dataset_in_words(report["dataset"]).splitlines()[0],
            "2. " + " ".join(training_in_words(report["training"]).splitlines()[:2]),
            "3. " + export_in_words(report["export"]),
            "4. " + speech_in_words(report["speech"]),
            "The demo base has random weights and never learnt to speak, so the speech is noise. What this shows: "
            "every stage runs here, training lowers the loss, and the exported voice loads.",
        ]
    )


def checks_in_words(report: Report) -> str:
    marks = {"ok": "ok     ", "warning": "warning", "failed": "FAILED ", "skipped": "skipped"}
    lines = []
    for check in report["checks"]:
        lines.append(f"{marks[check['status']]} {check['name']}: {check['detail']}")
        if check["remedy"] and check["status"] != "ok":
            lines.append(f"        {check['remedy']}")
    lines.append("All set." if report["ok"] else "Something must be mended first: see what is marked FAILED.")
    return "\n".join(lines)


def projects_in_words(found: list[Report]) -> str:
    if not found:
        return "There are no projects yet: python finetune.py dataset NAME --audio FILE makes one."
    return "\n".join(
        f"{project['name']}: {project['clips']} clips, {duration(project['seconds'])}, language "
        f"{project['language'] or 'not set'}, {len(project['runs'])} training runs"
        for project in found
    )

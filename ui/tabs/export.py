"""The tab “📦 Model Export”: a run becomes a voice folder; references are kept; what isn't needed is deleted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from pipeline.base_models import DEMO, inspect_model
from pipeline.errors import WorkspaceError
from pipeline.jobs import JobStatus
from pipeline.options import ExportRequest
from pipeline.references import REPORT, copy_references
from pipeline.storage import check_not_in_use, delete_all, generated_files, sample_files, total_size
from pipeline.training.runs import RunFiles, list_runs
from pipeline.workspace import Project

from ..confirm import confirmed_button
from ..context import Page, stamp
from ..controls import Form
from ..feedback import JobPanel, help_box, notice, size
from ..references import ReferenceChoice
from ..tables import as_table

FILE_COLUMNS = ("File", "Size", "SHA-256")
OVERWRITE = [("Do not overwrite existing files", False), ("Overwrite existing files", True)]


def build(page: Page) -> None:
    help_box("export")
    form = Form(page, "export", ExportRequest, _suggestions)
    with gr.Row():
        page.project_field("Project Name")
        run = form.add("run", choices=[("Latest run", "")], allow_custom_value=True, elem_id="export-run")
        checkpoint = form.add("checkpoint", choices=[("Best model", "")], allow_custom_value=True)
    with gr.Row():
        form.add("name", elem_id="export-name")
        form.add("overwrite", kind=gr.Radio, choices=OVERWRITE, label="If the folder is there already", info=None)
    with gr.Accordion("More settings", open=False), gr.Row():
        form.add_rest(skip=("project",))
    panel = JobPanel(
        page, "export", "Compact and move model", idle="The trained model becomes a folder that any XTTS program loads."
    )
    panel.starts(form.record, form.inputs)
    _follow_runs(page, run, checkpoint)
    _build_result(page, panel)
    panel.show_log()
    _build_references(page)
    _build_storage(page)


def _suggestions(project: Project) -> dict[str, Any]:
    """Return a name for the folder: the project's, unless the demo base has that one."""
    return {"name": project.name if project.name.casefold() != DEMO else f"{project.name}-voice"}


# ---- What to export -----------------------------------------------------------------------------------------------


def _follow_runs(page: Page, run: gr.Dropdown, checkpoint: gr.Dropdown) -> None:
    def runs_key(project: str) -> Any:
        return [(one.name, one.has_best, one.epochs) for one in list_runs(page.ws, project)] if project else []

    def show_runs(project: str) -> Any:
        runs = list_runs(page.ws, project) if project else []
        trained = [(f"{one.name} ({one.epochs} epochs)", one.name) for one in runs if one.has_best]
        return gr.Dropdown(choices=[("Latest run", ""), *trained])

    def show_checkpoints(project: str, run: str) -> Any:
        return gr.Dropdown(choices=[("Best model", ""), *_other_checkpoints(page, project, run)])

    page.watch(runs_key, show_runs, [run])
    page.watch(lambda project, run: (runs_key(project), run), show_checkpoints, [checkpoint], [run])


def _other_checkpoints(page: Page, project: str, name: str) -> list[str]:
    """Return the names of the run's other weights; those of the best model are offered anyway."""
    runs = [run for run in list_runs(page.ws, project) if run.has_best] if project else []
    chosen = next((run for run in runs if name in ("", run.name)), None)
    if chosen is None:
        return []
    best = RunFiles(chosen.path).best_model.name
    return sorted(path.name for path in chosen.path.glob("*.pth") if path.name != best)


# ---- What came of it ----------------------------------------------------------------------------------------------


def _build_result(page: Page, panel: JobPanel) -> None:
    summary = gr.HTML(padding=False, elem_id="export-summary")
    with gr.Column(visible=False) as whole:
        spoken = gr.Audio(
            label="What the exported voice said", interactive=False, elem_id="export-spoken", buttons=["download"]
        )
        files = gr.HTML(elem_id="export-files")
        with gr.Accordion("Clips of this voice (audio_report.txt)", open=False):
            report = gr.Textbox(show_label=False, lines=14, max_lines=14, interactive=False, elem_classes="log")

    def show(project: str, status: JobStatus | None) -> tuple[Any, ...]:
        return _show_export(page, status)

    panel.when_changed(show, [summary, whole, spoken, files, report], also=lambda project: stamp(page.ws.base_models))


def _show_export(page: Page, status: JobStatus | None) -> tuple[Any, ...]:
    """Return what the last export of this project left, as long as it is there."""
    nothing = (gr.Column(visible=False), None, gr.skip(), gr.skip())
    exported = status.result if status and status.state == "done" else {}
    if not exported:
        return ("", *nothing)
    folder = Path(exported["path"])
    if not folder.is_dir():
        return (notice(f"The folder {folder} of the last export isn't there any more."), *nothing)
    rows = [[file["name"], size(file["bytes"]), file["sha256"]] for file in exported["files"]]
    total = sum(file["bytes"] for file in exported["files"])
    words = f"{folder.name} is whole: {len(rows)} files, {size(total)}, loaded again and heard. It lies in {folder}."
    noise = "Its base is the demo, which has never learnt to speak: what it says is noise."
    return (
        notice(words, "ok") + (notice(noise, "warning") if inspect_model(folder).demo else ""),
        gr.Column(visible=True),
        page.playable(folder / exported["spoken"]) if exported["spoken"] else None,
        as_table(FILE_COLUMNS, rows, {0: "name", 1: "number", 2: "code"}),
        _read_report(folder),
    )


def _read_report(folder: Path) -> str:
    try:
        return (folder / "wavs" / REPORT).read_text(encoding="utf-8")
    except OSError:
        return "There is no report in this folder."


# ---- References ---------------------------------------------------------------------------------------------------


def _build_references(page: Page) -> None:
    gr.Markdown("### References to keep")
    references = ReferenceChoice(page, "export_references")
    references.build("Clips to copy to voices/", preselect=False)
    copy = gr.Button("Copy to voices", size="sm", elem_classes="fit")
    done = gr.HTML(padding=False)
    page.on(copy.click, lambda project, *chosen: _copy(page, references, project, chosen), references.inputs, [done])


def _copy(page: Page, references: ReferenceChoice, project: str, chosen: Sequence[Any]) -> str:
    opened = page.open(project)
    copies = copy_references(page.ws, references.paths(opened, *chosen), opened.name)
    return notice(f"Copied to {page.ws.voices}: {', '.join(path.name for path in copies)}.", "ok")


# ---- Storage ------------------------------------------------------------------------------------------------------


def _build_storage(page: Page) -> None:
    gr.Markdown("### Storage")
    used = gr.HTML(padding=False, elem_id="storage")
    page.watch(lambda project: _storage_key(page, project), lambda project: _describe_storage(page, project), [used])
    with gr.Row():
        confirmed_button(
            page,
            "Delete generated training data",
            lambda project: _ask_generated(page, project),
            lambda project: _delete_generated(page, project),
        )
        confirmed_button(
            page,
            "Delete original voice samples",
            lambda project: _ask_samples(page),
            lambda project: _delete_samples(page),
        )


def _storage_key(page: Page, project: str) -> Any:
    samples = stamp(page.ws.samples)
    if not project:
        return samples
    opened = page.open(project)
    return samples, stamp(opened.path), stamp(opened.wavs), stamp(opened.runs), _latest_change(opened)


def _latest_change(project: Project) -> Any:
    return [stamp(path) for path in project.runs.iterdir()] if project.runs.is_dir() else []


def _describe_storage(page: Page, project: str) -> str:
    """Say what takes how much."""
    samples = f"Voice samples: {size(total_size(sample_files(page.ws)))}."
    if not project:
        return notice(samples)
    generated = size(total_size(generated_files(page.open(project))))
    return notice(f"Training data of {project}: {generated}. {samples}")


def _ask_generated(page: Page, project: str) -> str:
    opened = page.open(project)
    check_not_in_use(page.ws, opened.name)
    files = generated_files(opened)
    if not files:
        raise WorkspaceError(f"Project “{opened.name}” has nothing to delete.")
    names = ", ".join(path.name for path in files)
    return (
        f"This deletes the dataset, training runs and generated speech of “{opened.name}” ({names}) and frees "
        f"{size(total_size(files))}. Exported models, voices/ and the voice samples stay."
    )


def _delete_generated(page: Page, project: str) -> str:
    opened = page.open(project)
    check_not_in_use(page.ws, opened.name)
    return (
        f"The training data of “{opened.name}” is deleted; {size(delete_all(page.ws, generated_files(opened)))} freed."
    )


def _ask_samples(page: Page) -> str:
    check_not_in_use(page.ws)
    files = sample_files(page.ws)
    if not files:
        raise WorkspaceError("There are no voice samples to delete.")
    return f"This deletes {len(files)} files from {page.ws.samples} and frees {size(total_size(files))}."


def _delete_samples(page: Page) -> str:
    check_not_in_use(page.ws)
    return f"Deleted; {size(delete_all(page.ws, sample_files(page.ws)))} freed."

"""The tab “✅ Step 3 - Testing”: choose a voice and a reference, type a text, hear it."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from pipeline.base_models import DEMO, list_base_models
from pipeline.errors import SettingError, WorkspaceError
from pipeline.jobs import JobStatus
from pipeline.options import SpeakOptions
from pipeline.records import Run
from pipeline.storage import delete_all, total_size
from pipeline.training.runs import list_runs
from pipeline.voice_client import STAGE, Reply, load_voice, loaded_voice, read_reply, request_speech, unload_voice
from pipeline.workspace import Project

from ..choices import LANGUAGE_NAMES
from ..confirm import confirmed_button
from ..context import Page, stamp
from ..controls import Form
from ..feedback import guide, help_box, notice, progress_bar, size
from ..references import ReferenceChoice
from ..speeches import Generated, keep_reference, list_speeches, prepare_speech, speeches_key

SAMPLING = (
    ("temperature", "repetition_penalty", "top_k"),
    ("top_p", "length_penalty", "speed"),
    ("seed", "split_sentences"),
)
# On the screen only as far as is sensible; the command line takes all that the setting allows.
SLIDERS: dict[str, dict[str, Any]] = {
    "temperature": {"minimum": 0.05, "maximum": 1.5, "step": 0.05},
    "repetition_penalty": {"minimum": 1, "maximum": 20, "step": 0.5},
    "top_k": {"minimum": 1, "maximum": 200, "step": 1},
    "top_p": {"minimum": 0.05, "maximum": 1, "step": 0.05},
    "speed": {"minimum": 0.5, "maximum": 2, "step": 0.05},
}
SPEECH_COLUMNS = ("When", "Text", "Model", "Language", "Seed", "File")
FILE_COLUMN = SPEECH_COLUMNS.index("File")


def build(page: Page) -> None:
    with gr.Tabs():
        with gr.Tab("Testing"):
            help_box("testing_settings")
            _build_testing(page)
        with gr.Tab("Testing Guide"):
            guide("testing")


def _build_testing(page: Page) -> None:
    form = Form(page, "speak", SpeakOptions, lambda project: _suggestions(page, project))
    refresh = _build_voice(page, form)
    references = ReferenceChoice(page, "speak_references", refresh)
    references.build("Speaker reference audio", with_own=True)
    with gr.Row():
        form.add("text", lines=4, scale=3, placeholder="What the voice should say. A few sentences tell most.")
        form.add("language", names=LANGUAGE_NAMES, scale=1)
    with gr.Accordion("Sampling settings", open=False):
        for names in SAMPLING:
            with gr.Row():
                for name in names:
                    form.add(name, **({"kind": gr.Slider} | SLIDERS[name] if name in SLIDERS else {}))
    _build_speaking(page, form, references)
    page.next_step("Next: export", "export")


def _suggestions(page: Page, project: Project) -> dict[str, Any]:
    """Return what the project itself suggests: its language, and the voice that was trained last."""
    trained = [run for run in list_runs(page.ws, project.name) if run.has_best]
    model = {"model": f"{project.name}/{trained[0].name}"} if trained else {}
    return model | ({"language": project.language} if project.has_dataset else {})


# ---- The voice ----------------------------------------------------------------------------------------------------


def _build_voice(page: Page, form: Form) -> gr.Button:
    """Put the choice of a model here, and the buttons that load and unload it; return “Refresh Dropdowns”."""
    with gr.Row():
        model = form.add(
            "model", choices=[], allow_custom_value=True, scale=3, elem_id="voice-model",
            info="A training run (its best model), an exported model or a base model; a path can be typed too.",
        )  # fmt: skip
        device = form.add("device", scale=1, min_width=140, info="Auto takes the GPU if there is one.")
    with gr.Row(elem_classes="job-buttons"):
        load = gr.Button("Load Fine-tuned XTTS model", scale=3)
        unload = gr.Button("Unload", scale=1, interactive=False)
        refresh = gr.Button("Refresh Dropdowns", scale=1)
    status = gr.HTML(padding=False, elem_id="voice-status")

    def choices(project: str) -> Any:
        return gr.Dropdown(choices=_model_choices(page, project))

    page.watch(lambda project: _models_key(page, project), choices, [model])
    page.on(refresh.click, choices, (), [model])
    page.watch(
        lambda project: _voice_key(page.jobs.latest(STAGE)),
        lambda project: (_describe_voice(page.jobs.latest(STAGE)), gr.Button(interactive=bool(loaded_voice(page.ws)))),
        [status, unload],
    )
    page.on(load.click, lambda project, *chosen: _load(page, project, *chosen), [model, device], [status])
    page.on(unload.click, lambda project: unload_voice(page.ws))
    return refresh


def _models_key(page: Page, project: str) -> Any:
    """Return what changes when a model or a run comes or goes, or a run gets its best model."""
    runs = list_runs(page.ws, page.open(project).name) if project else []
    return [(run.name, run.has_best) for run in runs], stamp(page.ws.base_models)


def _model_choices(page: Page, project: str) -> list[tuple[str, str]]:
    """Return the voices there are: the project's runs, then exported and base models."""
    runs = list_runs(page.ws, page.open(project).name) if project else []
    trained = [(_run_label(run), f"{run.project}/{run.name}") for run in runs if run.has_best]
    models = [model for model in list_base_models(page.ws) if model.whole]
    return [
        *trained,
        *((f"{model.name} (models/xtts{', makes noise' if model.demo else ''})", model.name) for model in models),
    ]


def _run_label(run: Run) -> str:
    epochs = f"{run.epochs} epoch{'s' if run.epochs != 1 else ''}"
    noise = ", makes noise" if Path(run.base).name == DEMO else ""
    return f"{run.project} / {run.name} (best model, {epochs}{noise})"


def _voice_key(status: JobStatus | None) -> Any:
    """Return what of the voice's job is shown; how long it has been there isn't."""
    return status and (status.id, status.state, status.stopping, status.message)


def _describe_voice(status: JobStatus | None) -> str:
    """Say which voice is loaded, or what became of it."""
    if status is None or status.state == "done":
        return notice("No voice is loaded.")
    if status.state == "stopped":
        return notice("The voice was unloaded; its memory is free.")
    if not status.running:
        return notice(status.error, "failed")
    if status.stopping:
        return notice("Unloading the voice …")
    return notice(f"{status.message}.", "ok" if status.message.startswith("Ready") else "info")


def _load(page: Page, project: str, model: str, device: str) -> str:
    if not (model or "").strip():
        raise SettingError("No model is chosen: choose a run, an exported model or a base model.")
    load_voice(page.ws, model, project, device)
    return notice("Loading the voice …")


# ---- Speaking -----------------------------------------------------------------------------------------------------


def _build_speaking(page: Page, form: Form, references: ReferenceChoice) -> None:
    """Put the main button here, what it gives beside the reference, and what was generated before."""
    asked = gr.State("")  # the request that is being answered
    playing = gr.State("")  # the file that is shown; empty: the newest
    generate = gr.Button("Generate TTS", variant="primary")
    status = gr.HTML(padding=False, elem_id="speech-status")
    with gr.Row(equal_height=True):
        speech = gr.Audio(label="Speech", interactive=False, elem_id="speech", buttons=["download"])
        reference = gr.Audio(label="Reference", interactive=False, elem_id="reference", buttons=["download"])
    about = gr.HTML(padding=False, elem_id="about-speech")
    page.on(
        generate.click,
        lambda project, *values: _generate(page, form, references, project, values),
        [*references.inputs, *form.inputs],
        [asked, playing, status],
    )
    page.watch(
        lambda project, request: _reply_key(page, request),
        lambda project, request: _show_reply(page, request),
        [status, generate],
        [asked],
    )
    page.watch(
        lambda project, file: (file, speeches_key(page.open(project)) if project else ()),
        lambda project, file: _show_speech(page, project, file),
        [speech, reference, about],
        [playing],
    )
    _build_list(page, playing)


def _generate(
    page: Page, form: Form, references: ReferenceChoice, project: str, values: Sequence[Any]
) -> tuple[str, str, str]:
    """Ask the voice to speak, loading it first where it isn't; return the request."""
    opened = page.open(project)
    count = len(references.inputs)
    chosen = [keep_reference(opened, path) for path in references.paths(opened, *values[:count])]
    options = form.record(project, *values[count:], references=tuple(str(path) for path in chosen))
    if loaded_voice(page.ws) is None:
        load_voice(page.ws, options.model, opened.name, options.device)
    request = request_speech(page.ws, prepare_speech(opened, options))
    return request, "", notice("Waiting for the voice …")


def _reply_key(page: Page, request: str) -> Any:
    if not request:
        return ()
    reply = read_reply(page.ws, request)
    status = page.jobs.status(request.partition("/")[0])
    return request, reply.state, status and (status.message, status.fraction)


def _show_reply(page: Page, request: str) -> tuple[str, Any]:
    """Say how far the request is, and let nobody press twice meanwhile."""
    if not request:
        return "", gr.Button(interactive=True)
    reply = read_reply(page.ws, request)
    if reply.state == "waiting":
        return _waiting(page.jobs.status(request.partition("/")[0])), gr.Button(interactive=False)
    return _answered(reply), gr.Button(interactive=True)


def _waiting(status: JobStatus | None) -> str:
    message = status.message if status else "Waiting for the voice"
    fraction = status.fraction if status else None
    return f'<div class="job running">{html.escape(message)}{progress_bar(fraction)}</div>'


def _answered(reply: Reply) -> str:
    if reply.speech is None:
        return notice(reply.error, "failed")
    return notice(f"Spoke {reply.speech.seconds:.1f} seconds.", "ok")


def _show_speech(page: Page, project: str, file: str) -> tuple[Any, Any, str]:
    """Return the chosen or newest speech, the reference it was spoken with, and what it was asked for with."""
    speeches = list_speeches(page.open(project)) if project else []
    shown = next((one for one in speeches if one.path.name == file), speeches[0] if speeches else None)
    if shown is None:
        return None, None, ""
    return page.playable(shown.path), page.playable(shown.reference), _describe_speech(shown)


def _describe_speech(speech: Generated) -> str:
    options = speech.options
    settings = (
        f"{options.model} · {options.language} · seed {options.seed} · temperature {options.temperature:g} · "
        f"speed {options.speed:g} · {len(options.references)} reference{'s' if len(options.references) != 1 else ''}"
    )
    return f"<p class='clip-text'>{html.escape(options.text)}</p><p class='subdued'>{html.escape(settings)}</p>"


# ---- What was generated -------------------------------------------------------------------------------------------


def _build_list(page: Page, playing: gr.State) -> None:
    gr.Markdown("### Generated")
    table = gr.Dataframe(
        headers=list(SPEECH_COLUMNS), interactive=False, max_height=260, show_label=False, wrap=True,
        elem_id="generated", column_widths=["145px", "430px", "235px", "110px", "65px", "190px"],
    )  # fmt: skip
    page.watch(
        lambda project: speeches_key(page.open(project)) if project else (),
        lambda project: _speech_rows(page, project),
        [table],
    )

    def choose(project: str, event: gr.SelectData) -> str:
        return str(event.row_value[FILE_COLUMN])

    page.on(table.select, choose, (), [playing])
    confirmed_button(
        page,
        "Delete generated speech",
        lambda project: _ask_speech(page, project),
        lambda project: _delete_speech(page, project),
    )


def _speech_rows(page: Page, project: str) -> Any:
    speeches = list_speeches(page.open(project)) if project else []
    rows = [
        [one.when, one.options.text, one.options.model, one.options.language, one.options.seed, one.path.name]
        for one in speeches
    ]
    return gr.Dataframe(rows, headers=list(SPEECH_COLUMNS), visible=bool(rows))


def _ask_speech(page: Page, project: str) -> str:
    folder = page.open(project).speech
    speeches = list_speeches(page.open(project))
    if not speeches:
        raise WorkspaceError(f"Nothing was generated in project “{project}” yet.")
    return f"This deletes {len(speeches)} generated sounds of “{project}” and frees {size(total_size([folder]))}."


def _delete_speech(page: Page, project: str) -> str:
    return f"Deleted; {size(delete_all(page.ws, [page.open(project).speech]))} freed."

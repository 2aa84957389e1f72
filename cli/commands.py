"""The commands of `python finetune.py`, each a stage run as a job and its report printed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.errors import FinetuneError, NotHereYetError, Stopped
from pipeline.options import (
    CheckOptions,
    DatasetOptions,
    DemoOptions,
    ExportRequest,
    SpeakOptions,
    TrainConfig,
    ValidateOptions,
)
from pipeline.records import to_json
from pipeline.workspace import REPOSITORY, Workspace, check_name

from .console import run_job
from .options import build, takes_settings
from .words import (
    checks_in_words,
    dataset_in_words,
    demo_in_words,
    export_in_words,
    projects_in_words,
    speech_in_words,
    training_in_words,
    validation_in_words,
)

app = typer.Typer(
    add_completion=False,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Turn a few minutes of recordings of one voice into a fine-tuned XTTS v2 model.",
)

WorkspaceOption = Annotated[
    Path, typer.Option("--workspace", help="The folder that holds finetune/, models/ and voices/.", metavar="DIR")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on standard output; all else goes to standard error.")
]


def _run(workspace: Path, stage: str, options: Any) -> dict[str, Any]:
    """Run a stage as a job in the workspace and return its report."""
    ws = Workspace(workspace)
    ws.prepare()
    return run_job(ws, stage, options)


def _absolute(paths: list[str]) -> tuple[str, ...]:
    """Return the paths from the root: the worker runs in another folder than the user."""
    return tuple(str(Path(path).expanduser().absolute()) for path in paths)


def _print(report: Any, as_json: bool, words: str) -> None:
    print(json.dumps(report, ensure_ascii=False, allow_nan=False) if as_json else words)


@app.command()
def ui(
    workspace: WorkspaceOption = REPOSITORY,
    listen: Annotated[bool, typer.Option("--listen", help="Share the page on the LAN; asks for a password.")] = False,
    port: Annotated[int, typer.Option("--port", help="The port to listen on.")] = 7052,
    auth: Annotated[
        str, typer.Option("--auth", help="Who may enter, as user:password.", envvar="XTTS_FINETUNE_AUTH")
    ] = "",
    no_auth: Annotated[bool, typer.Option("--no-auth", help="Share without a password: anybody may enter.")] = False,
    share: Annotated[bool, typer.Option("--share", help="Ask Gradio for a public link; with a password.")] = False,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Don't open the browser.")] = False,
) -> None:
    """Open the page (the default)."""
    from ui.access import ServeOptions
    from ui.app import serve

    ws = Workspace(workspace)
    ws.prepare()
    options = ServeOptions(
        port=port, listen=listen, auth=auth, no_auth=no_auth, share=share, open_browser=not no_browser
    )
    serve(ws, options)


@app.command()
@takes_settings(CheckOptions)
def doctor(workspace: WorkspaceOption = REPOSITORY, as_json: JsonOption = False, **settings: Any) -> None:
    """Check the machine; with --deep also by trying the models."""
    report = _run(workspace, "checks", build(CheckOptions, settings))
    _print(report, as_json, checks_in_words(report))
    if not report["ok"]:
        raise typer.Exit(1)


@app.command()
def download(
    version: Annotated[str, typer.Argument(help="v2.0.3, v2.0.2, v2.0.1 or v2.0.0.")] = "v2.0.3",
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="Accept the Coqui Public Model License.")
    ] = False,
    workspace: WorkspaceOption = REPOSITORY,
    as_json: JsonOption = False,
) -> None:
    """Download a base model (not here yet)."""
    raise NotHereYetError(
        f"Downloading XTTS {version} isn't built yet: copy config.json, model.pth, vocab.json, dvae.pth, "
        f"mel_stats.pth and speakers_xtts.pth into {Workspace(workspace).base_models / version} by hand."
    )


@app.command()
@takes_settings(DemoOptions)
def demo(workspace: WorkspaceOption = REPOSITORY, as_json: JsonOption = False, **settings: Any) -> None:
    """Do the whole job on what the project brings with it: no GPU, no download."""
    settings["audio"] = _absolute(settings["audio"])
    report = _run(workspace, "demo", build(DemoOptions, settings))
    _print(report, as_json, demo_in_words(report))


@app.command()
@takes_settings(DatasetOptions)
def dataset(workspace: WorkspaceOption = REPOSITORY, as_json: JsonOption = False, **settings: Any) -> None:
    """Turn recordings into a dataset."""
    settings["audio"] = _absolute(settings["audio"])
    _path_or_name(settings, "whisper_model")
    check_name(settings["project"])
    report = _run(workspace, "dataset", build(DatasetOptions, settings))
    _print(report, as_json, dataset_in_words(report))


@app.command()
@takes_settings(ValidateOptions)
def validate(workspace: WorkspaceOption = REPOSITORY, as_json: JsonOption = False, **settings: Any) -> None:
    """Transcribe every clip again and list where the texts differ, worst first."""
    _path_or_name(settings, "train_csv", "eval_csv", "audio_folder", "whisper_model")
    check_name(settings["project"])
    report = _run(workspace, "validate", build(ValidateOptions, settings))
    _print(report, as_json, validation_in_words(report))


@app.command()
@takes_settings(TrainConfig)
def train(
    context: typer.Context, workspace: WorkspaceOption = REPOSITORY, as_json: JsonOption = False, **settings: Any
) -> None:
    """Train; Ctrl+C stops at the next step and loses nothing."""
    if settings["continue_run"] and not _typed(context, "epochs"):
        settings["epochs"] = 1  # fewer than the run's own change nothing
    _path_or_name(settings, "train_csv", "eval_csv", "base")
    check_name(settings["project"])
    report = _run(workspace, "train", build(TrainConfig, settings))
    _print(report, as_json, training_in_words(report))


@app.command()
@takes_settings(SpeakOptions, references="--reference")
def say(workspace: WorkspaceOption = REPOSITORY, as_json: JsonOption = False, **settings: Any) -> None:
    """Speak a text with a base model, a run or an exported voice."""
    settings["references"] = _absolute(settings["references"])
    settings["out"] = str(Path(settings["out"]).expanduser().absolute()) if settings["out"] else ""
    _path_or_name(settings, "model")
    report = _run(workspace, "speak", build(SpeakOptions, settings))
    _print(report, as_json, speech_in_words(report))


@app.command()
def evaluate(
    project: Annotated[str, typer.Argument(help="The project's name.")],
    workspace: WorkspaceOption = REPOSITORY,
    as_json: JsonOption = False,
) -> None:
    """Compare references and checkpoints (not here yet)."""
    raise NotHereYetError(
        f"Evaluating “{check_name(project)}” isn't built yet: listen with `python finetune.py say {project} TEXT`."
    )


@app.command()
@takes_settings(ExportRequest)
def export(workspace: WorkspaceOption = REPOSITORY, as_json: JsonOption = False, **settings: Any) -> None:
    """Make a run's best model into a voice folder in models/xtts."""
    _path_or_name(settings, "checkpoint")
    check_name(settings["project"])
    check_name(settings["name"], "model")
    report = _run(workspace, "export", build(ExportRequest, settings))
    _print(report, as_json, export_in_words(report))


@app.command()
def projects(workspace: WorkspaceOption = REPOSITORY, as_json: JsonOption = False) -> None:
    """List the projects of the workspace."""
    from pipeline.projects import list_projects

    found = [json.loads(to_json(project)) for project in list_projects(Workspace(workspace))]
    _print(found, as_json, projects_in_words(found))


def _typed(context: typer.Context, name: str) -> bool:
    """Tell whether the user gave this option, rather than its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _path_or_name(settings: dict[str, Any], *fields: str) -> None:
    """Make what is a path from here into one from the root, and leave names alone."""
    for field in fields:
        if (
            settings[field]
            and Path(settings[field]).expanduser().exists()
            and any(c in settings[field] for c in "/\\.")
        ):
            settings[field] = str(Path(settings[field]).expanduser().absolute())


def main(arguments: list[str]) -> int:
    """Run a command line and return the exit status: 0 only on success, 2 for what isn't built yet."""
    if not arguments or (arguments[0].startswith("-") and arguments[0] != "--help"):
        arguments = ["ui", *arguments]
    try:
        status = app(arguments, standalone_mode=False)
    except NotHereYetError as fault:
        return _complain(arguments, str(fault), 2)
    except Stopped as stop:
        return _complain(arguments, str(stop), 130)
    except FinetuneError as fault:
        return _complain(arguments, str(fault), 1)
    except typer.TyperException as fault:  # an unknown command or option, a word where a number belongs
        message = fault.format_message() if isinstance(fault, typer.BadParameter) else str(fault)
        return _complain(arguments, f"{message} See `python finetune.py --help`.", 1)
    except (KeyboardInterrupt, typer.Abort):
        return _complain(arguments, "Stopped.", 130)
    return status if isinstance(status, int) else 0


def _complain(arguments: list[str], sentence: str, status: int) -> int:
    """Say on standard error what is wrong; with --json also as an object on standard output."""
    print(sentence, file=sys.stderr)
    if "--json" in arguments:
        print(json.dumps({"error": sentence}, ensure_ascii=False))
    return status

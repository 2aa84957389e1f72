"""The whole job on what the project brings with it: dataset, training, export and a spoken sentence.

No GPU, no account, no download. The base is a tiny XTTS with random weights, which never learnt to speak: what it says
is noise. What the demo does show: every stage works on this machine, the losses fall, and the exported voice loads.
"""

from __future__ import annotations

from collections.abc import Sequence

from .errors import DatasetError
from .options import DatasetOptions, DemoOptions, ExportRequest, SpeakOptions, TrainConfig
from .progress import Progress
from .records import Clip, DatasetReport, DemoReport, ExportedVoice, Speech, TrainReport
from .workspace import DEMO_TRANSCRIPT, DEMO_VOICE, Project, Workspace, write_json

BASE = "demo"
WHISPER = "demo"
MARKER = "demo.json"  # in the project's folder: made by the demo, so it may make it afresh
LEARNING_RATE = 1e-3  # random weights have everything to learn; a real base takes 5e-6
# How the stages share the progress bar: about as they share the time on two CPU cores.
DATASET_END, TRAINING_END, EXPORT_END = 0.25, 0.75, 0.95


class _Part(Progress):
    """A stage's progress as a part of the whole's."""

    def __init__(self, whole: Progress, start: float, end: float) -> None:
        self._whole, self._start, self._end = whole, start, end

    def update(self, fraction: float | None, message: str) -> None:
        part = self._start if fraction is None else self._start + fraction * (self._end - self._start)
        self._whole.update(part, message)

    def log(self, message: str, kind: str = "General") -> None:
        self._whole.log(message, kind)

    def event(self, name: str, **data: object) -> None:
        self._whole.event(name, **data)

    @property
    def stop_requested(self) -> bool:
        return self._whole.stop_requested


def run_demo(ws: Workspace, options: DemoOptions, progress: Progress) -> DemoReport:
    """Do every stage in turn, in this process, and return their reports.

    The project is made afresh if an earlier demo made it. Raises DatasetError where somebody else did, and what the
    stages raise.
    """
    project = ws.project(options.project)
    _clear(ws, project, options)
    dataset = _make_dataset(ws, options, _Part(progress, 0.0, DATASET_END))
    training = _train(ws, options, _Part(progress, DATASET_END, TRAINING_END))
    progress.check()  # a training that was stopped ends well: the demo doesn't go on with it
    export = _export(ws, options, _Part(progress, TRAINING_END, EXPORT_END))
    progress.check()
    speech = _speak(ws, project, dataset, options, _Part(progress, EXPORT_END, 1.0))
    progress.update(1.0, "The demo is finished")
    return DemoReport(dataset, training, export, speech)


def voice_name(project: str) -> str:
    """Return the folder in models/xtts that the demo's voice gets; `demo` itself is the base."""
    return f"{project}-voice"


def _clear(ws: Workspace, project: Project, options: DemoOptions) -> None:
    """Empty the project of an earlier demo, and mark it as this one's. Nobody's own work is touched."""
    marker = project.path / MARKER
    made_by_demo = marker.is_file()
    if project.path.exists() and any(project.path.iterdir()) and not made_by_demo:
        raise DatasetError(
            f"The project “{project.name}” is there and wasn't made by the demo: give the demo another name with "
            "--project NAME."
        )
    voice = ws.base_model(voice_name(project.name))
    if voice.exists() and not made_by_demo:
        raise DatasetError(
            f"The model “{voice.name}” is there and wasn't made by the demo: give the demo another name with "
            "--project NAME."
        )
    if made_by_demo:
        for part in sorted(project.path.iterdir()):
            if part.name != MARKER:
                ws.delete(part)
    write_json(marker, {"audio": list(options.audio), "epochs": options.epochs, "seed": options.seed})


def _make_dataset(ws: Workspace, options: DemoOptions, progress: Progress) -> DatasetReport:
    from .dataset import create_dataset

    if options.audio:
        progress.log(
            "Warning: the demo's Whisper hears only the bundled voice; of other recordings it writes nonsense."
        )
    audio = options.audio or (str(DEMO_VOICE),)
    wanted = DatasetOptions(
        project=options.project, audio=audio, language="en", whisper_model=WHISPER, seed=options.seed, device="cpu"
    )
    report = create_dataset(ws, wanted, progress)
    if not options.audio:
        _compare_with_transcript(report.rows, progress)
    return report


def _compare_with_transcript(rows: Sequence[Clip], progress: Progress) -> None:
    """Say how far the dataset's texts are from what the bundled voice was given to say."""
    from rapidfuzz.distance import Levenshtein

    said = _words(DEMO_TRANSCRIPT.read_text(encoding="utf-8"))
    heard = _words(" ".join(clip.text for clip in sorted(rows, key=lambda clip: clip.start)))
    wrong = Levenshtein.distance(said, heard)
    progress.log(
        f"Of the {len(said)} words that were said, the clips have {wrong} wrong ({wrong / len(said):.1%}).",
        "Validation",
    )


def _words(text: str) -> list[str]:
    return "".join(letter if letter.isalpha() or letter == "'" else " " for letter in text.lower()).split()


def _train(ws: Workspace, options: DemoOptions, progress: Progress) -> TrainReport:
    from .base_models import resolve_base
    from .training.run import train

    resolve_base(ws, BASE, progress, seed=options.seed)
    wanted = TrainConfig(
        project=options.project,
        base=BASE,
        epochs=options.epochs,
        seed=options.seed,
        learning_rate=LEARNING_RATE,
        scheduler="Cosine Annealing",
        device="cpu",
    )
    return train(ws, wanted, progress)


def _export(ws: Workspace, options: DemoOptions, progress: Progress) -> ExportedVoice:
    from .export import export_voice

    wanted = ExportRequest(project=options.project, name=voice_name(options.project), overwrite=True, device="cpu")
    return export_voice(ws, wanted, progress)


def _speak(ws: Workspace, project: Project, dataset: DatasetReport, options: DemoOptions, progress: Progress) -> Speech:
    from .synthesize import speak

    longest = max(dataset.rows, key=lambda clip: clip.seconds)
    wanted = SpeakOptions(
        model=voice_name(options.project),
        text=longest.text,
        references=(str(project.path / longest.file),),
        out=str(project.speech / "demo.wav"),
        language="en",
        seed=options.seed,
        device="cpu",
    )
    progress.log("What the demo speaks is noise: its base model has random weights and never learnt to speak.")
    return speak(ws, wanted, progress)

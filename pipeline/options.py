"""The options each stage takes: every setting with its default, limits and help, in one place.

The page builds its controls from these, the command line its options, the docs their tables. Options check themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .errors import SettingError
from .languages import DEFAULT_WHISPER_MODEL, LANGUAGES, PRECISIONS, is_english_only
from .records import Seconds
from .settings import REQUIRED, check_settings, setting

OPTIMIZERS = (
    "AdamW",
    "SGD with Momentum",
    "RMSprop",
    "Adagrad",
    "Adam",
    "Rectified Adam",
    "Step Wise",
    "Noam",
)
SCHEDULERS = (
    "None",
    "Cosine Annealing",
    "Cosine Annealing Warm Restarts",
    "Cyclic",
    "Exponential",
    "Multi Step",
    "Reduce on Plateau",
    "Step",
    "One Cycle",
)
TRAIN_PRECISIONS = ("auto", "bf16", "fp16", "float32")
CONDITIONINGS = ("same clip", "another clip")
DEVICES = ("auto", "cuda", "cpu", "mps")

_PROJECT = "The name of the project; its dataset and runs lie in finetune/<name>/."
_DEVICE = "Where to compute: auto takes the GPU if there is one that works."
_WHISPER = (
    "The model that writes down what is said. Larger models hear better and need more memory; models ending in .en "
    "hear English only. `demo` is bundled and hears only the demo voice. A folder with a model of your own works too."
)
_PRECISION = "How Whisper computes: mixed is int8 weights with float16 (float32 on the CPU); float32 is the slowest."


def _device() -> Any:
    return setting("auto", "Device", _DEVICE, choices=DEVICES)


def check_whisper_language(whisper_model: str, language: str) -> None:
    """Raise SettingError where a model that hears English only is to hear something else."""
    if is_english_only(whisper_model) and language != "en":
        raise SettingError(
            f"The Whisper model “{whisper_model}” hears English only, and the language is "
            f"{LANGUAGES.get(language, language)}: choose a model without “.en”."
        )


@dataclass(frozen=True)
class DatasetOptions:
    """Settings of “Step 1 - Generating the dataset”."""

    project: str = setting(REQUIRED, "Training Project Name", _PROJECT)
    audio: tuple[str, ...] = setting(
        (),
        "Upload New Audio Samples",
        "Files or folders of recordings; none given: what lies in finetune/put-voice-samples-in-here/.",
    )
    language: str = setting("en", "Dataset Language", "The language that is spoken.", choices=tuple(LANGUAGES))
    whisper_model: str = setting(DEFAULT_WHISPER_MODEL, "Whisper Model", _WHISPER)
    precision: str = setting("mixed", "Model Precision", _PRECISION, choices=PRECISIONS)
    eval_percent: float = setting(
        15.0,
        "Evaluation Data Split",
        "The share of clips kept back from training, to measure how well the model does on what it hasn't seen.",
        low=1,
        high=50,
        unit="%",
    )
    vad: bool = setting(
        True, "VAD", "Find where somebody speaks before Whisper listens, so that silence and noise aren't transcribed."
    )
    min_seconds: Seconds = setting(2.0, "Min Audio Length", "No clip is shorter than this.", low=1, high=5, unit="s")
    max_seconds: Seconds = setting(10.0, "Max Audio Length", "No clip is longer than this.", low=8, high=20, unit="s")
    loudness: bool = setting(
        True,
        "Same Loudness",
        "Bring each recording to the same loudness (-23 LUFS) without clipping, so that the model learns one level.",
    )
    speaker: str = setting("", "Speaker Name", "Written into the CSV files; empty: the project's name.")
    seed: int = setting(0, "Seed", "Decides which clips are kept for evaluation.")
    device: str = _device()
    accept_new_settings: bool = setting(
        False,
        "Add with these settings",
        "Add to a dataset that was made with other settings; without it that is refused, so nothing is mixed unseen.",
    )

    def __post_init__(self) -> None:
        check_settings(self)
        check_whisper_language(self.whisper_model, self.language)


@dataclass(frozen=True)
class ValidateOptions:
    """Settings of “Dataset Validation”. Empty paths mean the project's own dataset."""

    project: str = setting(REQUIRED, "Project Name", _PROJECT)
    train_csv: str = setting("", "Train CSV file path", "Another dataset's CSV; empty: the project's.")
    eval_csv: str = setting("", "Eval CSV file path", "Another dataset's CSV; empty: the project's.")
    audio_folder: str = setting("", "Audio Folder", "Where that dataset's clips lie; empty: beside its CSV.")
    language: str = setting(
        "", "Dataset Language", "The language that is spoken; empty: the dataset's.", choices=("", *LANGUAGES)
    )
    whisper_model: str = setting(DEFAULT_WHISPER_MODEL, "Whisper Model", _WHISPER)
    precision: str = setting("mixed", "Model Precision", _PRECISION, choices=PRECISIONS)
    device: str = _device()

    def __post_init__(self) -> None:
        check_settings(self)
        check_whisper_language(self.whisper_model, self.language or "en")


@dataclass(frozen=True)
class TrainConfig:
    """Settings of “Step 2 - Training”. Empty paths mean the project's own dataset."""

    project: str = setting(REQUIRED, "Project Name", _PROJECT)
    base: str = setting(
        "", "Select the Model to train", "A folder of models/xtts, or a path; empty: the only whole one there."
    )
    train_csv: str = setting("", "Train CSV file path", "A dataset of your own; empty: the project's.")
    eval_csv: str = setting("", "Eval CSV file path", "A dataset of your own; empty: the project's.")
    learning_rate: float = setting(
        5e-6,
        "Learning Rate",
        "How far each step goes. Higher learns faster and forgets faster; LoRA wants about twenty times more.",
        low=1e-8,
        high=1,
    )
    scheduler: str = setting(
        "Cosine Annealing Warm Restarts",
        "Learning Rate Scheduler(s)",
        "How the learning rate changes over the steps of the whole run.",
        choices=SCHEDULERS,
    )
    optimizer: str = setting(
        "AdamW", "Optimizer", "How gradients become steps. AdamW suits nearly everybody.", choices=OPTIMIZERS
    )
    epochs: int = setting(
        10,
        "Number of epochs",
        "How often the model hears every clip: standard voices 10 to 20, accents 15 to 20, unusual voices 40 and "
        "more, new languages 100 and more.",
        low=1,
        high=10_000,
    )
    batch_size: int = setting(
        4, "Batch size", "Clips computed at once. The main lever on the memory needed.", low=1, high=512
    )
    grad_accumulation: int = setting(
        1,
        "Grad accumulation steps",
        "Batches whose gradients are added before a step: the effect of a larger batch without its memory.",
        low=1,
        high=1024,
    )
    max_audio_seconds: Seconds = setting(
        11.0,
        "Max permitted audio size in seconds",
        "Longer clips are left out, and listed. Lower it if memory runs out.",
        low=1,
        high=30,
        unit="s",
    )
    workers: int = setting(
        0, "Workers/Threads", "Processes that prepare the data; 0 prepares it in the training itself.", low=0, high=64
    )
    warmup: bool = setting(
        False,
        "Perform Warmup Learning",
        "Let the learning rate grow from near zero over the first tenth of the steps.",
    )
    disable_shared_memory: bool = setting(
        False,
        "Disable Shared Memory Use",
        "Let worker processes hand over their data through pipes instead of shared memory: for containers with little "
        "of it.",
    )
    continue_run: bool = setting(
        False,
        "Continue Previous Project",
        "Go on from where the last run of this project stopped; more epochs than before may be asked for.",
    )
    run: str = setting("", "Run", "The run to go on with; empty: the project's latest.")
    precision: str = setting(
        "auto",
        "Precision",
        "auto takes bf16 where the GPU has it, else fp16, and float32 on the CPU.",
        choices=TRAIN_PRECISIONS,
    )
    lora: bool = setting(
        False,
        "LoRA",
        "Train small additional matrices instead of the whole model: for cards where a full fine-tune doesn't fit.",
    )
    lora_rank: int = setting(16, "LoRA rank", "The size of LoRA's matrices.", low=1, high=512)
    early_stopping: bool = setting(
        False, "Early stopping", "Stop when the verdict says that the model has levelled off or is overtrained."
    )
    patience: int = setting(
        3,
        "Patience",
        "Epochs without a better smoothed evaluation loss before the verdict says so.",
        low=1,
        high=1000,
        unit="epochs",
    )
    gradient_clip: float = setting(
        1.0, "Gradient clipping", "The largest norm of the gradient that is let through; 0 lets all.", low=0, high=1e6
    )
    weight_decay: float = setting(
        1e-2, "Weight decay", "How strongly weights are drawn towards zero (AdamW and its kin).", low=0, high=1
    )
    conditioning: str = setting(
        "same clip",
        "Conditioning",
        "Where the model hears the voice it is to speak with: 3 to 6 seconds of the clip itself (as Coqui does), or "
        "of another clip of the same speaker.",
        choices=CONDITIONINGS,
    )
    speak_samples: bool = setting(
        True, "Speak a sentence after each epoch", "So that progress can be heard. Takes a few seconds an epoch."
    )
    sample_text: str = setting("", "Sentence", "What is spoken after each epoch; empty: one of the evaluation texts.")
    seed: int = setting(0, "Seed", "The same seed, data and machine give the same run.")
    device: str = _device()

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class SpeakOptions:
    """One thing to say, on “Step 3 - Testing”."""

    model: str = setting(
        REQUIRED,
        "Model",
        "A folder's name in models/xtts, a project (its latest run's best model), PROJECT/RUN, or a path.",
    )
    text: str = setting(REQUIRED, "Input Text", "What to say.")
    references: tuple[str, ...] = setting(
        (), "Speaker reference audio", "Clips of the voice, 6 seconds and more are best; several are averaged."
    )
    out: str = setting("", "Output file", "The WAV to write; empty: a new file among the generated speech.")
    language: str = setting("en", "Language", "The language of the text.", choices=tuple(LANGUAGES))
    temperature: float = setting(
        0.75, "Temperature", "Lower is steadier, higher livelier and less safe.", low=0.01, high=2
    )
    length_penalty: float = setting(
        1.0, "Length penalty", "Above 1 favours longer speech; acts with beams only.", low=-5, high=5
    )
    repetition_penalty: float = setting(
        5.0, "Repetition penalty", "Higher keeps the model from stuttering and long pauses.", low=1, high=20
    )
    top_k: int = setting(50, "Top-k", "How many candidates each choice is made from.", low=1, high=1024)
    top_p: float = setting(
        0.85, "Top-p", "The share of probability that candidates may fill together.", low=0.01, high=1
    )
    speed: float = setting(1.0, "Speed", "Above 1 speaks faster.", low=0.25, high=4)
    split_sentences: bool = setting(
        True, "Split sentences", "Speak sentence by sentence, so that no text is longer than the model can say."
    )
    seed: int = setting(0, "Seed", "The same seed says it the same way.")
    device: str = _device()

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.text.strip():
            raise SettingError("Input Text is empty: type what the voice should say.")
        if not self.references:
            raise SettingError("There is no reference audio: choose at least one clip of the voice.")


@dataclass(frozen=True)
class VoiceOptions:
    """A voice that stays loaded and answers requests of the page, until another job needs the memory."""

    model: str = setting(REQUIRED, "Model", "As in SpeakOptions.")
    project: str = setting("", "Project Name", _PROJECT)
    device: str = _device()

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class ExportRequest:
    """Settings of “Model Export”."""

    project: str = setting(REQUIRED, "Project Name", _PROJECT)
    name: str = setting(REQUIRED, "Folder name", "The folder in models/xtts that the voice gets.")
    run: str = setting("", "Run", "Which run to export; empty: the project's latest.")
    checkpoint: str = setting("", "Checkpoint", "A .pth file of the run; empty: its best model.")
    overwrite: bool = setting(False, "Overwrite existing files", "Replace a folder of that name.")
    half: bool = setting(False, "Half precision", "Write 16 bit weights: half the size, hardly another sound.")
    device: str = _device()

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class CheckOptions:
    """What the checks of the “Pre-flight Checklist” are for."""

    deep: bool = setting(False, "Also try the models", "Really transcribe a second of speech and load the tokenizer.")
    language: str = setting("en", "Language", "Whose tokenizer is tried.", choices=tuple(LANGUAGES))
    whisper_model: str = setting("demo", "Whisper Model", _WHISPER)
    device: str = _device()

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class DemoOptions:
    """The whole job on what the project brings with it."""

    project: str = setting("demo", "Project Name", _PROJECT)
    audio: tuple[str, ...] = setting((), "Audio", "Recordings of your own; none: the bundled voice.")
    epochs: int = setting(3, "Number of epochs", "How often the model hears every clip.", low=1, high=1000)
    seed: int = setting(0, "Seed", "Decides the split, the weights of the demo base and the order of training.")

    def __post_init__(self) -> None:
        check_settings(self)

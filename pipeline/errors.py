"""Every error a user can meet, in one tree.

FinetuneError                   the message is one sentence for the user: what, with what, what to do
├── InvalidNameError            a project's or folder's name
├── SettingError                a setting out of its range
├── NotHereYetError             a command that is announced and not built (exit status 2)
├── WorkspaceError              a folder that can't be read or written, a full disk
├── AudioError                  a recording that can't be decoded or holds nothing
├── DatasetError                no dataset, a broken CSV, no usable audio
│   └── DatasetMissingError
├── ModelError                  a base model, checkpoint or Whisper model that is missing or broken
│   └── ModelMissingError
├── DeviceError                 out of memory, a missing CUDA library
├── TrainingError               training can't start or go on
├── JobError                    jobs: one is running already, none by that id, the worker died
│   └── JobRunningError
└── Stopped                     the user asked to stop: not a fault
"""

from __future__ import annotations


class FinetuneError(Exception):
    """What a user is told. The message is one clear sentence: what is wrong, with what, what to do."""


class InvalidNameError(FinetuneError):
    """The name of a project or of a model's folder can't be used."""


class SettingError(FinetuneError):
    """A setting lies outside what is allowed."""


class NotHereYetError(FinetuneError):
    """A command that is part of the plan and isn't built yet."""


class WorkspaceError(FinetuneError):
    """Something under the workspace can't be read, written or deleted."""


class AudioError(FinetuneError):
    """A recording can't be decoded, or holds nothing to use."""


class DatasetError(FinetuneError):
    """The dataset is missing, broken or empty."""


class DatasetMissingError(DatasetError):
    """The project has no dataset yet."""

    def __init__(self, project: str) -> None:
        super().__init__(
            f"Project “{project}” has no dataset yet: create one on “📁 Step 1 - Generating the dataset” "
            f"or with `python finetune.py dataset {project} --audio FILE`."
        )


class ModelError(FinetuneError):
    """A base model, a checkpoint or a Whisper model is broken."""


class ModelMissingError(ModelError):
    """A base model, a checkpoint or a Whisper model isn't there."""


class DeviceError(FinetuneError):
    """The device can't do what is asked: no memory, no library."""


class TrainingError(FinetuneError):
    """Training can't start or go on."""


class JobError(FinetuneError):
    """A job can't be started, found or finished."""


class JobRunningError(JobError):
    """Another heavy job is running; there is one at a time."""

    def __init__(self, stage: str, project: str) -> None:
        super().__init__(
            f"“{stage}” for project “{project}” is running, and only one heavy job runs at a time: "
            "wait for it to end or stop it first."
        )


class Stopped(FinetuneError):
    """The user asked to stop, and the stage stopped at the next safe point."""

    def __init__(self, message: str = "Stopped on request; what was finished is kept.") -> None:
        super().__init__(message)

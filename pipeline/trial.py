"""A voice loaded by stock Coqui in a fresh process, speaking a sentence: `python -m pipeline.trial REQUEST.json`.

This is how anybody else will load an exported folder, and what must work before an export is called done.
"""

from __future__ import annotations

import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

from .errors import FinetuneError
from .options import SpeakOptions
from .records import from_json
from .workspace import write_text


@dataclass(frozen=True)
class Trial:
    """What to load and say. The options' device is one that works; their `out` is written."""

    folder: str
    options: SpeakOptions


def run_trial(trial: Trial) -> None:
    """Load the folder as Coqui's documentation says and write the spoken sentence. Raises what goes wrong."""
    from TTS.tts.configs.xtts_config import XttsConfig
    from TTS.tts.models.xtts import Xtts

    from .audio import write_wav
    from .synthesize import SPEECH_RATE, Speaker
    from .weights import silent_transformers

    config = XttsConfig()
    config.load_json(str(Path(trial.folder) / "config.json"))
    with silent_transformers():
        model = Xtts.init_from_config(config)
        model.load_checkpoint(config, checkpoint_dir=trial.folder)
    speaker = Speaker(model.to(trial.options.device), trial.options.device)
    write_wav(Path(trial.options.out), speaker.say(trial.options), SPEECH_RATE)


def main(request: Path) -> int:
    """Do the trial that the file asks for; what went wrong is left beside it, in one line. Returns the exit status."""
    try:
        run_trial(from_json(Trial, request.read_text(encoding="utf-8")))
    except FinetuneError as fault:
        write_text(request.with_suffix(".error"), str(fault))
    except Exception as fault:  # whatever stock Coqui meets is the result of the trial
        traceback.print_exc()
        reason = str(fault).strip().split("\n")[0]
        write_text(request.with_suffix(".error"), f"{type(fault).__name__}: {reason}")
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

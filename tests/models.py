"""The demo base for tests: made once a session, linked into the workspaces that need it."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path

from pipeline.base_models import DEMO
from pipeline.workspace import Workspace


@functools.cache
def demo_base() -> Path:
    """Return a folder with the demo base of seed 0, made when first asked for. Tests don't change it."""
    from pipeline.demo_base import make_demo_base

    folder = Path(tempfile.mkdtemp(prefix="demo-base-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return make_demo_base(folder / DEMO)


def install_demo_base(ws: Workspace, name: str = DEMO) -> Path:
    """Put the demo base into the workspace's models under a name, by hard links where that goes, and return it."""
    folder = ws.base_models / name
    folder.mkdir(parents=True)
    for file in demo_base().iterdir():
        try:
            os.link(file, folder / file.name)
        except OSError:  # another file system
            shutil.copy2(file, folder / file.name)
    return folder

"""Dependencies run one way, importing costs nothing, and the page never loads what the stages need."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SOURCES = [
    REPOSITORY / "finetune.py",
    *(file for top in ("cli", "pipeline", "ui") for file in REPOSITORY.glob(f"{top}/**/*.py")),
]

# From the bottom up: a module of the foundation imports only what stands before it.
FOUNDATION = ["errors", "languages", "records", "settings", "progress", "options", "workspace"]
# Reached through jobs by name only (worker.STAGES), so that each runs in a process of its own; the demo is their sum.
STAGES = {"dataset", "validate", "preflight", "training.run", "export", "evaluate", "demo"}
HEAVY = {"torch", "torchaudio", "TTS", "trainer", "transformers", "accelerate", "peft", "faster_whisper", "ctranslate2"}
HEAVY |= {"silero_vad", "onnxruntime", "gradio", "tensorboard"}


@dataclass(frozen=True)
class Import:
    module: str  # with dots, from the root: pipeline.audio, torch.nn
    name: str  # what is taken from it; empty for `import module`
    at_import: bool  # not inside a function: happens when the module is imported


def module_name(file: Path) -> str:
    parts = file.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(file): file for file in SOURCES}


def imports_of(file: Path) -> list[Import]:
    return list(_walk(ast.parse(file.read_text(encoding="utf-8")), _package(file), True))


def _package(file: Path) -> list[str]:
    name = module_name(file).split(".")
    return name if file.name == "__init__.py" else name[:-1]


def _walk(node: ast.AST, package: list[str], at_import: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue  # for the type checker only
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, "", at_import) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = package[: len(package) - child.level + 1] if child.level else []
            module = ".".join([*base, *([child.module] if child.module else [])])
            for alias in child.names:
                whole = f"{module}.{alias.name}"
                yield Import(whole, "", at_import) if whole in MODULES else Import(module, alias.name, at_import)
        inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))
        yield from _walk(child, package, at_import and not inside)


IMPORTS = {name: imports_of(file) for name, file in MODULES.items()}


def closure(name: str) -> set[str]:
    """Return every module, ours and others', that importing `name` imports by our own files."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            waiting += [found.module for found in IMPORTS.get(module, ()) if found.at_import]
    return seen


def tops(modules: set[str]) -> set[str]:
    return {module.split(".")[0] for module in modules}


def test_the_engine_knows_neither_the_page_nor_the_command_line() -> None:
    for name, found in IMPORTS.items():
        if name.startswith("pipeline"):
            assert not tops({each.module for each in found}) & {"ui", "cli", "finetune", "gradio", "typer"}, name


def test_the_page_does_not_know_the_command_line_nor_the_other_way_before_it_is_opened() -> None:
    for name, found in IMPORTS.items():
        if name.startswith("ui"):
            assert not tops({each.module for each in found}) & {"cli", "finetune"}, name
        if name.startswith("cli"):
            assert "ui" not in tops({each.module for each in found if each.at_import}), name


def test_imports_at_the_top_make_no_circle() -> None:
    for name, found in IMPORTS.items():
        for each in found:
            if each.at_import and each.module in MODULES:
                assert name not in closure(each.module), f"{name} and {each.module} import each other"


def test_the_foundation_stands_on_itself() -> None:
    for height, short in enumerate(FOUNDATION):
        below = {f"pipeline.{other}" for other in FOUNDATION[:height]}
        ours = {each.module for each in IMPORTS[f"pipeline.{short}"] if each.module in MODULES}
        assert ours <= below, f"{short} imports {sorted(ours - below)}"


def test_stages_are_reached_by_name_only() -> None:
    stages = {f"pipeline.{stage}" for stage in STAGES}
    for name, found in IMPORTS.items():
        if name != "pipeline.demo":
            taken = {each.module for each in found} & stages
            assert not taken, f"{name} imports the stage {sorted(taken)}: start it as a job"


def test_tabs_do_not_know_each_other() -> None:
    for name, found in IMPORTS.items():
        if name.startswith("ui.tabs."):
            assert not [each.module for each in found if each.module.startswith("ui.tabs")], name


def test_no_module_takes_anothers_private_names() -> None:
    for name, found in IMPORTS.items():
        private = [each for each in found if each.name.startswith("_") and each.module in MODULES]
        assert not private, f"{name}: {private}"


@pytest.mark.parametrize("start", ["finetune", "cli.commands", "ui.app", "pipeline.jobs", "pipeline.worker"])
def test_the_way_in_is_light(start: str) -> None:
    assert not tops(closure(start)) & HEAVY


def test_nothing_of_the_page_loads_what_stages_need() -> None:
    for name, found in IMPORTS.items():
        if name.startswith(("ui", "cli", "finetune")):
            needed = tops({each.module for each in found} | closure(name)) & (HEAVY - {"gradio"})
            assert not needed, f"{name} needs {sorted(needed)}"


PROBE = """
import importlib, json, os, sys, time
before = dict(os.environ), sorted(os.listdir("."))
began = time.process_time()
for name in sys.argv[1:]:
    importlib.import_module(name)
seconds = time.process_time() - began
same = before == (dict(os.environ), sorted(os.listdir(".")))
print(json.dumps({"seconds": seconds, "same": same, "loaded": sorted({m.split(".")[0] for m in sys.modules})}))
"""


def probe(folder: Path, *modules: str) -> dict[str, object]:
    """Import modules in a fresh process whose current folder is `folder`, and tell what that did."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *modules],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stdout[: done.stdout.rfind("{")], "importing prints something"
    return dict(json.loads(done.stdout))


def test_importing_the_engine_does_nothing_and_costs_nothing(tmp_path: Path) -> None:
    light = [name for name in MODULES if name.startswith("pipeline") and not tops(closure(name)) & HEAVY]
    assert len(light) > len(FOUNDATION) + 10
    told = probe(tmp_path, *light)
    assert not set(told["loaded"]) & HEAVY  # type: ignore[call-overload]
    assert told["same"], "importing changed the environment or wrote files"
    assert float(str(told["seconds"])) < 2.0


def test_the_whole_page_is_built_without_torch(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom pipeline.workspace import Workspace\nfrom ui.app import build_app\n"
        "ws = Workspace(Path(sys.argv[1]))\nws.prepare()\nbuild_app(ws)\n"
        "print(sorted({m.split('.')[0] for m in sys.modules}))"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    loaded = set(ast.literal_eval(done.stdout.splitlines()[-1]))
    assert not loaded & (HEAVY - {"gradio"})

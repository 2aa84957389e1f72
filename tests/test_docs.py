"""What the documents say is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cli.commands import app
from docs.make_settings import PAGE, make_page

REPOSITORY = Path(__file__).resolve().parent.parent
DOCUMENTS = [REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
DOCUMENTS += [*sorted(REPOSITORY.glob("docs/*.md")), *sorted(REPOSITORY.glob("*/README.md"))]


def test_the_table_of_settings_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == make_page(), "run: python -m docs.make_settings"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert link.startswith("https://") or (document.parent / link).exists(), link


def test_files_that_documents_name_are_there() -> None:
    for document in DOCUMENTS:
        for name in re.findall(
            r"`((?:assets|benchmarks|docs|pipeline|tests)/[\w./-]+)`", document.read_text(encoding="utf-8")
        ):
            assert (REPOSITORY / name).exists(), f"{document.name} names {name}"


def test_the_tree_in_the_readme_names_what_is_there_and_every_module_of_the_engine() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    tree = readme.split("## The tree")[1].split("```")[1]
    for module in (REPOSITORY / "pipeline").rglob("[a-z]*.py"):
        assert module.name in tree, module
    folder = REPOSITORY
    for line in tree.strip().splitlines():
        if not line or line.startswith(" " * 20):
            continue  # a heading among the files
        indented = line.startswith("  ")
        names = re.split(r"\s{2,}", line.strip())[0].split()
        for name in names:
            if name.startswith("."):
                name = names[0].rsplit(".", 1)[0] + name
            places = [folder / name, folder / Path(names[0]).parent / name] if indented else [REPOSITORY / name]
            assert any(place.exists() for place in places), name
        if not indented and names[0].endswith("/"):
            folder = REPOSITORY / names[0]


def test_every_command_is_in_the_readme() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for command in app.registered_commands:
        assert command.callback is not None
        assert f"`{command.name or command.callback.__name__}`" in readme

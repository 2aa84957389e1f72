"""Paths are built, written and deleted in one place, and nothing outside is ever touched."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InvalidNameError, WorkspaceError
from pipeline.workspace import Workspace, atomic_folder, atomic_path, check_name, read_json, size_of, write_json


@pytest.mark.parametrize("name", ["anna", "Стефан", "あき", "हिन्दी", "a b.c", "2nd_voice-x", "émile", "مريم"])
def test_names_in_any_language_are_accepted(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "  ", "../x", "a/b", "a\\b", ".", "..", ".hidden", "x.", "a..b", "CON", "con.txt", "lpt1", "a:b", "a|b",
     "😀", "a\u202eb", "a\nb", "put-voice-samples-in-here", "x" * 101, "é" * 60],
)  # fmt: skip
def test_names_that_are_paths_or_break_a_system_are_refused_in_words(name: str) -> None:
    with pytest.raises(InvalidNameError, match=r"name"):
        check_name(name)


@given(st.text(max_size=40))
def test_an_accepted_name_is_one_folder_of_the_workspace(name: str) -> None:
    ws = Workspace(Path("/somewhere"))
    try:
        project = ws.project(name)
    except InvalidNameError:
        return
    assert project.path.resolve().parent == ws.projects_folder


def test_a_block_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_path(target) as beside:
        beside.write_text("half")
        raise ZeroDivisionError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_appears_only_when_whole(tmp_path: Path) -> None:
    target = tmp_path / "voice"
    with pytest.raises(ZeroDivisionError), atomic_folder(target) as beside:
        (beside / "model.pth").write_text("half")
        assert not target.exists()
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with atomic_folder(target) as beside:
        (beside / "model.pth").write_text("whole")
    assert (target / "model.pth").read_text() == "whole"


def test_a_folder_is_replaced_only_when_asked(tmp_path: Path) -> None:
    target = tmp_path / "voice"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(WorkspaceError, match="there already"), atomic_folder(target):
        pytest.fail("must not be entered")
    with atomic_folder(target, overwrite=True) as beside:
        (beside / "new").touch()
    assert [path.name for path in target.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [target]


def test_nothing_outside_and_no_folder_of_the_house_is_deleted(ws: Workspace, tmp_path: Path) -> None:
    outside = tmp_path / "mine.wav"
    outside.touch()
    for path in (outside, ws.root, ws.projects_folder, ws.base_models, ws.samples / ".." / ".." / ".." / "mine.wav"):
        with pytest.raises(WorkspaceError, match="isn't deleted"):
            ws.delete(path)
    assert outside.exists()


def test_deleting_a_link_leaves_what_it_points_to(ws: Workspace, tmp_path: Path) -> None:
    outside = tmp_path / "mine"
    outside.mkdir()
    (outside / "a.wav").write_bytes(b"x")
    link = ws.samples / "link"
    link.symlink_to(outside)
    ws.delete(link)
    assert (outside / "a.wav").exists()
    assert not link.is_symlink()


def test_deleting_says_what_it_freed(ws: Workspace) -> None:
    project = ws.project("anna")
    project.wavs.mkdir(parents=True)
    (project.wavs / "a.wav").write_bytes(b"x" * 1000)
    assert size_of(project.path) == 1000
    assert ws.delete(project.path) == 1000
    assert ws.list_projects() == []


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "dataset.json"
    broken.write_text("{")
    with pytest.raises(WorkspaceError, match=r"dataset\.json"):
        read_json(broken)
    assert read_json(tmp_path / "none.json", 7) == 7


def test_settings_are_remembered_by_project(ws: Workspace) -> None:
    ws.project("anna").remember_settings(epochs=7)
    ws.project("anna").remember_settings(batch_size=2)
    assert ws.project("anna").read_settings() == {"epochs": 7, "batch_size": 2}
    assert ws.project("ben").read_settings() == {}
    write_json(ws.project("ben").settings_file, [1])
    assert ws.project("ben").read_settings() == {}


def test_settings_remembered_at_the_same_time_are_all_kept(ws: Workspace) -> None:
    project = ws.project("anna")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: project.remember_settings(**{f"tab{number}": number}), range(40)))
    assert project.read_settings() == {f"tab{number}": number for number in range(40)}

"""Writes that are there whole or not at all."""

import json
from pathlib import Path

import pytest

from dermdit_kedro.atomic import atomic_file, atomic_folder, mend, write_json


class PowerCutError(Exception):
    """What a test calls a failure in the middle of a write."""


def write_half(aside: Path) -> None:
    aside.write_text("ha")
    raise PowerCutError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_a_file_appears_whole(tmp_path: Path) -> None:
    file = tmp_path / "new" / "file.txt"
    with atomic_file(file) as aside:
        aside.write_text("whole")
        assert not file.exists()
    assert file.read_text() == "whole"
    assert names(file.parent) == ["file.txt"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "file.txt"
    file.write_text("old")
    with pytest.raises(PowerCutError), atomic_file(file) as aside:
        write_half(aside)
    assert file.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_a_folder_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for content in ("first", "second"):
        with atomic_folder(folder) as aside:
            (aside / "deep").mkdir()
            (aside / "deep" / content).touch()
    assert names(tmp_path) == ["deep", "folder", "second"]


def test_a_failed_folder_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with atomic_folder(folder) as aside:
        (aside / "old").touch()
    with pytest.raises(PowerCutError), atomic_folder(folder) as aside:
        write_half(aside / "half")
    assert names(tmp_path) == ["folder", "old"]


def test_a_failure_between_the_two_renames_brings_the_old_folder_back(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with atomic_folder(folder) as aside:
        (aside / "old").touch()
    with pytest.raises(FileNotFoundError), atomic_folder(folder) as aside:
        aside.rmdir()  # the second rename has nothing to rename
    assert names(tmp_path) == ["folder", "old"]


def test_mend_takes_away_what_a_kill_left(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / ".file.txt.0123abcd.tmp").touch()
    (tmp_path / ".folder.0123abcd.tmp").mkdir()
    (tmp_path / ".folder.0123abcd.tmp" / "half").touch()
    (tmp_path / ".gitkeep").touch()
    (tmp_path / "kept").touch()
    mend(tmp_path)
    assert names(tmp_path) == [".gitkeep", "deep", "kept"]


def test_mend_by_name_leaves_what_others_are_writing(tmp_path: Path) -> None:
    (tmp_path / ".mine.0123abcd.tmp").mkdir()
    (tmp_path / ".other.0123abcd.tmp").mkdir()
    mend(tmp_path, "mine")
    assert names(tmp_path) == [".other.0123abcd.tmp"]


@pytest.mark.parametrize("is_replaced", [True, False])
def test_mend_after_a_kill_between_the_two_renames(tmp_path: Path, is_replaced: bool) -> None:
    """The last good state stays: the new folder if it is in place, else the old one."""
    (tmp_path / ".folder.0123abcd.tmp.old").mkdir()
    (tmp_path / ".folder.0123abcd.tmp.old" / "old").touch()
    (tmp_path / ("folder" if is_replaced else ".folder.0123abcd.tmp")).mkdir()
    mend(tmp_path)
    assert names(tmp_path) == (["folder"] if is_replaced else ["folder", "old"])


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": 1, "y": [Path("z")]})
    write_json(tmp_path / "b.json", {"y": [Path("z")], "x": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": 1, "y": ["z"]}

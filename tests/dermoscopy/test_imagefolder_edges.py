"""Image folders that name no class, and lines of JSON with separators of Unicode in their words."""

from pathlib import Path

import pytest

from dermdit_kedro.dermoscopy.layouts import open_source
from dermdit_kedro.errors import UserError


def test_images_without_a_class_are_refused_with_a_message(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"image")
    with pytest.raises(UserError, match="must name a diagnosis"):
        open_source("s", {"layout": "imagefolder", "role": "train", "path": str(tmp_path)})


def test_a_line_of_json_ends_at_a_newline_alone(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"image")
    line = '{"file_name": "a.png", "diagnosis": "nevus", "note": "one\u2028two"}\r\n'
    (tmp_path / "metadata.jsonl").write_text(line, encoding="utf-8", newline="")
    source = open_source("s", {"layout": "imagefolder", "role": "train", "path": str(tmp_path)})
    assert list(source.records()["diagnosis"]) == ["nevus"]

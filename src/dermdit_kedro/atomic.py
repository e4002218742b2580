"""Writes that are there whole or not at all: write aside, fsync, rename."""

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def _fsync(path: Path) -> None:
    """Flush one file or directory entry to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; on success it becomes `path`, on failure it goes.

    Args:
        path: The file to create or replace; its parent folders are created.

    Yields:
        The temporary file to write.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = _aside(path)
    try:
        yield aside
        _fsync(aside)
        os.replace(aside, path)
        _fsync(path.parent)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path`; on success it takes the place of `path`.

    A kill between the two renames leaves no `path` at all, never a mixture: readers see the old
    folder, nothing, or the new one.

    Args:
        path: The folder to create or replace.

    Yields:
        The temporary folder to fill.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = _aside(path)
    aside.mkdir()
    old = path.with_name(f"{aside.name}.old")
    try:
        yield aside
        for file in aside.rglob("*"):
            if file.is_file():
                _fsync(file)
        _fsync(aside)
        if path.exists():
            os.replace(path, old)
        os.replace(aside, path)
        _fsync(path.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file atomically.

    Args:
        path: The file to create or replace.
        content: What to write; keys are sorted so that equal content gives equal bytes.
    """
    with atomic_file(path) as aside:
        aside.write_text(json.dumps(content, indent=2, sort_keys=True, default=str) + "\n")

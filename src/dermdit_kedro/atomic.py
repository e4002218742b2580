"""Writes that are there whole or not at all: write aside, fsync, rename."""

import glob
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_LEFTOVER = re.compile(r"\.(.+)\.[0-9a-f]{8}\.tmp(\.old)?")


def _fsync(path: Path) -> None:
    """Flush one file or directory entry to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")


MANY_ENTRIES = 100
"""A folder with more entries is flushed with the whole disk instead of one by one."""


@contextmanager
def atomic_file(path: Path, durable: bool = True) -> Iterator[Path]:
    """Yield a path beside `path` to write to; on success it becomes `path`, on failure it goes.

    Args:
        path: The file to create or replace; its parent folders are created.
        durable: Whether to wait for the disk. One file of many thousands that a rerun can make again need not:
            a kill leaves it whole or absent all the same, only a power cut may not.

    Yields:
        The temporary file to write.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = _aside(path)
    try:
        yield aside
        if durable:
            _fsync(aside)
        aside.replace(path)
        if durable:
            _fsync(path.parent)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path`; on success it takes the place of `path`.

    A kill between the two renames leaves no `path` at all, never a mixture: readers see the old
    folder, nothing, or the new one. `mend` brings the old one back.

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
        entries = list(aside.rglob("*"))
        if len(entries) > MANY_ENTRIES:
            os.sync()  # one wait for all of them
        else:
            for entry in (*entries, aside):
                _fsync(entry)
        if path.exists():
            path.replace(old)
        aside.replace(path)
        _fsync(path.parent)
    finally:
        if old.exists() and not path.exists():
            old.replace(path)
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def link_or_copy(source: "str | Path", target: "str | Path") -> None:
    """Give a finished file a second name; a copy where the disk has no hard links.

    Args:
        source: The file, which nobody writes to any more.
        target: Its second name, in a folder that exists; nothing is there yet.
    """
    try:
        os.link(source, target)
    except OSError:
        with atomic_file(Path(target), durable=False) as aside:
            shutil.copy2(source, aside)


def mend(folder: Path, name: str | None = None) -> None:
    """Put right what a kill left behind in a folder that nobody is writing to.

    Half-written files and folders go; a folder that was being replaced comes back as it was.

    Args:
        folder: The folder, searched through all levels.
        name: Look for what was left of this file or folder alone, on the first level; null for all.
    """
    paths = folder.rglob(".*") if name is None else folder.glob(f".{glob.escape(name)}.*")
    found = [(path, _LEFTOVER.fullmatch(path.name)) for path in paths]
    leftovers = [(path, match.group(1)) for path, match in found if match and name in (None, match.group(1))]
    for path, original in sorted(leftovers, key=lambda leftover: leftover[0].suffix != ".old"):
        target = path.with_name(original)
        if path.suffix == ".old" and not target.exists():
            path.replace(target)
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file atomically.

    Args:
        path: The file to create or replace.
        content: What to write; keys are sorted so that equal content gives equal bytes.
    """
    with atomic_file(path) as aside:
        aside.write_text(json.dumps(content, indent=2, sort_keys=True, default=str) + "\n")

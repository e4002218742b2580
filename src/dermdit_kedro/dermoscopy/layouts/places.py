"""Where a source's files lie: a folder of this machine, or anything that fsspec opens (see `stores`).

`path` of a source is a folder, a zip archive (`images.zip`), or an address such as `s3://bucket/folder` or
`zip::s3://bucket/images.zip`. Layouts know a place by one signature and not which kind it is.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol

from dermdit_kedro.dermoscopy.layouts.options import FolderOptions
from dermdit_kedro.dermoscopy.layouts.source import read_below, stamp_below, walk_below
from dermdit_kedro.dermoscopy.layouts.stores import StoreFolder, store_options
from dermdit_kedro.errors import UserError

ADDRESS: Final = re.compile(r"[a-z][a-z0-9+.-]+(://|::)")
"""How an address begins; a folder's path does not."""

PASSWORD: Final = re.compile(r"://[^/@:]*:[^/@]*@")


class TableFile(Protocol):
    """A file that is read whole; `pathlib.Path` is one."""

    @property
    def name(self) -> str:
        """The last part of its path."""

    def is_file(self) -> bool:
        """Whether it is there."""

    def read_bytes(self) -> bytes:
        """Read it."""


class Place(Protocol):
    """The folder of a source; as text, what a user calls it."""

    @property
    def name(self) -> str:
        """The last part of its path."""

    def is_dir(self) -> bool:
        """Whether it is there."""

    def __truediv__(self, file: str) -> TableFile:
        """A file below it; an absolute path stands for itself."""

    def walk(self) -> Iterator[str]:
        """Yield the files below it, as relative paths with slashes, in any order."""

    def read(self, file: str) -> bytes:
        """Read a file below it, as `source.read_below` does."""

    def stamp(self, file: str) -> str | None:
        """Tell a file's bytes from what they were before, as `source.stamp_below` does."""


@dataclass(frozen=True)
class DiskFolder:
    """A folder of this machine.

    Attributes:
        root: The folder.
    """

    root: Path

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.root.name

    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return self.root.is_dir()

    def __truediv__(self, file: str) -> Path:
        """Return the path of a file below it."""
        return self.root / file

    def __str__(self) -> str:
        """Return the path."""
        return str(self.root)

    def __getstate__(self) -> dict[str, Any]:
        """Travel to other processes as a path."""
        return {"root": self.root}

    def walk(self) -> Iterator[str]:
        """Yield the files below it; links to folders are not followed."""
        return walk_below(str(self.root))

    @cached_property
    def _real_root(self) -> Path:
        return self.root.resolve()

    def read(self, file: str) -> bytes:
        """Return the bytes of a file below it."""
        return read_below(self._real_root, file)

    def stamp(self, file: str) -> str | None:
        """Return place, size and times of change of a file below it."""
        return stamp_below(self._real_root, file)


def open_place(source: str, options: FolderOptions) -> Place:
    """Return the place that a source's `path` names; nothing is read yet.

    Args:
        source: The source's name, for messages.
        options: `path`, and `storage_options` and `credentials` of a store.

    Returns:
        The place.

    Raises:
        UserError: If `path` holds a password, or is a folder and what a store is told is given with it, or
            is a file that is no zip archive.
    """
    path = options.path.removeprefix("file://").removeprefix("local://")
    if PASSWORD.search(path):
        raise UserError(
            f"sources.{source}.path must hold no password, for it is written into logs: give it in `credentials` of "
            "the source, the name of an entry of conf/<env>/credentials.yml"
        )
    if path.startswith("zip://") and "::" not in path:
        path = path.removeprefix("zip://")
    told = options.storage_options or options.credentials
    if ADDRESS.match(path):
        return StoreFolder(source, path, path, store_options(path, options.storage_options, options.credentials))
    if told:
        raise UserError(
            f"sources.{source}: storage_options and credentials are for an address such as s3://bucket/folder. "
            f"Got {path}"
        )
    if Path(path).suffix.lower() == ".zip" and not Path(path).is_dir():
        return StoreFolder(source, path, f"zip::file://{Path(path).absolute().as_posix()}", {})
    if Path(path).is_file():
        raise UserError(
            f"sources.{source}.path must be a folder, a zip archive or an address (a tar archive is written "
            f"tar::file://{Path(path).absolute().as_posix()}). Got the file {path}"
        )
    return DiskFolder(Path(path))

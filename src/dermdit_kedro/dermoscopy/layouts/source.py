"""What every layout gives: harmonised records and the bytes of each image."""

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import pandas as pd
from pydantic import ValidationError

from dermdit_kedro.errors import UserError
from dermdit_kedro.parameters import Parameters

Options = TypeVar("Options", bound=Parameters)

MAX_BYTES: Final = 2**28
"""Bound on the size of one image file: a whole one of 50 million pixels has at most 150 MB, 300 MB with 16 bits."""


class Expect(Parameters):
    """Counts a source must have; any that differs stops the run.

    Attributes:
        images: Rows.
        lesions: Distinct lesion ids.
        is_malignant: Malignant rows.
        is_melanoma: Melanoma rows.
    """

    images: int | None = None
    lesions: int | None = None
    is_malignant: int | None = None
    is_melanoma: int | None = None

    def check(self, name: str, records: pd.DataFrame) -> None:
        """Compare with what a source holds.

        Args:
            name: The source's name.
            records: Its records.

        Raises:
            UserError: Naming every count that differs.
        """
        found = {
            "images": len(records),
            "lesions": records["lesion_id"].nunique(),
            "is_malignant": int(records["is_malignant"].sum()),
            "is_melanoma": int(records["is_melanoma"].sum()),
        }
        wrong = [
            f"{key}: expected {value}, found {found[key]}"
            for key, value in self.model_dump(exclude_none=True).items()
            if found[key] != value
        ]
        if wrong:
            raise UserError(f"the source {name!r} is not what `expect` says: {'; '.join(wrong)}")


class Source(Protocol):
    """A set of images with records.

    Patient and lesion ids are compared within a source only.
    """

    @property
    def name(self) -> str:
        """Name in the catalog."""

    @property
    def layout(self) -> str:
        """Name of its layout."""

    @property
    def expect(self) -> Expect | None:
        """Counts it must have, if any are given."""

    def records(self) -> pd.DataFrame:
        """Return the harmonised records, dtypes `RECORD_DTYPES`."""

    def read_bytes(self, file: str) -> bytes:
        """Read one image.

        Args:
            file: The `file` of its record.

        Returns:
            The encoded image.

        Raises:
            FileNotFoundError: If there is no such image.
            PermissionError: If the file lies outside the source's folder.
        """

    def stamp(self, file: str) -> str | None:
        """Tell the bytes of one image from what they were before, without reading them.

        Args:
            file: The `file` of its record.

        Returns:
            Text that changes when the image does; null where there is no such image.
        """

    def num_unused_files(self) -> int:
        """Count the image files that no record names."""


def parse_options(name: str, kind: type[Options], options: Mapping[str, Any]) -> Options:
    """Validate the options of a source.

    Args:
        name: The source's name.
        kind: The layout's options.
        options: What the catalog says.

    Returns:
        The options.

    Raises:
        UserError: With one line a fault.
    """
    try:
        return kind.model_validate(options)
    except ValidationError as error:
        faults = [f"sources.{name}.{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors()]
        raise UserError("\n".join(faults)) from error


def walk_below(root: str) -> Iterator[str]:
    """Yield the files below a folder; links to folders are not followed.

    Args:
        root: The folder.

    Yields:
        Paths relative to it, with slashes.

    Raises:
        UserError: If a folder cannot be read: its images would be lost without a word.
    """
    for folder, _, names in os.walk(root, onerror=_refuse):
        below = folder[len(root) :].replace(os.sep, "/").lstrip("/")
        yield from (f"{below}/{name}" if below else name for name in names)


def _refuse(error: OSError) -> None:
    raise UserError(f"the folder {error.filename} cannot be read: {error.strerror}") from error


def stamp_below(root: Path, file: str) -> str | None:
    """Return place, size and times of change of a file; null where it cannot be looked at.

    Args:
        root: The folder, resolved.
        file: The name, relative to it.

    Returns:
        Text that changes when the file does.
    """
    try:
        found = (root / file).stat()
    except (OSError, ValueError):  # ValueError: a name with a null character
        return None
    return f"{root} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"


def read_below(root: Path, file: str) -> bytes:
    """Read a file that must lie below a folder, whatever links and dots its name holds.

    Args:
        root: The folder, resolved (`Path.resolve`), so that it need not be for every file.
        file: The name, relative to it.

    Returns:
        The bytes.

    Raises:
        PermissionError: If the file lies elsewhere.
        FileNotFoundError: If it is not there, or its name is none.
        OverflowError: If it has more than `MAX_BYTES`.
        OSError: If it is a folder, a pipe, a device or a link to itself, or may not be read.
    """
    if "\0" in file:
        raise FileNotFoundError(f"no file has the name {file!r}")
    try:
        path = (root / file).resolve()
    except RuntimeError as error:
        raise OSError(f"{file!r} is a link to itself") from error
    if not path.is_relative_to(root):
        raise PermissionError(f"an image must lie below the source's folder. Got {file!r}")
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # reading a pipe would wait for ever
            raise OSError(f"an image must be a file; {file!r} is a folder, a pipe or a device")
        if found.st_size > MAX_BYTES:
            raise OverflowError(f"a file may have at most {MAX_BYTES:,} bytes. {file!r} has {found.st_size:,}")
        return path.read_bytes()
    except PermissionError as error:
        raise OSError(f"{file!r} may not be read") from error
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            raise FileNotFoundError(f"there is no file {file!r}") from error
        raise

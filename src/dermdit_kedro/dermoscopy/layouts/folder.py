"""What the layouts of folders share: a table is read by the names of its columns, an image is found by its own.

A layout is a function that turns one folder into rows; `FolderSource` gives it the folder, and its rows dtypes and
names.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, Final

import pandas as pd
from pandera.errors import SchemaError

from dermdit_kedro.dermoscopy.layouts.listing import IMAGE_SUFFIXES, Listing
from dermdit_kedro.dermoscopy.layouts.options import FolderOptions
from dermdit_kedro.dermoscopy.layouts.places import Place, TableFile, open_place
from dermdit_kedro.dermoscopy.layouts.source import Expect, Source, parse_options
from dermdit_kedro.dermoscopy.layouts.tables import image_names, read_table
from dermdit_kedro.dermoscopy.records import RECORD_DTYPES, Diagnosis, conform, make_image_id
from dermdit_kedro.dermoscopy.schemas import RECORDS_SCHEMA
from dermdit_kedro.errors import UserError

TABLE_SUFFIXES: Final = ("", ".csv", ".tab", ".tsv", ".txt")


@dataclass(frozen=True)
class FolderSource:
    """A folder as an archive hands it out.

    Attributes:
        name: Name in the catalog.
        role: train or test.
        layout: Name of the layout.
        origin: What the folder should hold and where it comes from, for messages.
        options: The layout's own options.
        root: The folder, wherever it lies.
        harmonise: The layout: the source to a table with the column `name` (the image's own) and any of
            `RECORD_DTYPES`; `file` is looked up by `name` where it is not given.
    """

    name: str
    role: str
    layout: str
    origin: str
    options: FolderOptions
    root: Place
    harmonise: "Callable[[FolderSource], pd.DataFrame]"

    @property
    def expect(self) -> Expect | None:
        """Counts it must have, if any are given."""
        return self.options.expect

    def records(self) -> pd.DataFrame:
        """Harmonise every row; a row whose image is absent stays, for the quarantine.

        Returns:
            Records, dtypes `RECORD_DTYPES`.

        Raises:
            UserError: If the folder, a table, a column or every image is missing, or a word is not one of the layout's.
        """
        return self._records.copy()

    @cached_property
    def _records(self) -> pd.DataFrame:
        if not self.root.is_dir():
            raise UserError(
                f"the folder of the source {self.name!r} is missing: {self.root}. Expected {self.origin}; "
                "put or link it there"
            )
        rows = self.harmonise(self)
        if not self._listing.images:
            raise UserError(f"{self.root} holds no image ({', '.join(IMAGE_SUFFIXES)}). Expected {self.origin}")
        image_names(rows["name"], f"the table of images in {self.root}")
        if "file" not in rows:
            rows["file"] = [self.find_image(name) for name in rows["name"]]
        self._check_files(rows["file"])
        rows["image_id"] = [make_image_id(self.name, name) for name in rows["name"]]
        if "listed_duplicate_of" in rows:
            known = rows["listed_duplicate_of"].notna()
            rows.loc[known, "listed_duplicate_of"] = [
                make_image_id(self.name, name) for name in rows.loc[known, "listed_duplicate_of"]
            ]
        records = conform(rows.assign(source=self.name, role=self.role), RECORD_DTYPES)
        try:
            return RECORDS_SCHEMA.validate(records)
        except SchemaError as error:
            raise UserError(f"the source {self.name!r} holds what no image can have: {error}") from error

    def _check_files(self, asked: pd.Series) -> None:
        """Refuse a wrong folder at once, instead of sending every row to the quarantine."""
        if len(asked) and not asked.isin(self._listing.images).any():
            raise UserError(
                f"{self.root} holds none of the images that the table of the source {self.name!r} names, such as "
                f"{str(list(asked[:3]))[1:-1]}. It holds {str(self._listing.images[:3])[1:-1]}. Expected {self.origin}"
            )

    def __getstate__(self) -> dict[str, Any]:
        """Travel to other processes without the records and the listing, which are made again where they are needed."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def read_bytes(self, file: str) -> bytes:
        """Return the bytes of one image."""
        return self.root.read(file)

    def stamp(self, file: str) -> str | None:
        """Return what changes when one image does; null where that cannot be told."""
        return self.root.stamp(file)

    def num_unused_files(self) -> int:
        """Count the image files in the folder that no record names."""
        return len(set(self._listing.images) - set(self._records["file"]))

    def option(self, name: str) -> Any:
        """Return one of the layout's own options."""
        return getattr(self.options, name)

    @cached_property
    def _listing(self) -> Listing:
        return Listing(self.root)

    @property
    def files(self) -> list[str]:
        """The images below the folder, as paths relative to it."""
        return self._listing.images

    def named_files(self, *names: str) -> list[str]:
        """Return the files, other than images, of these names, as paths relative to the folder."""
        return self._listing.named(*names)

    def find_image(self, name: str) -> str:
        """Find an image by its name or the end of its path, with or without ending; case decides only between several.

        Args:
            name: What a table calls it.

        Returns:
            Its path below the folder; where there is none, the one that a reader will miss.

        Raises:
            UserError: If several images go by that name.
        """
        asked = name.replace("\\", "/").removeprefix("./")
        fitting = self._listing.find(asked)
        if len(fitting) > 1:
            raise UserError(
                f"{self.name}: an image must go by one name. {name!r} may be {' or '.join(sorted(fitting)[:3])}"
            )
        if fitting:
            return fitting[0]
        return asked if PurePosixPath(asked).suffix else f"{asked}.jpg"

    def by_folder(self, files: Sequence[str], diagnoses: Mapping[str, Diagnosis]) -> pd.Series:
        """Return the diagnosis that each image's folder names.

        Args:
            files: Images below the folder.
            diagnoses: Name of a folder, in lower case -> diagnosis.

        Returns:
            Diagnoses, in the order of the images.

        Raises:
            UserError: If a folder is not one of them.
        """
        folders = [PurePosixPath(file).parent.name.lower() for file in files]
        odd = sorted(set(folders) - set(diagnoses))
        if odd:
            raise UserError(f"a folder of images in {self.root} must be one of {', '.join(diagnoses)}. Got {odd[0]!r}")
        return pd.Series([str(diagnoses[folder]) for folder in folders], dtype="object")

    def has_table(self, stems: Sequence[str]) -> bool:
        """Say whether the folder holds a table of one of these names."""
        return self._find_table(stems) is not None

    def table(
        self, stems: Sequence[str], columns: Sequence[str], *, header: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """Read a table of the folder, with commas, semicolons or tabs; spaces are stripped, empty cells are null.

        Args:
            stems: Names the file may have, without ending; a `*` stands for anything.
            columns: The columns it must have; others are left as they are.
            header: Names of the columns of a table that has none.

        Returns:
            The table, every column text.

        Raises:
            UserError: If there is no such file, or it lacks a column.
        """
        path = self._find_table(stems)
        if path is None:
            raise UserError(f"{self.root} must hold the table {' or '.join(stems)} of {self.origin}")
        return read_table(path, columns, self.origin, header)

    def _find_table(self, stems: Sequence[str]) -> TableFile | None:
        for stem in stems:
            suffixes = TABLE_SUFFIXES[1:] if "*" in stem else TABLE_SUFFIXES
            found = self._listing.named(*(f"{stem}{suffix}" for suffix in suffixes))
            if len(found) > 1:
                raise UserError(
                    f"{self.root} must hold one table {stem}. Got {', '.join(map(_last_part, found))}: give each "
                    "part a folder, and a source, of its own"
                )
            if found:
                return self.root / found[0]
        return None


def _last_part(file: str) -> str:
    return PurePosixPath(file).name


def opener(
    layout: str,
    origin: str,
    harmonise: Callable[[FolderSource], pd.DataFrame],
    kind: type[FolderOptions] = FolderOptions,
) -> Callable[[str, str, Mapping[str, Any]], Source]:
    """Make the function that opens a source of a layout; it reads the tables, so that faults are told at once.

    Args:
        layout: Its name.
        origin: What a folder holds and where it comes from.
        harmonise: See `FolderSource`.
        kind: The layout's options.

    Returns:
        A function of (name, role, options).
    """

    def open_source(name: str, role: str, options: Mapping[str, Any]) -> Source:
        parsed = parse_options(name, kind, options)
        source = FolderSource(name, role, layout, origin, parsed, open_place(name, parsed), harmonise)
        source.records()
        return source

    return open_source

"""Layout `ham10000`: HAM10000 as Harvard Dataverse distributes it (Tschandl et al. 2018).

A folder with the images in any sub-folder and a table `HAM10000_metadata`, with or without a file ending,
separated by commas or tabs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from dermdit_kedro.dermoscopy.layouts.source import Expect, Source, parse_options, read_below
from dermdit_kedro.dermoscopy.records import (
    RECORD_DTYPES,
    SEXES,
    Diagnosis,
    clean_ages,
    conform,
    label_diagnoses,
    make_image_id,
)
from dermdit_kedro.errors import UserError
from dermdit_kedro.parameters import Parameters

ORIGIN: Final = "Harvard Dataverse, doi:10.7910/DVN/DBW86T"
COLUMNS: Final = ("lesion_id", "image_id", "dx", "age", "sex", "localization")
IMAGE_SUFFIXES: Final = (".jpg", ".jpeg", ".png")

DIAGNOSES: Final[dict[str, Diagnosis]] = {
    "akiec": Diagnosis.ACTINIC_KERATOSIS,
    "bcc": Diagnosis.BASAL_CELL_CARCINOMA,
    "bkl": Diagnosis.BENIGN_KERATOSIS,
    "df": Diagnosis.DERMATOFIBROMA,
    "mel": Diagnosis.MELANOMA,
    "nv": Diagnosis.NEVUS,
    "vasc": Diagnosis.VASCULAR_LESION,
}
SITES: Final[dict[str, str]] = {
    **dict.fromkeys(("scalp", "face", "ear", "neck"), "head and neck"),
    **dict.fromkeys(("back", "trunk", "chest", "abdomen"), "trunk"),
    **dict.fromkeys(("upper extremity", "hand"), "upper extremity"),
    **dict.fromkeys(("lower extremity", "foot"), "lower extremity"),
    "acral": "palms and soles",
    "genital": "oral or genital",
}


class Ham10000Options(Parameters):
    """Options of the layout.

    Attributes:
        path: The folder.
        akiec_is_malignant: Whether actinic keratosis and Bowen's disease count as malignant.
        expect: Counts the source must have.
    """

    path: Path
    akiec_is_malignant: bool = True
    expect: Expect | None = None


@dataclass(frozen=True)
class Ham10000Source:
    """HAM10000 as a source.

    Attributes:
        name: Name in the catalog.
        role: train or test.
        options: Where it is.
    """

    name: str
    role: str
    options: Ham10000Options

    @property
    def layout(self) -> str:
        """Name of the layout."""
        return "ham10000"

    @property
    def expect(self) -> Expect | None:
        """Counts it must have, if any are given."""
        return self.options.expect

    def check(self) -> None:
        """Look at the folder, the table's columns and whether there is an image, without reading them.

        Raises:
            UserError: Naming what is missing, and where to get it.
        """
        self._table(num_rows=0)
        root = self.options.path
        if not any(path.suffix.lower() in IMAGE_SUFFIXES for path in root.rglob("*")):
            raise UserError(f"{root} holds no image ({', '.join(IMAGE_SUFFIXES)}). Expected the images of {ORIGIN}")

    def records(self) -> pd.DataFrame:
        """Harmonise every row of the table; a row whose image is absent stays, for the quarantine.

        Returns:
            Records, dtypes `RECORD_DTYPES`.

        Raises:
            UserError: If folder, table or a column is missing, or a diagnosis is not one of the seven.
        """
        table = self._table()
        files = self._files()
        dx = table["dx"].str.strip().str.lower()
        if not dx.isin(list(DIAGNOSES)).all():
            odd = dx[~dx.isin(list(DIAGNOSES))].iloc[0]
            raise UserError(f"`dx` in {self._table_path()} must be one of {', '.join(DIAGNOSES)}. Got {odd!r}")
        sex = table["sex"].str.strip().str.lower()
        diagnosis = dx.map({k: str(v) for k, v in DIAGNOSES.items()})
        rows = pd.DataFrame(
            {
                "image_id": [make_image_id(self.name, name) for name in table["image_id"]],
                "source": self.name,
                "file": [files.get(name, f"{name}.jpg") for name in table["image_id"]],
                "modality": "dermoscopic",
                "lesion_id": table["lesion_id"],
                "diagnosis": diagnosis,
                "sex": sex.where(sex.isin(SEXES)),
                "age_approx": clean_ages(table["age"]),
                "site": table["localization"].str.strip().str.lower().map(SITES),
                "role": self.role,
            }
        )
        labels = label_diagnoses(diagnosis, self.options.akiec_is_malignant)
        return conform(pd.concat([rows, labels], axis=1), RECORD_DTYPES)

    def read_bytes(self, file: str) -> bytes:
        """Return the bytes of one image."""
        return read_below(self.options.path, file)

    def _table_path(self) -> Path:
        folder = self.options.path
        if not folder.is_dir():
            raise UserError(
                f"the folder of the source {self.name!r} is missing: {folder}. Expected the images and "
                f"HAM10000_metadata of {ORIGIN}; put or link them there"
            )
        tables = sorted(p for p in folder.iterdir() if p.is_file() and p.stem == "HAM10000_metadata")
        if not tables:
            raise UserError(f"{folder} must hold the table HAM10000_metadata (.csv, .tab or no ending) of {ORIGIN}")
        return tables[0]

    def _table(self, num_rows: int | None = None) -> pd.DataFrame:
        path = self._table_path()
        with path.open(encoding="utf-8-sig") as file:
            separator = "\t" if "\t" in file.readline() else ","
        table = pd.read_csv(path, sep=separator, dtype="str", encoding="utf-8-sig", nrows=num_rows)
        table.columns = [str(column).strip() for column in table.columns]
        missing = [column for column in COLUMNS if column not in table.columns]
        if missing:
            found = ", ".join(table.columns)
            raise UserError(f"{path} lacks the column {', '.join(missing)}; it has {found}. See {ORIGIN}")
        return table

    def _files(self) -> dict[str, str]:
        """Return image name -> file below the folder."""
        root = self.options.path
        found = (path for path in sorted(root.rglob("*")) if path.suffix.lower() in IMAGE_SUFFIXES)
        return {path.stem: path.relative_to(root).as_posix() for path in found}


def open_source(name: str, role: str, options: Mapping[str, Any]) -> Source:
    """Open HAM10000, checked; see `layouts.open_source`."""
    source = Ham10000Source(name, role, parse_options(name, Ham10000Options, options))
    source.check()
    return source

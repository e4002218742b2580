"""Layout `table`: anybody's own images, with a table whose columns and words are translated in `conf/`.

```yaml
clinic:
  layout: table
  role: test
  path: ${globals:paths.raw}/clinic
  table: lesions.csv
  modality: dermoscopic
  columns: {image: file_name, patient_id: patient, diagnosis: histology, sex: gender, age_approx: age}
  values:
    diagnosis: {MM: melanoma, naevus: nevus}
    sex: {m: male, f: female}
```
"""

from pathlib import PurePosixPath
from typing import Any, Final, Literal, Self

import pandas as pd
from pydantic import Field, model_validator

from dermdit_kedro.dermoscopy.layouts.folder import FolderOptions, FolderSource, opener
from dermdit_kedro.dermoscopy.layouts.tables import read_table, translate
from dermdit_kedro.dermoscopy.records import SEXES, SITES, TONE_GROUPS, Diagnosis, clean_ages, label_diagnoses
from dermdit_kedro.errors import UserError

ORIGIN: Final = "your images and your table"
TRUTH: Final = {
    "true": True,
    "false": False,
    "1": True,
    "0": False,
    "1.0": True,
    "0.0": False,
    "yes": True,
    "no": False,
}
WORDS: Final[dict[str, dict[str, Any]]] = {
    "diagnosis": {str(kind): str(kind) for kind in Diagnosis},
    "is_malignant": TRUTH,
    "is_melanoma": TRUTH,
    "sex": {sex: sex for sex in SEXES},
    "site": {site: site for site in SITES},
    "tone_group": {tone: tone for tone in TONE_GROUPS},
    "fitzpatrick_skin_type": {
        word: number
        for number, roman in enumerate(("i", "ii", "iii", "iv", "v", "vi"), 1)
        for word in (roman, str(number))
    },
}
"""Column -> the words that need no translation."""

COLUMNS: Final = ("image", "patient_id", "lesion_id", "age_approx", *WORDS)


class TableOptions(FolderOptions):
    """Options of the layout.

    Attributes:
        table: The table, relative to `path`.
        columns: Our column -> yours; `image` (a file name, with or without ending, or a path below `path`) must be
            there, the others are image's attributes: patient_id, lesion_id, diagnosis, is_malignant, is_melanoma, sex,
            age_approx, site, fitzpatrick_skin_type, tone_group (an expert's).
        values: Our column -> your word -> ours; a word that is one of ours needs no line, null says unknown.
        modality: What the images are.
        akiec_is_malignant: Whether actinic keratosis counts as malignant, where the label follows from the diagnosis.
    """

    table: str
    columns: dict[str, str]
    values: dict[str, dict[str, Any]] = Field(default_factory=dict)
    modality: Literal["dermoscopic", "clinical", "tbp", "other"] = "dermoscopic"
    akiec_is_malignant: bool = True

    @model_validator(mode="after")
    def _known_columns(self) -> Self:
        odd = [name for name in (*self.columns, *self.values) if name not in COLUMNS]
        if odd:
            raise ValueError(f"columns and values may name {', '.join(COLUMNS)}. Got {', '.join(odd)}")
        if "image" not in self.columns:
            raise ValueError("columns must say which column names the image: {image: ...}")
        if not {"diagnosis", "is_malignant", "is_melanoma"} & set(self.columns):
            raise ValueError("columns must name a diagnosis, is_malignant or is_melanoma")
        return self


def harmonise(source: FolderSource) -> pd.DataFrame:
    """Return the rows of the table; see `FolderSource`."""
    options = source.options
    assert isinstance(options, TableOptions)
    path = source.root / options.table
    if not path.is_file():
        raise UserError(f"sources.{source.name}.table: there is no file {path}")
    table = read_table(path, list(options.columns.values()), ORIGIN)
    given = {ours: table[yours] for ours, yours in options.columns.items()}
    image = given.pop("image")
    rows = pd.DataFrame({"modality": options.modality}, index=table.index)
    rows["name"] = [PurePosixPath(name.replace("\\", "/")).with_suffix("").as_posix() for name in image]
    rows["file"] = [source.find_image(name) for name in image]
    for ours, values in given.items():
        rows["expert_tone_group" if ours == "tone_group" else ours] = _ours(ours, values, options, path)
    if "diagnosis" in rows:
        derived = label_diagnoses(rows["diagnosis"], options.akiec_is_malignant)
        for label in derived:
            rows[label] = rows[label].astype("boolean").fillna(derived[label]) if label in rows else derived[label]
    return rows


def _ours(column: str, values: pd.Series, options: TableOptions, path: Any) -> pd.Series:
    """Translate one column."""
    if column == "age_approx":
        return clean_ages(values)
    if column not in WORDS:
        return values
    given = {str(word).lower(): ours for word, ours in options.values.get(column, {}).items()}
    return translate(values, WORDS[column] | given, f"`{options.columns[column]}` in {path}", unknown=("unknown", "-1"))


open_source = opener("table", ORIGIN, harmonise, TableOptions)

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

from typing import Any, Final, Literal, Self

import pandas as pd
from pydantic import Field, model_validator

from dermdit_kedro.dermoscopy.layouts.folder import FolderSource, opener
from dermdit_kedro.dermoscopy.layouts.listing import bare_name
from dermdit_kedro.dermoscopy.layouts.options import FolderOptions
from dermdit_kedro.dermoscopy.layouts.tables import FLAGS, SKIN_TYPES, image_names, read_table, translate
from dermdit_kedro.dermoscopy.records import SEXES, SITES, TONE_GROUPS, Diagnosis, clean_ages, label_diagnoses
from dermdit_kedro.errors import UserError

ORIGIN: Final = "your images and your table"
WORDS: Final[dict[str, dict[str, Any]]] = {
    "diagnosis": {str(kind): str(kind) for kind in Diagnosis},
    "is_malignant": FLAGS,
    "is_melanoma": FLAGS,
    "sex": {sex: sex for sex in SEXES},
    "site": {site: site for site in SITES},
    "tone_group": {tone: tone for tone in TONE_GROUPS},
    "fitzpatrick_skin_type": SKIN_TYPES,
}
"""Column -> the words that need no translation."""

IDS: Final = ("patient_id", "lesion_id")
NOTHING: Final = ("unknown", "-1", "na", "n/a", "nan", "none", "null")
"""Words that say that nothing is known, in any column."""

COLUMNS: Final = ("image", *IDS, "age_approx", *WORDS)


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
    values: dict[str, dict[Any, Any]] = Field(default_factory=dict)
    modality: Literal["dermoscopic", "clinical", "tbp", "other"] = "dermoscopic"
    akiec_is_malignant: bool = True

    @model_validator(mode="after")
    def _known_columns(self) -> Self:
        odd = [name for name in (*self.columns, *self.values) if name not in COLUMNS]
        if odd:
            raise ValueError(f"columns and values may name {', '.join(COLUMNS)}. Got {', '.join(odd)}")
        idle = [name for name in self.values if name not in self.columns or name not in (*WORDS, *IDS)]
        if idle:
            raise ValueError(f"values may translate a column of words that is in columns. Got {', '.join(idle)}")
        for name in WORDS.keys() & self.values.keys():
            allowed = set(WORDS[name].values())
            odd = [word for word in self.values[name].values() if word is not None and word not in allowed]
            if odd:
                raise ValueError(
                    f"values.{name} must lead to one of {', '.join(map(str, sorted(allowed)))}. Got {odd[0]!r}"
                )
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
    image = image_names(given.pop("image"), f"`{options.columns['image']}` in {path}")
    rows = pd.DataFrame({"modality": options.modality}, index=table.index)
    rows["name"] = [bare_name(name.replace("\\", "/")) for name in image]
    rows["file"] = [source.find_image(name) for name in image]
    for ours, values in given.items():
        rows["expert_tone_group" if ours == "tone_group" else ours] = _ours(ours, values, options, path)
    if "diagnosis" in rows:
        derived = label_diagnoses(rows["diagnosis"], options.akiec_is_malignant)
        for label in derived:
            rows[label] = rows[label].astype("boolean").fillna(derived[label]) if label in rows else derived[label]
    if "is_melanoma" in rows:
        melanoma = rows["is_melanoma"].astype("boolean").fillna(False)
        malignant = rows.get("is_malignant", pd.Series(pd.NA, index=rows.index)).astype("boolean")
        if (melanoma & ~malignant.fillna(True)).any():
            name = rows["name"][melanoma & ~malignant.fillna(True)].iloc[0]
            raise UserError(f"{path}: a melanoma must be malignant. {name!r} is said not to be")
        rows["is_malignant"] = malignant.mask(melanoma, True)
    return rows


def _ours(column: str, values: pd.Series, options: TableOptions, path: Any) -> pd.Series:
    """Translate one column."""
    if column == "age_approx":
        return clean_ages(values)
    given = {str(word).lower(): ours for word, ours in options.values.get(column, {}).items()}
    if column in IDS:
        nothing = {word for word, ours in given.items() if ours is None} | set(NOTHING)
        renamed = {word: str(ours) for word, ours in given.items() if ours is not None}
        return values.map(lambda word: renamed.get(word.lower(), word), na_action="ignore").mask(
            values.str.lower().isin(nothing)
        )
    return translate(values, WORDS[column] | given, f"`{options.columns[column]}` in {path}", unknown=NOTHING)


open_source = opener("table", ORIGIN, harmonise, TableOptions)

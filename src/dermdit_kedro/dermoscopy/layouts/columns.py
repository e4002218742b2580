"""Tables whose columns and words are the user's own, translated in `conf/` by `columns` and `values`."""

from collections.abc import Mapping
from typing import Any, Final, Literal, Self

import pandas as pd
from pydantic import Field, model_validator

from dermdit_kedro.dermoscopy.layouts.options import FolderOptions
from dermdit_kedro.dermoscopy.layouts.tables import FLAGS, SKIN_TYPES, translate
from dermdit_kedro.dermoscopy.records import SEXES, SITES, TONE_GROUPS, Diagnosis, clean_ages, label_diagnoses
from dermdit_kedro.errors import UserError

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

LABELS: Final = ("diagnosis", "is_malignant", "is_melanoma")
ATTRIBUTES: Final = (*IDS, "age_approx", *WORDS)


class ColumnOptions(FolderOptions):
    """Options of a layout whose table is the user's own.

    Attributes:
        columns: Our column -> yours: patient_id, lesion_id, diagnosis, is_malignant, is_melanoma, sex, age_approx,
            site, fitzpatrick_skin_type, tone_group (an expert's).
        values: Our column -> your word -> ours; a word that is one of ours needs no line, null says unknown.
        modality: What the images are.
        akiec_is_malignant: Whether actinic keratosis counts as malignant, where the label follows from the diagnosis.
    """

    columns: dict[str, str] = Field(default_factory=dict)
    values: dict[str, dict[Any, Any]] = Field(default_factory=dict)
    modality: Literal["dermoscopic", "clinical", "tbp", "other"] = "dermoscopic"
    akiec_is_malignant: bool = True

    @property
    def known_columns(self) -> tuple[str, ...]:
        """What `columns` may name."""
        return ATTRIBUTES

    @model_validator(mode="after")
    def _known_words(self) -> Self:
        odd = [name for name in (*self.columns, *self.values) if name not in self.known_columns]
        if odd:
            raise ValueError(f"columns and values may name {', '.join(self.known_columns)}. Got {', '.join(odd)}")
        idle = [n for n in self.values if (self.columns and n not in self.columns) or n not in (*WORDS, *IDS)]
        if idle:
            raise ValueError(f"values may translate a column of words that is in columns. Got {', '.join(idle)}")
        for name in WORDS.keys() & self.values.keys():
            allowed = set(WORDS[name].values())
            odd = [word for word in self.values[name].values() if word is not None and word not in allowed]
            if odd:
                raise ValueError(
                    f"values.{name} must lead to one of {', '.join(map(str, sorted(allowed)))}. Got {odd[0]!r}"
                )
        return self


def translate_columns(
    table: pd.DataFrame, columns: Mapping[str, str], names: pd.Series, options: ColumnOptions, where: str
) -> pd.DataFrame:
    """Translate a user's table.

    Args:
        table: Columns of text, null where a cell is empty.
        columns: Our column -> the table's.
        names: What the images are called, for messages; the table's index.
        options: `values` and the labels' rule.
        where: The file, for messages.

    Returns:
        Columns of `RECORD_DTYPES`, with both labels as far as they follow from what is given.

    Raises:
        UserError: If a word is neither ours nor translated, or a melanoma is said not to be malignant.
    """
    rows = pd.DataFrame({"modality": options.modality}, index=table.index)
    for ours, yours in columns.items():
        translated = _translate(ours, table[yours], options, f"`{yours}` in {where}")
        rows["expert_tone_group" if ours == "tone_group" else ours] = translated
    if "diagnosis" in rows:
        derived = label_diagnoses(rows["diagnosis"], options.akiec_is_malignant)
        for label in derived:
            rows[label] = rows[label].astype("boolean").fillna(derived[label]) if label in rows else derived[label]
    if "is_melanoma" in rows:
        melanoma = rows["is_melanoma"].astype("boolean").fillna(False)
        malignant = rows.get("is_malignant", pd.Series(pd.NA, index=rows.index)).astype("boolean")
        if (melanoma & ~malignant.fillna(True)).any():
            name = names[melanoma & ~malignant.fillna(True)].iloc[0]
            raise UserError(f"{where}: a melanoma must be malignant. {name!r} is said not to be")
        rows["is_malignant"] = malignant.mask(melanoma, True)
    return rows


def _translate(column: str, values: pd.Series, options: ColumnOptions, where: str) -> pd.Series:
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
    return translate(values, WORDS[column] | given, where, unknown=NOTHING)

"""Schemas of the tables that cross a border: what a source says, what was found, what is handed on."""

from typing import Final

import pandera.pandas as pa

from dermdit_kedro.dermoscopy.records import (
    IMAGE_ID_PATTERN,
    INSPECTED_DTYPES,
    MANIFEST_DTYPES,
    MODALITIES,
    QUARANTINE_COLUMNS,
    RECORD_DTYPES,
    ROLES,
    SEXES,
    SITES,
    SPLITS,
    TONE_DTYPES,
    TONE_GROUPS,
    TONE_SOURCES,
    UNKNOWN_TONE,
    Reason,
)

_VALUES: Final[dict[str, pa.Check]] = {
    "image_id": pa.Check.str_matches(IMAGE_ID_PATTERN),
    "modality": pa.Check.isin(MODALITIES),
    "fitzpatrick_skin_type": pa.Check.in_range(1, 6),
    "tone_group": pa.Check.isin((*TONE_GROUPS, UNKNOWN_TONE)),
    "expert_tone_group": pa.Check.isin(TONE_GROUPS),
    "tone_source": pa.Check.isin(TONE_SOURCES),
    "ita_degrees": pa.Check.in_range(-180, 180),
    "ita_iqr": pa.Check.ge(0),
    "sex": pa.Check.isin(SEXES),
    "age_approx": pa.Check.in_range(0, 130, include_min=False),
    "site": pa.Check.isin(SITES),
    "role": pa.Check.isin(ROLES),
    "split": pa.Check.isin(SPLITS),
    "sha256": pa.Check.str_matches(r"^[0-9a-f]{64}$"),
    "phash": pa.Check.str_matches(r"^[0-9a-f]{64}$"),
    "reason": pa.Check.isin([str(reason) for reason in Reason]),
    "width": pa.Check.gt(0),
    "height": pa.Check.gt(0),
}
_NULLABLE: Final = {
    "patient_id",
    "lesion_id",
    "diagnosis",
    "is_malignant",
    "is_melanoma",
    "fitzpatrick_skin_type",
    "ita_degrees",
    "ita_iqr",
    "sex",
    "age_approx",
    "site",
    "expert_tone_group",
    "listed_duplicate_of",
}


def _schema(dtypes: dict[str, str], name: str, unique: list[str] | None = None) -> pa.DataFrameSchema:
    columns = {
        column: pa.Column(dtype, _VALUES.get(column), nullable=column in _NULLABLE) for column, dtype in dtypes.items()
    }
    return pa.DataFrameSchema(columns, strict=True, ordered=True, unique=unique, name=name)


RECORDS_SCHEMA: Final = _schema(RECORD_DTYPES, "records")
"""What a source's records look like; an image id may still occur twice (the second one is quarantined)."""

MANIFEST_SCHEMA: Final = _schema(MANIFEST_DTYPES, "manifest", unique=["image_id"])
"""What the manifest looks like: closed vocabularies, unique image ids, no column more or fewer."""

INSPECTED_SCHEMA: Final = _schema(INSPECTED_DTYPES, "inspected", unique=["image_id"])
"""Records of whole images, each once."""

TONES_SCHEMA: Final = _schema(TONE_DTYPES, "tones", unique=["image_id"])
"""Measured tones, one row an image."""

QUARANTINE_SCHEMA: Final = _schema(dict.fromkeys(QUARANTINE_COLUMNS, "str"), "quarantine")
"""Images set aside, each with a reason of the closed list."""

"""The columns of the project's tables and their vocabularies; `schemas` checks them.

`records` is what the sources say, harmonised; `manifest` adds what was measured (skin tone, hash, size) and decided
(cluster, split). Unknown is null in every column but `tone_group`, where it is `unknown`.
"""

import hashlib
import re
from enum import StrEnum
from typing import Final

import pandas as pd

TONE_GROUPS: Final = ("light", "brown", "dark")
"""Skin-tone groups, lightest first: the paper's A, B and C."""

UNKNOWN_TONE: Final = "unknown"

TONE_OF_SKIN_TYPE: Final = {1: "light", 2: "light", 3: "brown", 4: "brown", 5: "dark", 6: "dark"}
"""Fitzpatrick skin type -> tone group."""

SITES: Final = (
    "head and neck",
    "trunk",
    "upper extremity",
    "lower extremity",
    "palms and soles",
    "oral or genital",
)
"""The body sites every source's vocabulary is mapped to."""

SEXES: Final = ("male", "female")
ROLES: Final = ("train", "test")
SPLITS: Final = ("train", "val", "test", "excluded")
MODALITIES: Final = ("dermoscopic", "clinical", "tbp", "other")
TONE_SOURCES: Final = ("ita", "expert", "none")

IMAGE_ID_PATTERN: Final = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+$"
"""`<source>/<id>`: safe as a path below any folder, because no part begins with a dot."""


MAX_NAME: Final = 200  # characters of an image id's name: files are called by it, with at most 255


class Diagnosis(StrEnum):
    """Canonical diagnoses; a source's own vocabulary is mapped to these where it fits."""

    MELANOMA = "melanoma"
    NEVUS = "nevus"
    BASAL_CELL_CARCINOMA = "basal cell carcinoma"
    SQUAMOUS_CELL_CARCINOMA = "squamous cell carcinoma"
    ACTINIC_KERATOSIS = "actinic keratosis"
    BENIGN_KERATOSIS = "benign keratosis"
    DERMATOFIBROMA = "dermatofibroma"
    VASCULAR_LESION = "vascular lesion"


MALIGNANT: Final[dict[Diagnosis, bool]] = {
    Diagnosis.MELANOMA: True,
    Diagnosis.NEVUS: False,
    Diagnosis.BASAL_CELL_CARCINOMA: True,
    Diagnosis.SQUAMOUS_CELL_CARCINOMA: True,
    Diagnosis.ACTINIC_KERATOSIS: True,
    Diagnosis.BENIGN_KERATOSIS: False,
    Diagnosis.DERMATOFIBROMA: False,
    Diagnosis.VASCULAR_LESION: False,
}
"""Which diagnoses count as malignant; actinic keratosis (with Bowen's disease) is pre-malignant: a switch."""

MANIFEST_DTYPES: Final[dict[str, str]] = {
    "image_id": "str",
    "source": "str",
    "file": "str",
    "modality": "str",
    "patient_id": "str",
    "lesion_id": "str",
    "diagnosis": "str",
    "is_malignant": "boolean",
    "is_melanoma": "boolean",
    "fitzpatrick_skin_type": "Int64",
    "tone_group": "str",
    "tone_source": "str",
    "ita_degrees": "float64",
    "ita_iqr": "float64",
    "sex": "str",
    "age_approx": "float64",
    "site": "str",
    "role": "str",
    "split": "str",
    "duplicate_cluster": "str",
    "sha256": "str",
    "width": "Int64",
    "height": "Int64",
}
"""Columns and dtypes of the manifest, in their order."""

MANIFEST_COLUMNS: Final = tuple(MANIFEST_DTYPES)

_ADDED: Final = {
    "tone_group", "tone_source", "ita_degrees", "ita_iqr", "split", "duplicate_cluster", "sha256", "width", "height"
}  # fmt: skip

RECORD_DTYPES: Final = {
    **{name: dtype for name, dtype in MANIFEST_DTYPES.items() if name not in _ADDED},
    "expert_tone_group": "str",
    "listed_duplicate_of": "str",
}
"""Columns and dtypes of the harmonised records: the manifest's, less those measured or decided; a tone group that
experts gave without a Fitzpatrick type, and the image that a list of the archive says this one repeats."""

INSPECTED_DTYPES: Final = {
    **RECORD_DTYPES, "sha256": "str", "phash": "str", "width": "Int64", "height": "Int64"
}  # fmt: skip
"""Columns and dtypes of the records of whole images: hashes (hexadecimal) and size in pixels are added."""

TONE_DTYPES: Final = {
    "image_id": "str", "ita_degrees": "float64", "ita_iqr": "float64", "tone_group": "str", "tone_source": "str"
}  # fmt: skip
"""Columns and dtypes of the measured tones."""

QUARANTINE_COLUMNS: Final = ("source", "file", "image_id", "reason", "detail")


class Reason(StrEnum):
    """Why an image is in quarantine; a closed list."""

    MISSING_FILE = "missing_file"
    UNSAFE_PATH = "unsafe_path"
    UNREADABLE = "unreadable"
    TOO_LARGE = "too_large"
    DUPLICATE_ID = "duplicate_id"
    LISTED_DUPLICATE = "listed_duplicate"


def conform(table: pd.DataFrame, dtypes: dict[str, str]) -> pd.DataFrame:
    """Give a table the named columns, in order, with their dtypes; a column it lacks becomes null.

    Args:
        table: Any table with some of the columns; further columns are dropped.
        dtypes: Column to dtype, such as `RECORD_DTYPES`.

    Returns:
        A new table with a fresh index.
    """
    columns = {}
    for name, dtype in dtypes.items():
        values = table[name] if name in table.columns else pd.Series(pd.NA, index=table.index, dtype="object")
        columns[name] = _cast(values, dtype).reset_index(drop=True)
    return pd.DataFrame(columns)


def _cast(values: pd.Series, dtype: str) -> pd.Series:
    if dtype == "float64":
        return pd.to_numeric(values, errors="coerce").astype("float64")
    if dtype == "str":
        known = values.notna()
        return values.where(known, None).astype("str").where(known)
    return values.astype(dtype)  # type: ignore[call-overload,no-any-return]


def make_image_id(source: str, name: str) -> str:
    """Return `<source>/<name>`, cut and with `_` where it breaks the pattern; different names stay different.

    Args:
        source: The source's name in the catalog.
        name: The source's own name of the image, without its extension.

    Returns:
        An id that matches `IMAGE_ID_PATTERN`.
    """
    return f"{_make_part(source)}/{_make_part(name)}"


def _make_part(name: str) -> str:
    safe = re.sub(r"^(\.|$)", "_", re.sub(r"[^A-Za-z0-9_.-]", "_", name))
    if safe == name and len(name) <= MAX_NAME:
        return name
    return safe[:MAX_NAME] + "-" + hashlib.sha256(name.encode()).hexdigest()[:8]


def label_diagnoses(diagnosis: pd.Series, akiec_is_malignant: bool = True) -> pd.DataFrame:
    """Derive both labels from canonical diagnoses; an unknown diagnosis has neither.

    Args:
        diagnosis: Values of `Diagnosis`, or null.
        akiec_is_malignant: Whether actinic keratosis (with Bowen's disease) counts as malignant.

    Returns:
        `is_malignant` and `is_melanoma`, nullable booleans, with the index of the input.
    """
    rule = {str(k): v for k, v in MALIGNANT.items()} | {str(Diagnosis.ACTINIC_KERATOSIS): akiec_is_malignant}
    known = diagnosis.isin(list(rule))
    malignant = diagnosis.map(rule).astype("boolean")
    melanoma = (diagnosis == Diagnosis.MELANOMA).astype("boolean").where(known)
    return pd.DataFrame({"is_malignant": malignant, "is_melanoma": melanoma})


def settle_tones(skin_type: pd.Series, expert_group: pd.Series, measured: pd.Series) -> pd.DataFrame:
    """Choose the tone group: an expert's Fitzpatrick skin type or group wins over what was measured.

    Args:
        skin_type: Fitzpatrick skin type, 1 to 6 or null.
        expert_group: Tone group that an expert gave, or null; same index.
        measured: Tone group estimated from the pixels, `unknown` included; same index.

    Returns:
        `tone_group` and `tone_source`.
    """
    expert = skin_type.map(TONE_OF_SKIN_TYPE).astype("object").fillna(expert_group)
    source = measured.map(lambda group: "none" if group == UNKNOWN_TONE else "ita").where(expert.isna(), "expert")
    return pd.DataFrame({"tone_group": expert.fillna(measured), "tone_source": source}).astype("str")


def clean_ages(age: pd.Series) -> pd.Series:
    """Return ages in years with 0 and anything unreadable as missing (age 0 means missing in ISIC-family sources).

    Args:
        age: Ages as distributed: numbers, text or null.

    Returns:
        Float years; NaN where unknown.
    """
    text = age.astype("str").str.replace(",", ".").str.removesuffix("+")
    years = pd.to_numeric(text, errors="coerce").astype("float64")
    return years.where(years > 0)

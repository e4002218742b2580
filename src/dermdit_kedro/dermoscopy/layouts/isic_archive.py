"""Layout `isic_archive`: what the ISIC Archive's client downloads, in the headers of three eras.

The images and `metadata.csv`, whose columns are those that any row of the query has: a column that is not there says
nothing of its rows. Diagnosis: `diagnosis_1..5` since 2024, `diagnosis` and `benign_malignant` before. Site:
`anatom_site_1..5` and `anatom_site_special` since 2026, `anatom_site_general` before. Clinical photographs, other
images and altered or synthetic ones are left out.
"""

from typing import Any, Final

import pandas as pd

from dermdit_kedro.dermoscopy.layouts import isic_words
from dermdit_kedro.dermoscopy.layouts.folder import FolderSource, opener
from dermdit_kedro.dermoscopy.layouts.options import AkiecOptions
from dermdit_kedro.dermoscopy.layouts.tables import SKIN_TYPES, translate
from dermdit_kedro.dermoscopy.records import Diagnosis, clean_ages, label_diagnoses

ORIGIN: Final = "the ISIC Archive (`isic image download <folder>`)"
MALIGNANCY: Final = {"benign": False, "malignant": True}
UNCERTAIN: Final = ("indeterminate", "indeterminate/benign", "indeterminate/malignant", "unknown")
MELANOMA: Final = "malignant melanocytic proliferations (melanoma)"
DIAGNOSES: Final = {
    **dict.fromkeys(("melanoma", "melanoma metastasis"), Diagnosis.MELANOMA),
    "nevus": Diagnosis.NEVUS,
    "basal cell carcinoma": Diagnosis.BASAL_CELL_CARCINOMA,
    "squamous cell carcinoma in situ": Diagnosis.SQUAMOUS_CELL_CARCINOMA,
    "squamous cell carcinoma": Diagnosis.SQUAMOUS_CELL_CARCINOMA,
    "actinic keratosis": Diagnosis.ACTINIC_KERATOSIS,
    "solar or actinic keratosis": Diagnosis.ACTINIC_KERATOSIS,
    "seborrheic keratosis": Diagnosis.BENIGN_KERATOSIS,
    "pigmented benign keratosis": Diagnosis.BENIGN_KERATOSIS,
    "lichenoid keratosis": Diagnosis.BENIGN_KERATOSIS,
    "solar lentigo": Diagnosis.BENIGN_KERATOSIS,
    "dermatofibroma": Diagnosis.DERMATOFIBROMA,
    "vascular lesion": Diagnosis.VASCULAR_LESION,
}
"""Words, at any level, that are a diagnosis of ours; the vocabulary is open."""

SITES: Final = {
    **isic_words.SITES,
    "head and neck": "head and neck",
    "trunk": "trunk",
    "anogenital region": "oral or genital",
    **dict.fromkeys(("acral nos", "acral palms or soles"), "palms and soles"),
    "oral or genital": "oral or genital",
}
LEVELS: Final = tuple(f"diagnosis_{level}" for level in range(1, 6))


def harmonise(source: FolderSource) -> pd.DataFrame:
    """Return the rows of an export; see `FolderSource`."""
    table = source.table(["metadata"], ("isic_id",))
    table = table[_is_plain_dermoscopy(table)].reset_index(drop=True)
    table = _with_levels(table)
    diagnosis = _diagnosis(table)
    derived = label_diagnoses(diagnosis, bool(source.option("akiec_is_malignant")))["is_malignant"]
    is_keratosis = diagnosis == Diagnosis.ACTINIC_KERATOSIS
    said = _malignancy(table, source)
    is_silent = _column(table, "diagnosis_1").isna() & _column(table, "benign_malignant").isna()
    malignant = said.mask(is_keratosis | is_silent, derived)
    melanoma = _is_melanoma(table, diagnosis, malignant)
    return pd.DataFrame(
        {
            "name": table["isic_id"],
            "modality": "dermoscopic",
            "patient_id": table.get("patient_id"),
            "lesion_id": table.get("lesion_id"),
            "diagnosis": diagnosis,
            "is_malignant": malignant,
            "is_melanoma": melanoma,
            "fitzpatrick_skin_type": _column(table, "fitzpatrick_skin_type")
            .fillna(_column(table, "skin_type"))
            .str.lower()
            .map(SKIN_TYPES)
            .astype("Int64"),
            "sex": translate(_column(table, "sex"), isic_words.SEXES, f"`sex` in {source.root}"),
            "age_approx": clean_ages(_column(table, "age_approx")),
            "site": _site(table),
        }
    )


def _with_levels(table: pd.DataFrame) -> pd.DataFrame:
    """Split the diagnosis of August to October 2024, whose levels stand in one column with colons between them."""
    whole = _column(table, "diagnosis")
    if "diagnosis_1" in table or not whole.str.contains(":").fillna(False).any():
        return table
    levels = whole.str.split(":", expand=True)
    names = dict(zip(LEVELS, levels.columns, strict=False))
    return table.assign(**{name: levels[level].str.strip() for name, level in names.items()})


def _column(table: pd.DataFrame, name: str) -> pd.Series:
    """Return a column, or nulls where no row of the query has it."""
    return table[name] if name in table else pd.Series(pd.NA, index=table.index, dtype="str")


def _is_plain_dermoscopy(table: pd.DataFrame) -> pd.Series:
    """Keep dermoscopic images that nobody altered; an image of a kind that is not said counts as dermoscopic."""
    kind, changed = _column(table, "image_type").str.lower(), _column(table, "image_manipulation").str.lower()
    return (kind.isna() | (kind == "dermoscopic")) & ~changed.isin(["altered", "synthetic"])


def _malignancy(table: pd.DataFrame, source: FolderSource) -> pd.Series:
    """Prefer the first level of the diagnosis; indeterminate is null."""
    first, older = (
        translate(_column(table, name), MALIGNANCY, f"`{name}` in {source.root}", unknown=UNCERTAIN).astype("boolean")
        for name in ("diagnosis_1", "benign_malignant")
    )
    return first.where(_column(table, "diagnosis_1").notna(), older)


def _diagnosis(table: pd.DataFrame) -> pd.Series:
    """Take the deepest level that is, or begins with, a diagnosis of ours."""
    found: Any = pd.Series(pd.NA, index=table.index, dtype="str")
    for name in (*reversed(LEVELS), "diagnosis"):
        words = _column(table, name).str.lower().str.extract(r"^([^,]*)", expand=False).str.strip()
        found = found.fillna(words.map({word: str(kind) for word, kind in DIAGNOSES.items()}))
    is_melanoma = _column(table, "diagnosis_2").str.lower() == MELANOMA
    return found.mask(is_melanoma.fillna(False), str(Diagnosis.MELANOMA))


def _is_melanoma(table: pd.DataFrame, diagnosis: pd.Series, malignant: pd.Series) -> pd.Series:
    """True by diagnosis; false where another diagnosis is known or the image is benign; else null."""
    second = _column(table, "diagnosis_2").str.lower()
    is_another = (
        malignant.fillna(False) & second.notna() & ~second.str.startswith("collision").fillna(False).astype(bool)
    )
    known = diagnosis.notna() | is_another | ~malignant.fillna(True)
    return (diagnosis == Diagnosis.MELANOMA).astype("boolean").where(known)


def _site(table: pd.DataFrame) -> pd.Series:
    """Prefer the special site (acral, oral, genital), then the first level, then the older column."""
    found: Any = pd.Series(pd.NA, index=table.index, dtype="str")
    for name in ("anatom_site_special", "anatom_site_1", "anatom_site_general"):
        found = found.fillna(_column(table, name).str.lower().map(SITES))
    return found


open_source = opener("isic_archive", ORIGIN, harmonise, AkiecOptions)

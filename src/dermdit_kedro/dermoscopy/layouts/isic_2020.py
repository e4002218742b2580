"""Layout `isic_2020`: ISIC 2020, training images (Rotemberg et al. 2021).

The images, `ISIC_2020_Training_GroundTruth.csv` or its second version with lesions, and
`ISIC_2020_Training_Duplicates.csv`, where it lies beside it: the second image of each of its pairs goes to
quarantine. Malignant is melanoma there; most benign rows have no diagnosis.
"""

from typing import Final

import pandas as pd

from dermdit_kedro.dermoscopy.layouts.folder import FolderSource, opener
from dermdit_kedro.dermoscopy.layouts.isic_words import DIAGNOSES_2020, SEXES, SITES
from dermdit_kedro.dermoscopy.layouts.tables import FLAGS, translate
from dermdit_kedro.dermoscopy.records import clean_ages

ORIGIN: Final = "the ISIC 2020 challenge (challenge.isic-archive.com/data)"
TABLES: Final = ("ISIC_2020_Training_GroundTruth_v2", "ISIC_2020_Training_GroundTruth")
COLUMNS: Final = (
    "image_name", "patient_id", "sex", "age_approx", "anatom_site_general_challenge", "diagnosis", "target"
)  # fmt: skip


def harmonise(source: FolderSource) -> pd.DataFrame:
    """Return the rows of ISIC 2020; see `FolderSource`."""
    table = source.table(TABLES, COLUMNS)
    melanoma = translate(table["target"], FLAGS, f"`target` in {source.root}", unknown=())
    site = table["anatom_site_general_challenge"]
    words = {word: None if kind is None else str(kind) for word, kind in DIAGNOSES_2020.items()}
    return pd.DataFrame(
        {
            "name": table["image_name"],
            "listed_duplicate_of": table["image_name"].map(_listed(source, table["image_name"])),
            "modality": "dermoscopic",
            "patient_id": table["patient_id"],
            "lesion_id": table.get("lesion_id"),
            "diagnosis": translate(table["diagnosis"], words, f"`diagnosis` in {source.root}"),
            "is_malignant": melanoma,
            "is_melanoma": melanoma,
            "sex": translate(table["sex"], SEXES, f"`sex` in {source.root}"),
            "age_approx": clean_ages(table["age_approx"]),
            "site": translate(site, SITES, f"`anatom_site_general_challenge` in {source.root}"),
        }
    )


def _listed(source: FolderSource, names: pd.Series) -> dict[str, str]:
    """Return the images listed as duplicates of one of these: name -> the image it repeats."""
    if not source.has_table(["ISIC_2020_Training_Duplicates"]):
        return {}
    pairs = source.table(["ISIC_2020_Training_Duplicates"], ("image_name_1", "image_name_2"))
    pairs = pairs[pairs["image_name_1"].isin(names)]
    return dict(zip(pairs["image_name_2"], pairs["image_name_1"], strict=True))


open_source = opener("isic_2020", ORIGIN, harmonise)

"""Layout `isic_2017`: ISIC 2017, task 3, of any of its parts (Codella et al. 2018).

The images, `ISIC-2017_*_Part3_GroundTruth.csv` (`melanoma`, `seborrheic_keratosis`; neither is a nevus) and, where it
lies beside it, `ISIC-2017_*_metadata.csv` with age and sex.
"""

from typing import Final

import pandas as pd

from dermdit_kedro.dermoscopy.layouts.folder import FolderSource, opener
from dermdit_kedro.dermoscopy.layouts.isic_words import SEXES
from dermdit_kedro.dermoscopy.layouts.tables import FLAGS, translate
from dermdit_kedro.dermoscopy.records import Diagnosis, clean_ages, label_diagnoses

ORIGIN: Final = "the ISIC 2017 challenge, task 3 (challenge.isic-archive.com/data)"


def harmonise(source: FolderSource) -> pd.DataFrame:
    """Return the rows of ISIC 2017; see `FolderSource`."""
    table = source.table(["ISIC-2017_*Part3_GroundTruth"], ("image_id", "melanoma", "seborrheic_keratosis"))
    is_melanoma, is_keratosis = (
        translate(table[column].fillna("nothing"), FLAGS, f"`{column}` in {source.root}", unknown=()).astype(bool)
        for column in ("melanoma", "seborrheic_keratosis")
    )
    diagnosis = pd.Series(str(Diagnosis.NEVUS), index=table.index)
    diagnosis = diagnosis.mask(is_keratosis, str(Diagnosis.BENIGN_KERATOSIS)).mask(is_melanoma, str(Diagnosis.MELANOMA))
    rows = pd.DataFrame({"name": table["image_id"], "modality": "dermoscopic", "diagnosis": diagnosis})
    if source.has_table(["ISIC-2017_*metadata"]):
        people = source.table(["ISIC-2017_*metadata"], ("image_id", "age_approximate", "sex"))
        people = people.drop_duplicates("image_id").set_index("image_id").reindex(rows["name"]).reset_index()
        rows["age_approx"] = clean_ages(people["age_approximate"])
        rows["sex"] = translate(people["sex"], SEXES, f"`sex` in {source.root}")
    return pd.concat([rows, label_diagnoses(rows["diagnosis"])], axis=1)


open_source = opener("isic_2017", ORIGIN, harmonise)

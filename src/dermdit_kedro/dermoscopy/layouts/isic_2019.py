"""Layout `isic_2019`: the training images of ISIC 2019 (Hernandez-Perez et al. 2024, among others).

The images, the one-hot `ISIC_2019_Training_GroundTruth.csv` (with SCC and UNK) and `ISIC_2019_Training_Metadata.csv`
with lesion, age, sex and site. Names that end in `_downsampled` are smaller copies; `linking` ties them to their
originals.
"""

from typing import Final

import pandas as pd

from dermdit_kedro.dermoscopy.layouts.folder import FolderSource, opener
from dermdit_kedro.dermoscopy.layouts.isic_words import CLASSES, SEXES, SITES
from dermdit_kedro.dermoscopy.layouts.options import AkiecOptions
from dermdit_kedro.dermoscopy.layouts.tables import one_hot, translate
from dermdit_kedro.dermoscopy.records import clean_ages, label_diagnoses

ORIGIN: Final = "the ISIC 2019 challenge (challenge.isic-archive.com/data)"
ONE_HOT: Final = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")


def harmonise(source: FolderSource) -> pd.DataFrame:
    """Return the rows of ISIC 2019; see `FolderSource`."""
    table = source.table(["ISIC_2019_Training_GroundTruth"], ("image", *ONE_HOT))
    columns = ("image", "age_approx", "anatom_site_general", "lesion_id", "sex")
    people = source.table(["ISIC_2019_Training_Metadata"], columns).drop_duplicates("image").set_index("image")
    people = people.reindex(table["image"]).reset_index(drop=True)
    found = one_hot(table, ONE_HOT, f"the ground truth in {source.root}")
    diagnosis = found.map({word: str(kind) for word, kind in CLASSES.items() if kind is not None})
    rows = pd.DataFrame(
        {
            "name": table["image"],
            "modality": "dermoscopic",
            "lesion_id": people["lesion_id"],
            "diagnosis": diagnosis,
            "sex": translate(people["sex"], SEXES, f"`sex` in {source.root}"),
            "age_approx": clean_ages(people["age_approx"]),
            "site": translate(people["anatom_site_general"], SITES, f"`anatom_site_general` in {source.root}"),
        }
    )
    return pd.concat([rows, label_diagnoses(diagnosis, bool(source.option("akiec_is_malignant")))], axis=1)


open_source = opener("isic_2019", ORIGIN, harmonise, AkiecOptions)

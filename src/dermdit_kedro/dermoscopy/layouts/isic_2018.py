"""Layout `isic_2018`: ISIC 2018, task 3, of any of its parts (Codella et al. 2019; Tschandl et al. 2018).

The images, the one-hot `ISIC2018_Task3_*_GroundTruth.csv` and, where it lies beside it,
`ISIC2018_Task3_*_LesionGroupings.csv` with the lesion of each image.
"""

from typing import Final

import pandas as pd

from dermdit_kedro.dermoscopy.layouts.folder import FolderSource, opener
from dermdit_kedro.dermoscopy.layouts.isic_words import CLASSES
from dermdit_kedro.dermoscopy.layouts.options import AkiecOptions
from dermdit_kedro.dermoscopy.layouts.tables import one_hot
from dermdit_kedro.dermoscopy.records import label_diagnoses

ORIGIN: Final = "the ISIC 2018 challenge, task 3 (challenge.isic-archive.com/data)"
ONE_HOT: Final = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")


def harmonise(source: FolderSource) -> pd.DataFrame:
    """Return the rows of ISIC 2018; see `FolderSource`."""
    table = source.table(["ISIC2018_Task3_*GroundTruth"], ("image", *ONE_HOT))
    found = one_hot(table, ONE_HOT, f"the ground truth in {source.root}")
    diagnosis = found.map({word: str(CLASSES[word]) for word in ONE_HOT})
    rows = pd.DataFrame({"name": table["image"], "modality": "dermoscopic", "diagnosis": diagnosis})
    if source.has_table(["ISIC2018_Task3_*LesionGroupings"]):
        groups = source.table(["ISIC2018_Task3_*LesionGroupings"], ("image", "lesion_id")).drop_duplicates("image")
        rows["lesion_id"] = rows["name"].map(groups.set_index("image")["lesion_id"])
    return pd.concat([rows, label_diagnoses(diagnosis, bool(source.option("akiec_is_malignant")))], axis=1)


open_source = opener("isic_2018", ORIGIN, harmonise, AkiecOptions)

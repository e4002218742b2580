"""Layout `isic_2016`: ISIC 2016, task 3, of training or test images (Gutman et al. 2016).

The images and `ISBI2016_ISIC_Part3*_GroundTruth.csv`, which has no header: image and `benign` or `malignant` (0 or 1
in the test part). Malignant is melanoma there.
"""

from typing import Final

import pandas as pd

from dermdit_kedro.dermoscopy.layouts.folder import FolderSource, opener
from dermdit_kedro.dermoscopy.layouts.tables import FLAGS, translate
from dermdit_kedro.dermoscopy.records import Diagnosis

ORIGIN: Final = "the ISIC 2016 challenge, task 3 (challenge.isic-archive.com/data)"
LABELS: Final = {"benign": False, "malignant": True, **FLAGS}


def harmonise(source: FolderSource) -> pd.DataFrame:
    """Return the rows of ISIC 2016; see `FolderSource`."""
    columns = ("image", "label")
    table = source.table(["ISBI2016_ISIC_Part3*_GroundTruth"], columns, header=columns)
    melanoma = translate(table["label"], LABELS, f"the second column of {source.root}", unknown=()).astype("boolean")
    return pd.DataFrame(
        {
            "name": table["image"],
            "modality": "dermoscopic",
            "diagnosis": melanoma.map({True: str(Diagnosis.MELANOMA)}),
            "is_malignant": melanoma,
            "is_melanoma": melanoma,
        }
    )


open_source = opener("isic_2016", ORIGIN, harmonise)

"""Layout `asan`: the Asan test images (Han et al. 2018): clinical photographs in one folder per diagnosis."""

from pathlib import PurePosixPath
from typing import Final

import pandas as pd

from dermdit_kedro.dermoscopy.layouts.folder import FolderSource, opener
from dermdit_kedro.dermoscopy.layouts.options import AkiecOptions
from dermdit_kedro.dermoscopy.records import Diagnosis, label_diagnoses

ORIGIN: Final = "the Asan test data set (figshare, doi:10.6084/m9.figshare.5406223)"
DIAGNOSES: Final = {
    "actinickeratosis": Diagnosis.ACTINIC_KERATOSIS,
    "basalcellcarcinoma": Diagnosis.BASAL_CELL_CARCINOMA,
    "dermatofibroma": Diagnosis.DERMATOFIBROMA,
    "lentigo": Diagnosis.BENIGN_KERATOSIS,
    "malignantmelanoma": Diagnosis.MELANOMA,
    "pigmentednevus": Diagnosis.NEVUS,
    "seborrheickeratosis": Diagnosis.BENIGN_KERATOSIS,
    "squamouscellcarcinoma": Diagnosis.SQUAMOUS_CELL_CARCINOMA,
}
"""Folder -> diagnosis; lentigo and seborrheic keratosis make up the benign keratoses, as in ISIC."""


class AsanOptions(AkiecOptions):
    """Options of the layout; its own papers count actinic keratosis as benign.

    Attributes:
        akiec_is_malignant: Whether actinic keratosis counts as malignant.
    """

    akiec_is_malignant: bool = False


def harmonise(source: FolderSource) -> pd.DataFrame:
    """Return the rows of Asan; see `FolderSource`."""
    files = source.files
    diagnosis = source.by_folder(files, DIAGNOSES)
    rows = pd.DataFrame({"file": files, "modality": "clinical", "diagnosis": diagnosis})
    rows["name"] = [f"{PurePosixPath(file).parent.name.lower()}_{PurePosixPath(file).stem}" for file in files]
    return pd.concat([rows, label_diagnoses(diagnosis, bool(source.option("akiec_is_malignant")))], axis=1)


open_source = opener("asan", ORIGIN, harmonise, AsanOptions)

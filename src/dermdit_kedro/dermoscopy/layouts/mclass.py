"""Layout `mclass`: the melanoma classification benchmark (Brinker et al. 2019), dermoscopic (D) or clinical (ND).

`BenchmarkDermoscopic/` or `BenchmarkClinical/` with the folders `benign` and `malign` (or `malignant`). Malignant is
melanoma, benign a nevus.
"""

from pathlib import PurePosixPath
from typing import Final, Literal

import pandas as pd

from dermdit_kedro.dermoscopy.layouts.folder import FolderSource, opener
from dermdit_kedro.dermoscopy.layouts.options import FolderOptions
from dermdit_kedro.dermoscopy.records import Diagnosis, label_diagnoses

ORIGIN: Final = "MClass (Brinker et al. 2019, skinclass.de/mclass)"
MODALITIES: Final = {"dermoscopic": "BenchmarkDermoscopic", "clinical": "BenchmarkClinical"}
DIAGNOSES: Final = {
    "benign": Diagnosis.NEVUS, "malign": Diagnosis.MELANOMA, "malignant": Diagnosis.MELANOMA
}  # fmt: skip


class MClassOptions(FolderOptions):
    """Options of the layout.

    Attributes:
        modality: Which of the two benchmarks; `path` may hold both.
    """

    modality: Literal["dermoscopic", "clinical"] = "dermoscopic"


def harmonise(source: FolderSource) -> pd.DataFrame:
    """Return the rows of MClass; see `FolderSource`."""
    modality = str(source.option("modality"))
    other = {"dermoscopic": "clinical", "clinical": "dermoscopic"}[modality]
    files = [file for file in source.files if MODALITIES[other] not in (source.root.name, *PurePosixPath(file).parts)]
    diagnosis = source.by_folder(files, DIAGNOSES)
    names = [PurePosixPath(file).stem for file in files]
    rows = pd.DataFrame({"name": names, "file": files, "modality": modality, "diagnosis": diagnosis})
    return pd.concat([rows, label_diagnoses(diagnosis)], axis=1)


open_source = opener("mclass", ORIGIN, harmonise, MClassOptions)

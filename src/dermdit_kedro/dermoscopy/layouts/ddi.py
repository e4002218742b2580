"""Layout `ddi`: Diverse Dermatology Images (Daneshjou et al. 2022).

`images/` and `ddi_metadata.csv`, in the header of today (`malignant`) or the older one (`malignancy(malig=1)`).
Clinical photographs, all proven by biopsy; skin tone in three groups of Fitzpatrick types (12, 34, 56), by experts.
"""

from typing import Final

import pandas as pd

from dermdit_kedro.dermoscopy.layouts.folder import FolderSource, opener
from dermdit_kedro.dermoscopy.layouts.tables import FLAGS, image_names, translate
from dermdit_kedro.dermoscopy.records import Diagnosis

ORIGIN: Final = "DDI, Stanford AIMI (ddi-dataset.github.io)"
TONES: Final = {"12": "light", "34": "brown", "56": "dark"}
OLDER: Final = "malignancy(malig=1)"
MELANOMA: Final = r"(?:^|[^a-z])melanoma(?:[^a-z]|$)"


def harmonise(source: FolderSource) -> pd.DataFrame:
    """Return the rows of DDI; see `FolderSource`."""
    table = source.table(["ddi_metadata"], ("DDI_file", "skin_tone", "disease"))
    label = OLDER if OLDER in table else "malignant"
    if label not in table:
        table = source.table(["ddi_metadata"], ("DDI_file", "skin_tone", "disease", "malignant"))
    malignant = translate(table[label], FLAGS, f"`{label}` in {source.root}", unknown=()).astype("boolean")
    melanoma = table["disease"].str.lower().str.contains(MELANOMA, regex=True).fillna(False) & malignant
    return pd.DataFrame(
        {
            "name": image_names(table["DDI_file"], f"`DDI_file` in {source.root}").str.rsplit(".", n=1).str[0],
            "modality": "clinical",
            "diagnosis": melanoma.map({True: str(Diagnosis.MELANOMA)}),
            "is_malignant": malignant,
            "is_melanoma": melanoma,
            "expert_tone_group": translate(table["skin_tone"], TONES, f"`skin_tone` in {source.root}", unknown=()),
        }
    )


open_source = opener("ddi", ORIGIN, harmonise)

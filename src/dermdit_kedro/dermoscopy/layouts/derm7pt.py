"""Layout `derm7pt`: the seven-point data set of the Interactive Atlas of Dermoscopy (Kawahara et al. 2019).

`images/<folder>/<file>` and `meta/meta.csv`. A row is one lesion with a clinical and a dermoscopic image; both carry
the lesion's id, so that no split parts them, whichever sources they are read in.
"""

from typing import Final, Literal

import pandas as pd

from dermdit_kedro.dermoscopy.layouts.folder import FolderSource, opener
from dermdit_kedro.dermoscopy.layouts.isic_words import SEXES
from dermdit_kedro.dermoscopy.layouts.options import FolderOptions
from dermdit_kedro.dermoscopy.layouts.tables import image_names, translate
from dermdit_kedro.dermoscopy.records import MALIGNANT, Diagnosis

ORIGIN: Final = "derm7pt, release_v0 (derm.cs.sfu.ca)"
NEVI: Final = ("blue", "clark", "combined", "congenital", "dermal", "recurrent", "reed or spitz")
MELANOMAS: Final = (
    "melanoma", "melanoma (in situ)", "melanoma (less than 0.76 mm)", "melanoma (0.76 to 1.5 mm)",
    "melanoma (more than 1.5 mm)", "melanoma metastasis",
)  # fmt: skip
DIAGNOSES: Final[dict[str, Diagnosis | None]] = {
    **dict.fromkeys((f"{kind} nevus" for kind in NEVI), Diagnosis.NEVUS),
    **dict.fromkeys(MELANOMAS, Diagnosis.MELANOMA),
    "basal cell carcinoma": Diagnosis.BASAL_CELL_CARCINOMA,
    "seborrheic keratosis": Diagnosis.BENIGN_KERATOSIS,
    "dermatofibroma": Diagnosis.DERMATOFIBROMA,
    "vascular lesion": Diagnosis.VASCULAR_LESION,
    **dict.fromkeys(("lentigo", "melanosis", "miscellaneous"), None),
}
"""The last three are benign without being a diagnosis of ours."""

SITES: Final = {
    **dict.fromkeys(("back", "abdomen", "chest", "buttocks"), "trunk"),
    "head neck": "head and neck",
    "upper limbs": "upper extremity",
    "lower limbs": "lower extremity",
    "acral": "palms and soles",
    "genital areas": "oral or genital",
}
MODALITIES: Final = {"derm": "dermoscopic", "clinic": "clinical"}


class Derm7ptOptions(FolderOptions):
    """Options of the layout.

    Attributes:
        modality: Which of the two images of a lesion are read.
    """

    modality: Literal["dermoscopic", "clinical", "both"] = "dermoscopic"


def harmonise(source: FolderSource) -> pd.DataFrame:
    """Return the rows of Derm7pt; see `FolderSource`."""
    table = source.table(["meta"], ("case_num", "diagnosis", "location", "sex", *MODALITIES))
    words = {word: None if kind is None else str(kind) for word, kind in DIAGNOSES.items()}
    diagnosis = translate(table["diagnosis"], words, f"`diagnosis` in {source.root}", unknown=())
    known = table["diagnosis"].notna()
    malignant = {str(kind): value for kind, value in MALIGNANT.items()}
    lesions = pd.DataFrame(
        {
            "lesion_id": "D7P_" + table["case_num"],
            "diagnosis": diagnosis,
            "is_malignant": pd.Series([malignant.get(word, False) for word in diagnosis], dtype="boolean").where(known),
            "is_melanoma": (diagnosis == Diagnosis.MELANOMA).astype("boolean").where(known),
            "sex": translate(table["sex"], SEXES, f"`sex` in {source.root}"),
            "site": translate(table["location"], SITES, f"`location` in {source.root}"),
        }
    )
    asked = source.option("modality")
    parts = []
    for column, modality in MODALITIES.items():
        if asked in (modality, "both"):
            path = image_names(table[column], f"`{column}` in {source.root}").str.replace("\\", "/")
            parts.append(
                lesions.assign(
                    name=path.str.rsplit(".", n=1).str[0],
                    file=[source.find_image(f"images/{name}") for name in path],
                    modality=modality,
                )
            )
    return pd.concat(parts, ignore_index=True)


open_source = opener("derm7pt", ORIGIN, harmonise, Derm7ptOptions)

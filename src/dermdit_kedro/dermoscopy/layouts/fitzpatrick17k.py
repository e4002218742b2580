"""Layout `fitzpatrick17k`: Fitzpatrick17k (Groh et al. 2021).

The images, named by md5 hash, and `fitzpatrick17k.csv`, in the header of today (two annotators) or the older one
(`fitzpatrick`). Clinical photographs, whose skin types were rated by people; -1 is unknown. The two columns of
annotators agree on fewer than half of the images, so results depend on the one chosen.
"""

from typing import Final, Literal

import pandas as pd

from dermdit_kedro.dermoscopy.layouts.folder import FolderSource, opener
from dermdit_kedro.dermoscopy.layouts.options import FolderOptions
from dermdit_kedro.dermoscopy.layouts.tables import SKIN_TYPES, translate
from dermdit_kedro.dermoscopy.records import Diagnosis
from dermdit_kedro.errors import UserError

ORIGIN: Final = "Fitzpatrick17k (github.com/mattgroh/fitzpatrick17k)"
MALIGNANT: Final = {"malignant": True, "benign": False, "non-neoplastic": False}
DIAGNOSES: Final = {
    **dict.fromkeys(
        ("melanoma", "malignant melanoma", "superficial spreading melanoma ssm", "lentigo maligna"), Diagnosis.MELANOMA
    ),
    "basal cell carcinoma": Diagnosis.BASAL_CELL_CARCINOMA,
    "basal cell carcinoma morpheiform": Diagnosis.BASAL_CELL_CARCINOMA,
    "solid cystic basal cell carcinoma": Diagnosis.BASAL_CELL_CARCINOMA,
    "squamous cell carcinoma": Diagnosis.SQUAMOUS_CELL_CARCINOMA,
    "actinic keratosis": Diagnosis.ACTINIC_KERATOSIS,
    "seborrheic keratosis": Diagnosis.BENIGN_KERATOSIS,
    "dermatofibroma": Diagnosis.DERMATOFIBROMA,
}
"""The labels that are a diagnosis of ours; the 114 labels are not closed here, others stay null."""


class Fitzpatrick17kOptions(FolderOptions):
    """Options of the layout.

    Attributes:
        skin_type_column: The annotator's column; the older header has `fitzpatrick` alone, which is then taken.
        rows: `all`, or `neoplastic`: benign and malignant ones alone, with a skin type and an address, and not found
            wrongly labelled, as the prior work's test set has them (2,157 malignant of 4,311).
    """

    skin_type_column: Literal["fitzpatrick_scale", "fitzpatrick_centaur"] = "fitzpatrick_scale"
    rows: Literal["all", "neoplastic"] = "all"


def harmonise(source: FolderSource) -> pd.DataFrame:
    """Return the rows of Fitzpatrick17k; see `FolderSource`."""
    table = source.table(["fitzpatrick17k"], ("md5hash", "label", "three_partition_label", "qc", "url"))
    asked = str(source.option("skin_type_column"))
    column = asked if asked in table else "fitzpatrick"
    if column not in table:
        raise UserError(f"fitzpatrick17k in {source.root} lacks the column {asked}; it has {', '.join(table.columns)}")
    skin_type = translate(table[column], SKIN_TYPES, f"`{column}` in {source.root}", unknown=("-1",)).astype("Int64")
    if source.option("rows") == "neoplastic":
        wrong = table["qc"].fillna("").str.startswith("3")
        has_address = table["url"].fillna("").str.startswith("http")
        kept = (table["three_partition_label"] != "non-neoplastic") & ~wrong & has_address & skin_type.notna()
        table, skin_type = table[kept].reset_index(drop=True), skin_type[kept].reset_index(drop=True)
    label = table["label"].str.lower()
    malignant = translate(
        table["three_partition_label"], MALIGNANT, f"`three_partition_label` in {source.root}", unknown=()
    )
    diagnosis = label.map({word: str(kind) for word, kind in DIAGNOSES.items()})
    return pd.DataFrame(
        {
            "name": table["md5hash"],
            "modality": "clinical",
            "diagnosis": diagnosis,
            "is_malignant": malignant,
            "is_melanoma": diagnosis == Diagnosis.MELANOMA,
            "fitzpatrick_skin_type": skin_type,
        }
    )


open_source = opener("fitzpatrick17k", ORIGIN, harmonise, Fitzpatrick17kOptions)

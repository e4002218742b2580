"""Layout `ham10000`: HAM10000 as Harvard Dataverse distributes it (Tschandl et al. 2018).

A folder with the images in any sub-folder and a table `HAM10000_metadata`, with or without a file ending, separated
by commas or tabs.
"""

from typing import Final

import pandas as pd

from dermdit_kedro.dermoscopy.layouts.folder import FolderSource, opener
from dermdit_kedro.dermoscopy.layouts.isic_2018 import ONE_HOT
from dermdit_kedro.dermoscopy.layouts.isic_words import CLASSES, SEXES
from dermdit_kedro.dermoscopy.layouts.options import AkiecOptions
from dermdit_kedro.dermoscopy.layouts.tables import translate
from dermdit_kedro.dermoscopy.records import clean_ages, label_diagnoses

ORIGIN: Final = "the images and HAM10000_metadata of Harvard Dataverse, doi:10.7910/DVN/DBW86T"
COLUMNS: Final = ("lesion_id", "image_id", "dx", "age", "sex", "localization")

DIAGNOSES: Final = {word.lower(): str(CLASSES[word]) for word in ONE_HOT}
SITES: Final = {
    **dict.fromkeys(("scalp", "face", "ear", "neck"), "head and neck"),
    **dict.fromkeys(("back", "trunk", "chest", "abdomen"), "trunk"),
    **dict.fromkeys(("upper extremity", "hand"), "upper extremity"),
    **dict.fromkeys(("lower extremity", "foot"), "lower extremity"),
    "acral": "palms and soles",
    "genital": "oral or genital",
}


def harmonise(source: FolderSource) -> pd.DataFrame:
    """Return the rows of HAM10000; see `FolderSource`."""
    table = source.table(["HAM10000_metadata"], COLUMNS)
    diagnosis = translate(table["dx"], DIAGNOSES, f"`dx` in {source.root}", unknown=())
    rows = pd.DataFrame(
        {
            "name": table["image_id"],
            "modality": "dermoscopic",
            "lesion_id": table["lesion_id"],
            "diagnosis": diagnosis,
            "sex": translate(table["sex"], SEXES, f"`sex` in {source.root}"),
            "age_approx": clean_ages(table["age"]),
            "site": translate(table["localization"], SITES, f"`localization` in {source.root}"),
        }
    )
    return pd.concat([rows, label_diagnoses(diagnosis, bool(source.option("akiec_is_malignant")))], axis=1)


open_source = opener("ham10000", ORIGIN, harmonise, AkiecOptions)

"""The words of the ISIC family, and ours for them."""

from typing import Final

from dermdit_kedro.dermoscopy.records import Diagnosis

CLASSES: Final[dict[str, Diagnosis | None]] = {
    "MEL": Diagnosis.MELANOMA,
    "NV": Diagnosis.NEVUS,
    "BCC": Diagnosis.BASAL_CELL_CARCINOMA,
    "AK": Diagnosis.ACTINIC_KERATOSIS,
    "AKIEC": Diagnosis.ACTINIC_KERATOSIS,
    "BKL": Diagnosis.BENIGN_KERATOSIS,
    "DF": Diagnosis.DERMATOFIBROMA,
    "VASC": Diagnosis.VASCULAR_LESION,
    "SCC": Diagnosis.SQUAMOUS_CELL_CARCINOMA,
    "UNK": None,
}
"""Columns of the one-hot tables of 2018 and 2019; AKIEC holds actinic keratosis and Bowen's disease."""

SITES: Final[dict[str, str]] = {
    "head/neck": "head and neck",
    **dict.fromkeys(("torso", "anterior torso", "posterior torso", "lateral torso"), "trunk"),
    "upper extremity": "upper extremity",
    "lower extremity": "lower extremity",
    "palms/soles": "palms and soles",
    "oral/genital": "oral or genital",
}
"""`anatom_site_general` of 2019 and the older Archive, `anatom_site_general_challenge` of 2020."""

SEXES: Final[dict[str, str]] = {"male": "male", "female": "female"}

DIAGNOSES_2020: Final[dict[str, Diagnosis | None]] = {
    "melanoma": Diagnosis.MELANOMA,
    "nevus": Diagnosis.NEVUS,
    "seborrheic keratosis": Diagnosis.BENIGN_KERATOSIS,
    "lichenoid keratosis": Diagnosis.BENIGN_KERATOSIS,
    "solar lentigo": Diagnosis.BENIGN_KERATOSIS,
    "lentigo nos": None,
    "cafe-au-lait macule": None,
    "atypical melanocytic proliferation": None,
}
"""`diagnosis` of 2020; what is no diagnosis of ours stays null, its label is `benign_malignant`'s."""

"""Phantoms written as each archive hands out its images are read back equal: what the archive says, and the pixels."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dermdit_kedro.dermoscopy.layouts import LAYOUTS, open_source
from dermdit_kedro.dermoscopy.schemas import RECORDS_SCHEMA

COUNT = 24
DX = {
    "melanoma": "mel", "nevus": "nv", "basal cell carcinoma": "bcc", "benign keratosis": "bkl", "dermatofibroma": "df"
}  # fmt: skip
ISIC_SITES = {
    "head and neck": "head/neck", "trunk": "posterior torso", "upper extremity": "upper extremity",
    "lower extremity": "lower extremity",
}  # fmt: skip
PEOPLE = ("sex", "age_approx", "site")
LABELS = ("is_malignant", "is_melanoma")

Said = dict[str, pd.Series]


def said(values: pd.Series, words: dict[str, str] | None = None, missing: str = "") -> pd.Series:
    """What an archive writes for our values."""
    return (values.map(words) if words else values.astype("object")).where(values.notna(), missing)


def write(folder: Path, name: str, table: pd.DataFrame, **options: Any) -> None:
    table.to_csv(folder / name, index=False, **options)


def one_hot(rows: pd.DataFrame, words: dict[str, str], columns: str) -> pd.DataFrame:
    found = rows["diagnosis"].map(words)
    return pd.DataFrame({"image": rows["name"]} | {c: (found == c).astype(float) for c in columns.split()})


def write_ham10000(folder: Path, rows: pd.DataFrame) -> tuple[str, ...]:
    sites = {"head and neck": "scalp", "trunk": "back", "upper extremity": "hand", "lower extremity": "foot"}
    table = {
        "lesion_id": rows["lesion_id"], "image_id": rows["name"], "dx": rows["diagnosis"].map(DX), "dx_type": "histo",
        "age": rows["age_approx"], "sex": said(rows["sex"], missing="unknown"),
        "localization": said(rows["site"], sites, "unknown"), "dataset": "vidir_modern",
    }  # fmt: skip
    write(folder, "HAM10000_metadata", pd.DataFrame(table))
    return ("diagnosis", "lesion_id", *LABELS, *PEOPLE)


def write_isic_2016(folder: Path, rows: pd.DataFrame) -> tuple[str, ...]:
    label = rows["is_melanoma"].map({True: "malignant", False: "benign"})
    table = pd.DataFrame({"image": rows["name"], "label": label})
    write(folder, "ISBI2016_ISIC_Part3B_Training_GroundTruth.csv", table, header=False)
    return ("is_melanoma",)


def write_isic_2017(folder: Path, rows: pd.DataFrame) -> tuple[str, ...]:
    truth = {
        "image_id": rows["name"], "melanoma": rows["is_melanoma"].astype(float),
        "seborrheic_keratosis": (rows["diagnosis"] == "benign keratosis").astype(float),
    }  # fmt: skip
    people = {
        "image_id": rows["name"], "age_approximate": said(rows["age_approx"], missing="unknown"),
        "sex": said(rows["sex"], missing="unknown"),
    }  # fmt: skip
    write(folder, "ISIC-2017_Training_Part3_GroundTruth.csv", pd.DataFrame(truth))
    write(folder, "ISIC-2017_Training_Data_metadata.csv", pd.DataFrame(people)[::-1])
    return ("is_melanoma", "sex", "age_approx")


def write_isic_2018(folder: Path, rows: pd.DataFrame) -> tuple[str, ...]:
    upper = {ours: word.upper() for ours, word in DX.items()}
    table = one_hot(rows, upper, "MEL NV BCC AKIEC BKL DF VASC")
    write(folder, "ISIC2018_Task3_Training_GroundTruth.csv", table)
    groups = pd.DataFrame({"image": rows["name"], "lesion_id": rows["lesion_id"], "diagnosis_confirm_type": "x"})
    write(folder, "ISIC2018_Task3_Training_LesionGroupings.csv", groups[::-1])
    return ("diagnosis", "lesion_id", *LABELS)


def write_isic_2019(folder: Path, rows: pd.DataFrame) -> tuple[str, ...]:
    upper = {ours: word.upper() for ours, word in DX.items()}
    write(folder, "ISIC_2019_Training_GroundTruth.csv", one_hot(rows, upper, "MEL NV BCC AK BKL DF VASC SCC UNK"))
    people = {
        "image": rows["name"], "age_approx": rows["age_approx"], "anatom_site_general": said(rows["site"], ISIC_SITES),
        "lesion_id": rows["lesion_id"], "sex": said(rows["sex"]),
    }  # fmt: skip
    write(folder, "ISIC_2019_Training_Metadata.csv", pd.DataFrame(people)[::-1])
    return ("diagnosis", "lesion_id", *LABELS, *PEOPLE)


def write_isic_2020(folder: Path, rows: pd.DataFrame) -> tuple[str, ...]:
    words = {"melanoma": "melanoma", "nevus": "nevus", "benign keratosis": "seborrheic keratosis"}
    label = rows["is_melanoma"]
    table = {
        "image_name": rows["name"], "patient_id": rows["patient_id"], "lesion_id": rows["lesion_id"],
        "sex": said(rows["sex"]), "age_approx": rows["age_approx"],
        "anatom_site_general_challenge": said(rows["site"], ISIC_SITES | {"trunk": "torso"}),
        "diagnosis": rows["diagnosis"].map(words).fillna("unknown"),
        "benign_malignant": label.map({True: "malignant", False: "benign"}), "target": label.astype(int),
    }  # fmt: skip
    write(folder, "ISIC_2020_Training_GroundTruth_v2.csv", pd.DataFrame(table))
    pairs = pd.DataFrame({"image_name_1": rows["name"].iloc[:1], "image_name_2": rows["name"].iloc[[3]].to_numpy()})
    write(folder, "ISIC_2020_Training_Duplicates.csv", pairs)
    return ("patient_id", "lesion_id", "is_melanoma", *PEOPLE)


def write_isic_archive(folder: Path, rows: pd.DataFrame) -> tuple[str, ...]:
    second = rows["diagnosis"].map({"melanoma": "Malignant melanocytic proliferations (Melanoma)"}).fillna("Other")
    third = {
        "melanoma": "Melanoma Invasive", "nevus": "Nevus", "basal cell carcinoma": "Basal cell carcinoma",
        "benign keratosis": "Seborrheic keratosis", "dermatofibroma": "Dermatofibroma",
    }  # fmt: skip
    table = {
        "isic_id": rows["name"], "attribution": "x", "copyright_license": "CC-0", "age_approx": rows["age_approx"],
        "anatom_site_1": said(rows["site"], {"head and neck": "Head and neck", "trunk": "Trunk",
                              "upper extremity": "Upper extremity", "lower extremity": "Lower extremity"}),
        "diagnosis_1": rows["is_malignant"].map({True: "Malignant", False: "Benign"}), "diagnosis_2": second,
        "diagnosis_3": rows["diagnosis"].map(third), "image_type": "dermoscopic", "lesion_id": rows["lesion_id"],
        "patient_id": rows["patient_id"], "sex": said(rows["sex"]),
    }  # fmt: skip
    write(folder, "metadata.csv", pd.DataFrame(table))
    return ("diagnosis", "patient_id", "lesion_id", *LABELS, *PEOPLE)


def write_ddi(folder: Path, rows: pd.DataFrame) -> tuple[str, ...]:
    table = {
        "DDI_ID": range(COUNT), "DDI_file": rows["name"] + ".png", "skin_tone": [12, 34, 56] * (COUNT // 3),
        "malignant": rows["is_malignant"].map({True: "True", False: "False"}),
        "disease": rows["diagnosis"].str.replace(" ", "-"),
    }  # fmt: skip
    pd.DataFrame(table).to_csv(folder / "ddi_metadata.csv")
    return LABELS


def write_fitzpatrick17k(folder: Path, rows: pd.DataFrame) -> tuple[str, ...]:
    table = {
        "md5hash": rows["name"], "fitzpatrick_scale": [-1, 1, 2, 3, 4, 5] * (COUNT // 6), "fitzpatrick_centaur": 6,
        "label": rows["diagnosis"], "nine_partition_label": "x",
        "three_partition_label": rows["is_malignant"].map({True: "malignant", False: "benign"}), "qc": "",
        "url": "http://x", "url_alphanum": "x",
    }  # fmt: skip
    write(folder, "fitzpatrick17k.csv", pd.DataFrame(table))
    return LABELS


def write_derm7pt(folder: Path, rows: pd.DataFrame) -> tuple[str, ...]:
    words = {
        "melanoma": "melanoma (in situ)", "nevus": "clark nevus", "basal cell carcinoma": "basal cell carcinoma",
        "benign keratosis": "seborrheic keratosis", "dermatofibroma": "dermatofibroma",
    }  # fmt: skip
    sites = {"head and neck": "head neck", "trunk": "back", "upper extremity": "upper limbs",
             "lower extremity": "lower limbs"}  # fmt: skip
    table = {
        "case_num": rows["lesion_id"].str.removeprefix("PHL_"),
        "diagnosis": rows["diagnosis"].map(words), "location": said(rows["site"], sites),
        "sex": said(rows["sex"]), "clinic": "NEL/none.jpg", "derm": "NEL/" + rows["name"].str.upper() + ".JPG",
    }  # fmt: skip
    (folder / "meta").mkdir()
    write(folder / "meta", "meta.csv", pd.DataFrame(table))
    return ("diagnosis", "lesion_id", *LABELS, "sex", "site")


def write_asan(folder: Path, rows: pd.DataFrame) -> tuple[str, ...]:
    return ("diagnosis", *LABELS)


def write_mclass(folder: Path, rows: pd.DataFrame) -> tuple[str, ...]:
    return ("is_melanoma",)


def write_table(folder: Path, rows: pd.DataFrame) -> tuple[str, ...]:
    table = {
        "File Name": rows["name"], "Patient": rows["patient_id"], "Histology": rows["diagnosis"].map(DX),
        "Gender": said(rows["sex"], {"male": "M", "female": "W"}), "Age": rows["age_approx"],
        "Site": said(rows["site"]),
        "Fitzpatrick": ["I", "II", "iii", "4", "-1", ""] * (COUNT // 6),
    }  # fmt: skip
    write(folder, "lesions.csv", pd.DataFrame(table), sep=";")
    return ("patient_id", "diagnosis", *LABELS, *PEOPLE)


OPTIONS: dict[str, dict[str, Any]] = {
    "table": {
        "table": "lesions.csv",
        "columns": {
            "image": "File Name", "patient_id": "Patient", "diagnosis": "Histology", "sex": "Gender",
            "age_approx": "Age", "site": "Site", "fitzpatrick_skin_type": "Fitzpatrick",
        },
        "values": {"diagnosis": {word: ours for ours, word in DX.items()}, "sex": {"m": "male", "W": "female"}},
    }
}  # fmt: skip
ASAN = {
    "melanoma": "malignantmelanoma", "nevus": "pigmentednevus", "basal cell carcinoma": "basalcellcarcinoma",
    "benign keratosis": "seborrheickeratosis", "dermatofibroma": "dermatofibroma",
}  # fmt: skip
PLACES: dict[str, Callable[[Any], str]] = {
    "ham10000": lambda row: f"HAM10000_images_part_{row.Index % 2 + 1}/{row.name_}.jpg",
    "ddi": lambda row: f"images/{row.name_}.png",
    "derm7pt": lambda row: f"images/NEL/{row.name_}.jpg",
    "asan": lambda row: f"biopsy/{ASAN[row.diagnosis]}/{row.name_}.JPG",
    "mclass": lambda row: f"BenchmarkDermoscopic/{'malign' if row.is_melanoma else 'benign'}/{row.name_}.jpg",
}
WRITERS = {name.removeprefix("write_"): value for name, value in dict(globals()).items() if name.startswith("write_")}


@pytest.fixture(scope="module")
def phantoms() -> tuple[pd.DataFrame, list[bytes]]:
    source = open_source("ph", {"layout": "phantom", "role": "train", "num_images": COUNT, "size": 24, "seed": 5})
    rows = source.records()
    rows["name"] = [f"isic_{index:07d}" for index in range(COUNT)]
    return rows, [source.read_bytes(file) for file in rows["file"]]


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), dtype=int)


def test_every_layout_of_a_folder_is_here() -> None:
    assert set(WRITERS) == set(LAYOUTS) - {"phantom"}


@pytest.mark.parametrize("layout", WRITERS)
def test_phantoms_in_the_form_of_an_archive_read_back_equal(
    layout: str, phantoms: tuple[pd.DataFrame, list[bytes]], tmp_path: Path
) -> None:
    rows, contents = phantoms
    place = PLACES.get(layout, lambda row: f"images/{row.name_}.jpg")
    for row, content in zip(rows.rename(columns={"name": "name_"}).itertuples(), contents, strict=True):
        target = tmp_path / place(row)
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.open(io.BytesIO(content)).save(
            target, **({} if target.suffix == ".png" else {"format": "jpeg", "quality": 95})
        )
    equal = WRITERS[layout](tmp_path, rows)
    entry = {"layout": layout, "role": "test", "path": str(tmp_path), **OPTIONS.get(layout, {})}
    source = open_source("archive", entry)
    records = RECORDS_SCHEMA.validate(source.records())
    assert (source.layout, set(records["role"])) == (layout, {"test"})
    name = records["image_id"].str.lower().str.extract(r"(isic_\d+)", expand=False)
    back = records.assign(name=name).set_index("name").loc[rows["name"]].reset_index()
    back["lesion_id"] = back["lesion_id"].str.replace("D7P_", "PHL_")  # Derm7pt has bare numbers
    for column in equal:
        expected = rows[column].astype("object").where(rows[column].notna(), None)
        found = back[column].astype("object").where(back[column].notna(), None)
        assert found.tolist() == expected.tolist(), column
    for file, content in zip(back["file"], contents, strict=True):
        assert np.abs(pixels(source.read_bytes(file)) - pixels(content)).mean() < 12

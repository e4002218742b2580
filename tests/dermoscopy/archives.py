"""Phantoms written as each archive hands out its images; a multiple of six of them."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from dermdit_kedro.dermoscopy.layouts import open_source

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
        "DDI_ID": range(len(rows)), "DDI_file": rows["name"] + ".png", "skin_tone": [12, 34, 56] * (len(rows) // 3),
        "malignant": rows["is_malignant"].map({True: "True", False: "False"}),
        "disease": rows["diagnosis"].str.replace(" ", "-"),
    }  # fmt: skip
    pd.DataFrame(table).to_csv(folder / "ddi_metadata.csv")
    return LABELS


def write_fitzpatrick17k(folder: Path, rows: pd.DataFrame) -> tuple[str, ...]:
    table = {
        "md5hash": rows["name"], "fitzpatrick_scale": [-1, 1, 2, 3, 4, 5] * (len(rows) // 6), "fitzpatrick_centaur": 6,
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
        "Fitzpatrick": ["I", "II", "iii", "4", "-1", ""] * (len(rows) // 6),
    }  # fmt: skip
    write(folder, "lesions.csv", pd.DataFrame(table), sep=";")
    return ("patient_id", "diagnosis", *LABELS, *PEOPLE)


def write_imagefolder(folder: Path, rows: pd.DataFrame) -> tuple[str, ...]:
    table = {
        "file_name": "images/" + rows["name"] + ".jpg", "patient": rows["patient_id"],
        "is_malignant": rows["is_malignant"], "is_melanoma": rows["is_melanoma"], "sex": rows["sex"],
        "age_approx": rows["age_approx"], "site": rows["site"],
    }  # fmt: skip
    pd.DataFrame(table).to_json(folder / "metadata.jsonl", orient="records", lines=True)
    return (*LABELS, *PEOPLE)


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


def write_archive(folder: Path, layout: str, rows: pd.DataFrame, contents: list[bytes]) -> tuple[str, ...]:
    """Write phantoms and what an archive says of them.

    Args:
        folder: Where to.
        layout: The archive.
        rows: Records of phantoms with the column `name`, what the archive calls them.
        contents: Their image files.

    Returns:
        The columns that the archive gives away.
    """
    place = PLACES.get(layout, lambda row: f"images/{row.name_}.jpg")
    for row, content in zip(rows.rename(columns={"name": "name_"}).itertuples(), contents, strict=True):
        target = folder / place(row)
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.open(io.BytesIO(content)).save(
            target, **({} if target.suffix == ".png" else {"format": "jpeg", "quality": 95})
        )
    return WRITERS[layout](folder, rows)


def draw(number: int, count: int, size: int) -> tuple[pd.DataFrame, list[bytes]]:
    """Draw phantoms of all tones, half of them malignant; each number draws others.

    Returns:
        Records with the column `name`, and their image files.
    """
    tones = ("light", "brown", "dark")
    phantom = open_source("phantom", {
        "layout": "phantom", "role": "train", "num_images": count, "size": size, "seed": number,
        "tone_shares": dict(zip(tones, (0.4, 0.3, 0.3), strict=True)), "malignant_shares": dict.fromkeys(tones, 0.5),
    })  # fmt: skip
    rows = phantom.records()
    rows["name"] = [f"isic_{1000 * number + index:07d}" for index in range(count)]
    return rows, [phantom.read_bytes(file) for file in rows["file"]]


def write_source(folder: Path, source: dict[str, Any], number: int, count: int, size: int) -> None:
    """Write phantoms into `folder` as the archive of a source of the catalog hands out its images."""
    rows, contents = draw(number, count, size)
    if source.get("modality") == "clinical":
        _write_clinical(folder, source["layout"], rows, contents)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        write_archive(folder, source["layout"], rows, contents)


def _write_clinical(folder: Path, layout: str, rows: pd.DataFrame, contents: list[bytes]) -> None:
    """Put clinical images beside the dermoscopic ones of Derm7pt and MClass."""
    if layout == "mclass":
        places = [
            f"BenchmarkClinical/{'malign' if is_melanoma else 'benign'}/{name}.jpg"
            for is_melanoma, name in zip(rows["is_melanoma"], rows["name"], strict=True)
        ]
    else:
        table = pd.read_csv(folder / "meta/meta.csv", dtype="str")
        table["clinic"] = [f"NEL/{name}_clinic.jpg" for name in rows["name"]]
        table.to_csv(folder / "meta/meta.csv", index=False)
        places = [f"images/{place}" for place in table["clinic"]]
    for place, content in zip(places, contents, strict=True):
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

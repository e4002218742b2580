"""The archives' own metadata files, read whole, have the known counts; their images are not needed."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from dermdit_kedro.dermoscopy.layouts import open_source
from dermdit_kedro.dermoscopy.records import RECORDS_SCHEMA

METADATA = Path(__file__).resolve().parents[2] / "data" / "01_raw" / "metadata"
ASAN = {
    "AK": "actinic keratosis", "BCC": "basal cell carcinoma", "BKL": "benign keratosis", "DF": "dermatofibroma",
    "SCC": "squamous cell carcinoma",
}  # fmt: skip


@pytest.fixture
def read(tmp_path: Path) -> Any:
    """Read metadata files as a source whose folder holds one image more."""

    def records(layout: str, *files: str | tuple[str, str], **options: Any) -> pd.DataFrame:
        if not METADATA.is_dir():
            pytest.skip(f"the archives' metadata files are not in {METADATA}")
        for file in files:
            name, target = (file, file) if isinstance(file, str) else file
            shutil.copy(METADATA / name, tmp_path / target)
        Image.new("RGB", (4, 4)).save(tmp_path / "some.jpg")
        source = open_source("archive", {"layout": layout, "role": "train", "path": str(tmp_path), **options})
        return RECORDS_SCHEMA.validate(source.records())

    return records


def test_isic_2017(read: Any) -> None:
    records = read("isic_2017", "ISIC-2017_Validation_Part3_GroundTruth.csv")
    assert len(records) == 150
    assert records["is_melanoma"].sum() == records["is_malignant"].sum() == 30


def test_isic_2018(read: Any) -> None:
    """The copy at hand has one row per lesion."""
    records = read("isic_2018", "ISIC2018_Task3_Training_GroundTruth.csv")
    assert len(records) == 7470
    assert records["diagnosis"].nunique() == 7
    benign = read("isic_2018", akiec_is_malignant=False)
    keratoses = (records["diagnosis"] == "actinic keratosis").sum()
    assert records["is_malignant"].sum() - benign["is_malignant"].sum() == keratoses > 0


def test_isic_2019(read: Any) -> None:
    records = read("isic_2019", "ISIC_2019_Training_GroundTruth.csv", "ISIC_2019_Training_Metadata.csv")
    assert len(records) == 25331
    counts = records["diagnosis"].value_counts()
    assert counts["melanoma"] == records["is_melanoma"].sum() == 4522
    assert (counts["nevus"], counts["basal cell carcinoma"], counts["squamous cell carcinoma"]) == (12875, 3323, 628)
    assert records["is_malignant"].sum() == 4522 + 3323 + 628 + 867
    assert (records["sex"].isna().sum(), records["site"].isna().sum()) == (384, 2631)
    assert records["lesion_id"].nunique() == 11847
    assert records["age_approx"].min() > 0


def test_isic_2020(read: Any) -> None:
    records = read("isic_2020", "ISIC_2020_Training_GroundTruth.csv", "ISIC_2020_Training_Duplicates.csv")
    assert len(records) == 33126
    assert (records["is_malignant"].sum(), records["patient_id"].nunique()) == (584, 2056)
    assert records["is_malignant"].equals(records["is_melanoma"])
    listed = records["listed_duplicate_of"].notna()
    assert listed.sum() == 425
    assert (len(records[~listed]), records.loc[~listed, "is_malignant"].sum()) == (32701, 581)
    assert (records["sex"].isna().sum(), records["site"].isna().sum()) == (65, 527)


@pytest.mark.parametrize("file", ["fitzpatrick17k.csv", "fitzpatrick17k__pbevan1_older_header.csv"])
def test_fitzpatrick17k(read: Any, file: str) -> None:
    records = read("fitzpatrick17k", (file, "fitzpatrick17k.csv"))
    assert len(records) == 16577
    assert records["fitzpatrick_skin_type"].isna().sum() == 565
    assert records["is_malignant"].sum() == 2263
    assert set(records["modality"]) == {"clinical"}
    neoplastic = read("fitzpatrick17k", rows="neoplastic")
    assert (neoplastic["is_malignant"].sum(), len(neoplastic)) == (2157, 4311)


def test_the_annotators_of_fitzpatrick17k_differ(read: Any) -> None:
    scale = read("fitzpatrick17k", "fitzpatrick17k.csv")["fitzpatrick_skin_type"]
    centaur = read("fitzpatrick17k", skin_type_column="fitzpatrick_centaur")["fitzpatrick_skin_type"]
    assert 0.4 < (scale == centaur).mean() < 0.55


def test_the_list_of_asan_through_the_table_layout(read: Any) -> None:
    records = read(
        "table", "pbevan1_asan.csv", table="pbevan1_asan.csv", values={"diagnosis": ASAN}, akiec_is_malignant=False,
        columns={"image": "image_name", "diagnosis": "diagnosis"}, modality="clinical",
    )  # fmt: skip
    assert (len(records), records["is_melanoma"].sum(), records["is_malignant"].sum()) == (852, 59, 291)


@pytest.mark.parametrize("file", ["pbevan1_MClassD.csv", "pbevan1_MClassC.csv"])
def test_the_lists_of_mclass_through_the_table_layout(read: Any, file: str) -> None:
    columns = {"image": "image_name", "is_melanoma": "target", "is_malignant": "target"}
    records = read("table", file, table=file, columns=columns)
    assert (len(records), records["is_melanoma"].sum()) == (100, 20)


def test_ham10000_lies_within_isic_2019(read: Any) -> None:
    shared = METADATA.parent / "ham10000" / "HAM10000_metadata"
    if not shared.is_file():
        pytest.skip(f"HAM10000 is not in {shared.parent}")
    ham = set(pd.read_csv(shared, sep=None, engine="python")["image_id"])
    records = read("isic_2019", "ISIC_2019_Training_GroundTruth.csv", "ISIC_2019_Training_Metadata.csv")
    assert len(ham & set(records["image_id"].str.removeprefix("archive/"))) == 10015

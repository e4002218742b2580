"""The archives' own metadata files, read whole, have the known counts; their images are not needed."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dermdit_kedro.dermoscopy.layouts import open_source
from dermdit_kedro.dermoscopy.layouts.listing import bare_name
from dermdit_kedro.dermoscopy.linking import link_images
from dermdit_kedro.dermoscopy.schemas import RECORDS_SCHEMA
from dermdit_kedro.dermoscopy.splits import assign_splits, check_splits

METADATA = Path(__file__).resolve().parents[2] / "data" / "01_raw" / "metadata"
ASAN = {
    "AK": "actinic keratosis", "BCC": "basal cell carcinoma", "BKL": "benign keratosis", "DF": "dermatofibroma",
    "SCC": "squamous cell carcinoma",
}  # fmt: skip

NAMES = {
    "isic_2017": "image_id", "isic_2018": "image", "isic_2019": "image", "isic_2020": "image_name",
    "fitzpatrick17k": "md5hash",
}  # fmt: skip
"""Layout -> the column that names the images."""


@pytest.fixture
def read(tmp_path: Path) -> Any:
    """Read metadata files as a source whose folder holds the first images by name."""

    def records(layout: str, *files: str | tuple[str, str], **options: Any) -> pd.DataFrame:
        if not METADATA.is_dir():
            pytest.skip(f"the archives' metadata files are not in {METADATA}")
        for file in files:
            name, target = (file, file) if isinstance(file, str) else file
            shutil.copy(METADATA / name, tmp_path / target)
            column = options.get("columns", {}).get("image") or NAMES[layout]
            for image in pd.read_csv(METADATA / name, dtype="str").get(column, pd.Series())[:50]:
                (tmp_path / f"{bare_name(image)}.jpg").touch()
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


def clusters(*tables: pd.DataFrame) -> pd.DataFrame:
    """Link records by what their archives call them; no two have the same pixels."""
    rows = pd.concat(tables, ignore_index=True)
    hashes = [f"{index:064x}" for index in range(len(rows))]
    return rows.assign(duplicate_cluster=link_images(rows, rows.assign(sha256=hashes, phash=hashes), 0))


def guarded(rows: pd.DataFrame) -> int:
    """Count the training images kept from the generator because a test source holds them too."""
    split = assign_splits(rows.assign(tone_group="unknown"), 0.1, 0.2, 0)
    check_splits(rows.assign(split=split, sha256=rows["image_id"]))
    return int((split == "excluded").sum())


def test_ham10000_is_found_in_isic_2019_and_guarded(read: Any) -> None:
    folder = METADATA.parent / "ham10000"
    if not (folder / "HAM10000_metadata").is_file():
        pytest.skip(f"HAM10000 is not in {folder}")
    train = read("isic_2019", "ISIC_2019_Training_GroundTruth.csv", "ISIC_2019_Training_Metadata.csv")
    test = open_source("ham", {"layout": "ham10000", "role": "test", "path": str(folder)}).records()
    rows = clusters(train, test)
    shared = set(rows.loc[rows["source"] == "ham", "duplicate_cluster"])
    by_name = set(test["image_id"].str.removeprefix("ham/")) & set(train["image_id"].str.removeprefix("archive/"))
    assert len(by_name) == 10015
    assert len(shared) == 7470
    assert guarded(rows) == rows["duplicate_cluster"].isin(shared).sum() - 10015 >= 10015


def test_mclass_is_found_in_isic_2019(read: Any) -> None:
    train = read("isic_2019", "ISIC_2019_Training_GroundTruth.csv", "ISIC_2019_Training_Metadata.csv")
    columns = {"image": "image_name", "is_melanoma": "target"}
    test = read("table", "pbevan1_MClassD.csv", table="pbevan1_MClassD.csv", columns=columns)
    test = test.assign(source="mclass", role="test", image_id="mclass/" + test["image_id"].str.removeprefix("archive/"))
    rows = clusters(train, test)
    found = rows.loc[rows["source"] == "mclass", "duplicate_cluster"].isin(
        rows.loc[rows["source"] == "archive", "duplicate_cluster"]
    )
    assert found.sum() == 95
    assert guarded(rows) >= 95

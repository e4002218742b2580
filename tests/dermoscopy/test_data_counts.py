"""The counts of the data report: nothing is lost, nothing is counted twice."""

import json

import numpy as np
import pandas as pd
import pytest

from dermdit_kedro.dermoscopy.data_counts import (
    AGE_BANDS,
    CELL,
    ITA_EDGES,
    band_ages,
    count_cells,
    count_missing,
    spread_tone,
)
from dermdit_kedro.dermoscopy.data_report import summarise_data
from dermdit_kedro.dermoscopy.records import QUARANTINE_COLUMNS
from dermdit_kedro.dermoscopy.tone_parameters import SkinToneConfig

SKIN_TONE = SkinToneConfig()


def test_cells_add_up_to_the_manifest(drawn_manifest: pd.DataFrame) -> None:
    cells = pd.DataFrame(count_cells(drawn_manifest))
    assert list(cells.columns) == [*CELL, "images"]
    assert cells["images"].sum() == len(drawn_manifest)
    assert (cells["images"] > 0).all()
    assert not cells.duplicated(list(CELL)).any()
    for column in ("source", "split", "tone_group"):
        assert cells.groupby(column)["images"].sum().to_dict() == drawn_manifest[column].value_counts().to_dict()
    by_label = cells.groupby("label")["images"].sum()
    assert by_label["malignant"] == drawn_manifest["is_malignant"].sum()
    for column, of in (("label", "is_malignant"), ("sex", "sex"), ("site", "site"), ("age_band", "age_approx")):
        assert cells.loc[cells[column] == "unknown", "images"].sum() == drawn_manifest[of].isna().sum()


def test_ages_fall_into_bands_of_twenty_years() -> None:
    ages = pd.Series([0.5, 19.9, 20, 39, 40, 60, 79.9, 80, 104, np.nan])
    bands = [AGE_BANDS[i] for i in (0, 0, 1, 1, 2, 3, 3, 4, 4, 5)]
    assert list(band_ages(ages)) == bands


def test_missing_by_source_adds_up(drawn_manifest: pd.DataFrame) -> None:
    missing = count_missing(drawn_manifest)
    for column in drawn_manifest:
        assert sum(part[column] for part in missing.values()) == drawn_manifest[column].isna().sum()


def test_every_angle_lies_in_one_bin(drawn_manifest: pd.DataFrame) -> None:
    manifest = drawn_manifest.assign(ita_degrees=drawn_manifest["ita_degrees"].where(drawn_manifest.index > 0, -150.0))
    spread = spread_tone(manifest, SKIN_TONE)
    for source, part in spread["ita_degrees"]["by_source"].items():
        angles = manifest.loc[manifest["source"] == source, "ita_degrees"].dropna()
        assert sum(part["histogram"]) == part["n"] == len(angles)
        assert len(part["histogram"]) == len(ITA_EDGES) - 1
    angles = drawn_manifest.loc[drawn_manifest["source"] == "clinic", "ita_degrees"]
    between = angles.ge(20) & angles.lt(25)
    assert spread["ita_degrees"]["by_source"]["clinic"]["histogram"][ITA_EDGES.index(20)] == between.sum()
    assert sum(sum(part.values()) for part in spread["by_tone_source"].values()) == len(drawn_manifest)


def test_the_report_is_json_with_the_quarantine_by_source(drawn_manifest: pd.DataFrame) -> None:
    rows = [("clinic", f"{i}.jpg", f"clinic/{i}", "unreadable" if i < 3 else "missing_file", "") for i in range(5)]
    quarantine = pd.DataFrame(rows, columns=list(QUARANTINE_COLUMNS))
    report = summarise_data({"clinic": "table", "ddi": "ddi"}, drawn_manifest, drawn_manifest, quarantine, SKIN_TONE)
    assert json.loads(json.dumps(report)) == report
    assert report["quarantined_by_source"] == {"clinic": {"missing_file": 2, "unreadable": 3}}
    assert sum(cell["images"] for cell in report["counts"]) == report["images"]


@pytest.mark.parametrize("column", ["sex", "age_approx", "site", "is_malignant", "ita_degrees"])
def test_what_no_image_has_is_unknown_for_all(drawn_manifest: pd.DataFrame, column: str) -> None:
    bare = drawn_manifest.assign(**{column: drawn_manifest[column].mask(drawn_manifest["image_id"].notna())})
    assert sum(cell["images"] for cell in count_cells(bare)) == len(bare)
    assert {part[column] for part in count_missing(bare).values()} == set(bare["source"].value_counts())
    assert bool(spread_tone(bare, SKIN_TONE)["ita_degrees"]["by_source"]) is (column != "ita_degrees")

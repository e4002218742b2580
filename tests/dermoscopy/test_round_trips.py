"""Phantoms written as each archive hands out its images are read back equal: what the archive says, and the pixels."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.dermoscopy.archives import DX, WRITERS, write_archive

from dermdit_kedro.dermoscopy.layouts import LAYOUTS, open_source
from dermdit_kedro.dermoscopy.schemas import RECORDS_SCHEMA

COUNT = 24
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
    equal = write_archive(tmp_path, layout, rows, contents)
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

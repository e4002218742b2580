"""Layouts: what an archive hands out becomes harmonised records."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dermdit_kedro.dermoscopy.layouts import open_source
from dermdit_kedro.dermoscopy.phantom import render
from dermdit_kedro.dermoscopy.schemas import RECORDS_SCHEMA
from dermdit_kedro.errors import UserError


def ham(folder: Path, **options: object) -> dict[str, object]:
    return {"layout": "ham10000", "role": "train", "path": str(folder), **options}


@pytest.mark.parametrize("separator", [",", "\t"])
@pytest.mark.parametrize("table", ["HAM10000_metadata", "HAM10000_metadata.csv", "HAM10000_metadata.tab"])
@pytest.mark.parametrize("parts", [True, False])
def test_ham10000_reads_every_form(write_ham: Callable[..., Path], table: str, separator: str, parts: bool) -> None:
    source = open_source("ham", ham(write_ham(table, separator, parts)))
    records = RECORDS_SCHEMA.validate(source.records())
    assert records["image_id"].tolist() == [f"ham/ISIC_0{i}" for i in range(1, 6)]
    assert records["lesion_id"].tolist() == ["HAM_1", "HAM_1", "HAM_2", "HAM_3", "HAM_4"]
    assert records["is_malignant"].tolist() == [False, False, True, True, True]
    assert records["is_melanoma"].tolist() == [False, False, True, False, False]
    assert records["sex"].isna().tolist() == [False, False, False, True, False]
    assert records["age_approx"].isna().tolist() == [False, False, True, True, False]
    sites = ["head and neck", "head and neck", "palms and soles", None, "oral or genital"]
    assert records["site"].astype("object").where(records["site"].notna(), None).tolist() == sites
    assert all(Image.open(io.BytesIO(source.read_bytes(file))).size == (40, 30) for file in records["file"])


def test_ham10000_can_count_akiec_as_benign(write_ham: Callable[..., Path]) -> None:
    records = open_source("ham", ham(write_ham(), akiec_is_malignant=False)).records()
    assert records["is_malignant"].sum() == 2


def test_sources_travel_to_other_processes(write_ham: Callable[..., Path]) -> None:
    for name, entry in {"ham": ham(write_ham()), "ph": {"layout": "phantom", "role": "test", "num_images": 2}}.items():
        source = open_source(name, entry)
        again = pickle.loads(pickle.dumps(source))
        assert again == source
        pd.testing.assert_frame_equal(again.records(), source.records())


def test_a_source_travels_light(tmp_path: Path) -> None:
    names = [f"ISIC_{number:07d}" for number in range(1000)]
    for name in names:
        (tmp_path / f"{name}.jpg").touch()
    pd.DataFrame({"isic_id": names}).to_csv(tmp_path / "metadata.csv", index=False)
    (tmp_path / "ISIC_0000007.jpg").write_bytes(b"seven")
    entry = {"layout": "isic_archive", "role": "train", "path": str(tmp_path)}
    luggage = pickle.dumps(open_source("archive", entry))
    assert len(luggage) < 2000
    assert pickle.loads(luggage).read_bytes("ISIC_0000007.jpg") == b"seven"


def test_links_to_folders_are_not_followed(write_ham: Callable[..., Path], tmp_path: Path) -> None:
    folder = write_ham()
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "out").symlink_to(tmp_path, target_is_directory=True)
    assert len(open_source("ham", ham(folder)).records()) == 5


def test_missing_folder_says_what_was_expected_and_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere.*HAM10000_metadata.*DBW86T"):
        open_source("ham", ham(tmp_path / "nowhere"))


def test_missing_table_and_images_are_named(write_ham: Callable[..., Path]) -> None:
    folder = write_ham()
    for file in folder.rglob("*.jpg"):
        file.unlink()
    with pytest.raises(UserError, match="holds no image"):
        open_source("ham", ham(folder))
    (folder / "HAM10000_metadata").unlink()
    with pytest.raises(UserError, match="must hold the table HAM10000_metadata"):
        open_source("ham", ham(folder))


def test_missing_column_is_named_with_its_file(write_ham: Callable[..., Path]) -> None:
    table = write_ham() / "HAM10000_metadata"
    pd.read_csv(table).drop(columns="dx").to_csv(table, index=False)
    with pytest.raises(UserError, match=r"HAM10000_metadata lacks the column dx; it has lesion_id"):
        open_source("ham", ham(table.parent))


def test_unknown_diagnosis_is_refused(write_ham: Callable[..., Path]) -> None:
    table = write_ham() / "HAM10000_metadata"
    table.write_text(table.read_text().replace("bcc", "Melanomaanocytic Nevi (moles)"))
    with pytest.raises(UserError, match="Got 'Melanomaanocytic"):
        open_source("ham", ham(table.parent)).records()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"layout": "isic", "role": "train"},
            r"x\.layout must be one of phantom, ham10000, .*, table. Got 'isic'",
        ),
        ({"layout": "phantom", "role": "both"}, r"sources\.x\.role must be train or test. Got 'both'"),
        ({"layout": "phantom", "role": "train", "num_image": 2}, r"sources\.x\.num_image: Extra inputs"),
        ({"layout": "phantom", "role": "train", "num_images": 0}, r"sources\.x\.num_images: .*greater"),
        ({"layout": "ham10000", "role": "train"}, r"sources\.x\.path: Field required"),
    ],
)
def test_wrong_entry_is_refused_with_key_and_rule(entry: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_source("x", entry)


def test_counts_that_differ_from_expect_are_named(write_ham: Callable[..., Path]) -> None:
    expect = {"images": 5, "lesions": 4, "is_malignant": 3, "is_melanoma": 2}
    source = open_source("ham", ham(write_ham(), expect=expect))
    assert source.expect is not None
    with pytest.raises(UserError, match=r"'ham' is not what `expect` says: is_melanoma: expected 2, found 1$"):
        source.expect.check("ham", source.records())


def test_phantoms_are_what_the_renderer_draws_and_hide_the_truth() -> None:
    source = open_source("ph", {"layout": "phantom", "role": "test", "num_images": 5, "seed": 2, "size": 32})
    records = RECORDS_SCHEMA.validate(source.records())
    assert len(records) == 5
    assert records["fitzpatrick_skin_type"].isna().all()
    assert records["role"].unique().tolist() == ["test"]
    options = source.options  # type: ignore[attr-defined]
    for index, file in enumerate(records["file"]):
        pixels = np.asarray(Image.open(io.BytesIO(source.read_bytes(file))))
        assert np.array_equal(pixels, render(options, index, 32).image)
    with pytest.raises(FileNotFoundError):
        source.read_bytes("5.png")


def test_real_ham10000_has_the_published_counts(real_ham: Path) -> None:
    expect = {"images": 10015, "lesions": 7470, "is_malignant": 1954, "is_melanoma": 1113}
    source = open_source("ham10000", ham(real_ham, expect=expect))
    records = RECORDS_SCHEMA.validate(source.records())
    assert source.expect is not None
    source.expect.check("ham10000", records)
    assert records["age_approx"].isna().sum() == 57 + 39
    assert records["sex"].isna().sum() == 57
    assert records["site"].isna().sum() == 234
    assert records["image_id"].is_unique

"""The nodes of data_engineering, run by hand from sources to images."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dermdit_kedro.dermoscopy import preparing
from dermdit_kedro.dermoscopy.data_report import summarise_data
from dermdit_kedro.dermoscopy.layouts import open_source
from dermdit_kedro.dermoscopy.parameters import DataEngineeringConfig
from dermdit_kedro.dermoscopy.schemas import MANIFEST_SCHEMA, RECORDS_SCHEMA
from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import ImageFolder
from dermdit_kedro.pipelines.data_engineering import nodes

CONFIG = DataEngineeringConfig()


class Made(NamedTuple):
    """What a run of the nodes makes."""

    records: pd.DataFrame
    manifest: pd.DataFrame
    quarantine: pd.DataFrame
    images: ImageFolder
    report: dict[str, Any]


def phantoms() -> dict[str, Any]:
    entry = {"layout": "phantom", "num_images": 120, "seed": 0}
    even = {"tone_shares": {"light": 0.34, "brown": 0.33, "dark": 0.33}, "num_images": 12, "seed": 1, "role": "test"}
    return {
        "phantoms": open_source("phantoms", entry | {"role": "train"}),
        "phantom_even": open_source("phantom_even", entry | even),
        "again": open_source("again", entry | {"role": "test", "num_images": 4}),
    }


def make(sources: dict[str, Any], work_dir: Path, config: DataEngineeringConfig = CONFIG, size: int = 16) -> Made:
    records = nodes.read_sources(sources, config, 0)
    inspected, quarantine = nodes.inspect_images(sources, records, config, work_dir)
    tones = nodes.measure_skin_tone(sources, inspected, config, work_dir)
    clusters = nodes.link_duplicates(sources, inspected, config)
    manifest = nodes.assign_splits(inspected, tones, clusters, config, 0)
    images = nodes.prepare_images(sources, manifest, config, size, work_dir)
    report = nodes.report_data(sources, records, manifest, quarantine, config)
    return Made(records, manifest, quarantine, images, report)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(phantoms(), tmp_path_factory.mktemp("work"))


def test_every_record_is_in_the_manifest_or_in_quarantine(made: Made) -> None:
    RECORDS_SCHEMA.validate(made.records)
    MANIFEST_SCHEMA.validate(made.manifest)
    assert sorted([*made.manifest["image_id"], *made.quarantine["image_id"]]) == sorted(made.records["image_id"])
    assert len(made.manifest) == 136


def test_test_sources_are_test_and_their_copies_are_excluded(made: Made) -> None:
    manifest = made.manifest.set_index("image_id")
    assert (manifest.loc[manifest["role"] == "test", "split"] == "test").all()
    copies = manifest[manifest["sha256"].isin(manifest.loc[manifest["source"] == "again", "sha256"])]
    assert set(copies.loc[copies["role"] == "train", "split"]) == {"excluded"}
    guarded = manifest[manifest["split"] == "excluded"]
    assert made.report["leak_guard"]["excluded"] == len(guarded) >= 4
    assert made.report["leak_guard"]["by_source_pair"]["phantoms in again"] == len(guarded)
    assert {"train", "val", "test"} <= set(manifest.loc[manifest["source"] == "phantoms", "split"])


def test_estimated_tone_is_compared_with_the_experts(made: Made) -> None:
    assert made.report["tone_by_pixels_and_experts"] == {}
    even = made.manifest["source"] == "phantom_even"
    experts = made.manifest.assign(tone_source=made.manifest["tone_source"].mask(even, "expert"))
    dark = experts.index[even & (experts["tone_group"] == "dark")]
    experts.loc[dark[0], "tone_group"] = "light"
    layouts = dict.fromkeys(("phantoms", "phantom_even", "again"), "phantom")
    report = summarise_data(layouts, made.records, experts, made.quarantine, CONFIG.skin_tone)
    found = report["tone_by_pixels_and_experts"]["phantom_even"]
    assert found["n"] == (even & experts["ita_degrees"].notna()).sum()
    assert found["value"] == pytest.approx(1 - 1 / found["n"])
    assert found["interval"][0] < found["value"] < found["interval"][1]
    assert found["expert_by_estimated"]["light"]["dark"] == 1


def test_all_images_are_prepared_as_bare_squares(made: Made) -> None:
    index = made.images.index().set_index("image_id")
    assert set(index.index) == set(made.manifest["image_id"])
    assert (index[["width", "height"]] == 16).all(axis=None)
    for image_id, file in index["file"].items():
        assert file == f"{image_id}.png"
        with Image.open(made.images.path / file) as image:
            assert (image.mode, image.size, image.info) == ("RGB", (16, 16), {})


def test_same_size_is_stored_without_loss(tmp_path: Path) -> None:
    sources = {"phantoms": open_source("phantoms", {"layout": "phantom", "role": "train", "num_images": 3, "size": 64})}
    made = make(sources, tmp_path, size=64)
    for row in made.manifest.itertuples():
        drawn = np.asarray(Image.open(io.BytesIO(sources["phantoms"].read_bytes(row.file))))
        assert np.array_equal(np.asarray(Image.open(made.images.path / f"{row.image_id}.png")), drawn)


def test_a_rerun_gives_the_same_and_writes_only_what_is_missing(made: Made) -> None:
    marker = made.images.path / "_complete.json"
    files = sorted(made.images.path.rglob("*.png"))
    before = {path: path.stat().st_mtime_ns for path in files}
    index = made.images.index()
    marker.unlink()
    files[0].unlink()
    (files[1].parent / f".{files[1].name}.0123abcd.tmp").write_bytes(b"half a file")
    again = make(phantoms(), made.images.path.parents[1])
    assert again.images == made.images
    pd.testing.assert_frame_equal(again.manifest, made.manifest)
    pd.testing.assert_frame_equal(again.images.index(), index)
    assert all(path.stat().st_mtime_ns == before[path] for path in files[1:])
    assert not list(made.images.path.rglob("*.tmp"))


def test_images_that_join_are_the_only_ones_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[bytes] = []

    def decode(content: bytes, max_pixels: int, at_least: int) -> Image.Image:
        decoded.append(content)
        return original(content, max_pixels, at_least)

    original = preparing.decode_image
    monkeypatch.setattr(preparing, "decode_image", decode)
    config = DataEngineeringConfig(num_workers=1)

    def add(count: int) -> Made:
        decoded.clear()
        entry = {"layout": "phantom", "role": "train", "num_images": count}
        return make({"phantoms": open_source("phantoms", entry)}, tmp_path, config)

    assert len(add(3).images.index()) == 3
    assert len(decoded) == 6
    images = add(5).images
    assert len(decoded) == 4
    assert sorted(path.stem for path in images.path.rglob("*.png")) == [f"PH_{i:07}" for i in range(5)]


def test_a_file_that_changed_after_its_inspection_is_named(tmp_path: Path) -> None:
    for number in range(4):
        Image.fromarray(np.full((40, 40, 3), 60 * number, np.uint8)).save(tmp_path / f"{number}.png")
    (tmp_path / "t.csv").write_text("name,bad\n0,0\n1,0\n2,1\n3,1\n")
    options = {"table": "t.csv", "columns": {"image": "name", "is_malignant": "bad"}, "path": str(tmp_path)}
    sources = {"own": open_source("own", {"layout": "table", "role": "train", **options})}
    records = nodes.read_sources(sources, CONFIG, 0)
    inspected, _ = nodes.inspect_images(sources, records, CONFIG, tmp_path / "work")
    before = (tmp_path / "2.png").read_bytes()
    (tmp_path / "2.png").write_bytes((tmp_path / "1.png").read_bytes())
    for run in (nodes.measure_skin_tone, lambda *a: nodes.prepare_images(*a[:-1], 16, a[-1])):
        with pytest.raises(UserError, match=r"own/2: '2\.png' has changed since it was inspected"):
            run(sources, inspected, CONFIG, tmp_path / "work")
    (tmp_path / "2.png").write_bytes(before)
    images = nodes.prepare_images(sources, inspected, CONFIG, 16, tmp_path / "work").path
    with Image.open(images / "own" / "2.png") as image:
        assert image.getpixel((8, 8)) == (120, 120, 120)


def test_an_image_cut_short_by_a_loss_of_power_is_written_again(made: Made, tmp_path: Path) -> None:
    sources = {"phantoms": open_source("phantoms", {"layout": "phantom", "role": "train", "num_images": 3})}
    folder = make(sources, tmp_path).images.path
    files = sorted(folder.rglob("*.png"))
    before = [file.read_bytes() for file in files]
    (folder / "_complete.json").unlink()
    files[0].chmod(0o644)
    files[0].write_bytes(before[0][:40])  # by all its names
    make(sources, tmp_path)
    assert [file.read_bytes() for file in files] == before


def test_another_folder_of_the_same_names_is_looked_at(tmp_path: Path) -> None:
    looked = []
    for number, folder in enumerate((tmp_path / "one", tmp_path / "two")):
        folder.mkdir()
        Image.new("RGB", (40, 40), (number, 0, 0)).save(folder / "a.bmp")
        os.utime(folder / "a.bmp", (1, 1))
        (folder / "t.csv").write_text("name,bad\na,0\n")
        options = {"table": "t.csv", "columns": {"image": "name", "is_malignant": "bad"}, "path": str(folder)}
        sources = {"own": open_source("own", {"layout": "table", "role": "train", **options})}
        records = nodes.read_sources(sources, CONFIG, 0)
        looked.append(nodes.inspect_images(sources, records, CONFIG, tmp_path / "work")[0]["sha256"][0])
    assert looked[0] != looked[1]


@pytest.mark.parametrize("change", [{"size": 8}, {"config": DataEngineeringConfig(resize_mode="pad")}])
def test_what_changes_the_images_changes_the_folder(made: Made, change: dict[str, Any]) -> None:
    manifest = made.manifest.head(2)
    config, size = change.get("config", CONFIG), change.get("size", 16)
    other = nodes.prepare_images(phantoms(), manifest, config, size, made.images.path.parents[1])
    same = nodes.prepare_images(phantoms(), manifest, CONFIG, 16, made.images.path.parents[1])
    assert other.fingerprint != same.fingerprint


def test_max_images_bounds_each_source(tmp_path: Path) -> None:
    records = nodes.read_sources(phantoms(), DataEngineeringConfig(max_images=10), 0)
    counts = records["source"].value_counts()
    assert counts.max() <= 10
    assert counts["again"] == 4


def test_report_counts_what_the_manifest_holds(made: Made) -> None:
    report = made.report
    assert report["images"] == len(made.manifest)
    assert report["malignant"] == made.manifest["is_malignant"].sum()
    for table in ("by_split_and_tone", "by_split_and_label"):
        assert sum(sum(row.values()) for row in report[table].values()) == len(made.manifest)
    assert {name: source["layout"] for name, source in report["sources"].items()} == dict.fromkeys(
        phantoms(), "phantom"
    )
    assert report["duplicates"]["identical_files"] == 4
    assert report["missing"]["fitzpatrick_skin_type"] == len(made.manifest)


def test_counts_are_checked_unless_a_subset_is_asked_for() -> None:
    entry = {"layout": "phantom", "role": "train", "num_images": 6, "expect": {"images": 7}}
    sources = {"phantoms": open_source("phantoms", entry)}
    with pytest.raises(UserError, match="images: expected 7, found 6"):
        nodes.read_sources(sources, CONFIG, 0)
    assert len(nodes.read_sources(sources, DataEngineeringConfig(max_images=6), 0)) == 6


def test_a_run_without_one_whole_image_stops(tmp_path: Path) -> None:
    (tmp_path / "HAM10000_metadata").write_text("lesion_id,image_id,dx,age,sex,localization\nL,I,nv,5,male,back\n")
    (tmp_path / "I.jpg").write_text("no image")
    sources = {"ham": open_source("ham", {"layout": "ham10000", "role": "train", "path": str(tmp_path)})}
    records = nodes.read_sources(sources, CONFIG, 0)
    with pytest.raises(UserError, match=r"at least one image must be readable.*unreadable"):
        nodes.inspect_images(sources, records, CONFIG, tmp_path / "work")


@pytest.mark.slow
def test_real_ham10000_becomes_the_known_manifest(root: Path, tmp_path: Path, require: Callable[[Path], None]) -> None:
    folder = root / "data" / "01_raw" / "ham10000"
    require(folder)
    sources = {"ham10000": open_source("ham10000", {"layout": "ham10000", "role": "train", "path": str(folder)})}
    made = make(sources, tmp_path)
    manifest = made.manifest
    assert (made.report["images"], made.report["lesions"]) == (10015, 7470)
    assert (made.report["malignant"], made.report["melanoma"]) == (1954, 1113)
    assert (manifest["age_approx"].isna().sum(), manifest["sex"].isna().sum()) == (96, 57)
    assert manifest.groupby("lesion_id")["split"].nunique().max() == 1
    assert manifest["duplicate_cluster"].nunique() == 7469
    assert made.quarantine.empty

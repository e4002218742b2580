"""Every image is looked into; a bad one never stops a run and never vanishes."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest

from dermdit_kedro.dermoscopy import inspect
from dermdit_kedro.dermoscopy.inspect import inspect_records
from dermdit_kedro.dermoscopy.layouts import Source, open_source
from dermdit_kedro.dermoscopy.records import QUARANTINE_COLUMNS, Reason


@pytest.fixture
def source(write_ham: Callable[..., Path]) -> Source:
    folder = write_ham(parts=False)
    images = folder / "images"
    (images / "ISIC_01.jpg").write_bytes((images / "ISIC_01.jpg").read_bytes()[:200])
    (images / "ISIC_02.jpg").write_text("no image")
    (images / "ISIC_03.jpg").unlink()
    return open_source("ham", {"layout": "ham10000", "role": "train", "path": str(folder)})


def look(source: Source, records: pd.DataFrame, max_pixels: int = 10**6) -> tuple[pd.DataFrame, dict[str, str]]:
    with TemporaryDirectory() as ledger:
        whole, quarantine = inspect_records({"ham": source}, records, max_pixels, 2, Path(ledger))
    assert list(quarantine) == list(QUARANTINE_COLUMNS)
    assert set(quarantine["reason"]) <= set(Reason)
    assert len(whole) + len(quarantine) == len(records)
    return whole, dict(zip(quarantine["image_id"], quarantine["reason"], strict=True))


def test_bad_files_are_set_aside_with_their_reason(source: Source) -> None:
    whole, quarantined = look(source, source.records())
    assert quarantined == {
        "ham/ISIC_01": "unreadable",
        "ham/ISIC_02": "unreadable",
        "ham/ISIC_03": "missing_file",
    }
    assert whole["image_id"].tolist() == ["ham/ISIC_04", "ham/ISIC_05"]
    assert whole[["width", "height"]].to_numpy().tolist() == [[40, 30], [40, 30]]
    assert whole["sha256"].str.len().eq(64).all()
    assert whole["phash"].str.len().eq(64).all()


def test_pixel_bound_sets_aside(source: Source) -> None:
    whole, quarantined = look(source, source.records().iloc[3:], max_pixels=40 * 30 - 1)
    assert whole.empty
    assert set(quarantined.values()) == {"too_large"}


@pytest.mark.parametrize("file", ["../../secret.jpg", "/etc/hostname", "images/link.jpg"])
def test_path_out_of_the_folder_is_never_read(source: Source, tmp_path: Path, file: str) -> None:
    (tmp_path / "secret.jpg").write_text("secret")
    (tmp_path / "ham10000" / "images" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    records = source.records().iloc[3:4].assign(file=file)
    assert look(source, records)[1] == {"ham/ISIC_04": "unsafe_path"}


def test_second_row_of_an_image_id_is_set_aside(source: Source) -> None:
    records = pd.concat([source.records().iloc[3:]] * 2, ignore_index=True)
    whole, quarantined = look(source, records)
    assert len(whole) == 2
    assert set(quarantined.values()) == {"duplicate_id"}


def test_number_of_workers_changes_nothing(source: Source, tmp_path: Path) -> None:
    one, four = (inspect_records({"ham": source}, source.records(), 10**6, n, tmp_path / f"{n}")[0] for n in (1, 4))
    pd.testing.assert_frame_equal(one, four)


def test_an_image_that_the_archive_lists_as_a_duplicate_is_set_aside(source: Source) -> None:
    records = source.records().iloc[3:].assign(listed_duplicate_of=[None, "ham/ISIC_04"])
    records["listed_duplicate_of"] = records["listed_duplicate_of"].astype("str").where([False, True])
    whole, quarantined = look(source, records)
    assert whole["image_id"].tolist() == ["ham/ISIC_04"]
    assert quarantined == {"ham/ISIC_05": "listed_duplicate"}


@pytest.mark.parametrize(
    ("listed", "kept"),
    [
        (["ham/ISIC_05", "ham/ISIC_04"], ["ham/ISIC_04"]),
        ([None, "ham/ISIC_01"], ["ham/ISIC_04", "ham/ISIC_05"]),
        ([None, "ham/gone"], ["ham/ISIC_04", "ham/ISIC_05"]),
    ],
)
def test_of_images_that_repeat_each_other_a_whole_one_stays(
    source: Source, listed: list[str | None], kept: list[str]
) -> None:
    records = source.records().assign(listed_duplicate_of=pd.Series([None] * 3 + listed, dtype="str"))
    assert look(source, records)[0]["image_id"].tolist() == kept  # ISIC_01 is broken


def test_a_rerun_looks_only_at_what_changed(
    write_ham: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_ham(parts=False)
    images = folder / "images"
    (images / "ISIC_02.jpg").write_text("no image")
    (images / "ISIC_03.jpg").unlink()
    seen: list[str] = []

    def inspect_image(source: Source, file: str, max_pixels: int) -> inspect.Finding:
        seen.append(Path(file).stem)
        return original(source, file, max_pixels)

    original = inspect.inspect_image
    monkeypatch.setattr(inspect, "inspect_image", inspect_image)

    def run() -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
        seen.clear()
        source = open_source("ham", {"layout": "ham10000", "role": "train", "path": str(folder)})
        return *inspect_records({"ham": source}, source.records(), 10**6, 1, tmp_path / "ledger"), list(seen)

    whole, quarantine, first = run()
    assert first == [f"ISIC_0{i}" for i in range(1, 6)]
    again, quarantine_again, second = run()
    assert second == ["ISIC_02", "ISIC_03"]  # a fault may have passed, a missing file may have come
    pd.testing.assert_frame_equal(again, whole)
    pd.testing.assert_frame_equal(quarantine_again, quarantine)
    (images / "ISIC_03.jpg").write_bytes((images / "ISIC_01.jpg").read_bytes())
    (images / "ISIC_02.jpg").write_bytes((images / "ISIC_04.jpg").read_bytes())
    whole, quarantine, third = run()
    assert third == ["ISIC_02", "ISIC_03"]
    assert len(whole) == 5
    assert quarantine.empty
    assert whole["sha256"].nunique() == 3

"""Clusters of images that belong together."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dermdit_kedro.dermoscopy.linking import link_images, near_duplicates


def images(count: int, **columns: list[Any]) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    hashes = [row.tobytes().hex() for row in rng.integers(0, 256, (count, 32), dtype=np.uint8)]
    base = {
        "image_id": [f"s/{i:03}" for i in range(count)],
        "file": [f"{i}.jpg" for i in range(count)],
        "listed_duplicate_of": [None] * count,
        "source": ["s"] * count,
        "patient_id": [None] * count,
        "lesion_id": [None] * count,
        "sha256": [f"{i:064x}" for i in range(count)],
        "phash": hashes,
    }
    return pd.DataFrame(base | columns)


def flip(phash: str, positions: list[int]) -> str:
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(phash), np.uint8))
    bits[positions] ^= 1
    return np.packbits(bits).tobytes().hex()


def link(rows: pd.DataFrame, distance: int) -> pd.Series:
    return link_images(rows, rows, distance)


def groups(clusters: pd.Series) -> set[frozenset[int]]:
    return {frozenset(members) for members in clusters.groupby(clusters).groups.values()}


@pytest.mark.parametrize("distance", [0, 1, 7, 16])
def test_near_duplicates_are_those_a_full_comparison_finds(distance: int) -> None:
    rng = np.random.default_rng(1)
    base = images(40)["phash"]
    noisy = [
        flip(value, rng.choice(256, rng.integers(0, 24), replace=False).tolist()) for value in base for _ in range(3)
    ]
    hashes = pd.concat([base, pd.Series(noisy)], ignore_index=True)
    bits = np.stack([np.unpackbits(np.frombuffer(bytes.fromhex(value), np.uint8)) for value in hashes])
    apart = (bits[:, None] != bits[None]).sum(axis=2)
    found = near_duplicates(hashes, distance)
    assert (apart[found[:, 0], found[:, 1]] <= distance).all()
    near = pd.DataFrame(np.argwhere(np.triu(apart <= distance, 1)), columns=["a", "b"])
    linked = link(images(len(hashes), phash=hashes.tolist()), distance)
    assert all(linked[a] == linked[b] for a, b in near.itertuples(index=False))


@pytest.mark.parametrize("column", ["patient_id", "lesion_id"])
def test_ids_link_within_a_source_only(column: str) -> None:
    rows = images(4, source=["s", "s", "t", "s"], **{column: ["x", "x", "x", None]})
    assert groups(link(rows, 16)) == {frozenset({0, 1}), frozenset({2}), frozenset({3})}


def test_equal_bytes_and_near_hashes_link_across_sources() -> None:
    rows = images(5, source=list("stuvw"))
    rows.loc[1, "sha256"] = rows.loc[0, "sha256"]
    rows.loc[3, "phash"] = flip(rows.loc[2, "phash"], [0, 100, 255])
    assert groups(link(rows, 3)) == {frozenset({0, 1}), frozenset({2, 3}), frozenset({4})}
    assert groups(link(rows, 2)) == {frozenset({0, 1}), frozenset({2}), frozenset({3}), frozenset({4})}


def test_names_of_the_isic_archive_link_across_sources() -> None:
    names = ["a/ISIC_0000001", "b/isic_0000001_downsampled", "b/ISIC_0000002", "c/ISIC_00000013", "d/xISIC_0000002x"]
    assert groups(link(images(5, image_id=names, source=list("abbcd")), 0)) == {
        frozenset({0, 1}), frozenset({2}), frozenset({3}), frozenset({4}),
    }  # fmt: skip


@pytest.mark.parametrize(("column", "word"), [("lesion_id", "HAM_0000001"), ("patient_id", "IP_0000001")])
def test_ids_of_the_isic_archive_link_across_sources(column: str, word: str) -> None:
    rows = images(3, source=list("abc"), **{column: [word, word, f"{word}x"]})
    assert groups(link(rows, 0)) == {frozenset({0, 1}), frozenset({2})}


def test_links_are_transitive() -> None:
    rows = images(3, patient_id=["p", "p", None], lesion_id=[None, "l", "l"])
    assert groups(link(rows, 0)) == {frozenset({0, 1, 2})}


def test_names_do_not_depend_on_the_order_of_rows() -> None:
    rows = images(30, patient_id=[f"p{i % 7}" for i in range(30)])
    named = dict(zip(rows["image_id"], link(rows, 16), strict=True))
    mixed = rows.sample(frac=1, random_state=0)
    clusters = link(mixed, 16)
    assert clusters.index.equals(mixed.index)
    assert dict(zip(mixed["image_id"], clusters, strict=True)) == named


def test_no_image_gives_no_cluster() -> None:
    assert link(images(0), 16).empty


def test_phantoms_are_linked_by_lesion_and_patient_alone(tmp_path: Path) -> None:
    from dermdit_kedro.dermoscopy.inspect import inspect_records
    from dermdit_kedro.dermoscopy.layouts import open_source

    source = open_source("phantoms", {"layout": "phantom", "role": "train", "num_images": 60, "seed": 3})
    whole, _ = inspect_records({"phantoms": source}, source.records(), 10**6, 0, tmp_path)
    without = link(whole.assign(phash=images(len(whole))["phash"]), 0)
    assert link(whole, 16).nunique() == without.nunique()


def test_rewritten_photograph_is_found(write_ham: Callable[..., Path], tmp_path: Path) -> None:
    from PIL import Image

    from dermdit_kedro.dermoscopy.inspect import inspect_image
    from dermdit_kedro.dermoscopy.layouts import open_source

    folder = write_ham()
    file = next(folder.rglob("ISIC_03.jpg"))
    with Image.open(file) as image:
        image.resize((80, 60)).save(folder / "again.jpg", quality=70)
    source = open_source("ham", {"layout": "ham10000", "role": "train", "path": str(folder)})
    names = [file.relative_to(folder).as_posix(), "again.jpg"]
    found = [inspect_image(source, name, 10**6) for name in names]
    assert found[0].sha256 != found[1].sha256
    rows = images(2, phash=[str(finding.phash) for finding in found])
    assert link(rows, 16).nunique() == 1


def test_rows_without_a_whole_image_still_join_others() -> None:
    rows = images(6, source=list("sssttu"), lesion_id=["HAM_1", None, "l", "HAM_1", None, None])
    rows["image_id"] = ["s/a", "s/ISIC_0000001", "s/c", "t/ISIC_0000001", "t/e", "u/f"]
    whole = rows.drop(index=3)  # its lesion is that of the first, its name that of the second
    assert groups(link_images(rows, whole, 0)) == {frozenset({0, 1}), frozenset({2}), frozenset({4}), frozenset({5})}
    assert groups(link_images(whole, whole, 0)) == {
        frozenset({0}),
        frozenset({1}),
        frozenset({2}),
        frozenset({4}),
        frozenset({5}),
    }


def test_a_second_row_of_an_image_says_what_belongs_to_it() -> None:
    rows = images(3, lesion_id=[None, "l", "l"])
    rows.loc[1, "image_id"] = rows.loc[0, "image_id"]
    assert groups(link_images(rows, rows.drop(index=1), 0)) == {frozenset({0, 2})}


def test_what_a_list_calls_a_duplicate_is_joined_to_its_original() -> None:
    rows = images(5, listed_duplicate_of=[None, "s/000", "s/gone", None, "s/003"])
    assert groups(link(rows, 0)) == {frozenset({0, 1}), frozenset({2}), frozenset({3, 4})}
    assert groups(link_images(rows, rows.drop(index=3), 0)) == {frozenset({0, 1}), frozenset({2}), frozenset({4})}


def test_an_image_named_by_its_path_keeps_its_name_in_the_archive() -> None:
    rows = images(4, source=list("abcd"), image_id=["a/images_ISIC_0000001-93a4f11a", "b/ISIC_0000001", "c/x", "d/y"])
    rows["file"] = ["images/ISIC_0000001.jpg", "p/7.jpg", "deep/ISIC_0000001_downsampled.JPG", "MYISIC_0000001.jpg"]
    assert groups(link(rows, 0)) == {frozenset({0, 1, 2}), frozenset({3})}

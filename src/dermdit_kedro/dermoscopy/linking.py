"""Which images belong together: one patient, one lesion, one picture."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dermdit_kedro.dermoscopy.near_hashes import connect_near

Pairs = np.ndarray[Any, np.dtype[np.int64]]
"""Positions of linked images, int64 (n, 2)."""

ISIC_NAME = r"(?i)(?:^|[^a-z0-9])(ISIC_\d{7})(?:_downsampled)?(?:\.[a-z]+)?$"
"""An image's name in the ISIC Archive, which its challenges, HAM10000 and MClass-D keep; 2019 has smaller copies."""

ARCHIVE_ID = r"(?:HAM|BCN|MSK4|IL|IP|D7P)_\d+"
"""Patient and lesion ids that an archive gave once, for all data sets made from it: the ISIC Archive, Derm7pt."""

SOURCE_IDS = (["source", "patient_id"], ["source", "lesion_id"])
ARCHIVE_IDS = (["isic_name"], ["archive_lesion_id"], ["archive_patient_id"])

NO_PAIRS: Pairs = np.empty((0, 2), dtype=np.int64)


def near_duplicates(phash: pd.Series, max_distance: int) -> Pairs:
    """Find pairs of images whose perceptual hashes differ in few bits.

    Args:
        phash: Hexadecimal hashes of one length; null is near to nothing.
        max_distance: Hamming distance up to which two images are near-duplicates.

    Returns:
        Positions (i, j), fewer than two for each image: equal hashes form a chain, and any two that are near are
        connected through pairs that are.
    """
    known = np.flatnonzero(phash.notna())
    if len(known) == 0:
        return NO_PAIRS
    return known[_near(phash.iloc[known], max_distance)]


def _near(phash: pd.Series, max_distance: int) -> Pairs:
    codes, hashes = pd.factorize(phash)
    first = np.unique(codes, return_index=True)[1].astype(np.int64)
    equal = np.column_stack([first[codes], np.arange(len(codes))])
    equal = equal[equal[:, 0] != equal[:, 1]]
    if max_distance == 0:
        return equal
    packed = np.frombuffer(bytes.fromhex("".join(hashes)), np.uint8).reshape(len(hashes), -1)
    return np.concatenate([equal, first[connect_near(packed, max_distance)]])


def _share_values(images: pd.DataFrame, columns: Sequence[str]) -> Pairs:
    """Join the rows that hold the same values, all of them known, to the first such row."""
    known = images.dropna(subset=columns)
    codes = known.groupby(list(columns), sort=False).ngroup().to_numpy()
    positions = known.index.to_numpy()
    first = np.unique(codes, return_index=True)[1]
    return np.column_stack([positions[first[codes]], positions])


def archive_ids(rows: pd.DataFrame) -> pd.DataFrame:
    """Return what an archive calls each row's image, lesion and patient, the same in all data sets made from it.

    Args:
        rows: image_id, file, lesion_id, patient_id.

    Returns:
        isic_name, archive_lesion_id, archive_patient_id, null where it is no archive's; the index of the input.
    """
    by_id, by_file = (
        rows[column].astype("str").str.extract(ISIC_NAME, expand=False) for column in ("image_id", "file")
    )
    ids = {"isic_name": by_id.fillna(by_file).str.upper()}
    for column in ("lesion_id", "patient_id"):
        values = rows[column].astype("str")
        ids[f"archive_{column}"] = values.where(values.str.fullmatch(ARCHIVE_ID).fillna(False).astype(bool))
    return pd.DataFrame(ids)


def link_images(records: pd.DataFrame, inspected: pd.DataFrame, max_distance: int) -> pd.Series:
    """Join images that share patient, lesion, bytes, perceptual hash or name in the ISIC Archive.

    Patient and lesion ids are compared within a source, those of an archive across sources too. A row without a whole
    image still says what belongs together: a lost image may be the one that joins two others.

    Args:
        records: All rows that the sources have: image_id, file, source, patient_id, lesion_id, listed_duplicate_of.
        inspected: Whole images: the same columns, sha256, phash.
        max_distance: See `near_duplicates`.

    Returns:
        A cluster name for each whole image; it depends on the members alone, not on the order of the rows.
    """
    columns = ["image_id", "file", "source", "patient_id", "lesion_id", "listed_duplicate_of"]
    rows = pd.concat([inspected[[*columns, "sha256", "phash"]], records[columns]], ignore_index=True)
    rows = pd.concat([rows, archive_ids(rows)], axis=1)
    keys = (["image_id"], ["sha256"], *SOURCE_IDS, *ARCHIVE_IDS)
    shared = [_share_values(rows, list(columns)) for columns in keys]
    near = near_duplicates(rows["phash"], max_distance)
    first, second = np.concatenate([*shared, _listed(rows), near]).T
    graph = coo_array((np.ones(len(first), dtype=bool), (first, second)), shape=(len(rows), len(rows)))
    _, labels = connected_components(graph, directed=False)
    smallest = rows["image_id"].groupby(labels).transform("min").iloc[: len(inspected)]
    names = smallest.map(lambda name: "c" + hashlib.sha256(name.encode()).hexdigest()[:12])
    return pd.Series(names.to_numpy(), index=inspected.index, name="duplicate_cluster", dtype="str")


def _listed(rows: pd.DataFrame) -> Pairs:
    """Join each row with the image that a list of the archive says it repeats."""
    listed = np.flatnonzero(rows["listed_duplicate_of"].notna())
    first = pd.Series(rows.index, index=rows["image_id"])[lambda places: ~places.index.duplicated()]
    original = first.reindex(rows["listed_duplicate_of"].iloc[listed]).to_numpy()
    found = ~np.isnan(original)
    return np.column_stack([original[found].astype(np.int64), listed[found]])

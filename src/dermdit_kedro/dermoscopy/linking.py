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

ISIC_NAME = r"(?i)(ISIC_\d{7})(?:_downsampled)?$"
"""An image's name in the ISIC Archive, which its challenges, HAM10000 and MClass-D keep; 2019 has smaller copies."""

ARCHIVE_ID = r"(?:HAM|BCN|MSK4|IL|IP)_\d+"
"""Patient and lesion ids that the ISIC Archive gave once, for all data sets made from it."""

NO_PAIRS: Pairs = np.empty((0, 2), dtype=np.int64)


def near_duplicates(phash: pd.Series, max_distance: int) -> Pairs:
    """Find pairs of images whose perceptual hashes differ in few bits.

    Args:
        phash: Hexadecimal hashes of one length.
        max_distance: Hamming distance up to which two images are near-duplicates.

    Returns:
        Positions (i, j), fewer than two for each image: equal hashes form a chain, and any two that are near are
        connected through pairs that are.
    """
    if phash.empty:
        return NO_PAIRS
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


def _archive_ids(rows: pd.DataFrame) -> pd.DataFrame:
    """Return what the ISIC Archive calls each row's image, lesion and patient; null where it is not the Archive's."""
    ids = {"isic_name": rows["image_id"].astype("str").str.extract(ISIC_NAME, expand=False).str.upper()}
    for column in ("lesion_id", "patient_id"):
        values = rows[column].astype("str")
        ids[f"archive_{column}"] = values.where(values.str.fullmatch(ARCHIVE_ID).fillna(False).astype(bool))
    return pd.DataFrame(ids)


def link_images(images: pd.DataFrame, max_distance: int) -> pd.Series:
    """Join images that share patient, lesion, bytes, perceptual hash or name in the ISIC Archive.

    Patient and lesion ids are compared within a source, those of the ISIC Archive across sources too.

    Args:
        images: source, patient_id, lesion_id, sha256, phash, image_id.
        max_distance: See `near_duplicates`.

    Returns:
        A cluster name for each row; it depends on the members alone, not on the order of the rows.
    """
    rows = images.reset_index(drop=True)
    rows = pd.concat([rows, _archive_ids(rows)], axis=1)
    keys = (["source", "patient_id"], ["source", "lesion_id"], ["sha256"],
            ["isic_name"], ["archive_lesion_id"], ["archive_patient_id"])  # fmt: skip
    shared = [_share_values(rows, columns) for columns in keys]
    first, second = np.concatenate([*shared, near_duplicates(rows["phash"], max_distance)]).T
    graph = coo_array((np.ones(len(first), dtype=bool), (first, second)), shape=(len(rows), len(rows)))
    _, labels = connected_components(graph, directed=False)
    smallest = rows["image_id"].groupby(labels).transform("min")
    names = smallest.map(lambda name: "c" + hashlib.sha256(name.encode()).hexdigest()[:12])
    return pd.Series(names.to_numpy(), index=images.index, name="duplicate_cluster", dtype="str")

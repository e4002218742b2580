"""Leak-free splits: clusters, never images, are dealt out."""

import hashlib

import pandas as pd

from dermdit_kedro.dermoscopy.linking import ARCHIVE_IDS, SOURCE_IDS, archive_ids


def assign_splits(images: pd.DataFrame, val_share: float, test_share: float, seed: int) -> pd.Series:
    """Deal clusters out to train, val and test, stratified on label x tone.

    A role-test image is `test`. A role-train image whose cluster holds a role-test image is `excluded`. The
    other clusters of a stratum are ordered by a digest of (seed, cluster), so that adding images moves few.

    Args:
        images: role, duplicate_cluster, is_malignant, tone_group.
        val_share: Share of the clusters for val.
        test_share: Share of the clusters for test.
        seed: Seed of the deal.

    Returns:
        train, val, test or excluded for each row.
    """
    has_test = images["role"].eq("test").groupby(images["duplicate_cluster"]).transform("any")
    split = pd.Series("excluded", index=images.index, dtype="str", name="split")
    split[images["role"].eq("test")] = "test"
    free = images[~has_test]
    clusters = free.groupby("duplicate_cluster").agg(
        is_malignant=("is_malignant", "max"), tone_group=("tone_group", "min")
    )
    clusters["order"] = [hashlib.sha256(f"{seed}/{name}".encode()).hexdigest() for name in clusters.index]
    strata = clusters.sort_values("order").groupby(["is_malignant", "tone_group"], dropna=False)["order"]
    place = (strata.cumcount() + 0.5) / strata.transform("size")
    dealt = _deal(place, val_share, test_share)
    split[~has_test] = free["duplicate_cluster"].map(dealt).to_numpy()
    return split


def _deal(place: pd.Series, val_share: float, test_share: float) -> pd.Series:
    dealt = pd.Series("train", index=place.index, dtype="str")
    dealt[place < test_share + val_share] = "val"
    dealt[place < test_share] = "test"
    return dealt


def check_splits(manifest: pd.DataFrame) -> None:
    """Refuse a manifest in which a cluster straddles what trains and what tests.

    Args:
        manifest: The manifest.

    Raises:
        ValueError: Naming the first cluster or lesion in two splits.
    """
    used = manifest[manifest["split"] != "excluded"]
    used = pd.concat([used, archive_ids(used)], axis=1)
    for columns in (["duplicate_cluster"], ["sha256"], *SOURCE_IDS, *ARCHIVE_IDS):
        counts = used.dropna(subset=columns).groupby(list(columns))["split"].nunique()
        if (counts > 1).any():
            name = counts[counts > 1].reset_index()[columns[-1]].iloc[0]
            raise ValueError(f"every {columns[-1]} must lie in one split; {name!r} lies in {counts.max()}")

"""Leak-free, stratified, stable splits, and the seeded subset."""

import numpy as np
import pandas as pd
import pytest

from dermdit_kedro.dermoscopy.splits import assign_splits, check_splits
from dermdit_kedro.dermoscopy.subset import keep_some


def rows(count: int, seed: int = 0) -> pd.DataFrame:
    """Rows in clusters of one to three, of two labels and three tones, role train."""
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(count), rng.integers(1, 4, count))[:count]
    frame = pd.DataFrame(
        {
            "image_id": [f"s/{i:05}" for i in range(count)],
            "file": [f"{i:05}.jpg" for i in range(count)],
            "source": "s",
            "lesion_id": [f"l{c}" for c in cluster],
            "patient_id": None,
            "sha256": [f"{i:064x}" for i in range(count)],
            "duplicate_cluster": [f"c{c}" for c in cluster],
            "role": "train",
        }
    )
    frame["is_malignant"] = pd.array(rng.random(count + 1)[cluster] < 0.3, dtype="boolean")
    frame["tone_group"] = np.array(["light", "brown", "dark"])[np.digitize(rng.random(count + 1), [0.6, 0.9])][cluster]
    return frame


def test_no_cluster_lies_in_two_splits() -> None:
    table = rows(600)
    split = assign_splits(table, 0.1, 0.2, 0)
    assert split.groupby(table["duplicate_cluster"]).nunique().max() == 1
    check_splits(table.assign(split=split))


def test_shares_hold_within_every_stratum() -> None:
    table = rows(3000)
    clusters = table.assign(split=assign_splits(table, 0.1, 0.2, 0)).drop_duplicates("duplicate_cluster")
    for _, part in clusters.groupby(["is_malignant", "tone_group"]):
        shares = part["split"].value_counts(normalize=True)
        assert shares["test"] == pytest.approx(0.2, abs=1 / len(part))
        assert shares["val"] == pytest.approx(0.1, abs=1 / len(part))


def test_order_of_rows_does_not_matter_and_the_seed_does() -> None:
    table = rows(300)
    split = assign_splits(table, 0.1, 0.2, 0)
    mixed = table.sample(frac=1, random_state=1)
    assert assign_splits(mixed, 0.1, 0.2, 0).sort_index().equals(split)
    assert not assign_splits(table, 0.1, 0.2, 1).equals(split)


def test_few_images_move_when_images_are_added() -> None:
    table = rows(2000)
    before, after = assign_splits(table.iloc[:1900], 0.1, 0.2, 0), assign_splits(table, 0.1, 0.2, 0)
    assert (after.iloc[:1900] != before).mean() < 0.05


def test_leak_guard_excludes_what_shares_a_cluster_with_a_test_image() -> None:
    table = rows(60)
    table.loc[10, "role"] = "test"
    split = assign_splits(table, 0.1, 0.2, 0)
    same = table["duplicate_cluster"] == table.loc[10, "duplicate_cluster"]
    assert split[10] == "test"
    assert set(split[same].drop(10)) <= {"excluded"}
    assert "excluded" not in set(split[~same])


def test_unknown_labels_and_tones_are_dealt_out_too() -> None:
    table = rows(90).assign(is_malignant=pd.array([pd.NA] * 90, dtype="boolean"), tone_group="unknown")
    assert set(assign_splits(table, 0.2, 0.2, 0)) == {"train", "val", "test"}


@pytest.mark.parametrize("column", ["duplicate_cluster", "lesion_id", "patient_id", "sha256"])
def test_straddling_value_is_refused(column: str) -> None:
    table = rows(3).assign(split=["train", "val", "test"], duplicate_cluster=["a", "b", "c"], lesion_id=["a", "b", "c"])
    check_splits(table)
    table.loc[[0, 2], column] = "same"
    with pytest.raises(ValueError, match=f"{column} must lie in one split; 'same'"):
        check_splits(table)


@pytest.mark.parametrize(
    ("column", "name"), [("image_id", "ISIC_0000001"), ("lesion_id", "HAM_1"), ("file", "ISIC_0000001.png")]
)
def test_what_an_archive_names_lies_in_one_split_across_sources(column: str, name: str) -> None:
    table = rows(2).assign(
        split=["train", "test"], duplicate_cluster=["a", "b"], lesion_id=["a", "b"], source=["s", "t"]
    )
    table[column] = [f"s/{name}", f"t/{name}"] if column == "image_id" else name
    with pytest.raises(ValueError, match=r"must lie in one split; '(ISIC_0000001|HAM_1)'"):
        check_splits(table)


@pytest.mark.parametrize("bound", [1, 17, 100])
def test_subset_keeps_whole_lesions_within_the_bound(bound: int) -> None:
    table = rows(300)
    kept = keep_some(table, bound, 0)
    assert len(kept) <= bound
    assert len(kept) >= bound - 2
    sizes = table["lesion_id"].value_counts()
    assert (kept["lesion_id"].map(kept["lesion_id"].value_counts()) == kept["lesion_id"].map(sizes)).all()
    assert keep_some(table, bound, 0).equals(kept)


def test_subset_keeps_the_shares_of_the_labels() -> None:
    table = rows(1000)
    kept = keep_some(table, 200, 0)
    assert kept["is_malignant"].mean() == pytest.approx(table["is_malignant"].mean(), abs=0.05)
    assert keep_some(table, None, 0) is table

"""Thresholds see validation rows alone; groups get their own where they are large enough."""

import numpy as np
import pandas as pd
import pytest

from dermdit_kedro.diagnosis.thresholds import choose_group_thresholds, choose_thresholds, decide


def make_predictions(n=600, seeds=(0, 1), shift=0.25, dark=200):
    """Return scores that are lower by `shift` for malignant lesions on dark skin."""
    rng = np.random.default_rng(0)
    label, tone = rng.random(n) < 0.5, np.where(np.arange(n) < dark, "dark", "light")
    split = np.where(rng.permutation(n) < n // 2, "val", "test")
    parts = []
    for seed in seeds:
        score = np.clip(0.3 + 0.4 * label - shift * (label & (tone == "dark")) + 0.1 * rng.normal(size=n), 0, 1)
        rows = {"image_id": [f"i{k}" for k in range(n)], "seed": seed, "label": label, "tone_group": tone}
        parts.append(pd.DataFrame({**rows, "score": score, "split": split}))
    return pd.concat(parts, ignore_index=True)


def rate(table, tone):
    here = table[(table["split"] == "test") & table["label"] & (table["tone_group"] == tone)]
    return here["called"].mean()


def test_group_thresholds_find_as_many_in_each_group():
    table = make_predictions()
    once, _ = decide(table)
    each, record = decide(table, "tone_group")
    assert rate(once, "light") - rate(once, "dark") > 0.2
    assert abs(rate(each, "light") - rate(each, "dark")) < 0.1
    assert record["by"] == "tone_group"
    assert set(record["groups"]) == {"light", "dark"}
    assert [len(limits) for limits in record["groups"].values()] == [2, 2]


def test_test_rows_choose_nothing():
    table = make_predictions()
    turned = table.assign(score=table["score"].where(table["split"] == "val", 1 - table["score"]))
    assert choose_thresholds(table) == choose_thresholds(turned)
    assert choose_group_thresholds(table, "tone_group") == choose_group_thresholds(turned, "tone_group")


def test_a_group_too_small_or_unknown_takes_the_threshold_of_all():
    table = make_predictions(dark=12)
    table.loc[table["image_id"].str.endswith("9"), "tone_group"] = "unknown"
    called, record = decide(table, "tone_group")
    assert set(record["groups"]) == {"light"}
    rest = called[called["tone_group"] != "light"]
    assert list(rest["called"]) == list(rest["score"] >= rest["seed"].map(choose_thresholds(table)))


def test_without_validation_rows_half_decides():
    table = make_predictions().assign(split="test")
    called, record = decide(table, "tone_group")
    assert record == {"overall": [0.5, 0.5], "by": "tone_group", "groups": {}}
    assert list(called["called"]) == list(called["score"] >= 0.5)


@pytest.mark.parametrize("attribute", [None, "tone_group"])
def test_a_missing_score_is_called_nothing(attribute):
    table = make_predictions()
    table.loc[5, "score"] = np.nan
    called, _ = decide(table, attribute)
    assert not called.loc[5, "called"]


def test_an_unknown_group_is_no_group():
    table = make_predictions()
    table["tone_group"] = table["tone_group"].astype("str").where(table["tone_group"] == "light", None)
    assert set(decide(table, "tone_group")[1]["groups"]) == {"light"}

"""Group fairness against fairlearn, and its laws."""

import json

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import (
    demographic_parity_difference,
    equal_opportunity_difference,
    equalized_odds_difference,
)
from sklearn.metrics import roc_auc_score

from dermdit_kedro.metrics.group_fairness import age_bands, score_groups
from dermdit_kedro.metrics.parameters import GroupFairnessConfig

CONFIG = GroupFairnessConfig(num_resamples=200)
ONE_SEED = {0: 0.45}


def tone(result, test_set="phantom_even"):
    return result["attributes"]["tone_group"][test_set]


def test_with_one_seed_the_gaps_are_fairlearns(make_predictions):
    table = make_predictions(seeds=(0,), harder_group="dark")
    gaps = tone(score_groups(table, ONE_SEED, CONFIG, seed=0))["gaps"]
    arguments = {
        "y_true": table["label"].astype(int),
        "y_pred": (table["score"] >= 0.45).astype(int),
        "sensitive_features": table["tone_group"],
    }
    assert gaps["equal_opportunity_difference"]["value"] == pytest.approx(equal_opportunity_difference(**arguments))
    assert gaps["equalized_odds_difference"]["value"] == pytest.approx(equalized_odds_difference(**arguments))
    assert gaps["demographic_parity_difference"]["value"] == pytest.approx(demographic_parity_difference(**arguments))


def test_a_gap_is_the_difference_of_the_printed_rates(predictions):
    part = tone(score_groups(predictions, {0: 0.4, 1: 0.6}, CONFIG, seed=0))
    rates = pd.DataFrame(part["groups"]).T
    assert part["gaps"]["auc_gap"]["value"] == pytest.approx(np.ptp(rates["auc"]))
    odds = max(np.ptp(rates["true_positive_rate"]), np.ptp(rates["false_positive_rate"]))
    assert part["gaps"]["equalized_odds_difference"]["value"] == pytest.approx(odds)


def test_equal_groups_have_no_gap(make_predictions):
    light = make_predictions(seeds=(0,), n=90).assign(tone_group="light")
    dark = light.assign(tone_group="dark", image_id=light["image_id"] + "_copy")
    part = tone(score_groups(pd.concat([light, dark]), ONE_SEED, CONFIG, seed=0))
    for name in (
        "auc_gap",
        "equal_opportunity_difference",
        "equalized_odds_difference",
        "demographic_parity_difference",
    ):
        assert part["gaps"][name] == {"value": 0, "interval": [0, 0]}


def test_a_planted_bias_is_found_in_the_right_group(make_predictions):
    table = make_predictions(n=600, harder_group="brown")
    part = tone(score_groups(table, {0: 0.5, 1: 0.5}, CONFIG, seed=0))
    assert part["gaps"]["worst_group_auc"]["group"] == "brown"
    brown = table[table["tone_group"] == "brown"]
    expected = np.mean([roc_auc_score(p["label"], p["score"]) for _, p in brown.groupby("seed")])
    assert part["gaps"]["worst_group_auc"]["value"] == pytest.approx(expected)
    assert part["gaps"]["auc_gap"]["interval"][0] > 0.2


def test_a_group_too_small_stays_out_of_the_gaps(make_predictions):
    table = make_predictions(seeds=(0,))
    alone = table[(table["tone_group"] != "dark") | table["label"]]
    part = tone(score_groups(alone, ONE_SEED, CONFIG, seed=0))
    without = tone(score_groups(table[table["tone_group"] != "dark"], ONE_SEED, CONFIG, seed=0))
    assert part["groups"]["dark"]["judgeable"] is False
    assert part["groups"]["dark"]["auc"] is None
    assert {k: v["value"] for k, v in part["gaps"].items()} == {k: v["value"] for k, v in without["gaps"].items()}


def test_one_group_has_nothing_to_compare_with(make_predictions):
    table = make_predictions(seeds=(0,)).assign(tone_group="light")
    part = tone(score_groups(table, ONE_SEED, CONFIG, seed=0))
    assert part["gaps"]["equalized_odds_difference"] == {"value": None, "interval": None}
    assert part["gaps"]["worst_group_auc"] == {"value": None, "interval": None, "group": None}


def test_every_attribute_is_reported_and_unknown_people_are_in_no_group(predictions):
    result = score_groups(predictions, {0: 0.5, 1: 0.5}, CONFIG, seed=0)
    assert list(result["attributes"]) == ["tone_group", "sex", "age_band", "site"]
    sexes = result["attributes"]["sex"]["phantom_even"]["groups"]
    first = predictions[predictions["seed"] == 0]
    assert {name: group["n"] for name, group in sexes.items()} == dict(first["sex"].value_counts())
    assert sum(g["n"] for g in result["attributes"]["age_band"]["phantom_even"]["groups"].values()) == int(
        first["age_approx"].notna().sum()
    )
    json.dumps(result, allow_nan=False)


def test_age_bands_begin_at_their_edges():
    bands = age_bands(pd.Series([1, 29, 30, 49, 50, 70, 85, np.nan]), (30, 50, 70))
    assert list(bands[:-1]) == [
        "below 30", "below 30", "30 to 49", "30 to 49", "50 to 69", "70 and over", "70 and over",
    ]  # fmt: skip
    assert pd.isna(bands.iloc[-1])

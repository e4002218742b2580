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

from dermdit_kedro.metrics.group_fairness import RATES, score_groups
from dermdit_kedro.metrics.groups import age_bands
from dermdit_kedro.metrics.parameters import GroupFairnessConfig

CONFIG = GroupFairnessConfig(num_resamples=200, num_permutations=199)
ONE_SEED = {0: 0.45}


@pytest.fixture
def score(make_calls):
    """Compare groups in predictions called at thresholds."""
    return lambda predictions, thresholds=ONE_SEED, config=CONFIG: score_groups(
        make_calls(predictions, thresholds), config, seed=0
    )


def tone(result, test_set="phantom_even"):
    return result["attributes"]["tone_group"][test_set]


def test_with_one_seed_the_gaps_are_fairlearns(make_predictions, score):
    table = make_predictions(seeds=(0,), harder_group="dark")
    gaps = tone(score(table))["gaps"]
    arguments = {
        "y_true": table["label"].astype(int),
        "y_pred": (table["score"] >= 0.45).astype(int),
        "sensitive_features": table["tone_group"],
    }
    assert gaps["equal_opportunity_difference"]["value"] == pytest.approx(equal_opportunity_difference(**arguments))
    assert gaps["equalized_odds_difference"]["value"] == pytest.approx(equalized_odds_difference(**arguments))
    assert gaps["demographic_parity_difference"]["value"] == pytest.approx(demographic_parity_difference(**arguments))


def test_a_gap_is_the_difference_of_the_printed_rates(predictions, score):
    part = tone(score(predictions, {0: 0.4, 1: 0.6}))
    rates = pd.DataFrame({name: [g[name]["value"] for g in part["groups"].values()] for name in ("auc", *RATES)})
    assert part["gaps"]["auc_gap"]["value"] == pytest.approx(np.ptp(rates["auc"]))
    odds = max(np.ptp(rates["true_positive_rate"]), np.ptp(rates["false_positive_rate"]))
    assert part["gaps"]["equalized_odds_difference"]["value"] == pytest.approx(odds)


def test_equal_groups_have_no_gap(make_predictions, score):
    light = make_predictions(seeds=(0,), n=90).assign(tone_group="light")
    dark = light.assign(tone_group="dark", image_id=light["image_id"] + "_copy")
    part = tone(score(pd.concat([light, dark])))
    for name in (
        "auc_gap",
        "equal_opportunity_difference",
        "equalized_odds_difference",
        "demographic_parity_difference",
    ):
        assert part["gaps"][name] == {"value": pytest.approx(0, abs=1e-12), "p_value": 1}
    assert all(
        cell["value"] == pytest.approx(0) and not cell["finding"] for cell in part["differences"]["dark"].values()
    )


def test_a_planted_bias_is_found_in_the_right_group(make_predictions, score):
    table = make_predictions(n=600, seeds=(0, 1, 2), harder_group="brown")
    part = tone(score(table, dict.fromkeys(range(3), 0.5)))
    assert part["gaps"]["worst_group_auc"]["group"] == "brown"
    brown = table[table["tone_group"] == "brown"]
    expected = np.mean([roc_auc_score(p["label"], p["score"]) for _, p in brown.groupby("seed")])
    assert part["gaps"]["worst_group_auc"]["value"] == pytest.approx(expected)
    assert part["gaps"]["auc_gap"]["p_value"] == pytest.approx(1 / 200)
    assert part["differences"]["brown"]["auc"]["finding"]
    assert part["differences"]["brown"]["auc"]["interval"][1] < -0.2
    assert not part["differences"]["dark"]["auc"]["finding"]


def test_a_group_too_small_stays_out_of_the_gaps(make_predictions, score):
    table = make_predictions(seeds=(0,))
    alone = table[(table["tone_group"] != "dark") | table["label"]]
    part = tone(score(alone))
    without = tone(score(table[table["tone_group"] != "dark"]))
    assert part["groups"]["dark"]["judgeable"] is False
    assert part["groups"]["dark"]["auc"] is None
    assert {k: v["value"] for k, v in part["gaps"].items()} == {k: v["value"] for k, v in without["gaps"].items()}


def test_one_group_has_nothing_to_compare_with(make_predictions, score):
    table = make_predictions(seeds=(0,)).assign(tone_group="light")
    part = tone(score(table))
    assert part["gaps"]["equalized_odds_difference"] == {"value": None, "p_value": None}
    assert (part["reference"], part["differences"]) == (None, {})
    assert part["gaps"]["worst_group_auc"] == {"value": None, "interval": None, "group": None}


def test_every_attribute_is_reported_and_unknown_people_are_in_no_group(predictions, score):
    result = score(predictions, {0: 0.5, 1: 0.5})
    both = ["tone_group x sex", "sex x age_band"]
    assert list(result["attributes"]) == ["tone_group", "sex", "age_band", "site", *both]
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


def test_rates_of_a_group_are_fairlearns(make_predictions, make_calls, score):
    from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate
    from sklearn.metrics import precision_score

    table = make_calls(make_predictions(seeds=(0,), harder_group="dark"), 0.45)
    frame = MetricFrame(
        metrics={
            "true_positive_rate": true_positive_rate,
            "false_positive_rate": false_positive_rate,
            "selection_rate": selection_rate,
            "positive_predictive_value": precision_score,
        },
        y_true=table["label"].astype(int),
        y_pred=table["called"].astype(int),
        sensitive_features=table["tone_group"],
    )
    groups = tone(score(table))["groups"]
    for name in RATES:
        for group, value in frame.by_group[name].items():
            assert groups[group][name]["value"] == pytest.approx(value)


def test_an_intersection_holds_whom_both_attributes_name(predictions, score):
    groups = score(predictions, {0: 0.5, 1: 0.5})["attributes"]["tone_group x sex"]["phantom_even"]["groups"]
    first = predictions[predictions["seed"] == 0]
    assert groups["dark, female"]["n"] == ((first["tone_group"] == "dark") & (first["sex"] == "female")).sum()
    assert not any("nan" in name or "None" in name for name in groups)


def test_the_reference_is_the_named_group_or_else_the_largest(make_predictions, score):
    table = make_predictions(seeds=(0,))
    named = CONFIG.model_copy(update={"reference_groups": {"tone_group": "dark"}})
    assert tone(score(table, config=named))["reference"] == "dark"
    larger = table[(table["tone_group"] != "light") | (table.index % 2 == 0)]
    assert tone(score(larger))["reference"] in ("brown", "dark")
    few = table[(table["tone_group"] != "dark") | table["label"]]
    assert tone(score(few, config=named))["reference"] in ("light", "brown")


def test_scores_of_one_group_that_are_no_numbers_leave_the_others_judged(predictions, score):
    predictions.loc[predictions["tone_group"] == "dark", "score"] = np.nan
    part = tone(score(predictions, {0: 0.5, 1: 0.5}))
    assert not part["groups"]["dark"]["judgeable"]
    assert part["groups"]["light"]["judgeable"]
    assert part["groups"]["dark"]["auc"] is None
    assert list(part["differences"]) == ["brown"]


def test_corrected_p_values_are_holms_over_the_table(make_predictions, score):
    found = tone(score(make_predictions(seeds=(0,), harder_group="dark")))["differences"]
    cells = [cell for measures in found.values() for cell in measures.values()]
    smallest = min(cells, key=lambda cell: cell["p_value"])
    assert smallest["p_adjusted"] == pytest.approx(min(1, len(cells) * smallest["p_value"]))
    assert all(cell["p_adjusted"] >= cell["p_value"] for cell in cells)

"""Diagnosis metrics: against scikit-learn, and what happens where nothing can be said."""

import json

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, f1_score, recall_score, roc_auc_score

from dermdit_kedro.metrics.diagnosis import score_arm
from dermdit_kedro.metrics.parameters import GroupFairnessConfig

CONFIG = GroupFairnessConfig(num_resamples=200)
THRESHOLDS = {0: 0.4, 1: 0.6}


def test_values_are_means_of_the_seeds_by_scikit_learn(predictions):
    overall = score_arm(predictions, THRESHOLDS, CONFIG, seed=0)["test_sets"]["phantom_even"]["overall"]
    parts = [(part, part["score"] >= THRESHOLDS[seed]) for seed, part in predictions.groupby("seed")]
    assert overall["auc"]["value"] == pytest.approx(np.mean([roc_auc_score(p["label"], p["score"]) for p, _ in parts]))
    assert overall["recall"]["value"] == pytest.approx(np.mean([recall_score(p["label"], d) for p, d in parts]))
    assert overall["f1"]["value"] == pytest.approx(np.mean([f1_score(p["label"], d) for p, d in parts]))
    at_half = np.mean([f1_score(p["label"], p["score"] >= 0.5) for p, _ in parts])
    assert overall["f1_at_half"]["value"] == pytest.approx(at_half)
    assert overall["brier"] == pytest.approx(np.mean([brier_score_loss(p["label"], p["score"]) for p, _ in parts]))


def test_every_interval_holds_its_value(predictions):
    result = score_arm(predictions, THRESHOLDS, CONFIG, seed=0)
    for part in (
        result["test_sets"]["phantom_even"]["overall"],
        *result["test_sets"]["phantom_even"]["tone_group"].values(),
    ):
        for name in ("auc", "recall", "specificity", "precision", "f1", "f1_at_half"):
            low, high = part[name]["interval"]
            assert low <= part[name]["value"] <= high


def test_the_result_names_arm_label_seeds_and_thresholds(predictions):
    result = score_arm(predictions, THRESHOLDS, CONFIG, seed=0)
    assert (result["arm"], result["label_name"]) == ("real", "is_malignant")
    assert (result["seeds"], result["threshold"]) == ([0, 1], [0.4, 0.6])
    json.dumps(result, allow_nan=False)


def test_validation_rows_are_not_measured(predictions):
    predictions.loc[predictions.index[:10], "split"] = "val"
    result = score_arm(predictions.iloc[:240], {0: 0.5}, CONFIG, seed=0)
    assert result["test_sets"]["phantom_even"]["overall"]["n"] == 230


def test_a_group_too_small_is_named_and_not_measured(predictions):
    few = predictions[(predictions["tone_group"] != "dark") | (predictions["image_id"].str.endswith(("2", "5")))]
    few = few[(few["tone_group"] != "dark") | ~few["label"]]
    dark = score_arm(few, THRESHOLDS, CONFIG, seed=0)["test_sets"]["phantom_even"]["tone_group"]["dark"]
    assert dark["judgeable"] is False
    assert dark["reason"].startswith("too small: 0 positive images, fewer than 10")
    assert dark["auc"] is None
    assert dark["f1"] is None
    assert dark["n_positive"] == 0


def test_an_absent_group_is_too_small(predictions):
    light = predictions[predictions["tone_group"] == "light"]
    groups = score_arm(light, THRESHOLDS, CONFIG, seed=0)["test_sets"]["phantom_even"]["tone_group"]
    assert groups["dark"]["n"] == 0
    assert groups["dark"]["all_positive_f1"] is None
    assert groups["light"]["judgeable"]


def test_calling_nothing_positive_has_no_precision(predictions):
    overall = score_arm(predictions, {0: 1.1, 1: 1.1}, CONFIG, seed=0)["test_sets"]["phantom_even"]["overall"]
    assert overall["precision"] == {"value": None, "interval": None}
    assert overall["recall"]["value"] == 0


def test_duplicates_widen_the_interval(make_predictions):
    alone = make_predictions(n=120)
    copies = alone.loc[alone.index.repeat(4)].reset_index(drop=True)
    copies["image_id"] += "_" + (copies.groupby(["image_id", "seed"]).cumcount()).astype(str)
    wide = score_arm(copies, THRESHOLDS, CONFIG, seed=0)["test_sets"]["phantom_even"]["overall"]["auc"]["interval"]
    copies["duplicate_cluster"] = copies["image_id"]
    narrow = score_arm(copies, THRESHOLDS, CONFIG, seed=0)["test_sets"]["phantom_even"]["overall"]["auc"]["interval"]
    assert wide[1] - wide[0] > 1.5 * (narrow[1] - narrow[0])


def test_a_score_that_is_no_number_is_refused(predictions):
    predictions.loc[3, "score"] = np.nan
    with pytest.raises(ValueError, match="Got NaN for 1 rows"):
        score_arm(predictions, THRESHOLDS, CONFIG, seed=0)

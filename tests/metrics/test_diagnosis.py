"""Diagnosis metrics: against scikit-learn, and what happens where nothing can be said."""

import json

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, f1_score, recall_score, roc_auc_score

from dermdit_kedro.metrics.diagnosis import MEASURES, score_arm
from dermdit_kedro.metrics.parameters import GroupFairnessConfig

CONFIG = GroupFairnessConfig(num_resamples=200)
THRESHOLDS = {0: 0.4, 1: 0.6}


@pytest.fixture
def score(make_calls):
    """Measure predictions called at thresholds."""

    def score_called(predictions, thresholds=THRESHOLDS, config=CONFIG):
        record = {"overall": list(thresholds.values())}
        return score_arm(make_calls(predictions, thresholds), record, config, seed=0)

    return score_called


def overall(result):
    return result["test_sets"]["phantom_even"]["overall"]


def test_values_are_means_of_the_seeds_by_scikit_learn(predictions, score):
    found = overall(score(predictions))
    parts = [(part, part["score"] >= THRESHOLDS[seed]) for seed, part in predictions.groupby("seed")]
    assert found["auc"]["value"] == pytest.approx(np.mean([roc_auc_score(p["label"], p["score"]) for p, _ in parts]))
    assert found["recall"]["value"] == pytest.approx(np.mean([recall_score(p["label"], d) for p, d in parts]))
    assert found["f1"]["value"] == pytest.approx(np.mean([f1_score(p["label"], d) for p, d in parts]))
    at_half = np.mean([f1_score(p["label"], p["score"] >= 0.5) for p, _ in parts])
    assert found["f1_at_half"]["value"] == pytest.approx(at_half)
    assert found["brier"] == pytest.approx(np.mean([brier_score_loss(p["label"], p["score"]) for p, _ in parts]))


def test_every_interval_holds_its_value(predictions, score):
    result = score(predictions)
    for part in (
        result["test_sets"]["phantom_even"]["overall"],
        *result["test_sets"]["phantom_even"]["tone_group"].values(),
    ):
        for name in MEASURES[:-1]:
            low, high = part[name]["interval"]
            assert low <= part[name]["value"] <= high


def test_the_result_names_arm_label_seeds_and_thresholds(predictions, score):
    result = score(predictions)
    assert (result["arm"], result["test_sets"]["phantom_even"]["label_name"]) == ("real", "is_malignant")
    assert (result["seeds"], result["thresholds"]) == ([0, 1], {"overall": [0.4, 0.6]})
    json.dumps(result, allow_nan=False)


def test_validation_rows_are_not_measured(predictions, score):
    predictions.loc[predictions.index[:10], "split"] = "val"
    result = score(predictions.iloc[:240], {0: 0.5})
    assert result["test_sets"]["phantom_even"]["overall"]["n"] == 230


def test_a_group_too_small_is_named_and_not_measured(predictions, score):
    few = predictions[(predictions["tone_group"] != "dark") | (predictions["image_id"].str.endswith(("2", "5")))]
    few = few[(few["tone_group"] != "dark") | ~few["label"]]
    dark = score(few)["test_sets"]["phantom_even"]["tone_group"]["dark"]
    assert dark["judgeable"] is False
    assert dark["reason"].startswith("too small: 0 positive images, fewer than 10")
    assert dark["auc"] is None
    assert dark["f1"] is None
    assert dark["n_positive"] == 0


def test_an_absent_group_is_too_small(predictions, score):
    light = predictions[predictions["tone_group"] == "light"]
    groups = score(light)["test_sets"]["phantom_even"]["tone_group"]
    assert groups["dark"]["n"] == 0
    assert groups["dark"]["all_positive_f1"] is None
    assert groups["light"]["judgeable"]


def test_calling_nothing_positive_has_no_precision(predictions, score):
    found = overall(score(predictions, {0: 1.1, 1: 1.1}))
    assert (found["precision"]["value"], found["precision"]["interval"]) == (None, None)
    assert found["recall"]["value"] == 0
    assert found["recall"]["interval"][0] == 0
    assert found["recall"]["interval"][1] > 0.01, "none of 120 found is no proof that none ever is"
    assert (found["f1"]["value"], found["f1"]["interval"]) == (0, None)


def test_duplicates_widen_the_interval(make_predictions, score):
    alone = make_predictions(n=120)
    copies = alone.loc[alone.index.repeat(4)].reset_index(drop=True)
    copies["image_id"] += "_" + (copies.groupby(["image_id", "seed"]).cumcount()).astype(str)
    wide = score(copies)["test_sets"]["phantom_even"]["overall"]["auc"]["interval"]
    copies["duplicate_cluster"] = copies["image_id"]
    narrow = score(copies)["test_sets"]["phantom_even"]["overall"]["auc"]["interval"]
    assert wide[1] - wide[0] > 1.5 * (narrow[1] - narrow[0])


def test_scores_that_are_no_numbers_are_counted_and_nothing_is_made_of_them(predictions, score):
    predictions.loc[3, "score"] = np.nan
    result = score(predictions)
    assert overall(result)["reason"] == "1 of 480 scores are not numbers"
    assert overall(result)["auc"] is None
    groups = result["test_sets"]["phantom_even"]["tone_group"]
    assert [group["judgeable"] for group in groups.values()].count(False) == 1


def test_an_image_that_a_seed_did_not_score_is_refused(predictions, score):
    with pytest.raises(ValueError, match="scored once by every seed"):
        score(predictions.iloc[1:])


def test_constant_scores_are_guessing_with_an_interval(predictions, score):
    found = overall(score(predictions.assign(score=0.3)))
    assert found["auc"]["value"] == 0.5
    assert found["auc"]["interval"][0] < 0.5 < found["auc"]["interval"][1]
    assert found["average_precision"]["value"] == pytest.approx(found["n_positive"] / found["n"])


def test_perfect_scores_are_no_certainty(predictions, score):
    perfect = predictions.assign(score=predictions["label"].map({True: 0.9, False: 0.1}))
    found = overall(score(perfect, {0: 0.5, 1: 0.5}))
    assert (found["auc"]["value"], found["recall"]["value"], found["f1"]["value"]) == (1, 1, 1)
    assert 0.9 < found["auc"]["interval"][0] < 1 == found["auc"]["interval"][1]
    assert 0.9 < found["recall"]["interval"][0] < 1
    assert found["f1"]["interval"] is None
    assert found["auc"]["seed_std"] == 0


def test_the_spread_of_the_seeds_stands_beside_the_value(predictions, score):
    found = overall(score(predictions))
    parts = [roc_auc_score(part["label"], part["score"]) for _, part in predictions.groupby("seed")]
    assert found["auc"]["seed_std"] == pytest.approx(np.std(parts, ddof=1))
    one = overall(score(predictions[predictions["seed"] == 0], {0: 0.4}))
    assert one["auc"]["seed_std"] is None


def test_at_half_is_decided_at_half_whatever_the_threshold(predictions, score):
    strict, lax = (overall(score(predictions, {0: t, 1: t})) for t in (0.9, 0.1))
    for name in ("recall_at_half", "specificity_at_half", "f1_at_half"):
        assert strict[name] == lax[name]
    assert strict["recall"]["value"] < lax["recall"]["value"]


def test_images_of_one_lesion_count_once_towards_a_group(predictions, score):
    once = predictions[predictions["image_id"].str.endswith(("0", "5"))]
    copies = once.loc[once.index.repeat(3)].reset_index(drop=True)
    copies["duplicate_cluster"] = copies["image_id"].where(~copies["label"], "one lesion")
    copies["image_id"] += "_" + copies.groupby(["image_id", "seed"]).cumcount().astype(str)
    found = overall(score(copies))
    assert found["n_positive"] > 10
    assert (
        found["reason"] == f"too small: {found['n_positive']} positive images of 1 lesions or patients, fewer than 10"
    )

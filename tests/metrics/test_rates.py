"""Rates against the paper's integers (Table 2) and against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score
from torchmetrics.functional.classification import binary_calibration_error

from dermdit_kedro.metrics.intervals import cluster_weights
from dermdit_kedro.metrics.rates import all_positive_f1, area_under_roc, count, expected_calibration_error

# (P, N, TP and FP of the classifier trained on real images, of the one trained on synthetic ones), reconstructed from
# the printed rates: P and N are the test set's counts of positive and negative images.
TABLE_2 = {
    "DDI": (171, 485, (12, 5), (108, 291)),
    "DDI-A": (49, 159, (2, 0), (32, 118)),
    "DDI-B": (74, 167, (6, 1), (48, 90)),
    "DDI-C": (48, 159, (4, 4), (28, 83)),
    "ISIC18": (171, 1341, (36, 13), (145, 653)),
    "Fitzpatrick17k": (2157, 2154, (168, 50), (908, 593)),
    "Atlas-derm": (252, 759, (60, 22), (170, 387)),
    "Atlas-clinical": (252, 759, (27, 10), (151, 385)),
    "ASAN": (59, 793, (9, 21), (19, 201)),
    "MClass-D": (20, 80, (5, 2), (17, 42)),
    "MClass-ND": (20, 80, (5, 5), (7, 7)),
}
ALL_POSITIVE_F1 = {
    "DDI": 0.414, "DDI-A": 0.381, "DDI-B": 0.470, "DDI-C": 0.376, "ISIC18": 0.203, "Fitzpatrick17k": 0.667,
    "Atlas-derm": 0.399, "Atlas-clinical": 0.399, "ASAN": 0.130, "MClass-D": 0.333, "MClass-ND": 0.333,
}  # fmt: skip


def images(positives, negatives, true_positives, false_positives):
    labels = np.repeat([True, False], [positives, negatives])
    decisions = np.concatenate([np.arange(positives) < true_positives, np.arange(negatives) < false_positives])
    return labels, decisions


@pytest.mark.parametrize("test_set", TABLE_2)
def test_the_yardstick_of_table_2(test_set):
    positives, negatives, *_ = TABLE_2[test_set]
    assert round(all_positive_f1(positives, negatives), 3) == ALL_POSITIVE_F1[test_set]


@pytest.mark.parametrize("test_set", TABLE_2)
@pytest.mark.parametrize("arm", [0, 1])
def test_the_integers_of_table_2(test_set, arm):
    positives, negatives, *arms = TABLE_2[test_set]
    labels, decisions = images(positives, negatives, *arms[arm])
    counts = count(labels, decisions)
    true_positives, false_positives = arms[arm]
    assert [counts.tp[0], counts.fp[0], counts.fn[0], counts.tn[0]] == [
        true_positives, false_positives, positives - true_positives, negatives - false_positives,
    ]  # fmt: skip
    assert counts.recall[0] == pytest.approx(recall_score(labels, decisions))
    assert counts.f1[0] == pytest.approx(f1_score(labels, decisions))
    assert counts.precision[0] == pytest.approx(precision_score(labels, decisions))


def test_on_ddi_the_synthetic_arm_does_worse_than_calling_everything_positive():
    labels, decisions = images(171, 485, 108, 291)
    counts = count(labels, decisions)
    assert counts.recall[0] == pytest.approx(0.632, abs=5e-4)
    assert 1 - counts.specificity[0] == pytest.approx(0.600, abs=5e-4)
    assert counts.f1[0] == pytest.approx(0.379, abs=5e-4)
    assert counts.f1[0] < all_positive_f1(171, 485)


@pytest.mark.parametrize(("arm", "true_gap", "false_gap"), [(0, 0.042, 0.025), (1, 0.070, 0.220)])
def test_the_gaps_of_table_2(arm, true_gap, false_gap):
    groups = [count(*images(*TABLE_2[name][:2], *TABLE_2[name][2 + arm])) for name in ("DDI-A", "DDI-B", "DDI-C")]
    assert np.ptp([group.recall[0] for group in groups]) == pytest.approx(true_gap, abs=6e-4)
    assert np.ptp([group.specificity[0] for group in groups]) == pytest.approx(false_gap, abs=6e-4)


@pytest.mark.parametrize("digits", [1, 9])
def test_the_area_is_scikit_learns_with_and_without_ties(digits):
    rng = np.random.default_rng(0)
    labels, scores = rng.random(200) < 0.3, rng.random(200).round(digits)
    assert area_under_roc(labels, scores)[0] == pytest.approx(roc_auc_score(labels, scores))


def test_a_resampled_area_is_the_area_of_the_repeated_images():
    rng = np.random.default_rng(0)
    labels, scores = rng.random(60) < 0.4, rng.random(60).round(1)
    weights = cluster_weights(np.arange(60) // 2, 20, seed=3)
    for times, value in zip(weights.astype(int), area_under_roc(labels, scores, weights), strict=True):
        assert value == pytest.approx(roc_auc_score(np.repeat(labels, times), np.repeat(scores, times)))


def test_resampled_counts_are_the_counts_of_the_repeated_images():
    rng = np.random.default_rng(0)
    labels, decisions = rng.random(60) < 0.4, rng.random(60) < 0.5
    weights = cluster_weights(np.arange(60), 20, seed=3)
    f1 = count(labels, decisions, weights).f1
    for times, value in zip(weights.astype(int), f1, strict=True):
        assert value == pytest.approx(f1_score(np.repeat(labels, times), np.repeat(decisions, times)))


def test_one_label_alone_has_no_area():
    assert np.isnan(area_under_roc(np.array([True, True]), np.array([0.1, 0.9]))[0])
    assert np.isnan(area_under_roc(np.zeros(0, dtype=bool), np.zeros(0))[0])


def test_constant_scores_tell_nothing():
    assert area_under_roc(np.array([True, False, False]), np.full(3, 0.5))[0] == 0.5


def test_what_is_not_there_has_no_rate():
    counts = count(np.array([False, False]), np.array([False, False]))
    assert np.isnan([counts.recall[0], counts.precision[0], counts.f1[0]]).all()
    assert counts.specificity[0] == 1
    assert all_positive_f1(0, 0) is None


def test_finding_none_of_the_positives_has_an_f1_of_zero():
    assert count(np.array([True, False]), np.array([False, False])).f1[0] == 0


def test_calibration_error_is_torchmetrics():
    rng = np.random.default_rng(0)
    labels, scores = rng.random(300) < 0.3, rng.random(300)
    reference = binary_calibration_error(torch.tensor(scores), torch.tensor(labels).long(), n_bins=10, norm="l1")
    assert expected_calibration_error(labels, scores, 10) == pytest.approx(float(reference), abs=1e-6)


def test_a_perfect_score_is_calibrated():
    labels = np.array([True, False, True])
    assert expected_calibration_error(labels, labels.astype(float), 10) == 0

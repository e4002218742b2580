"""Values, covariances and intervals of contrasts against slow, independent ones."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import f1_score, roc_auc_score

from dermdit_kedro.metrics import contrasts
from dermdit_kedro.metrics.contrasts import CHANGES, HITS, Contrast, difference, seed_variance


def draw(n=80, seeds=2, seed=0, ties=False):
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < 0.4
    scores = rng.normal(size=(n, seeds)) + labels[:, None]
    return labels, np.round(scores, 0 if ties else 12)


def delong(labels, scores):
    """Return DeLong's covariance of the AUCs of several scores, by all pairs."""
    order = (scores[labels][:, None] > scores[~labels][None]) + 0.5 * (scores[labels][:, None] == scores[~labels][None])
    of_positives, of_negatives = order.mean(axis=1), order.mean(axis=0)
    return np.cov(of_positives.T) / labels.sum() + np.cov(of_negatives.T) / (~labels).sum()


def obuchowski(labels, scores, clusters):
    """Return the variance of one AUC of clustered images, by the sums of Obuchowski 1997."""
    order = (scores[labels][:, None] > scores[~labels][None]) * 1.0
    area, m, n = order.mean(), labels.sum(), (~labels).sum()
    names = np.unique(clusters)
    tens = np.array([(order.mean(axis=1)[clusters[labels] == c] - area).sum() for c in names])
    ones = np.array([(order.mean(axis=0)[clusters[~labels] == c] - area).sum() for c in names])
    i10, i01 = (len(np.unique(clusters[here])) for here in (labels, ~labels))
    own = i10 / (i10 - 1) * (tens**2).sum() / m**2 + i01 / (i01 - 1) * (ones**2).sum() / n**2
    return own + 2 * np.sqrt(i10 / (i10 - 1) * i01 / (i01 - 1)) * (tens * ones).sum() / (m * n)


@pytest.mark.parametrize("ties", [False, True])
def test_without_clusters_the_covariance_of_aucs_is_delongs(ties):
    labels, scores = draw(ties=ties)
    found = contrasts.auc(labels, scores, np.ones(80, bool), np.arange(80))
    assert found.values == pytest.approx([roc_auc_score(labels, s) for s in scores.T])
    assert found.covariance(np.arange(80)) == pytest.approx(delong(labels, scores))


def test_with_clusters_the_variance_is_obuchowskis():
    labels, scores = draw(seeds=1)
    clusters = np.random.default_rng(1).integers(30, size=80)
    found = contrasts.auc(labels, scores, np.ones(80, bool), clusters)
    assert found.covariance(clusters)[0, 0] == pytest.approx(obuchowski(labels, scores[:, 0], clusters))


def test_an_auc_of_a_group_is_that_of_its_images_alone():
    labels, scores = draw()
    mask = np.arange(80) % 3 == 0
    within = contrasts.auc(labels, scores, mask, np.arange(80))
    alone = contrasts.auc(labels[mask], scores[mask], np.ones(mask.sum(), bool), np.arange(mask.sum()))
    assert within.values == pytest.approx(alone.values)
    assert within.covariance(np.arange(80)) == pytest.approx(alone.covariance(np.arange(mask.sum())))
    assert not within.influence[~mask].any()


def test_a_difference_of_two_groups_rates_has_agresti_and_caffos_interval():
    hits = np.r_[np.ones(9), np.zeros(3), np.ones(5), np.zeros(15)][:, None]
    first = np.arange(32) < 12
    parts = [contrasts.mean_of(hits, mask, np.arange(32), HITS) for mask in (first, ~first)]
    found = difference(parts[0] - parts[1], np.arange(32), 0.95)
    p, q = 10 / 14, 6 / 22
    half = norm.ppf(0.975) * np.sqrt(p * (1 - p) / 14 + q * (1 - q) / 22)
    assert found["value"] == pytest.approx(9 / 12 - 5 / 20)
    assert found["interval"] == pytest.approx([p - q - half, p - q + half])


def test_a_paired_difference_of_rates_has_agresti_and_mins_interval():
    after, before = np.r_[np.ones(14), np.zeros(6)], np.r_[np.ones(9), np.zeros(9), np.ones(2)]
    found = difference(
        contrasts.mean_of((after - before)[:, None], np.ones(20, bool), np.arange(20), CHANGES), np.arange(20), 0.95
    )
    b, c, n = 5.5, 2.5, 22  # discordant pairs and their number, half an image added to each cell
    half = norm.ppf(0.975) * np.sqrt(b + c - (b - c) ** 2 / n) / n
    assert found["value"] == pytest.approx(3 / 20)
    assert found["interval"] == pytest.approx([(b - c) / n - half, (b - c) / n + half])


def test_f1_and_its_influence_are_those_of_the_jackknife():
    labels, scores = draw(n=400)
    decisions = scores > 0.5
    found = contrasts.f1(labels, decisions, np.ones(400, bool))
    assert found.values == pytest.approx([f1_score(labels, d) for d in decisions.T])
    left_out = [[f1_score(np.delete(labels, i), np.delete(d, i)) for d in decisions.T] for i in range(400)]
    jackknife = 399 / 400 * ((left_out - np.mean(left_out, axis=0)) ** 2).sum(axis=0)
    assert np.diag(found.covariance(np.arange(400))) == pytest.approx(jackknife, rel=0.03)


def test_copies_in_one_cluster_tell_no_more_than_one():
    labels, scores = draw(seeds=1)
    alone = contrasts.auc(labels, scores, np.ones(80, bool), np.arange(80)).covariance(np.arange(80))
    clusters = np.repeat(np.arange(80), 3)
    thrice = contrasts.auc(np.repeat(labels, 3), np.repeat(scores, 3, axis=0), np.ones(240, bool), clusters)
    assert thrice.covariance(clusters) == pytest.approx(alone)


def test_one_seed_has_the_variance_of_images_alone():
    assert seed_variance(np.array([0.7]), np.array([[0.04]])) == (pytest.approx(0.04), float("inf"))


def test_several_seeds_have_obuchowski_and_rocketts_variance():
    values, covariance = np.array([0.6, 0.7, 0.8]), np.full((3, 3), 0.001) + np.eye(3) * 0.002
    variance, freedom = seed_variance(values, covariance)
    assert variance == pytest.approx(0.01 / 3 + 0.001)
    assert freedom == pytest.approx((0.01 + 0.003) ** 2 / (0.01**2 / 2))


def test_seeds_that_agree_leave_the_variance_of_images():
    covariance = np.full((3, 3), 0.001) + np.eye(3) * 0.002
    assert seed_variance(np.full(3, 0.5), covariance) == (pytest.approx(covariance.mean()), float("inf"))


@pytest.mark.parametrize(
    ("labels", "scores"),
    [
        ([True, True], [[0.1], [0.2]]),
        ([False, False], [[0.1], [0.2]]),
        ([True], [[0.5]]),
        ([], np.zeros((0, 1))),
        ([True, False, True], [[0.1], [np.nan], [0.3]]),
    ],
    ids=["no negative", "no positive", "one image", "no image", "NaN"],
)
def test_an_auc_that_cannot_be_is_not_measured(labels, scores):
    labels, scores = np.array(labels, dtype=bool), np.array(scores, dtype=float)
    n = len(labels)
    found = difference(contrasts.auc(labels, scores, np.ones(n, bool), np.arange(n)), np.arange(n), 0.95)
    assert (found["value"], found["interval"], found["p_value"]) == (None, None, None)


def test_what_does_not_vary_has_a_value_and_no_interval():
    labels, scores = np.arange(20) < 8, np.full((20, 2), 0.3)
    constant = contrasts.auc(labels, scores, np.ones(20, bool), np.arange(20))
    found = difference(constant - constant, np.arange(20), 0.95)
    assert (found["value"], found["interval"], found["p_value"]) == (0.0, None, None)
    assert contrasts.auc(labels, scores, np.ones(20, bool), np.arange(20)).values == pytest.approx(0.5)


def test_a_rate_of_no_images_is_not_measured():
    nobody = contrasts.mean_of(np.ones((4, 1)), np.zeros(4, bool), np.arange(4), HITS)
    assert np.isnan(nobody.values).all()
    assert difference(nobody, np.arange(4), 0.95)["value"] is None


def test_a_difference_of_contrasts_is_taken_image_by_image():
    labels, scores = draw(seeds=2)
    a, b = (contrasts.auc(labels, s[:, None], np.ones(80, bool), np.arange(80)) for s in scores.T)
    both = delong(labels, scores)
    assert isinstance(a - b, Contrast)
    assert (a - b).covariance(np.arange(80))[0, 0] == pytest.approx(both[0, 0] + both[1, 1] - 2 * both[0, 1])
    assert (a + b).values == pytest.approx(a.values + b.values)

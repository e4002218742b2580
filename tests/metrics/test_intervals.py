"""Intervals against scipy and hand-worked cases."""

import numpy as np
import pytest

from dermdit_kedro.metrics.intervals import (
    cluster_weights,
    estimate,
    number,
    percentile_interval,
    proportion,
    wilson_interval,
)


def test_wilson_interval_is_the_textbook_one():
    # p = 0.8, n = 10, z = 1.96: centre (0.8 + z^2/20) / (1 + z^2/10), worked by hand
    z = 1.959963984540054
    centre = (0.8 + z**2 / 20) / (1 + z**2 / 10)
    half = z / (1 + z**2 / 10) * np.sqrt(0.16 / 10 + z**2 / 400)
    assert wilson_interval(8, 10) == pytest.approx([centre - half, centre + half])


def test_nothing_observed_has_no_proportion():
    assert proportion([]) == {"value": None, "interval": None, "n": 0}


@pytest.mark.parametrize("successes", [0, 5])
def test_an_interval_of_all_or_nothing_is_still_open(successes):
    low, high = wilson_interval(successes, 5)
    assert low == pytest.approx(successes and 0.5655, abs=1e-3)
    assert 0 <= low < high <= 1


def test_images_of_a_cluster_are_drawn_together():
    weights = cluster_weights(["a", "a", "b", "c"], 200, seed=0)
    assert weights.shape == (200, 4)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 1:].sum(axis=1) == 3).all()


def test_resamples_depend_on_seed_and_clusters_alone():
    clusters = list("abcde")
    assert (cluster_weights(clusters, 50, 1) == cluster_weights(clusters, 50, 1)).all()
    assert (cluster_weights(clusters, 50, 1) != cluster_weights(clusters, 50, 2)).any()


def test_a_percentile_interval_leaves_out_what_could_not_be_computed():
    assert percentile_interval([1.0] * 60 + [np.nan] * 40) == [1.0, 1.0]
    assert percentile_interval([1.0] * 40 + [np.nan] * 60) is None


def test_the_bootstrap_interval_of_a_mean_is_the_normal_one():
    values = np.random.default_rng(0).normal(size=400)
    weights = cluster_weights(np.arange(400).astype(str), 2000, seed=0)
    low, high = percentile_interval(weights @ values / weights.sum(axis=1))
    half = 1.96 * values.std() / np.sqrt(400)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.015)


@pytest.mark.parametrize("value", [np.nan, np.inf, None])
def test_no_number_becomes_null(value):
    assert number(value) is None


def test_an_estimate_that_is_not_a_number_has_no_interval():
    assert estimate(float("nan"), [1.0, 2.0], 0.95) == {"value": None, "interval": None}

"""Distances of features against scipy and torchmetrics, and their laws."""

import numpy as np
import pandas as pd
import pytest
import scipy
import torch
from scipy.linalg import sqrtm
from torchmetrics.image.kid import poly_mmd

from dermdit_kedro.metrics import feature_distances
from dermdit_kedro.metrics.feature_distances import (
    cmmd,
    compare_features,
    compare_groups,
    frechet_distance,
    kernel_distance,
)
from dermdit_kedro.metrics.parameters import ImageQualityConfig

CONFIG = ImageQualityConfig(num_pairs=40)


def features(n, d, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) / np.sqrt(d) + shift).astype("float32")


@pytest.mark.parametrize(("n", "m", "d"), [(200, 150, 12), (30, 40, 64), (50, 20, 32)])
def test_frechet_distance_is_that_of_the_matrix_square_root(n, m, d):
    real, synthetic = features(n, d).astype("float64"), features(m, d, 1, shift=0.3).astype("float64")
    covariances = [np.cov(part, rowvar=False) for part in (real, synthetic)]
    difference = real.mean(axis=0) - synthetic.mean(axis=0)
    # a small ridge, because scipy's square root of a singular matrix is not to be trusted
    product = sqrtm((covariances[0] + 1e-9 * np.eye(d)) @ (covariances[1] + 1e-9 * np.eye(d)))
    expected = difference @ difference + np.trace(covariances[0] + covariances[1]) - 2 * np.trace(product.real)
    assert frechet_distance(real, synthetic) == pytest.approx(expected, rel=1e-4)


def test_equal_sets_are_at_no_distance():
    real = features(100, 16)
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-6)


def test_a_shift_is_its_squared_length():
    real = features(100, 16)
    assert frechet_distance(real, real + 0.5) == pytest.approx(16 * 0.25, rel=1e-4)


def test_frechet_distance_needs_two_rows_of_equal_width():
    with pytest.raises(ValueError, match="Got shapes"):
        frechet_distance(features(1, 4), features(5, 4))
    with pytest.raises(ValueError, match="Got shapes"):
        frechet_distance(features(5, 3), features(5, 4))


def test_kernel_distance_is_that_of_torchmetrics():
    real, synthetic = features(60, 8), features(60, 8, 1, shift=0.2)
    value, _ = kernel_distance(real, synthetic, 0.95)
    f = torch.as_tensor(real).double(), torch.as_tensor(synthetic).double()
    cross = torch.diagonal((f[0] @ f[1].T / 8 + 1) ** 3)  # pairs of one index, which a U-statistic of pairs leaves out
    whole = (f[0] @ f[1].T / 8 + 1).pow(3).sum()
    difference = 2 * whole / 60**2 - 2 * (whole - cross.sum()) / (60 * 59)
    assert value == pytest.approx(float(poly_mmd(*f, degree=3, gamma=None, coef=1.0) + difference), rel=1e-6)


def test_kernel_distance_in_parts_is_that_of_the_whole(monkeypatch):
    real, synthetic = features(50, 8), features(50, 8, 1, shift=0.2)
    whole = kernel_distance(real, synthetic, 0.95)
    monkeypatch.setattr(feature_distances, "CHUNK", 7)
    parts = kernel_distance(real, synthetic, 0.95)
    assert parts[0] == pytest.approx(whole[0])
    assert parts[1] == pytest.approx(whole[1])


def test_the_interval_of_the_kernel_distance_is_that_of_leaving_one_out():
    real, synthetic = (part.astype("float64") for part in (features(12, 4), features(12, 4, 1, shift=0.2)))
    value, (low, high) = kernel_distance(real, synthetic, 0.9)
    without = [kernel_distance(np.delete(real, i, 0), np.delete(synthetic, i, 0), 0.9)[0] for i in range(12)]
    error = np.sqrt(11 / 12 * np.square(without - np.mean(without)).sum())
    reach = scipy.stats.t.ppf(0.95, 11) * error
    assert (low, high) == pytest.approx((value - reach, value + reach), rel=1e-6)


@pytest.mark.parametrize(("shift", "scale"), [(0.2, 1.0), (0.35, 1.0), (0.0, 1.3)])
def test_the_interval_of_the_kernel_distance_holds_the_truth(shift, scale):
    """A thousand draws from two populations whose distance is known to the last digit."""
    x = features(1500, 12).astype("float64")
    y = scale * features(1500, 12, 0).astype("float64")[::-1] + shift
    inner = [(a @ b.T / 12 + 1) ** 3 for a, b in ((x, x), (y, y), (x, y))]
    truth = inner[0].mean() + inner[1].mean() - 2 * inner[2].mean()
    rng, held = np.random.default_rng(0), 0
    for _ in range(1000):
        low, high = kernel_distance(x[rng.integers(1500, size=120)], y[rng.integers(1500, size=120)], 0.95)[1]
        held += low <= truth <= high
    assert 930 <= held <= 970


def test_equal_distributions_are_told_apart_no_more_often_than_said():
    rng, x, held = np.random.default_rng(0), features(1500, 12), 0
    for _ in range(500):
        low, high = kernel_distance(x[rng.integers(1500, size=60)], x[rng.integers(1500, size=60)], 0.95)[1]
        held += low <= 0 <= high
    assert held >= 470


def test_kernel_distance_of_too_little_has_no_interval():
    assert kernel_distance(features(3, 4), features(3, 4, 1), 0.95)[1] is None
    with pytest.raises(ValueError, match="two rows and equal shapes"):
        kernel_distance(features(3, 4), features(4, 4), 0.95)
    with pytest.raises(ValueError, match="two rows"):
        kernel_distance(features(1, 4), features(1, 4), 0.95)


def test_groups_are_compared_with_their_own_and_small_ones_are_named():
    real, synthetic = features(90, 8), np.concatenate([features(30, 8), features(30, 8, 3, 1.0), features(5, 8)])
    groups = pd.Series(["a"] * 45 + ["b"] * 44 + [None]), pd.Series(["a"] * 30 + ["b"] * 30 + ["c"] * 4 + [None])
    rows = {row["group"]: row for row in compare_groups("toy", real, synthetic, groups, CONFIG, seed=0)}
    assert list(rows) == ["a", "b", "c"]
    assert rows["b"]["value"] > 10 * abs(rows["a"]["value"])
    assert rows["c"] == {
        "name": "kid_toy", "group": "c", "value": None, "interval": None, "n": 0, "reason": "fewer than 20 images"
    }  # fmt: skip


def test_copying_the_training_images_does_not_pay_against_held_out_ones():
    train, held_out = features(200, 8)[:150], features(200, 8)[150:]
    result = compare_features("toy", train, held_out, train[:100], CONFIG, seed=0)["frechet_distance"]
    by_reference = {entry["reference"]: entry for entry in result}
    assert by_reference["held_out"]["value"] > 0.1
    assert {entry["name"] for entry in result} == {"fd_toy"}


def test_both_sides_of_a_comparison_and_its_floor_have_the_same_n():
    result = compare_features("toy", features(90, 8), features(30, 8), features(70, 8), CONFIG, seed=0)
    counts = {e["reference"]: (e["n_real"], e["n_synthetic"], e["n_floor"]) for e in result["frechet_distance"]}
    assert counts == {"train": (45, 45, 45), "held_out": (30, 30, 30)}
    assert [entry["n_synthetic"] for entry in result["kid"]] == [45, 30]
    assert all(entry["interval"][0] < entry["value"] < entry["interval"][1] for entry in result["kid"])


def test_real_against_real_lies_near_its_floor_and_noise_does_not():
    everything = features(600, 8)
    real = compare_features("toy", everything[:300], everything[300:400], everything[400:], CONFIG, seed=0)
    noise = compare_features("toy", everything[:300], everything[300:400], features(200, 8, 5, 2.0), CONFIG, seed=0)
    assert real["frechet_distance"][0]["value"] < 3 * real["frechet_distance"][0]["floor"]
    assert noise["frechet_distance"][0]["value"] > 20 * noise["frechet_distance"][0]["floor"]


def test_a_comparison_without_images_is_left_out():
    result = compare_features("toy", features(90, 8), features(1, 8), features(70, 8), CONFIG, seed=0)
    assert [entry["reference"] for entry in result["frechet_distance"]] == ["train"]


def test_cmmd_is_the_kernel_written_out():
    from sklearn.metrics.pairwise import rbf_kernel

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 8)), rng.normal(0.5, 1, size=(20, 8))
    x, y = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (x, y))
    kernels = [rbf_kernel(a, b, gamma=1 / 200).mean() for a, b in ((x, x), (y, y), (x, y))]
    assert cmmd(x, y) == pytest.approx(1000 * (kernels[0] + kernels[1] - 2 * kernels[2]), rel=1e-6)
    assert cmmd(x, y) > 0
    assert cmmd(x, x) == 0
    assert np.isnan(cmmd(np.full_like(x, np.nan), y))  # no perfect score for what is no number
    with pytest.raises(ValueError, match="equal widths"):
        cmmd(x, y[:, :4])

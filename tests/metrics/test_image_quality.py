"""Distances and MS-SSIM against scipy and torchmetrics, and their laws."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure
from torchmetrics.image.kid import poly_mmd

from dermdit_kedro.metrics.image_quality import (
    SCALE_WEIGHTS,
    compare_features,
    draw_pairs,
    frechet_distance,
    kernel_distance,
    ms_ssim,
    ms_ssim_diversity,
    ms_ssim_entry,
    ms_ssim_settings,
)
from dermdit_kedro.metrics.parameters import ImageQualityConfig

CONFIG = ImageQualityConfig(num_pairs=40, kid_subset_size=50, kid_num_subsets=10, num_resamples=100)


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


def test_kernel_distance_of_whole_sets_is_torchmetrics():
    real, synthetic = features(60, 8), features(60, 8, 1, shift=0.2)
    mean, deviation, size = kernel_distance(real, synthetic, 60, 3, seed=0)
    f = torch.as_tensor(real).double(), torch.as_tensor(synthetic).double()
    assert mean == pytest.approx(float(poly_mmd(*f, degree=3, gamma=None, coef=1.0)), rel=1e-6)
    assert deviation == pytest.approx(0, abs=1e-12)
    assert size == 60


def test_kernel_distance_of_equal_distributions_is_zero_on_average():
    mean, deviation, _ = kernel_distance(features(400, 8), features(400, 8), 100, 50, seed=0)
    assert abs(mean) < 2 * deviation


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
    assert [entry["subset_size"] for entry in result["kid"]] == [22, 15]
    assert all(entry["std"] > 0 for entry in result["kid"])


def test_real_against_real_lies_near_its_floor_and_noise_does_not():
    everything = features(600, 8)
    real = compare_features("toy", everything[:300], everything[300:400], everything[400:], CONFIG, seed=0)
    noise = compare_features("toy", everything[:300], everything[300:400], features(200, 8, 5, 2.0), CONFIG, seed=0)
    assert real["frechet_distance"][0]["value"] < 3 * real["frechet_distance"][0]["floor"]
    assert noise["frechet_distance"][0]["value"] > 20 * noise["frechet_distance"][0]["floor"]


def test_a_comparison_without_images_is_left_out():
    result = compare_features("toy", features(90, 8), features(1, 8), features(70, 8), CONFIG, seed=0)
    assert [entry["reference"] for entry in result["frechet_distance"]] == ["train"]


@pytest.mark.parametrize(
    ("size", "settings"), [(256, (11, 5)), (176, (11, 5)), (175, (7, 3)), (28, (7, 3)), (27, None)]
)
def test_scales_fit_the_image(size, settings):
    assert ms_ssim_settings(size) == settings


@pytest.mark.parametrize("size", [28, 64, 176])
def test_ms_ssim_is_one_for_equal_and_less_for_other_images(size):
    torch.manual_seed(0)
    images = torch.rand(3, 3, size, size)
    settings = ms_ssim_settings(size)
    assert ms_ssim(images, images, *settings) == pytest.approx(torch.ones(3), abs=1e-5)
    assert (ms_ssim(images, images.flip(0), *settings)[[0, 2]] < 0.5).all()


def test_ms_ssim_at_full_size_is_torchmetrics_default():
    torch.manual_seed(0)
    first = torch.rand(2, 3, 192, 192)
    second = (first + 0.2 * torch.rand_like(first)).clamp(0, 1)
    reference = multiscale_structural_similarity_index_measure(first, second, data_range=1.0, reduction="none")
    assert ms_ssim(first, second, 11, 5) == pytest.approx(reference, abs=2e-4)
    assert sum(SCALE_WEIGHTS) == pytest.approx(1, abs=2e-4)


def test_ms_ssim_is_never_nan():
    black, white = torch.zeros(1, 3, 64, 64), torch.ones(1, 3, 64, 64)
    checks = torch.zeros(1, 3, 64, 64)
    checks[..., ::2] = 1
    for first, second in ((black, white), (black, black), (checks, 1 - checks)):
        value = ms_ssim(first, second, 7, 3)
        assert torch.isfinite(value).all()


def test_pairs_are_distinct_and_depend_on_the_seed_alone():
    pairs = draw_pairs(30, 50, seed=1)
    assert (pairs == draw_pairs(30, 50, seed=1)).all()
    assert len({tuple(pair) for pair in pairs}) == 50
    assert (pairs[:, 0] < pairs[:, 1]).all()
    assert len(draw_pairs(4, 50, seed=1)) == 6
    assert draw_pairs(1, 50, seed=1).shape == (0, 2)


def test_a_generator_stuck_on_one_image_has_no_diversity():
    torch.manual_seed(0)
    varied = torch.randint(0, 256, (20, 3, 32, 32), dtype=torch.uint8)
    stuck = varied[:1].repeat(20, 1, 1, 1)
    measured = [ms_ssim_diversity(stack.__getitem__, 20, 32, CONFIG, seed=0) for stack in (varied, stuck)]
    assert measured[0]["value"] < 0.2
    assert measured[1]["value"] == pytest.approx(1, abs=1e-5)
    assert measured[0]["n_pairs"] == 40
    low, high = measured[0]["interval"]
    assert low <= measured[0]["value"] <= high


def test_the_name_says_how_it_was_measured():
    assert ms_ssim_entry(64, None, None)["name"] == "ms_ssim_64px_kernel7_3scales"
    assert ms_ssim_entry(16, None, None) is None
    assert ms_ssim_diversity(lambda rows: torch.zeros(len(rows), 3, 16, 16), 5, 16, CONFIG, seed=0) is None

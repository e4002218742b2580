"""MS-SSIM against torchmetrics, and its laws."""

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import t
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from dermdit_kedro.metrics.image_quality import (
    SCALE_WEIGHTS,
    draw_pairs,
    mean_of_pairs,
    ms_ssim,
    ms_ssim_diversity,
    ms_ssim_entry,
    ms_ssim_settings,
)
from dermdit_kedro.metrics.parameters import ImageQualityConfig

CONFIG = ImageQualityConfig(num_pairs=40)


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
    assert (measured[0]["n_pairs"], measured[0]["n"]) == (40, 20)
    low, high = measured[0]["interval"]
    assert low <= measured[0]["value"] <= high


def test_the_interval_counts_every_two_pairs_that_share_an_image():
    """The sum over all pairs of pairs, written out."""
    rng = np.random.default_rng(0)
    pairs, n = draw_pairs(9, 20, seed=0), 9
    values = 0.5 + 0.1 * rng.standard_normal(9)[pairs].sum(axis=1)
    residuals = values - values.mean()
    shared = [
        e * f for (p, e), (q, f) in itertools.product(zip(pairs, residuals, strict=True), repeat=2) if {*p} & {*q}
    ]
    error = np.sqrt(sum(shared) * n * (n - 1)) / (20 * (n - 2))
    mean, interval = mean_of_pairs(values, pairs, 0.9)
    assert mean == pytest.approx(values.mean())
    reach = t.ppf(0.95, n - 1) * error
    assert interval == pytest.approx([mean - reach, mean + reach])
    assert mean_of_pairs(values[:1], pairs[:1], 0.9) == (values[0], None)


@pytest.mark.parametrize(("n", "num_pairs"), [(20, 190), (40, 300), (200, 300)])
def test_the_interval_holds_the_true_mean_though_pairs_share_images(n, num_pairs):
    """Each image is a little more or less like all others; pairs taken as independent hold it in 40 to 75 %."""
    rng = np.random.default_rng(0)
    held = independent = 0
    for seed in range(400):
        pairs, own = draw_pairs(n, num_pairs, seed), rng.normal(0, 0.05, n)
        values = 0.5 + own[pairs].sum(axis=1) + rng.normal(0, 0.05, len(pairs))
        mean, (low, high) = mean_of_pairs(values, pairs, 0.95)
        held += low <= 0.5 <= high
        independent += abs(mean - 0.5) <= 1.96 * values.std(ddof=1) / np.sqrt(len(pairs))
    assert 0.89 <= held / 400 <= 0.98
    assert independent / 400 < 0.8


def test_the_name_says_how_it_was_measured():
    assert ms_ssim_entry(64, None, None)["name"] == "ms_ssim_64px_kernel7_3scales"
    assert ms_ssim_entry(16, None, None) is None
    assert ms_ssim_diversity(lambda rows: torch.zeros(len(rows), 3, 16, 16), 5, 16, CONFIG, seed=0) is None

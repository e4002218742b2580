"""MS-SSIM against torchmetrics, and its laws."""

import pytest
import torch
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from dermdit_kedro.metrics.image_quality import (
    SCALE_WEIGHTS,
    draw_pairs,
    ms_ssim,
    ms_ssim_diversity,
    ms_ssim_entry,
    ms_ssim_settings,
)
from dermdit_kedro.metrics.parameters import ImageQualityConfig

CONFIG = ImageQualityConfig(num_pairs=40, num_resamples=100)


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

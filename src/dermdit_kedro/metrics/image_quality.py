"""Are synthetic images as varied as real ones? MS-SSIM of pairs."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from dermdit_kedro.metrics.intervals import percentile_interval
from dermdit_kedro.metrics.parameters import ImageQualityConfig

Array = NDArray[Any]

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Wang et al. 2003, table 1; fewer scales take the first ones, renormalised."""

FULL_SIZE = 176
"""Least side in pixels at which torchmetrics takes five scales and a kernel of 11."""

SMALL_SIZE = 28
"""Least side in pixels at which torchmetrics takes three scales and a kernel of 7."""

CHUNK = 128
"""Pairs of images compared at a time."""


def ms_ssim_settings(image_size: int) -> tuple[int, int] | None:
    """Return (kernel size, scales) for images of a side: (11, 5), below 176 px (7, 3), below 28 px none."""
    if image_size >= FULL_SIZE:
        return 11, 5
    return (7, 3) if image_size >= SMALL_SIZE else None


def ms_ssim(
    first: Float[Tensor, "b 3 s s"], second: Float[Tensor, "b 3 s s"], kernel_size: int, num_scales: int
) -> Tensor:
    """Return the multi-scale structural similarity of pairs (Wang et al. 2003), by torchmetrics.

    Negative contrast terms count as 0 (`relu`), so no pair is NaN. The Gaussian's width goes with the kernel:
    1.5 pixels at a kernel of 11.

    Args:
        first: Images in [0, 1].
        second: Images in [0, 1].
        kernel_size: Odd side of the Gaussian window in pixels.
        num_scales: Scales; their weights are the first ones of the paper, renormalised.

    Returns:
        (b,) in [0, 1]; 1 for equal images.
    """
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    weights = SCALE_WEIGHTS[:num_scales]
    values: Tensor = multiscale_structural_similarity_index_measure(
        first,
        second,
        gaussian_kernel=True,
        sigma=1.5 * kernel_size / 11,
        kernel_size=kernel_size,
        reduction="none",
        data_range=1.0,
        betas=tuple(weight / sum(weights) for weight in weights),
        normalize="relu",
    )
    return values.reshape(len(first)).clamp(0, 1)


def draw_pairs(n: int, num_pairs: int, seed: int) -> NDArray[np.int64]:
    """Draw distinct unordered pairs of n images.

    Args:
        n: Images.
        num_pairs: Most pairs.
        seed: Seed of the draw.

    Returns:
        (p, 2), p = min(num_pairs, n (n - 1) / 2).
    """
    rng = np.random.default_rng(seed)
    if n * (n - 1) // 2 <= num_pairs:
        return np.array(list(itertools.combinations(range(n), 2)), dtype="int64").reshape(-1, 2)
    chosen: dict[tuple[int, int], None] = {}
    while len(chosen) < num_pairs:
        first, second = rng.integers(n, size=2)
        if first != second:
            chosen[(int(min(first, second)), int(max(first, second)))] = None
    return np.array(list(chosen), dtype="int64")


def ms_ssim_diversity(
    images: Callable[[Tensor], Tensor], n: int, image_size: int, config: ImageQualityConfig, seed: int
) -> dict[str, Any] | None:
    """Return the mean MS-SSIM of seeded pairs of images: lower is more varied.

    Args:
        images: Returns uint8 (b, 3, s, s) at given positions, such as an `ImageStack`'s `__getitem__`.
        n: How many images there are.
        image_size: Their side in pixels.
        config: Pairs, resamples, confidence.
        seed: Seed of the pairs and of the bootstrap over pairs.

    Returns:
        `{"value", "interval", "n_pairs"}`; None for images too small or fewer than two. The interval treats the
        pairs as independent.
    """
    settings, pairs = ms_ssim_settings(image_size), torch.as_tensor(draw_pairs(n, config.num_pairs, seed))
    if settings is None or not len(pairs):
        return None
    parts: list[Tensor] = []
    for part in torch.split(pairs, CHUNK):
        first, second = (images(rows).float() / 255 for rows in part.unbind(1))
        parts.append(ms_ssim(first, second, *settings))
    values = torch.cat(parts).numpy()
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(len(values), size=len(values))].mean() for _ in range(config.num_resamples)]
    interval = percentile_interval(means, config.confidence)
    return {"value": float(values.mean()), "interval": interval, "n_pairs": len(values)}


def ms_ssim_entry(
    image_size: int, synthetic: dict[str, Any] | None, real: dict[str, Any] | None
) -> dict[str, Any] | None:
    """Return the entry `ms_ssim` of `image_metrics.json`: its name holds image size, kernel and scales."""
    settings = ms_ssim_settings(image_size)
    if settings is None:
        return None
    kernel_size, num_scales = settings
    return {
        "name": f"ms_ssim_{image_size}px_kernel{kernel_size}_{num_scales}scales",
        "image_size": image_size,
        "kernel_size": kernel_size,
        "num_scales": num_scales,
        "synthetic": synthetic,
        "real": real,
    }

"""Are synthetic images as varied as real ones? MS-SSIM of pairs."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

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
        config: Pairs and confidence.
        seed: Seed of the pairs.

    Returns:
        `{"value", "interval", "n_pairs", "n"}`; None for images too small or fewer than two. The interval is over
        other images, by `mean_of_pairs`.
    """
    settings, pairs = ms_ssim_settings(image_size), torch.as_tensor(draw_pairs(n, config.num_pairs, seed))
    if settings is None or not len(pairs):
        return None
    parts: list[Tensor] = []
    for part in torch.split(pairs, CHUNK):
        first, second = (images(rows).float() / 255 for rows in part.unbind(1))
        parts.append(ms_ssim(first, second, *settings))
    values = torch.cat(parts).numpy()
    value, interval = mean_of_pairs(values, pairs.numpy(), config.confidence)
    return {"value": value, "interval": interval, "n_pairs": len(values), "n": n}


def mean_of_pairs(
    values: NDArray[Any], pairs: NDArray[np.int64], confidence: float
) -> tuple[float, list[float] | None]:
    """Return the mean of values of pairs of images, with an interval over other images.

    Pairs that share an image are not independent. With residuals e the variance of the mean over P pairs is the sum
    of e_p e_q over all p and q with an image in common, over P^2 (Fafchamps and Gubert 2007), at least that of
    independent pairs; for n images times n (n - 1) / (n - 2)^2, by which the jackknife of all pairs differs, with
    Student's t of n - 1 degrees of freedom.

    Args:
        values: (p,) in [0, 1].
        pairs: (p, 2) positions of their images.
        confidence: Of the interval, in (0, 1).

    Returns:
        The mean and its interval within [0, 1]; None for a single pair.
    """
    from scipy.stats import t

    mean = float(np.mean(values, dtype="float64"))
    if len(values) < 2:
        return mean, None
    residuals = np.asarray(values, dtype="float64") - mean
    images, positions = np.unique(pairs, return_inverse=True)
    sums = np.bincount(positions.ravel(), weights=np.repeat(residuals, 2))
    alone = float(residuals @ residuals)
    n = len(images)
    error = np.sqrt(max(float(sums @ sums) - alone, alone) * n * (n - 1)) / (len(values) * (n - 2))
    reach = float(t.ppf((1 + confidence) / 2, n - 1) * error)
    return mean, [max(mean - reach, 0.0), min(mean + reach, 1.0)]


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

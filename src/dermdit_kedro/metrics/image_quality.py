"""Are synthetic images like real ones, and as varied? Fréchet and kernel distances of features, MS-SSIM of pairs.

Both distances grow when there are fewer images; so both sides of a comparison have the same n, and so has the
floor: the distance that real images have from other real images.
"""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from dermdit_kedro.metrics.intervals import Floats, percentile_interval
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


def frechet_distance(real: Float[Array, "n d"], synthetic: Float[Array, "m d"]) -> float:
    """Return the Fréchet distance of two Gaussians fitted to features (Heusel et al. 2017, equation 6).

    d = |mu_1 - mu_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2)). The last trace is the sum of the singular values of
    A B^T, with A and B the centred features over sqrt(n - 1): no matrix square root is taken.

    Args:
        real: Features of one set, at least two rows.
        synthetic: Features of the other.

    Returns:
        The distance, 0 or more up to rounding; 0 for equal sets.

    Raises:
        ValueError: If a set has fewer than two rows or the widths differ.
    """
    if min(len(real), len(synthetic)) < 2 or real.shape[1] != synthetic.shape[1]:
        raise ValueError(f"needs two rows and equal widths. Got shapes {real.shape} and {synthetic.shape}")
    first, second = np.asarray(real, dtype="float64"), np.asarray(synthetic, dtype="float64")
    difference = first.mean(axis=0) - second.mean(axis=0)
    a, b = _centred(first), _centred(second)
    overlap = np.linalg.norm(a @ b.T, ord="nuc")
    return float(difference @ difference + (a * a).sum() + (b * b).sum() - 2 * overlap)


def _centred(features: Floats) -> Floats:
    """Return a matrix A of at most d rows with A^T A the covariance of the features."""
    centred = (features - features.mean(axis=0)) / np.sqrt(len(features) - 1)
    return np.asarray(np.linalg.qr(centred, mode="r")) if len(centred) > centred.shape[1] else centred


def kernel_distance(
    real: Float[Array, "n d"], synthetic: Float[Array, "m d"], subset_size: int, num_subsets: int, seed: int
) -> tuple[float, float, int]:
    """Return the unbiased squared MMD with the kernel (x.y / d + 1)^3 over random subsets (Binkowski et al. 2018).

    Args:
        real: Features of one set, at least two rows.
        synthetic: Features of the other.
        subset_size: Rows of each set in a subset; fewer where there are fewer.
        num_subsets: How many subsets.
        seed: Seed of the subsets.

    Returns:
        Mean and standard deviation over the subsets, and the size they had. The mean may fall below 0.
    """
    rng = np.random.default_rng(seed)
    size = min(subset_size, len(real), len(synthetic))
    values = []
    for _ in range(num_subsets):
        x = np.asarray(real, dtype="float64")[rng.permutation(len(real))[:size]]
        y = np.asarray(synthetic, dtype="float64")[rng.permutation(len(synthetic))[:size]]
        within = [(k.sum() - np.trace(k)) / (size * (size - 1)) for k in (_kernel(x, x), _kernel(y, y))]
        values.append(sum(within) - 2 * _kernel(x, y).mean())
    return float(np.mean(values)), float(np.std(values)), size


def _kernel(x: Floats, y: Floats) -> Floats:
    return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)


def compare_features(
    name: str, train: Array, held_out: Array, synthetic: Array, config: ImageQualityConfig, seed: int
) -> dict[str, list[dict[str, Any]]]:
    """Measure both distances from synthetic to training and to held-out real images, with the real-to-real floor.

    Against held-out images copying does not pay. Of each set as many images are drawn as the smallest set of the
    comparison has; the floor of the training images is measured between two halves of them.

    Args:
        name: Name of the features.
        train: Features of the real training images, (n, d).
        held_out: Features of the held-out real images, (h, d).
        synthetic: Features of the synthetic images, (m, d).
        config: Subsets of the kernel distance.
        seed: Seed of all draws.

    Returns:
        The lists `frechet_distance` and `kid` of `image_metrics.json`; a comparison without two images of
        each kind is left out.
    """
    rng = np.random.default_rng(seed)
    train, held_out, synthetic = (np.asarray(part)[rng.permutation(len(part))] for part in (train, held_out, synthetic))
    half = len(train) // 2
    references = {"train": (train[:half], train[half:]), "held_out": (held_out, train)}
    result: dict[str, list[dict[str, Any]]] = {"frechet_distance": [], "kid": []}
    for reference, (real, other) in references.items():
        n = min(len(real), len(other), len(synthetic))
        if n < 2:
            continue
        common = {"reference": reference, "n_real": n, "n_synthetic": n}
        value, floor = (frechet_distance(real[:n], part[:n]) for part in (synthetic, other))
        result["frechet_distance"].append(
            {**common, "name": f"fd_{name}", "value": value, "floor": floor, "n_floor": n}
        )
        mean, deviation, size = kernel_distance(
            real[:n], synthetic[:n], max(2, min(config.kid_subset_size, n // 2)), config.kid_num_subsets, seed
        )
        result["kid"].append({**common, "name": f"kid_{name}", "value": mean, "std": deviation, "subset_size": size})
    return result


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

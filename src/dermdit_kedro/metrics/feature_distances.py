"""How far are synthetic images from real ones, and how much of them do they cover? All of it from features.

Fréchet distances grow when there are fewer images; so both sides of a comparison have the same n, and so has the
floor: the distance that real images have from other real images.
"""

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.typing import NDArray

from dermdit_kedro.dermoscopy.records import TONE_GROUPS
from dermdit_kedro.metrics.intervals import Floats
from dermdit_kedro.metrics.manifolds import manifold_overlap
from dermdit_kedro.metrics.parameters import ImageQualityConfig

Array = NDArray[Any]
CHUNK = 2048
"""Rows of a kernel matrix at a time."""

LEAST = 4
"""Rows that an interval of the kernel distance needs."""


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
    real: Float[Array, "n d"], synthetic: Float[Array, "n d"], confidence: float
) -> tuple[float, list[float] | None]:
    """Return the unbiased squared MMD with the kernel (x.y / d + 1)^3 (Binkowski et al. 2018), with an interval.

    All rows are taken at once, which has the mean of the usual subsets and varies less. With pairs z = (x, y) the
    estimate is a U-statistic of one sample, and its standard error the jackknife's, with Student's t (Arvesen 1969).
    In simulation the interval holds the true value as often as it says where distributions differ, and more often
    (98 %) where they are the same, for there the statistic is degenerate.

    Args:
        real: Features of one set, at least two rows.
        synthetic: Features of as many of the other.
        confidence: Of the interval, in (0, 1).

    Returns:
        The distance, which may fall below 0, and its interval; None below four rows.

    Raises:
        ValueError: If the shapes differ or there are fewer than two rows.
    """
    if real.shape != synthetic.shape or len(real) < 2:
        raise ValueError(f"needs two rows and equal shapes. Got shapes {real.shape} and {synthetic.shape}")
    x, y = np.asarray(real, dtype="float64"), np.asarray(synthetic, dtype="float64")
    n, sums = len(x), np.zeros(len(x))
    for start in range(0, n, CHUNK):
        rows = slice(start, start + CHUNK)
        part = _kernel(x[rows], x) + _kernel(y[rows], y) - _kernel(x[rows], y) - _kernel(y[rows], x)
        sums[rows] = part.sum(axis=1) - np.diagonal(part, offset=start)
    value = float(sums.sum() / (n * (n - 1)))
    if n < LEAST:
        return value, None
    from scipy.stats import t

    without = (sums.sum() - 2 * sums) / ((n - 1) * (n - 2))
    error = np.sqrt((n - 1) / n * np.square(without - without.mean()).sum())
    reach = float(t.ppf((1 + confidence) / 2, n - 1) * error)
    return value, [value - reach, value + reach]


def cmmd(real: Float[Array, "n d"], synthetic: Float[Array, "m d"]) -> float:
    """Return CMMD: 1000 times the squared MMD with a Gaussian kernel of width 10 (Jayasumana et al. 2024).

    All pairs count, an image with itself too, as in the reference implementation: biased, and never below 0.

    Args:
        real: CLIP embeddings of one set, each of length 1.
        synthetic: Those of the other.

    Returns:
        The distance; 0 for equal sets.

    Raises:
        ValueError: If a set is empty or the widths differ.
    """
    if not len(real) or not len(synthetic) or real.shape[1] != synthetic.shape[1]:
        raise ValueError(f"needs a row of each and equal widths. Got shapes {real.shape} and {synthetic.shape}")
    x, y = np.asarray(real, dtype="float64"), np.asarray(synthetic, dtype="float64")
    return float(np.maximum(0.0, 1000 * (_mean_gaussian(x, x) + _mean_gaussian(y, y) - 2 * _mean_gaussian(x, y))))


def _mean_gaussian(x: Floats, y: Floats) -> float:
    """Return the mean of exp(-|x - y|^2 / 200) over all pairs, its squares from one product of matrices."""
    total, squares = 0.0, np.square(y).sum(axis=1)
    for start in range(0, len(x), CHUNK):
        rows = x[start : start + CHUNK]
        distances = np.square(rows).sum(axis=1)[:, None] + squares - 2 * rows @ y.T
        total += float(np.exp(-distances.clip(min=0) / 200).sum())
    return total / (len(x) * len(y))


def _kernel(x: Floats, y: Floats) -> Floats:
    return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)


def compare_features(
    name: str, train: Array, held_out: Array, synthetic: Array, config: ImageQualityConfig, seed: int
) -> dict[str, list[dict[str, Any]]]:
    """Measure synthetic against training and against held-out real images, with what real ones reach of each other.

    Against held-out images copying does not pay. Of each set as many images are drawn as the smallest set of the
    comparison has; the floor of the training images is measured between two halves of them.

    Args:
        name: Name of the features.
        train: Features of the real training images, (n, d).
        held_out: Features of the held-out real images, (h, d).
        synthetic: Features of the synthetic images, (m, d).
        config: Neighbours and confidence.
        seed: Seed of all draws.

    Returns:
        The lists `frechet_distance`, `kid` and `manifold` of `image_metrics.json`; a comparison with too few images of
        a kind is left out.
    """
    rng = np.random.default_rng(seed)
    train, held_out, synthetic = (np.asarray(part)[rng.permutation(len(part))] for part in (train, held_out, synthetic))
    half = len(train) // 2
    references = {"train": (train[:half], train[half:]), "held_out": (held_out, train)}
    result: dict[str, list[dict[str, Any]]] = {"frechet_distance": [], "kid": [], "manifold": []}
    for reference, (real, other) in references.items():
        n = min(len(real), len(other), len(synthetic))
        if n < 2:
            continue
        real, other, drawn = real[:n], other[:n], synthetic[:n]
        common = {"reference": reference, "n_real": n, "n_synthetic": n}
        value, floor = (frechet_distance(real, part) for part in (drawn, other))
        result["frechet_distance"].append(
            {**common, "name": f"fd_{name}", "value": value, "floor": floor, "n_floor": n}
        )
        (mean, interval), (floor, _) = (kernel_distance(real, part, config.confidence) for part in (drawn, other))
        kid = {"name": f"kid_{name}", "value": mean, "interval": interval, "floor": floor}
        result["kid"].append({**common, **kid})
        if name.startswith("clip"):
            distances = {"value": cmmd(real, drawn), "floor": cmmd(real, other)}
            result["frechet_distance"].append({**common, "name": f"cmmd_{name}", **distances, "n_floor": n})
        if n > config.num_neighbours:
            found = {"name": name, "num_neighbours": config.num_neighbours}
            found |= {"synthetic": manifold_overlap(real, drawn, config.num_neighbours)}
            found |= {"real": manifold_overlap(real, other, config.num_neighbours)}
            result["manifold"].append({**common, **found})
    return result


def compare_groups(
    name: str, real: Array, synthetic: Array, groups: tuple[pd.Series, pd.Series], config: ImageQualityConfig, seed: int
) -> list[dict[str, Any]]:
    """Measure the kernel distance within each group; it has no bias, so small groups may be compared with large ones.

    Args:
        name: Name of the features.
        real: Features of held-out real images, (n, d).
        synthetic: Features of synthetic images, (m, d).
        groups: The group of each real and of each synthetic image; rows of no group are null.
        config: Least images of a group, and confidence.
        seed: Seed of the draws that make both sides as many.

    Returns:
        name, group, value, interval, n and reason, a row a group of the synthetic images; value null where either side
        has fewer than `min_group_images`.
    """
    rng, rows = np.random.default_rng(seed), []
    for group in sorted(groups[1].dropna().unique()):
        of_real, of_synthetic = ((of == group).to_numpy(dtype=bool, na_value=False) for of in groups)
        members = np.asarray(real)[of_real], np.asarray(synthetic)[of_synthetic]
        n = min(map(len, members))
        row: dict[str, Any] = {"name": f"kid_{name}", "group": group, "value": None, "interval": None, "n": n}
        if n >= config.min_group_images:
            first, second = (part[rng.permutation(len(part))[:n]] for part in members)
            row["value"], row["interval"] = kernel_distance(first, second, config.confidence)
        row["reason"] = None if n >= config.min_group_images else f"fewer than {config.min_group_images} images"
        rows.append(row)
    return rows


def label_and_tone(table: pd.DataFrame, prefix: str = "") -> pd.Series:
    """Name the group of each image.

    Args:
        table: Columns is_malignant and tone_group.
        prefix: Of these columns.

    Returns:
        Such as `malignant, dark`; null where either is unknown.
    """
    names = [
        f"{'malignant' if malignant else 'benign'}, {tone}" if pd.notna(malignant) and tone in TONE_GROUPS else None
        for malignant, tone in zip(table[f"{prefix}is_malignant"], table[f"{prefix}tone_group"], strict=True)
    ]
    return pd.Series(names, index=table.index, dtype="object")

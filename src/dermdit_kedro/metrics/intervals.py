"""Intervals: Wilson's for proportions, percentiles of a cluster bootstrap for everything else."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def number(value: float | np.floating[Any] | None) -> float | None:
    """Return a finite number as it is and anything else as None, which JSON can say."""
    return float(value) if value is not None and np.isfinite(value) else None


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> list[float] | None:
    """Return Wilson's score interval of a proportion.

    Args:
        successes: How many of the `n`.
        n: How many in all.
        confidence: In (0, 1).

    Returns:
        [low, high] in [0, 1]; None where n is 0.
    """
    from scipy.stats import binomtest

    if n == 0:
        return None
    interval = binomtest(int(successes), int(n)).proportion_ci(confidence, method="wilson")
    return [float(interval.low), float(interval.high)]


def proportion(hits: ArrayLike, confidence: float = 0.95) -> dict[str, Any]:
    """Return the share of true values with its interval and n.

    Args:
        hits: Booleans, one an image.
        confidence: In (0, 1).

    Returns:
        `{"value", "interval", "n"}`; the first two are None where n is 0.
    """
    values = np.asarray(hits, dtype=bool)
    n, successes = int(values.size), int(values.sum())
    interval = wilson_interval(successes, n, confidence)
    return {"value": successes / n if n else None, "interval": interval, "n": n}


def cluster_weights(clusters: ArrayLike, num_resamples: int, seed: int) -> Floats:
    """Draw clusters with replacement and count how often each image comes along.

    Images of one cluster (a patient, a lesion, a duplicate) are not independent, so they are drawn together.

    Args:
        clusters: Cluster of each image, (n,).
        num_resamples: How many resamples.
        seed: The same seed and clusters give the same resamples, so that two arms can be compared in pairs.

    Returns:
        (num_resamples, n), whole numbers from 0 on.
    """
    names, codes = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    rng = np.random.default_rng(seed)
    if not len(names):
        return np.zeros((num_resamples, 0))
    counts = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=num_resamples)
    return counts[:, codes].astype("float64")


def percentile_interval(resampled: ArrayLike, confidence: float = 0.95) -> list[float] | None:
    """Return the percentile interval of resampled values.

    Args:
        resampled: One value a resample; NaN where it could not be computed, such as the AUC of one label.
        confidence: In (0, 1).

    Returns:
        [low, high] of the finite values; None where fewer than half are finite.
    """
    values = np.asarray(resampled, dtype="float64")
    finite = values[np.isfinite(values)]
    if not len(finite) or len(finite) * 2 < len(values):
        return None
    low, high = np.quantile(finite, [(1 - confidence) / 2, (1 + confidence) / 2])
    return [float(low), float(high)]


def estimate(value: float, resampled: ArrayLike, confidence: float) -> dict[str, Any]:
    """Return `{"value", "interval"}`, both None where the value is not a number."""
    known = number(value)
    return {"value": known, "interval": None if known is None else percentile_interval(resampled, confidence)}

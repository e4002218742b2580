"""Intervals of single values: DeLong's for areas, Wilson's for proportions, a cluster bootstrap for the rest."""

from collections.abc import Sequence
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


def proportion_estimate(value: float, resampled: ArrayLike, num_clusters: int, confidence: float) -> dict[str, Any]:
    """Return `{"value", "interval"}` of a rate; Wilson's interval where no resample differs, such as 12 of 12.

    Args:
        value: The rate, in [0, 1], or NaN.
        resampled: Its resampled values.
        num_clusters: Independent units among the images it is a rate of.
        confidence: In (0, 1).

    Returns:
        Value and interval; both None where the value is not a number.
    """
    found = estimate(value, resampled, confidence)
    if found["interval"] and found["interval"][0] == found["interval"][1]:
        found["interval"] = wilson_interval(round(value * num_clusters), num_clusters, confidence)
    return found


def area_interval(
    value: float, variance: float, num_positive: int, num_negative: int, confidence: float
) -> list[float] | None:
    """Return the interval of an area under the ROC curve.

    DeLong's variance on the logit scale, which stays within [0, 1] and is symmetric there (Pepe 2003, section
    5.2.4). Where that variance is zero, as for perfect separation, the areas are taken that the value
    would be within the margin of, under Hanley and McNeil's variance (Newcombe 2006, method 5).

    Args:
        value: The area, in [0, 1].
        variance: DeLong's, by clusters.
        num_positive: Clusters with positive images.
        num_negative: Clusters with negative images.
        confidence: In (0, 1).

    Returns:
        [low, high]; None where the variance is not a number.
    """
    from scipy.optimize import brentq
    from scipy.special import expit, logit
    from scipy.stats import norm

    if not np.isfinite(variance):
        return None
    z = float(norm.ppf((1 + confidence) / 2))
    if variance > 0 and 0 < value < 1:
        half = z * np.sqrt(variance) / (value * (1 - value))
        return [float(expit(logit(value) - half)), float(expit(logit(value) + half))]

    def beyond(area: float) -> float:
        spread = (num_positive + num_negative) / 2 - 1
        inner = 1 + spread * ((1 - area) / (2 - area) + area / (1 + area))
        return float(abs(value - area) - z * np.sqrt(area * (1 - area) * inner / (num_positive * num_negative)))

    low = brentq(beyond, 1e-12, value - 1e-9) if value > 0.5 else 0.0
    high = brentq(beyond, value + 1e-9, 1 - 1e-12) if value < 0.5 else 1.0
    return [float(low), float(high)]


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Correct p-values for their number, so that one false finding among all of them is as rare as among one.

    Holm 1979; holds however the tests depend on one another.

    Args:
        p_values: One a test; None where there was none, which counts for nothing.

    Returns:
        The corrected ones in the same order, at most 1.
    """
    order = sorted((p, position) for position, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    reached = 0.0
    for rank, (p, position) in enumerate(order):
        reached = max(reached, min(1.0, (len(order) - rank) * p))
        corrected[position] = reached
    return corrected

"""Values and differences of several seeds' classifiers, with intervals that count test images and trainings.

Each measure is a mean over seeds. How far each image moves it (its influence) gives the covariance of the seeds'
values over other test images, summed by cluster of images that are not independent:

- AUC: DeLong's components (DeLong et al. 1988, ties by midranks as Sun and Xu 2014), summed by cluster as
  Obuchowski 1997 does; with one image a cluster it is DeLong's variance;
- rates: images beside two pseudo-images a group (Agresti and Caffo 2000; for pairs Agresti and Min 2005), so that
  12 of 12 is not taken for certainty;
- F1: the ratio linearised.

Where there are several seeds, the variance of their mean adds what differs between trainings, as studies with
several readers do (Obuchowski and Rockette 1995, degrees of freedom by Hillis 2007; a reader is a seed here).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dermdit_kedro.metrics.intervals import Floats, number

Array = NDArray[Any]

HITS = ((0.0, 1.0), (1.0, 1.0))
"""Pseudo-images of a rate, (value, weight): a miss and a hit."""
CHANGES = ((-1.0, 0.5), (0.0, 1.0), (1.0, 0.5))
"""Those of a paired difference of two arms' rates: half an image for each pair of miss and hit."""
SUMS = ((0.0, 0.5), (1.0, 1.0), (2.0, 0.5))
"""Those of a sum of two arms' rates."""


@dataclass(frozen=True)
class Contrast:
    """A measure of every seed's classifier, or a difference of such measures.

    Attributes:
        values: As measured, (s,); NaN where it cannot be.
        centres: Where the interval has its middle, (s,); as `values` but for the pseudo-images.
        influence: How far each image moves the value of each seed, (n, s).
        pseudo: The same of pseudo-images, (m, s).
    """

    values: Floats
    centres: Floats
    influence: Floats
    pseudo: Floats

    def __add__(self, other: "Contrast") -> "Contrast":
        """Return the sum; both of the same images."""
        return Contrast(
            self.values + other.values,
            self.centres + other.centres,
            self.influence + other.influence,
            np.concatenate([self.pseudo, other.pseudo]),
        )

    def __neg__(self) -> "Contrast":
        """Return the same with the other sign."""
        return Contrast(-self.values, -self.centres, -self.influence, -self.pseudo)

    def __sub__(self, other: "Contrast") -> "Contrast":
        """Return the difference; both of the same images."""
        return self + (-other)

    def covariance(self, clusters: Array) -> Floats:
        """Return the covariance of the seeds' values over other test images, (s, s).

        Args:
            clusters: Number of each image's cluster, from 0 on, (n,).

        Returns:
            Symmetric; the variances on its diagonal.
        """
        moves = sum_by(clusters, self.influence)
        return moves.T @ moves + self.pseudo.T @ self.pseudo


def auc(labels: Array, scores: Floats, mask: Array, clusters: Array) -> Contrast:
    """Return the area under the ROC curve of a group of images.

    Args:
        labels: True labels, bool (n,).
        scores: One column a seed, (n, s).
        mask: Which images belong to the group, bool (n,).
        clusters: Number of each image's cluster, (n,).

    Returns:
        Its contrast; NaN where the group lacks a label or a score is NaN.
    """
    influence = np.full(scores.shape, 0.0)
    positive, negative = mask & labels, mask & ~labels
    if not positive.any() or not negative.any() or np.isnan(scores[mask]).any():
        return _nothing(scores.shape)
    part_of = {True: _placements(scores[positive], scores[negative]),
               False: 1 - _placements(scores[negative], scores[positive])}  # fmt: skip
    area = part_of[True].mean(axis=0)
    for here, components in ((positive, part_of[True]), (negative, part_of[False])):
        groups = len(np.unique(clusters[here]))
        scale = np.sqrt(groups / (groups - 1)) if groups > 1 else np.nan
        influence[here] = (components - area) / here.sum() * scale
    return Contrast(area, area, influence, np.zeros((0, scores.shape[1])))


def mean_of(x: Floats, mask: Array, clusters: Array, pseudo: tuple[tuple[float, float], ...] = ()) -> Contrast:
    """Return the mean of a quantity over a group of images.

    Args:
        x: One column a seed, (n, s), such as 1 where an image is called positive.
        mask: Which images belong to the group, bool (n,).
        clusters: Number of each image's cluster, (n,).
        pseudo: Values and weights of pseudo-images, such as `HITS`.

    Returns:
        Its contrast; NaN where the group is empty or a value is NaN.
    """
    values = np.asarray(x[mask], dtype="float64")
    if not len(values) or np.isnan(values).any():
        return _nothing(x.shape)
    weights, beside = np.array([w for _, w in pseudo]), np.array([v for v, _ in pseudo])
    whole = len(values) + weights.sum()
    centre = (values.sum(axis=0) + (weights * beside).sum()) / whole
    groups = len(np.unique(clusters[mask]))
    scale = np.sqrt(groups / (groups - 1)) if groups > 1 else np.nan
    influence = np.zeros(x.shape)
    influence[mask] = (values - centre) / whole * (1.0 if pseudo else scale)
    moved = np.sqrt(weights)[:, None] * (beside[:, None] - centre) / whole
    return Contrast(values.mean(axis=0), centre, influence, moved)


def f1(labels: Array, decisions: Array, mask: Array) -> Contrast:
    """Return the F1 of a group of images, 2 TP / (2 TP + FP + FN).

    Args:
        labels: True labels, bool (n,).
        decisions: Whether called positive, one column a seed, bool (n, s).
        mask: Which images belong to the group, bool (n,).

    Returns:
        Its contrast; NaN without positive images and positive calls.
    """
    truth = labels[:, None] & mask[:, None]
    called = decisions & mask[:, None]
    above, below = 2.0 * (truth & called), truth.astype("float64") + called
    with np.errstate(invalid="ignore", divide="ignore"):
        value = above.sum(axis=0) / below.sum(axis=0)
        influence = (above - value * below) / below.sum(axis=0)
    return Contrast(value, value, influence, np.zeros((0, decisions.shape[1])))


def difference(contrast: Contrast, clusters: Array, confidence: float, bound: float = 1.0) -> dict[str, Any]:
    """Return a difference with its interval over other test images and other trainings, and its test against 0.

    Args:
        contrast: The difference.
        clusters: Number of each image's cluster, (n,).
        confidence: In (0, 1).
        bound: The difference lies in [-bound, bound].

    Returns:
        `{"value", "interval", "p_value", "seeds"}`; the first three null where it cannot be measured, interval and
        p-value null too where nothing varies; `seeds` lists the value of each seed.
    """
    from scipy.stats import t

    values = contrast.values
    seeds = [number(value) for value in values]
    if not np.isfinite(values).all():
        return {"value": None, "interval": None, "p_value": None, "seeds": seeds}
    variance, freedom = seed_variance(contrast.centres, contrast.covariance(clusters))
    nothing = {"value": float(values.mean()), "interval": None, "p_value": None, "seeds": seeds}
    if not np.isfinite(variance) or variance <= 0:
        return nothing
    centre, error = float(contrast.centres.mean()), float(np.sqrt(variance))
    half = float(t.ppf((1 + confidence) / 2, freedom)) * error
    interval = [max(centre - half, -bound), min(centre + half, bound)]
    return nothing | {"interval": interval, "p_value": float(2 * t.sf(abs(centre) / error, freedom))}


def seed_variance(values: Floats, covariance: Floats) -> tuple[float, float]:
    """Return the variance of a mean over seeds and its degrees of freedom.

    For one kind of classifier of which s were trained, as for one modality and s readers (Obuchowski and Rockette
    1995): MS / s + cov, where MS is the variance between the seeds' values and cov the mean covariance of two
    seeds over other test images; degrees of freedom (MS + s cov)^2 / (MS^2 / (s - 1)) (Hillis 2007). Never less
    than the variance over other test images alone, which is all there is for one seed.

    Args:
        values: Of each seed, (s,).
        covariance: Over other test images, (s, s).

    Returns:
        Variance, degrees of freedom (infinite where only test images vary).
    """
    s = len(values)
    images_alone = float(covariance.sum() / s**2)
    if s == 1:
        return images_alone, float("inf")
    between = float(values.var(ddof=1))
    shared = max(float((covariance.sum() - np.trace(covariance)) / (s * (s - 1))), 0.0)
    variance = max(between / s + shared, images_alone)
    return variance, (s * variance) ** 2 / (between**2 / (s - 1)) if between > 0 else float("inf")


def sum_by(clusters: Array, values: Floats) -> Floats:
    """Return the sums of the rows of each cluster, (k, s)."""
    total = np.zeros((int(clusters.max(initial=-1)) + 1, values.shape[1]))
    np.add.at(total, clusters, values)
    return total


def _placements(scores: Floats, others: Floats) -> Floats:
    """Return which share of the others each score lies above; ties count half, (m, s)."""
    from scipy.stats import rankdata

    together = rankdata(np.concatenate([scores, others]), axis=0)[: len(scores)]
    return np.asarray((together - rankdata(scores, axis=0)) / len(others), dtype="float64")


def _nothing(shape: tuple[int, ...]) -> Contrast:
    unknown = np.full(shape[1], np.nan)
    return Contrast(unknown, unknown, np.full(shape, np.nan), np.zeros((0, shape[1])))

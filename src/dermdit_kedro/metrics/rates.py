"""Decisions and scores against labels: counts, rates and areas, for many resamples at once."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dermdit_kedro.metrics.intervals import Floats

Array = NDArray[Any]


@dataclass(frozen=True)
class Confusion:
    """Counts of right and wrong decisions; each an array, one entry a resample.

    Attributes:
        tp: Positive images called positive.
        fp: Negative images called positive.
        fn: Positive images called negative.
        tn: Negative images called negative.
    """

    tp: Floats
    fp: Floats
    fn: Floats
    tn: Floats

    @property
    def recall(self) -> Floats:
        """TP / (TP + FN), also called sensitivity and true positive rate; NaN without positive images."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> Floats:
        """TN / (TN + FP); NaN without negative images."""
        return _ratio(self.tn, self.tn + self.fp)

    @property
    def false_positive_rate(self) -> Floats:
        """FP / (FP + TN); NaN without negative images."""
        return _ratio(self.fp, self.fp + self.tn)

    @property
    def precision(self) -> Floats:
        """TP / (TP + FP), also called positive predictive value; NaN where nothing is called positive."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def f1(self) -> Floats:
        """2 TP / (2 TP + FP + FN): 0 where positives are there and none is found."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def selection_rate(self) -> Floats:
        """The share that is called positive."""
        return _ratio(self.tp + self.fp, self.tp + self.fp + self.fn + self.tn)


def count(labels: Array, decisions: Array, weights: Array | None = None) -> Confusion:
    """Count right and wrong decisions.

    Args:
        labels: True labels, bool (n,).
        decisions: What was called positive, bool (n,).
        weights: How often each image occurs in each resample, (b, n); None for once.

    Returns:
        Counts of shape (b,), or (1,) without weights.
    """
    times = np.ones((1, len(labels))) if weights is None else weights
    cells = [labels & decisions, ~labels & decisions, labels & ~decisions, ~labels & ~decisions]
    tp, fp, fn, tn = (times @ cell.astype("float64") for cell in cells)
    return Confusion(tp, fp, fn, tn)


def area_under_roc(labels: Array, scores: Array, weights: Array | None = None) -> Floats:
    """Return the share of (positive, negative) pairs that the scores put in order; ties count half.

    Args:
        labels: True labels, bool (n,).
        scores: Scores, larger for positive, (n,).
        weights: How often each image occurs in each resample, (b, n); None for once.

    Returns:
        (b,) in [0, 1], or (1,) without weights; NaN where a resample lacks a label or a
        score is NaN.
    """
    times = np.ones((1, len(labels))) if weights is None else weights
    if not len(labels) or np.isnan(scores).any():
        return np.full(len(times), np.nan)
    order = np.argsort(scores, kind="stable")
    _, starts = np.unique(scores[order], return_index=True)
    positive = np.add.reduceat(times[:, order] * labels[order], starts, axis=1)
    negative = np.add.reduceat(times[:, order] * ~labels[order], starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    return _ratio((positive * (below + negative / 2)).sum(axis=1), pairs)


def all_positive_f1(num_positive: int, num_negative: int) -> float | None:
    """Return the F1 of calling every image positive, the yardstick of any F1: 2P / (2P + N).

    Args:
        num_positive: P.
        num_negative: N.

    Returns:
        In [0, 1]; None without images.
    """
    whole = 2 * num_positive + num_negative
    return 2 * num_positive / whole if whole else None


def expected_calibration_error(labels: Array, scores: Array, num_bins: int) -> float:
    """Return the mean distance of score and outcome over bins of equal width, weighted by their size.

    Args:
        labels: True labels, bool (n,).
        scores: Scores in [0, 1], (n,).
        num_bins: Bins.

    Returns:
        In [0, 1]; NaN without images.
    """
    if not len(labels):
        return float("nan")
    bins = np.clip((scores * num_bins).astype(int), 0, num_bins - 1)
    difference = np.bincount(bins, weights=scores - labels.astype("float64"), minlength=num_bins)
    return float(np.abs(difference).sum() / len(labels))


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=np.asarray(whole) > 0)

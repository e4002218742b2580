"""How well a classifier tells positive from negative images: overall and per tone group, with intervals.

Every measure is taken of each seed's classifier and averaged over the seeds. An interval here is over other test
images, for these classifiers: DeLong's by clusters for the AUC, else percentiles over resampled clusters of
duplicates, the same ones for all seeds. What another training would change stands beside it as `seed_std`, and
is in the intervals of differences between arms (`arm_comparison`).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from dermdit_kedro.dermoscopy.records import TONE_GROUPS
from dermdit_kedro.metrics import contrasts
from dermdit_kedro.metrics.intervals import Floats, area_interval, estimate, number, proportion_estimate
from dermdit_kedro.metrics.panel import Panel, counts, panels, why_too_small
from dermdit_kedro.metrics.parameters import GroupFairnessConfig
from dermdit_kedro.metrics.rates import all_positive_f1, count, expected_calibration_error

HALF = 0.5
"""The threshold the paper decides at."""

DECIDED = ("recall", "specificity", "precision", "f1")
AT_HALF = ("recall", "specificity", "f1")
POINTS = ("average_precision",)
"""What is measured without an interval."""

MEASURES = ("auc", *DECIDED, *(f"{name}_at_half" for name in AT_HALF), *POINTS)
"""What is measured of an arm."""


def over_seeds(panel: Panel, measure: str, threshold: float | None = None) -> tuple[Floats, Floats]:
    """Take one measure of every seed's decisions.

    Args:
        panel: The predictions.
        measure: A property of `Confusion`.
        threshold: Decide at this score instead of the panel's own decisions.

    Returns:
        The values (s,), and their resampled mean (b,).
    """
    decisions = panel.decisions if threshold is None else panel.scores >= threshold
    values = [float(getattr(count(panel.labels, called), measure)[0]) for called in decisions.T]
    resampled = [getattr(count(panel.labels, called, panel.weights), measure) for called in decisions.T]
    return np.array(values), np.mean(resampled, axis=0)


def decided(panel: Panel, measure: str, confidence: float, threshold: float | None = None) -> dict[str, Any]:
    """Return a measure of the decisions with its interval.

    Args:
        panel: The predictions.
        measure: A property of `Confusion`.
        confidence: In (0, 1).
        threshold: As `over_seeds` takes it.

    Returns:
        `{"value", "interval", "seed_std"}`.
    """
    values, resampled = over_seeds(panel, measure, threshold)
    value = float(values.mean())
    if measure == "f1":
        found = estimate(value, resampled, confidence)
        if found["interval"] and found["interval"][0] == found["interval"][1]:
            found["interval"] = None
    else:
        of = {"recall": panel.labels, "specificity": ~panel.labels}.get(measure, panel.everyone)
        found = proportion_estimate(value, resampled, len(np.unique(panel.clusters[of])), confidence)
    return {**found, "seed_std": seed_std(values)}


def area(panel: Panel, confidence: float) -> dict[str, Any]:
    """Return the area under the ROC curve with DeLong's interval, by clusters.

    Args:
        panel: The predictions.
        confidence: In (0, 1).

    Returns:
        `{"value", "interval", "seed_std"}`; null where a label is missing.
    """
    found = contrasts.auc(panel.labels, panel.scores, panel.everyone, panel.clusters)
    value = number(found.values.mean())
    if value is None:
        return {"value": None, "interval": None, "seed_std": None}
    variance = float(found.covariance(panel.clusters).mean())
    positive, negative = (len(np.unique(panel.clusters[here])) for here in (panel.labels, ~panel.labels))
    interval = area_interval(value, variance, positive, negative, confidence)
    return {"value": value, "interval": interval, "seed_std": seed_std(found.values)}


def seed_std(values: Floats) -> float | None:
    """Return the standard deviation between seeds; None for one seed."""
    return number(values.std(ddof=1)) if len(values) > 1 else None


def measure(panel: Panel, config: GroupFairnessConfig) -> dict[str, Any]:
    """Measure the diagnoses of one group, or say that it is too small.

    Args:
        panel: The group's predictions.
        config: Least counts, resamples, confidence.

    Returns:
        n, n_positive, n_negative, judgeable, reason, and the measures: `{"value", "interval", "seed_std"}` each, or
        null.
    """
    from sklearn.metrics import average_precision_score

    reason, confidence = why_too_small(panel, config), config.confidence
    result: dict[str, Any] = {**counts(panel), "judgeable": reason is None, "reason": reason}
    if reason:
        result |= dict.fromkeys((*MEASURES, "brier", "ece"))
    else:
        result["auc"] = area(panel, confidence)
        result |= {name: decided(panel, name, confidence) for name in DECIDED}
        result |= {f"{name}_at_half": decided(panel, name, confidence, HALF) for name in AT_HALF}
        precision = np.array([average_precision_score(panel.labels, scores) for scores in panel.scores.T])
        result["average_precision"] = {"value": float(precision.mean()), "seed_std": seed_std(precision)}
        result["brier"] = float(((panel.scores - panel.labels[:, None]) ** 2).mean())
        result["ece"] = calibration_error(panel, config.num_bins)
    result["all_positive_f1"] = all_positive_f1(panel.num_positive, panel.num_negative)
    return result


def calibration_error(panel: Panel, num_bins: int) -> float | None:
    """Return the expected calibration error, averaged over the seeds."""
    return number(np.mean([expected_calibration_error(panel.labels, s, num_bins) for s in panel.scores.T]))


def score_arm(
    predictions: pd.DataFrame, thresholds: Mapping[str, Any], config: GroupFairnessConfig, seed: int
) -> dict[str, Any]:
    """Measure an arm on every test set, over all images and per estimated tone.

    Args:
        predictions: The table `predictions` of one arm with the column `called`.
        thresholds: What it was called at, for the record.
        config: Least counts, resamples, confidence.
        seed: Seed of the resamples.

    Returns:
        The content of `diagnosis_metrics.json`.
    """
    test_sets = {}
    for name, panel in panels(predictions, config.num_resamples, seed):
        tone = panel.rows["tone_group"].to_numpy()
        groups = {group: measure(panel.select(tone == group), config) for group in TONE_GROUPS}
        test_sets[name] = {"label_name": panel.label_name, "overall": measure(panel, config), "tone_group": groups}
    return {
        "arm": str(predictions["arm"].iloc[0]),
        "seeds": sorted(int(k) for k in predictions["seed"].unique()),
        "thresholds": dict(thresholds),
        "confidence": config.confidence,
        "test_sets": test_sets,
    }

"""How well a classifier tells positive from negative images: overall and per tone group, with intervals.

Every measure is taken of each seed's classifier and averaged over the seeds; a resample draws clusters of
duplicates, the same ones for all seeds.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermdit_kedro.dermoscopy.records import TONE_GROUPS
from dermdit_kedro.metrics.intervals import Floats, cluster_weights, estimate, number
from dermdit_kedro.metrics.parameters import GroupFairnessConfig
from dermdit_kedro.metrics.rates import all_positive_f1, area_under_roc, count, expected_calibration_error

Array = NDArray[Any]
HALF = 0.5
"""The threshold the paper decides at."""


@dataclass(frozen=True)
class Panel:
    """The predictions of one arm on one test set.

    Attributes:
        labels: True labels, bool (n,).
        scores: Calibrated scores in [0, 1], one column a seed, (n, s).
        decisions: Whether called positive at the seed's threshold, bool (n, s).
        weights: How often each image occurs in each resample, (b, n).
        rows: tone_group, sex, age_approx, site of each image.
    """

    labels: Array
    scores: Array
    decisions: Array
    weights: Floats
    rows: pd.DataFrame

    def select(self, mask: Array) -> "Panel":
        """Return the images where `mask` (n,) is true, with the same resamples."""
        return Panel(self.labels[mask], self.scores[mask], self.decisions[mask], self.weights[:, mask], self.rows[mask])

    @property
    def num_positive(self) -> int:
        """How many labels are positive."""
        return int(self.labels.sum())

    @property
    def num_negative(self) -> int:
        """How many labels are negative."""
        return len(self.labels) - self.num_positive


def over_seeds(panel: Panel, measure: str, threshold: float | None = None) -> tuple[float, Floats]:
    """Take one measure of every seed's decisions and average over the seeds.

    Args:
        panel: The predictions.
        measure: A property of `Confusion`, or `auc`.
        threshold: Decide at this score instead of the seed's own threshold.

    Returns:
        The value, and its resampled values (b,).
    """
    decisions = panel.decisions if threshold is None else panel.scores >= threshold
    values: list[Floats] = []
    resampled: list[Floats] = []
    for seed in range(panel.scores.shape[1]):
        for weights, out in ((None, values), (panel.weights, resampled)):
            if measure == "auc":
                out.append(area_under_roc(panel.labels, panel.scores[:, seed], weights))
            else:
                out.append(getattr(count(panel.labels, decisions[:, seed], weights), measure))
    return float(np.mean(values)), np.mean(resampled, axis=0)


def why_too_small(panel: Panel, config: GroupFairnessConfig) -> str | None:
    """Return why a group cannot be judged, or None where it can."""
    if np.isnan(panel.scores).any():
        return "the arm could not be trained: too few synthetic images passed the screens"
    counts = [
        f"{n} {kind} images, fewer than {least}"
        for n, kind, least in (
            (panel.num_positive, "positive", config.min_positive),
            (panel.num_negative, "negative", config.min_negative),
        )
        if n < least
    ]
    return f"too small: {' and '.join(counts)}" if counts else None


def measure(panel: Panel, config: GroupFairnessConfig) -> dict[str, Any]:
    """Measure the diagnoses of one group, or say that it is too small.

    Args:
        panel: The group's predictions.
        config: Least counts, resamples, confidence.

    Returns:
        n, n_positive, n_negative, judgeable, reason, and the measures: `{"value", "interval"}` each, or null.
    """
    reason = why_too_small(panel, config)
    counts = {"n": len(panel.labels), "n_positive": panel.num_positive, "n_negative": panel.num_negative}
    result: dict[str, Any] = {**counts, "judgeable": reason is None, "reason": reason}
    for name in ("auc", "recall", "specificity", "precision", "f1"):
        result[name] = None if reason else estimate(*over_seeds(panel, name), config.confidence)
    result["f1_at_half"] = None if reason else estimate(*over_seeds(panel, "f1", HALF), config.confidence)
    seeds = range(panel.scores.shape[1])
    brier = [np.mean((panel.scores[:, s] - panel.labels) ** 2) for s in seeds if not reason]
    ece = [expected_calibration_error(panel.labels, panel.scores[:, s], config.num_bins) for s in seeds if not reason]
    result["brier"], result["ece"] = (number(np.mean(values)) if values else None for values in (brier, ece))
    result["all_positive_f1"] = all_positive_f1(panel.num_positive, panel.num_negative)
    return result


def panels(
    predictions: pd.DataFrame, thresholds: Mapping[int, float], config: GroupFairnessConfig, seed: int
) -> Iterator[tuple[str, Panel]]:
    """Yield the test sets of an arm by name.

    Args:
        predictions: The table `predictions` of one arm; validation rows are left out.
        thresholds: Threshold by seed.
        config: How many resamples.
        seed: Seed of the resamples; they depend on it and the images alone, so arms share them.

    Yields:
        (test set, its panel).

    Raises:
        ValueError: If some scores are not numbers; none at all is an arm that could not be trained.
    """
    if predictions["score"].isna().any() and predictions["score"].notna().any():
        raise ValueError(f"every score must be a number. Got NaN for {int(predictions['score'].isna().sum())} rows")
    test = predictions[predictions["split"] == "test"]
    for name, part in test.groupby("test_set", sort=True):
        scores = part.pivot(index="image_id", columns="seed", values="score").sort_index()
        rows = part.drop_duplicates("image_id").set_index("image_id").loc[scores.index]
        limits = np.array([thresholds[int(column)] for column in scores.columns])
        values = scores.to_numpy(dtype="float64")
        weights = cluster_weights(rows["duplicate_cluster"], config.num_resamples, seed)
        attributes = rows[["tone_group", "sex", "age_approx", "site"]].reset_index(drop=True)
        yield str(name), Panel(rows["label"].to_numpy(dtype=bool), values, values >= limits, weights, attributes)


def score_arm(
    predictions: pd.DataFrame, thresholds: Mapping[int, float], config: GroupFairnessConfig, seed: int
) -> dict[str, Any]:
    """Measure an arm on every test set, over all images and per estimated tone.

    Args:
        predictions: The table `predictions` of one arm.
        thresholds: Threshold by seed, chosen on validation rows.
        config: Least counts, resamples, confidence.
        seed: Seed of the resamples.

    Returns:
        The content of `diagnosis_metrics.json`.
    """
    test_sets = {}
    for name, panel in panels(predictions, thresholds, config, seed):
        tone = panel.rows["tone_group"].to_numpy()
        groups = {group: measure(panel.select(tone == group), config) for group in TONE_GROUPS}
        test_sets[name] = {"overall": measure(panel, config), "tone_group": groups}
    return {
        "arm": str(predictions["arm"].iloc[0]),
        "label_name": str(predictions["label_name"].iloc[0]),
        "seeds": list(thresholds),
        "threshold": list(thresholds.values()),
        "test_sets": test_sets,
    }

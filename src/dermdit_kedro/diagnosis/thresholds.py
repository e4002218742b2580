"""From scores to decisions: thresholds chosen on validation rows alone, one a seed or one a seed and group."""

from typing import Any

import numpy as np
import pandas as pd

from dermdit_kedro.diagnosis.classifier import choose_threshold
from dermdit_kedro.diagnosis.parameters import ThresholdAttribute

MIN_POSITIVE = 10
"""Positive validation images from which on a group gets a threshold of its own."""


def choose_thresholds(predictions: pd.DataFrame) -> dict[int, float]:
    """Choose each seed's threshold on the validation rows alone, by balanced accuracy.

    Args:
        predictions: The table `predictions` of one arm.

    Returns:
        Threshold by seed; 0.5 where the validation rows lack a label or a score.
    """
    validation = _validation(predictions)
    rows = {int(seed): validation[validation["seed"] == seed] for seed in sorted(predictions["seed"].unique())}
    return {
        seed: choose_threshold(part["score"].to_numpy(), part["label"].to_numpy(dtype=bool))
        for seed, part in rows.items()
    }


def choose_group_thresholds(predictions: pd.DataFrame, attribute: ThresholdAttribute) -> dict[str, dict[int, float]]:
    """Choose for each group the threshold that finds as many of its positives as are found over all.

    Equal opportunity by thresholds (Hardt et al. 2016, section 3.2), without its coin flips: of the group's own
    positive validation scores the one is taken whose true positive rate is nearest to the overall one.

    Args:
        predictions: The table `predictions` of one arm.
        attribute: The column that names the group.

    Returns:
        Threshold by group and seed; groups with fewer than `MIN_POSITIVE` positive validation images are left out.
    """
    validation, chosen = _validation(predictions), {}
    overall = choose_thresholds(predictions)
    positive = validation[validation["label"].astype(bool)]
    for group, part in positive.groupby(attribute, sort=True):
        if group == "unknown" or part["image_id"].nunique() < MIN_POSITIVE:
            continue
        chosen[str(group)] = {
            seed: _at_rate(
                part.loc[part["seed"] == seed, "score"].to_numpy(),
                float((positive.loc[positive["seed"] == seed, "score"] >= limit).mean()),
            )
            for seed, limit in overall.items()
        }
    return chosen


def decide(
    predictions: pd.DataFrame, attribute: ThresholdAttribute | None = None
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Call images positive.

    Args:
        predictions: The table `predictions` of one arm.
        attribute: By which groups get thresholds of their own; None for one threshold a seed.

    Returns:
        The table with the boolean column `called`, and the thresholds: `overall`, one a seed in the order of the
        seeds, and for groups with their own `by` (the attribute) and `groups`.
    """
    overall = choose_thresholds(predictions)
    limits = predictions["seed"].map(overall).astype("float64")
    record: dict[str, Any] = {"overall": list(overall.values())}
    if attribute:
        own = choose_group_thresholds(predictions, attribute)
        for group, by_seed in own.items():
            here = (predictions[attribute] == group).fillna(False).to_numpy(dtype=bool)
            limits = limits.mask(here, predictions["seed"].map(by_seed))
        record |= {"by": attribute, "groups": {group: list(by_seed.values()) for group, by_seed in own.items()}}
    return predictions.assign(called=(predictions["score"] >= limits).to_numpy(dtype=bool)), record


def _validation(predictions: pd.DataFrame) -> pd.DataFrame:
    return predictions[(predictions["split"] == "val") & predictions["score"].notna()]


def _at_rate(scores: np.ndarray[Any, Any], rate: float) -> float:
    """Return the threshold at which the share of the scores that reach it is nearest to a rate."""
    if not len(scores):
        return 0.5
    ordered = np.sort(scores)[::-1]
    reached = round(rate * len(ordered))
    if reached == 0:
        return float(np.nextafter(ordered[0], 2))
    below = ordered[reached] if reached < len(ordered) else 0.0
    return float((ordered[reached - 1] + below) / 2) if below < ordered[reached - 1] else float(ordered[reached - 1])

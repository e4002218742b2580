"""Whom the classifier serves less well: fairlearn's definitions, per attribute, with intervals.

A group's rate is fairlearn's, averaged over the seeds; a gap is the largest minus the smallest of the groups'
printed rates, so a reader can recompute it:

- equal opportunity difference: of the true positive rates;
- equalized odds difference: the larger of the gaps of true and of false positive rates;
- demographic parity difference: of the selection rates;
- AUC gap: of the areas under the ROC curve.

The percentile interval of a gap describes, it does not test: a gap is never below zero, so neither is its interval.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermdit_kedro.dermoscopy.records import SEXES, SITES, TONE_GROUPS
from dermdit_kedro.metrics.diagnosis import Panel, over_seeds, panels, why_too_small
from dermdit_kedro.metrics.intervals import Floats, estimate, number
from dermdit_kedro.metrics.parameters import GroupFairnessConfig

RATES = ("true_positive_rate", "false_positive_rate", "selection_rate", "positive_predictive_value")
"""What fairlearn measures in each group."""

GAPS = {
    "equal_opportunity_difference": ("true_positive_rate",),
    "equalized_odds_difference": ("true_positive_rate", "false_positive_rate"),
    "demographic_parity_difference": ("selection_rate",),
    "auc_gap": ("auc",),
}
"""The largest gap of which rates each difference is."""

_RESAMPLED = {
    "auc": "auc",
    "true_positive_rate": "recall",
    "false_positive_rate": "specificity",
    "selection_rate": "selection_rate",
}
"""Under which name `over_seeds` resamples a rate; the false positive rate is 1 - specificity."""


def age_bands(age: pd.Series, edges: tuple[int, ...]) -> pd.Series:
    """Name the age band of each age.

    Args:
        age: Ages in years; NaN where unknown.
        edges: Ages at which a band begins, rising.

    Returns:
        Such as `below 30`, `30 to 49`, `70 and over`; null where the age is unknown.
    """
    return pd.cut(age, [0, *edges, np.inf], right=False, labels=_band_names(edges)).astype("object")


def _band_names(edges: tuple[int, ...]) -> list[str]:
    if not edges:
        return ["all ages"]
    between = [f"{low} to {high - 1}" for low, high in itertools.pairwise(edges)]
    return [f"below {edges[0]}", *between, f"{edges[-1]} and over"]


def group_rates(labels: NDArray[np.bool_], decisions: NDArray[np.bool_]) -> dict[str, float]:
    """Return fairlearn's rates of one group and one seed.

    Args:
        labels: True labels, (n,).
        decisions: What was called positive, (n,).

    Returns:
        The value of each of `RATES`; the predictive value is NaN where nothing is called positive.
    """
    from fairlearn.metrics import false_positive_rate, selection_rate, true_positive_rate
    from sklearn.metrics import precision_score

    y_true, y_pred = labels.astype(int), decisions.astype(int)
    return {
        "true_positive_rate": float(true_positive_rate(y_true, y_pred)),
        "false_positive_rate": float(false_positive_rate(y_true, y_pred)),
        "selection_rate": float(selection_rate(y_true, y_pred)),
        "positive_predictive_value": float(precision_score(y_true, y_pred, zero_division=np.nan)),
    }


def compare_groups(panel: Panel, groups: pd.Series, names: list[str], config: GroupFairnessConfig) -> dict[str, Any]:
    """Measure each group and the gaps between the groups large enough to judge.

    Args:
        panel: The predictions on one test set.
        groups: Group of each image; null where unknown.
        names: The groups, in the order to report.
        config: Least counts, resamples, confidence.

    Returns:
        `groups` and `gaps`; the gaps are null where fewer than two groups can be judged.
    """
    parts = {name: panel.select((groups == name).to_numpy(dtype=bool, na_value=False)) for name in names}
    parts = {name: part for name, part in parts.items() if len(part.labels)}
    reasons = {name: why_too_small(part, config) for name, part in parts.items()}
    judged = {name: part for name, part in parts.items() if reasons[name] is None}
    rates = _rates(judged)
    result = {}
    for name, part in parts.items():
        counts = {"n": len(part.labels), "n_positive": part.num_positive, "n_negative": part.num_negative}
        values = {rate: number(float(rates[rate][name])) if name in judged else None for rate in ("auc", *RATES)}
        result[name] = {**counts, "judgeable": name in judged, "reason": reasons[name], **values}
    return {"groups": result, "gaps": _gaps(judged, rates, config)}


def _rates(judged: Mapping[str, Panel]) -> pd.DataFrame:
    """Return every rate of every judged group, averaged over the seeds."""
    rows = {}
    for name, part in judged.items():
        seeds = pd.DataFrame([group_rates(part.labels, decisions) for decisions in part.decisions.T])
        rows[name] = {"auc": over_seeds(part, "auc")[0], **seeds.mean(skipna=False)}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["auc", *RATES], dtype="float64")


def _gaps(judged: Mapping[str, Panel], rates: pd.DataFrame, config: GroupFairnessConfig) -> dict[str, Any]:
    if len(judged) < 2:
        nothing = {"value": None, "interval": None}
        return {**dict.fromkeys(GAPS, nothing), "worst_group_auc": {**nothing, "group": None}}
    resampled = {rate: _resample(judged, name) for rate, name in _RESAMPLED.items()}
    gaps: dict[str, Any] = {}
    for gap, parts in GAPS.items():
        value = max(float(np.ptp(rates[rate].to_numpy())) for rate in parts)
        drawn = np.max([np.ptp(resampled[rate], axis=0) for rate in parts], axis=0)
        gaps[gap] = estimate(value, drawn, config.confidence)
    worst = rates["auc"].idxmin()
    drawn = resampled["auc"].min(axis=0)
    return {**gaps, "worst_group_auc": {**estimate(rates["auc"].min(), drawn, config.confidence), "group": str(worst)}}


def _resample(judged: Mapping[str, Panel], measure: str) -> Floats:
    """Return the resampled values of a measure, (groups, b)."""
    return np.stack([over_seeds(part, measure)[1] for part in judged.values()])


def score_groups(
    predictions: pd.DataFrame, thresholds: Mapping[int, float], config: GroupFairnessConfig, seed: int
) -> dict[str, Any]:
    """Compare groups of people, attribute by attribute, on every test set.

    Args:
        predictions: The table `predictions` of one arm.
        thresholds: Threshold by seed, chosen on validation rows.
        config: Attributes, least counts, resamples, confidence.
        seed: Seed of the resamples.

    Returns:
        The content of `group_fairness.json`.
    """
    names = {
        "tone_group": list(TONE_GROUPS),
        "sex": list(SEXES),
        "age_band": _band_names(config.age_edges),
        "site": list(SITES),
    }
    attributes: dict[str, Any] = {attribute: {} for attribute in config.attributes}
    for test_set, panel in panels(predictions, thresholds, config, seed):
        rows = panel.rows.assign(age_band=age_bands(panel.rows["age_approx"], config.age_edges))
        for attribute in config.attributes:
            attributes[attribute][test_set] = compare_groups(panel, rows[attribute], names[attribute], config)
    return {
        "arm": str(predictions["arm"].iloc[0]),
        "label_name": str(predictions["label_name"].iloc[0]),
        "attributes": attributes,
    }

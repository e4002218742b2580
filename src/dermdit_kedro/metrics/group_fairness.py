"""Whom the classifier serves less well: fairlearn's definitions, per attribute and intersection.

A group's rate is fairlearn's, averaged over the seeds. Two kinds of statement are made of them:

- signed differences from a named reference group, in AUC, true and false positive rate, each with an interval over
  other test images and other trainings (`contrasts`), and a p-value corrected for all differences of that attribute
  on that test set (Holm); a corrected one below 1 - confidence is a finding;
- gaps, the largest minus the smallest of the printed rates, which describe: a gap is never below zero, so instead of an
  interval it has the p-value of a permutation test. Equal opportunity difference: of true positive rates; equalized
  odds difference: the larger of the gaps of true and false positive rates; demographic parity difference: of
  selection rates; AUC gap: of the areas under the ROC curve.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from dermdit_kedro.metrics import contrasts
from dermdit_kedro.metrics.contrasts import Contrast
from dermdit_kedro.metrics.diagnosis import area, calibration_error, decided
from dermdit_kedro.metrics.groups import group_names, groupings, groups_of
from dermdit_kedro.metrics.intervals import holm, number
from dermdit_kedro.metrics.panel import Panel, counts, panels, why_too_small
from dermdit_kedro.metrics.parameters import Attribute, GroupFairnessConfig
from dermdit_kedro.metrics.permutation import gap_p_values, gap_values

RATES = {
    "true_positive_rate": "recall",
    "false_positive_rate": "false_positive_rate",
    "positive_predictive_value": "precision",
    "selection_rate": "selection_rate",
}
"""fairlearn's name of each rate, and under which `Confusion` has it."""

DIFFERENCES = ("auc", "true_positive_rate", "false_positive_rate")
"""What groups are compared by."""

GAPS = ("auc_gap", "equal_opportunity_difference", "equalized_odds_difference", "demographic_parity_difference")


def score_groups(predictions: pd.DataFrame, config: GroupFairnessConfig, seed: int) -> dict[str, Any]:
    """Compare groups of people, attribute by attribute, on every test set.

    Args:
        predictions: The table `predictions` of one arm with the column `called`.
        config: Attributes, least counts, resamples, permutations, confidence.
        seed: Seed of the resamples and permutations.

    Returns:
        The content of `group_fairness.json`.
    """
    attributes: dict[str, Any] = {name: {} for name in groupings(config)}
    for test_set, panel in panels(predictions, config.num_resamples, seed):
        for name, parts in groupings(config).items():
            attributes[name][test_set] = compare_groups(panel, parts, config, seed)
    return {"arm": str(predictions["arm"].iloc[0]), "confidence": config.confidence, "attributes": attributes}


def compare_groups(
    panel: Panel, attributes: tuple[Attribute, ...], config: GroupFairnessConfig, seed: int
) -> dict[str, Any]:
    """Measure each group and the differences between the groups large enough to judge.

    Args:
        panel: The predictions on one test set.
        attributes: By what people are grouped.
        config: Least counts, resamples, permutations, confidence.
        seed: Seed of the permutations.

    Returns:
        label_name, `groups`, `reference` (the group the others are compared with; null where fewer than two can be
        judged), `differences` by group and measure, `gaps`.
    """
    groups = groups_of(panel, attributes, config).to_numpy()
    masks = {name: groups == name for name in group_names(attributes, config)}
    masks = {name: mask for name, mask in masks.items() if mask.any()}
    measured = {name: _measure(panel.select(mask), config) for name, mask in masks.items()}
    judged = {name: masks[name] for name, found in measured.items() if found["judgeable"]}
    reference = reference_group({name: int(mask.sum()) for name, mask in judged.items()}, attributes, config)
    return {
        "label_name": panel.label_name,
        "groups": measured,
        "reference": reference,
        "differences": _differences(panel, judged, reference, config) if reference else {},
        "gaps": _gaps(panel, judged, measured, config, seed) if reference else _no_gaps(),
    }


def reference_group(
    sizes: Mapping[str, int], attributes: tuple[Attribute, ...], config: GroupFairnessConfig
) -> str | None:
    """Return the group the others are compared with: the one `config` names where it can be judged, else the largest.

    Args:
        sizes: Images by group, of those that can be judged.
        attributes: By what people are grouped.
        config: Names reference groups.

    Returns:
        The group; None where fewer than two can be judged.
    """
    if len(sizes) < 2:
        return None
    wanted = config.reference_groups.get(attributes[0]) if len(attributes) == 1 else None
    return wanted if wanted in sizes else max(sizes, key=lambda name: sizes[name])


def rate_hits(panel: Panel, measure: str) -> tuple[Any, Any]:
    """Return what a rate is the mean of: 1 where an image is called positive, and among which images."""
    return panel.decisions.astype("float64"), panel.labels if measure == "true_positive_rate" else ~panel.labels


def group_difference(panel: Panel, measure: str, group: Any, reference: Any) -> Contrast:
    """Return a group's value minus the reference group's.

    Args:
        panel: The predictions on one test set.
        measure: One of `DIFFERENCES`.
        group: Which images are the group's, bool (n,).
        reference: Which are the reference group's, bool (n,).

    Returns:
        The contrast of every seed's classifier.
    """
    if measure == "auc":
        parts = [contrasts.auc(panel.labels, panel.scores, mask, panel.clusters) for mask in (group, reference)]
    else:
        hits, among = rate_hits(panel, measure)
        parts = [contrasts.mean_of(hits, mask & among, panel.clusters, contrasts.HITS) for mask in (group, reference)]
    return parts[0] - parts[1]


def _measure(part: Panel, config: GroupFairnessConfig) -> dict[str, Any]:
    reason = why_too_small(part, config)
    found: dict[str, Any] = {**counts(part), "judgeable": reason is None, "reason": reason}
    if reason:
        return found | dict.fromkeys(("auc", *RATES, "calibration_bias", "ece"))
    found["auc"] = area(part, config.confidence)
    found |= {name: decided(part, measure, config.confidence) for name, measure in RATES.items()}
    bias = contrasts.mean_of(part.scores - part.labels[:, None], part.everyone, part.clusters)
    found["calibration_bias"] = contrasts.difference(bias, part.clusters, config.confidence)
    found["ece"] = calibration_error(part, config.num_bins)
    return found


def _differences(
    panel: Panel, judged: Mapping[str, Any], reference: str, config: GroupFairnessConfig
) -> dict[str, dict[str, Any]]:
    """Return every judged group's differences from the reference group, with corrected p-values."""
    found = {
        group: {
            measure: contrasts.difference(
                group_difference(panel, measure, mask, judged[reference]), panel.clusters, config.confidence
            )
            for measure in DIFFERENCES
        }
        for group, mask in judged.items()
        if group != reference
    }
    cells = [cell for by_measure in found.values() for cell in by_measure.values()]
    for cell, adjusted in zip(cells, holm([cell["p_value"] for cell in cells]), strict=True):
        cell["p_adjusted"] = adjusted
        cell["finding"] = adjusted is not None and adjusted < 1 - config.confidence
    return found


def _gaps(
    panel: Panel, judged: Mapping[str, Any], measured: Mapping[str, Any], config: GroupFairnessConfig, seed: int
) -> dict[str, Any]:
    codes = np.full(len(panel.labels), -1)
    for code, mask in enumerate(judged.values()):
        codes[mask] = code
    inside = panel.select(codes >= 0)
    codes = codes[codes >= 0]
    values = {name: float(v[0]) for name, v in gap_values(inside, codes[None], len(judged)).items()}
    p_values = gap_p_values(inside, codes, values, config.num_permutations, seed)
    areas = {name: measured[name]["auc"]["value"] for name in judged}
    worst = min(areas, key=lambda name: areas[name])
    gaps: dict[str, Any] = {name: {"value": number(values[name]), "p_value": p_values[name]} for name in GAPS}
    return gaps | {"worst_group_auc": {**measured[worst]["auc"], "group": worst}}


def _no_gaps() -> dict[str, Any]:
    return {
        **{name: {"value": None, "p_value": None} for name in GAPS},
        "worst_group_auc": {"value": None, "interval": None, "group": None},
    }

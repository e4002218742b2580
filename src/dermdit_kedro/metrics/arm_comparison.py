"""Every arm against the baseline on the same test images: differences with intervals, corrected for their number.

An interval of a difference is over other test images and other trainings (`contrasts`). p-values are corrected
(Holm) over all arms and test sets, for each measure: over all images once, for the tone groups by themselves; for
fairness, over all arms, test sets, groups and measures of an attribute.

Fairness asks of each group whether its difference d from the reference group has come nearer to zero. |a| < |b| holds
exactly where a - b and a + b have opposite signs; so `nearer` needs both the change (after minus before) and the sum
(after plus before) to differ from zero, with opposite signs, and `farther` both with the same sign. The p-value of
that is the larger of the two (intersection-union test, Berger 1982).
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from dermdit_kedro.dermoscopy.records import TONE_GROUPS
from dermdit_kedro.metrics import contrasts
from dermdit_kedro.metrics.contrasts import CHANGES, SUMS, Contrast
from dermdit_kedro.metrics.group_fairness import DIFFERENCES, group_difference, rate_hits, reference_group
from dermdit_kedro.metrics.groups import group_names, groups_of
from dermdit_kedro.metrics.intervals import holm, number
from dermdit_kedro.metrics.panel import Array, Panel, counts, panels, why_too_small
from dermdit_kedro.metrics.parameters import Attribute, GroupFairnessConfig

OVERALL = "overall"
ACCURACY = ("auc", "recall", "f1")
"""What arms are compared by, over all images and in each tone group."""


def compare_arms(predictions: Mapping[str, pd.DataFrame], baseline: str, config: GroupFairnessConfig) -> dict[str, Any]:
    """Compare every arm with the baseline.

    Args:
        predictions: The table `predictions` with the column `called`, by arm.
        baseline: The arm the others are compared with.
        config: Attributes, least counts, confidence.

    Returns:
        The content of `arm_comparison.json`: baseline, confidence, `accuracy` by test set, arm and group, `fairness`
        by attribute, test set and arm.

    Raises:
        ValueError: If the baseline is missing, or the arms were tested on different images.
    """
    if baseline not in predictions:
        raise ValueError(f"the baseline must be one of {sorted(predictions)}. Got {baseline!r}")
    by_arm = {arm: dict(panels(table, 0, 0)) for arm, table in predictions.items()}
    base = by_arm.pop(baseline)
    for arm, found in by_arm.items():
        _refuse_other_images(arm, found, baseline, base)
    accuracy: dict[str, Any] = {
        test_set: {arm: _accuracy(found[test_set], panel, config) for arm, found in by_arm.items()}
        for test_set, panel in base.items()
    }
    fairness: dict[str, Any] = {
        attribute: {
            test_set: {arm: _fairness(found[test_set], panel, attribute, config) for arm, found in by_arm.items()}
            for test_set, panel in base.items()
        }
        for attribute in config.attributes
    }
    _correct(accuracy, fairness, 1 - config.confidence)
    return {"baseline": baseline, "confidence": config.confidence, "accuracy": accuracy, "fairness": fairness}


def paired(arm: Panel, base: Panel, measure: str, mask: Array) -> Contrast:
    """Return an arm's value minus the baseline's on the same images.

    Args:
        arm: The arm's predictions.
        base: The baseline's, of the same images in the same order.
        measure: One of `ACCURACY`.
        mask: Which images, bool (n,).

    Returns:
        The contrast of every seed's classifier, seeds paired in their order.
    """
    if measure == "auc":
        parts = [contrasts.auc(panel.labels, panel.scores, mask, panel.clusters) for panel in (arm, base)]
        return parts[0] - parts[1]
    if measure == "f1":
        parts = [contrasts.f1(panel.labels, panel.decisions, mask) for panel in (arm, base)]
        return parts[0] - parts[1]
    change = arm.decisions.astype("float64") - base.decisions
    return contrasts.mean_of(change, mask & base.labels, base.clusters, CHANGES)


def change_and_sum(arm: Panel, base: Panel, measure: str, group: Array, reference: Array) -> tuple[Contrast, Contrast]:
    """Return how a group's difference from the reference group changed from baseline to arm, and the sum of both.

    Args:
        arm: The arm's predictions.
        base: The baseline's, of the same images in the same order.
        measure: One of `DIFFERENCES`.
        group: Which images are the group's, bool (n,).
        reference: Which are the reference group's, bool (n,).

    Returns:
        After minus before, after plus before.
    """
    if measure == "auc":
        after, before = (group_difference(panel, measure, group, reference) for panel in (arm, base))
        return after - before, after + before
    (after_hits, among), (before_hits, _) = rate_hits(arm, measure), rate_hits(base, measure)
    change, total = (
        contrasts.mean_of(x, group & among, base.clusters, pseudo)
        - contrasts.mean_of(x, reference & among, base.clusters, pseudo)
        for x, pseudo in ((after_hits - before_hits, CHANGES), (after_hits + before_hits, SUMS))
    )
    return change, total


def _accuracy(arm: Panel, base: Panel, config: GroupFairnessConfig) -> dict[str, Any]:
    """Return the differences over all images and in each tone group."""
    tone = base.rows["tone_group"].to_numpy()
    found = {}
    for group, mask in {OVERALL: base.everyone, **{name: tone == name for name in TONE_GROUPS}}.items():
        reason = next(filter(None, (why_too_small(panel.select(mask), config) for panel in (base, arm))), None)
        found[group] = {
            **counts(base.select(mask)), "label_name": base.label_name, "judgeable": reason is None, "reason": reason,
            **{
                measure: None if reason else contrasts.difference(
                    paired(arm, base, measure, mask), base.clusters, config.confidence
                )
                for measure in ACCURACY
            },
        }  # fmt: skip
    return found


def _fairness(arm: Panel, base: Panel, attribute: Attribute, config: GroupFairnessConfig) -> dict[str, Any]:
    """Return how each group's differences from the reference group changed."""
    groups = groups_of(base, (attribute,), config).to_numpy()
    masks = {name: groups == name for name in group_names((attribute,), config)}
    judged = {
        name: mask
        for name, mask in masks.items()
        if not any(why_too_small(panel.select(mask), config) for panel in (base, arm))
    }
    reference = reference_group({name: int(mask.sum()) for name, mask in judged.items()}, (attribute,), config)
    if reference is None:
        return {"reference": None, "judged": list(judged), "groups": {}, "worst_group_auc": None}
    areas = {
        name: [number(contrasts.auc(p.labels, p.scores, mask, p.clusters).values.mean()) for p in (base, arm)]
        for name, mask in judged.items()
    }
    before, after = (min((area[k], name) for name, area in areas.items()) for k in (0, 1))
    return {
        "reference": reference,
        "judged": list(judged),
        "groups": {
            name: {
                measure: _movement(arm, base, measure, mask, judged[reference], config) for measure in DIFFERENCES
            }
            for name, mask in judged.items()
            if name != reference
        },
        "worst_group_auc": {
            "before": before[0], "before_group": before[1], "after": after[0], "after_group": after[1],
        },
    }  # fmt: skip


def _movement(
    arm: Panel, base: Panel, measure: str, group: Array, reference: Array, config: GroupFairnessConfig
) -> dict[str, Any]:
    change, total = (
        contrasts.difference(contrast, base.clusters, config.confidence, bound=2.0)
        for contrast in change_and_sum(arm, base, measure, group, reference)
    )
    before, after = (
        contrasts.difference(group_difference(panel, measure, group, reference), base.clusters, config.confidence)
        for panel in (base, arm)
    )
    p_values = [part["p_value"] for part in (change, total)]
    p = max(p_values) if None not in p_values else None
    return {"before": before, "after": after, "change": change, "sum": total, "p_value": p}


def _correct(accuracy: Mapping[str, Any], fairness: Mapping[str, Any], level: float) -> None:
    """Add the corrected p-values and what is found to every cell."""
    groups = [found for arms in accuracy.values() for found in arms.values()]
    for measure in ACCURACY:
        for family in ((OVERALL,), TONE_GROUPS):
            _adjust((found[group][measure] for found in groups for group in family), level)
    for by_test_set in fairness.values():
        moved = [cell for arms in by_test_set.values() for found in arms.values() for cell in found["groups"].values()]
        _adjust((cell[measure] for cell in moved for measure in DIFFERENCES), level)
        for movement in (cell[measure] for cell in moved for measure in DIFFERENCES):
            opposite = movement["finding"] and movement["change"]["value"] * movement["sum"]["value"] < 0
            movement["outcome"] = ("nearer" if opposite else "farther") if movement["finding"] else None


def _adjust(cells: Iterable[Any], level: float) -> None:
    known = [cell for cell in cells if cell is not None]
    for cell, adjusted in zip(known, holm([cell["p_value"] for cell in known]), strict=True):
        cell["p_adjusted"] = adjusted
        cell["finding"] = adjusted is not None and adjusted < level


def _refuse_other_images(arm: str, found: Mapping[str, Panel], baseline: str, base: Mapping[str, Panel]) -> None:
    same = list(found) == list(base) and all(
        np.array_equal(found[name].rows["image_id"], panel.rows["image_id"])
        and np.array_equal(found[name].labels, panel.labels)
        for name, panel in base.items()
    )
    if not same:
        raise ValueError(
            f"every arm must be tested on the same images with the same labels. {arm!r} and {baseline!r} differ"
        )

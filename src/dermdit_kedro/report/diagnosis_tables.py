"""The rows of the report's tables of diagnosis, fairness and verdict, made of the summary alone."""

from collections.abc import Mapping
from typing import Any

from dermdit_kedro.report.paragraphs import OUTCOMES, SAME_SCORES
from dermdit_kedro.report.tables import Rows, distinct, items

GAPS = {
    "auc_gap": ("AUC gap", "largest minus smallest; 0 is equal"),
    "equalized_odds_difference": ("Equalized odds difference", "larger gap of the two rates"),
    "equal_opportunity_difference": ("Equal opportunity difference", "in true positive rate"),
    "demographic_parity_difference": ("Demographic parity difference", "in the share called positive"),
}


def verdict_rows(verdict: Any) -> Rows:
    """Group the verdicts by test set and arm.

    Args:
        verdict: The summary's verdict, or the words that there is none.

    Returns:
        One row per test set and arm with `accuracy` and, by attribute, `fairness`.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for found in _verdicts(verdict):
        key = (found["test_set"], found["arm"])
        row = rows.setdefault(key, {"test_set": key[0], "arm": key[1], "accuracy": None, "fairness": {}})
        if found["question"] == "accuracy":
            row["accuracy"] = {**found, "is_same": found["evidence"] == SAME_SCORES}
        else:
            row["fairness"][found["attribute"]] = found
    return list(rows.values())


def tally(verdict: Any) -> dict[str, dict[str, int]]:
    """Count the outcomes of each question, in the order better, worse, cannot tell; equal scores are no comparison.

    Args:
        verdict: The summary's verdict, or the words that there is none.

    Returns:
        Counts by question and outcome.
    """
    counts = {question: {str(outcome): 0 for outcome in OUTCOMES} for question in ("accuracy", "fairness")}
    for found in _verdicts(verdict):
        if found["evidence"] != SAME_SCORES:
            counts[found["question"]][found["outcome"]] += 1
    return counts


def _verdicts(verdict: Any) -> Rows:
    return list(verdict["verdicts"]) if isinstance(verdict, Mapping) else []


def diagnosis_tables(summary: Mapping[str, Any]) -> Rows:
    """Arrange the diagnosis metrics by test set.

    Args:
        summary: The summary.

    Returns:
        One table per test set: its name, label, seeds, the rows of calling everything positive, and per arm its rows,
        with the AUC's difference from the baseline as `difference`.
    """
    by_arm = dict(items(summary["diagnosis"]))
    compared = summary["arm_comparison"] if isinstance(summary["arm_comparison"], Mapping) else {}
    tables = []
    for test_set in distinct(name for metrics in by_arm.values() for name in metrics.get("test_sets", {})):
        arms = {arm: metrics["test_sets"].get(test_set, {}) for arm, metrics in by_arm.items()}
        differences = compared.get("accuracy", {}).get(test_set, {})
        first = next(iter(arms.values()))
        tables.append(
            {
                "test_set": test_set,
                "label": first.get("label_name"),
                "yardstick": _group_cells(first, {}),
                "arms": {arm: _group_cells(cells, differences.get(arm, {})) for arm, cells in arms.items()},
                "seeds": max(len(metrics.get("seeds") or []) for metrics in by_arm.values()),
            }
        )
    return tables


def fairness_tables(fairness: Any) -> Rows:
    """Arrange what sets groups of people apart by attribute and test set.

    Args:
        fairness: The summary's fairness by arm, or the words that there is none.

    Returns:
        One table per attribute or intersection and test set, estimated tone first: gaps (measures down, arms across),
        signed differences and rates by arm, and the groups too small to judge.
    """
    by_arm = dict(items(fairness))
    attributes = distinct(name for metrics in by_arm.values() for name in metrics.get("attributes", {}))
    tables = []
    for attribute in sorted(attributes, key=lambda name: name != "tone_group"):
        test_sets = [metrics.get("attributes", {}).get(attribute, {}) for metrics in by_arm.values()]
        for test_set in distinct(name for found in test_sets for name in found):
            cells = {arm: found.get(test_set) or {} for arm, found in zip(by_arm, test_sets, strict=True)}
            tables.append({"attribute": attribute, "test_set": test_set, **_fairness_table(cells)})
    return tables


def _fairness_table(cells: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    gaps = {arm: cell.get("gaps") or {} for arm, cell in cells.items()}
    rows = [
        {"name": name, "hint": hint, "cells": [gaps[arm].get(key) or {} for arm in gaps]}
        for key, (name, hint) in GAPS.items()
    ]
    worst = [gaps[arm].get("worst_group_auc") or {} for arm in gaps]
    return {
        "arms": list(cells),
        "rows": rows,
        "worst": worst,
        "too_small": [group for group, part in _groups(cells).items() if part.get("n") and not part.get("judgeable")],
        "groups": {arm: _rows_of(cell.get("groups")) for arm, cell in cells.items()},
        "references": distinct(str(cell["reference"]) for cell in cells.values() if cell.get("reference")),
        "differences": {arm: _rows_of(cell.get("differences"), everyone=True) for arm, cell in cells.items()},
    }


def _group_cells(test_set: Mapping[str, Any], differences: Mapping[str, Any]) -> Rows:
    groups = {"overall": test_set.get("overall") or {}, **(test_set.get("tone_group") or {})}
    return [
        {"group": group, **cell, "difference": (differences.get(group) or {}).get("auc")}
        for group, cell in groups.items()
    ]


def _groups(cells: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the groups of the first arm that has any; they are the same for every arm."""
    return next((dict(cell["groups"]) for cell in cells.values() if cell.get("groups")), {})


def _rows_of(groups: Any, *, everyone: bool = False) -> Rows:
    """Return a row a group, empty ones left out."""
    return [{"group": group, **part} for group, part in (groups or {}).items() if everyone or part.get("n")]

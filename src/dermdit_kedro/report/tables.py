"""The rows of the report's tables, made of the summary alone."""

from collections.abc import Iterable, Mapping
from typing import Any

from dermdit_kedro.report.cells import number, spread
from dermdit_kedro.report.summary import NOT_MEASURED

GAPS = {
    "auc_gap": ("AUC gap", "largest minus smallest; 0 is equal"),
    "worst_group_auc": ("Worst group's AUC", "larger is better"),
    "equalized_odds_difference": (
        "Equalized odds difference",
        "larger difference of the two rates; 0 is equal",
    ),
    "equal_opportunity_difference": ("Equal opportunity difference", "in true positive rate"),
    "demographic_parity_difference": ("Demographic parity difference", "in the share called positive"),
}

Rows = list[dict[str, Any]]


def verdict_rows(verdicts: Any) -> Rows:
    """Group the verdicts by test set and arm.

    Args:
        verdicts: The summary's verdicts, or the words that there are none.

    Returns:
        One row per test set and arm with `accuracy` and `fairness`.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for verdict in verdicts if isinstance(verdicts, list) else []:
        key = (verdict["test_set"], verdict["arm"])
        row = rows.setdefault(key, {"test_set": key[0], "arm": key[1], "baseline": verdict["baseline"]})
        row[verdict["question"]] = verdict
    return list(rows.values())


def tally(verdicts: Any) -> dict[str, dict[str, int]]:
    """Count the outcomes of each question, in the order better, worse, cannot tell.

    Args:
        verdicts: The summary's verdicts, or the words that there are none.

    Returns:
        Counts by question and outcome.
    """
    counts = {q: dict.fromkeys(("better", "worse", "cannot tell"), 0) for q in ("accuracy", "fairness")}
    for verdict in verdicts if isinstance(verdicts, list) else []:
        counts[verdict["question"]][verdict["outcome"]] += 1
    return counts


def image_rows(summary: Mapping[str, Any]) -> Rows:
    """List every image metric of every variant with its n.

    Args:
        summary: The summary.

    Returns:
        Rows of variant, measure, value, interval and what it was measured on.
    """
    rows = []
    for variant, metrics in _items(summary["image_metrics"]):
        for entry in _entries(metrics.get("frechet_distance")):
            floor = f"; real against real {number(entry['floor'])}" if entry.get("floor") is not None else ""
            rows.append(_image_row(variant, entry, _counts(entry) + floor))
        for entry in _entries(metrics.get("kid")):
            rows.append(_image_row(variant, entry, _counts(entry)))
        ssim = metrics.get("ms_ssim")
        for kind in ("synthetic", "real"):
            part = (ssim if isinstance(ssim, Mapping) else {}).get(kind) or {}
            what = f"{number(part.get('n_pairs'))} pairs of {kind} images; lower is more varied"
            rows.append(_image_row(variant, {**part, "name": f"{_name(ssim, 'ms_ssim')}, {kind}"}, what))
        rows += _agreement_rows(variant, summary["agreement"][variant])
    return rows


def diagnosis_tables(diagnosis: Any) -> Rows:
    """Arrange the diagnosis metrics by test set.

    Args:
        diagnosis: The summary's diagnosis by arm, or the words that there is none.

    Returns:
        One table per test set: its name, label, the rows of calling everything malignant, and per arm its rows.
    """
    by_arm = dict(_items(diagnosis))
    tables = []
    for test_set in _distinct(name for metrics in by_arm.values() for name in metrics.get("test_sets", {})):
        arms = {arm: metrics["test_sets"].get(test_set, {}) for arm, metrics in by_arm.items()}
        first = next(metrics for metrics in by_arm.values())
        tables.append(
            {
                "test_set": test_set,
                "label": first.get("label_name"),
                "yardstick": _group_cells(next(iter(arms.values()))),
                "arms": {arm: _group_cells(cells) for arm, cells in arms.items()},
                "seeds": len(first.get("seeds") or []),
            }
        )
    return tables


def fairness_tables(fairness: Any) -> Rows:
    """Arrange the fairness gaps by attribute and test set, measures down and arms across.

    Args:
        fairness: The summary's fairness by arm, or the words that there is none.

    Returns:
        One table per attribute and test set, estimated tone first.
    """
    by_arm = dict(_items(fairness))
    attributes = _distinct(name for metrics in by_arm.values() for name in metrics.get("attributes", {}))
    tables = []
    for attribute in sorted(attributes, key=lambda name: name != "tone_group"):
        test_sets = [metrics.get("attributes", {}).get(attribute, {}) for metrics in by_arm.values()]
        for test_set in _distinct(name for found in test_sets for name in found):
            cells = {arm: found.get(test_set) or {} for arm, found in zip(by_arm, test_sets, strict=True)}
            gaps = {arm: cell.get("gaps") or {} for arm, cell in cells.items()}
            rows = [
                {"name": name, "hint": hint, "cells": [gaps[arm].get(key) or {} for arm in gaps]}
                for key, (name, hint) in GAPS.items()
            ]
            small = [group for group, part in _groups(cells).items() if part.get("n") and not part.get("judgeable")]
            groups = _group_rates(cells)
            table = {"attribute": attribute, "test_set": test_set, "arms": list(cells), "rows": rows}
            tables.append({**table, "too_small": small, "groups": groups})
    return tables


def screening_rows(screening: Any) -> Rows:
    """List the screening of every variant.

    Args:
        screening: The summary's screening by variant, or the words that there is none.

    Returns:
        Rows with the counts, the reasons, the groups and what is unsupported.
    """
    rows = []
    for variant, result in _items(screening):
        groups = [_unsupported(entry) for entry in _entries(result.get("unsupported_groups"))]
        rows.append({"variant": variant, **result, "unsupported": groups})
    return rows


def _image_row(variant: str, entry: Mapping[str, Any], what: str) -> dict[str, Any]:
    value = number(entry.get("value"))
    deviation = f"± {number(entry['std'])}" if entry.get("std") is not None else ""
    return {
        "variant": variant,
        "name": entry.get("name", NOT_MEASURED),
        "value": value,
        "spread": spread(entry) or deviation,
        "what": what,
    }


def _agreement_rows(variant: str, agreement: Mapping[str, Any]) -> Rows:
    rows = []
    for key, name in (("tone_agreement", "estimated tone"), ("label_agreement", "label")):
        found = agreement[key]
        if not isinstance(found, Mapping):
            entry = {"name": f"agreement, {name}"}
            rows.append(_image_row(variant, entry, "also where the variant takes no such request"))
            continue
        judge = found.get("judge_accuracy")
        beside = (
            f"; the judge is right on {number(judge['value'])} of {number(judge['n'])} real images" if judge else ""
        )
        cells = {"all": found.get("overall") or {}, **(found.get("by_group") or {})}
        for group, entry in cells.items():
            what = f"{number(entry.get('n'))} images, before screening{beside if group == 'all' else ''}"
            rows.append(_image_row(variant, {**entry, "name": f"agreement, {name}: {group}"}, what))
    return rows


def _group_cells(test_set: Mapping[str, Any]) -> Rows:
    groups = {"overall": test_set.get("overall") or {}, **(test_set.get("tone_group") or {})}
    return [{"group": group, **cell} for group, cell in groups.items()]


def _groups(cells: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the groups of the first arm that has any; they are the same for every arm."""
    return next((dict(cell["groups"]) for cell in cells.values() if cell.get("groups")), {})


def _group_rates(cells: Mapping[str, Mapping[str, Any]]) -> dict[str, Rows]:
    """Return the groups of every arm, empty ones left out."""
    return {
        arm: [{"group": group, **part} for group, part in (cell.get("groups") or {}).items() if part.get("n")]
        for arm, cell in cells.items()
    }


def _unsupported(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Spell a group that is too small to learn from."""
    group = entry.get("group")
    asked = group if isinstance(group, Mapping) else {k: v for k, v in entry.items() if k != "n_train"}
    words = [
        {True: "malignant", False: "benign"}.get(v, str(v)) if k == "is_malignant" else str(v) for k, v in asked.items()
    ]
    return {"words": ", ".join(words), "n_train": entry.get("n_train")}


def _items(part: Any) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Yield what was measured of a part of the summary."""
    return [(k, v) for k, v in part.items() if isinstance(v, Mapping)] if isinstance(part, Mapping) else []


def _entries(part: Any) -> list[dict[str, Any]]:
    return list(part) if isinstance(part, list) else []


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _name(part: Any, otherwise: str) -> str:
    return str(part.get("name", otherwise)) if isinstance(part, Mapping) else otherwise


def _counts(entry: Mapping[str, Any]) -> str:
    reference = {"train": "training", "held_out": "held-out"}.get(
        str(entry.get("reference")), str(entry.get("reference"))
    )
    synthetic, real = number(entry.get("n_synthetic")), number(entry.get("n_real"))
    return f"{synthetic} synthetic against {real} real {reference} images; lower is nearer"

"""Tables 1 and 2 of the paper, from the metrics of variants and arms."""

import logging
from collections.abc import Mapping
from typing import Any

import pandas as pd

from dermdit_kedro.dermoscopy.records import TONE_GROUPS
from dermdit_kedro.metrics.arm_comparison import ACCURACY, OVERALL
from dermdit_kedro.metrics.diagnosis import MEASURES, POINTS

logger = logging.getLogger(__name__)


def table1(image_metrics: Mapping[str, Mapping[str, Any]], labels: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Return Table 1: one row a generator.

    Args:
        image_metrics: The content of `image_metrics.json` by variant, in the order of the table.
        labels: What the table calls a variant, its name where nothing is said; of a variant that is no row the log
            says so.

    Returns:
        Columns variant, label; every Fréchet and kernel distance under its own name and reference, the floor, n and
        what the autoencoder alone reaches beside it; precision, recall, density and coverage; MS-SSIM of synthetic and
        real images; agreement.

    Raises:
        ValueError: If an entry is not that variant's.
    """
    _check(image_metrics, "variant")
    rows = pd.DataFrame([_table1_row(name, metrics) for name, metrics in image_metrics.items()])
    for name in labels or {}:
        if name not in image_metrics:
            logger.warning(
                "report.variant_labels: %s is no row of Table 1, which has %s", name, ", ".join(image_metrics)
            )
    rows.insert(1, "label", [(labels or {}).get(name, name) for name in rows["variant"]])
    return rows


def _table1_row(variant: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"variant": variant, "image_size": metrics["image_size"]}
    for entry in metrics["frechet_distance"]:
        name = f"{entry['name']}_{entry['reference']}"
        row |= {name: entry["value"], f"{name}_floor": entry["floor"], f"{name}_n": entry["n_synthetic"]}
    for entry in metrics["kid"]:
        name = f"{entry['name']}_{entry['reference']}"
        row |= {**_with_interval(name, entry), f"{name}_floor": entry["floor"]}
    redrawn = metrics.get("autoencoder") or {}
    for entry in (*redrawn.get("frechet_distance", ()), *redrawn.get("kid", ())):
        row[f"{entry['name']}_{entry['reference']}_autoencoder"] = entry["value"]
    for entry in metrics["manifold"]:
        row |= {f"{kind}_{entry['name']}_{entry['reference']}": value for kind, value in entry["synthetic"].items()}
    ssim = metrics["ms_ssim"] or {}
    for kind in ("synthetic", "real"):
        row |= _with_interval(f"{ssim.get('name', 'ms_ssim')}_{kind}", ssim.get(kind))
    for kind in ("tone_agreement", "label_agreement"):
        row |= _with_interval(kind, (metrics[kind] or {}).get("overall"))
    return row


def table2(
    diagnosis_metrics: Mapping[str, Mapping[str, Any]],
    arm_comparison: Mapping[str, Any] | None = None,
    first_rows: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Return Table 2: one row a test set, group and arm.

    Args:
        diagnosis_metrics: The content of `diagnosis_metrics.json` by arm, in the order of the table.
        arm_comparison: The content of `arm_comparison.json`; None for a table without differences.
        first_rows: By label, `<test set>` or `<test set>, <tone group>` of the rows that come first; where there is
            no such row, the log says so.

    Returns:
        Columns label, test_set, group (`overall` or an estimated tone), arm, label_name, n, n_positive, n_negative,
        judgeable, reason, threshold (mean over the seeds), the measures with their intervals and standard deviation
        between seeds, brier, ece, all_positive_f1; of AUC, recall and F1 the difference from the baseline with its
        interval and corrected p-value.

    Raises:
        ValueError: If an entry is not that arm's, or the arms were tested on different sets.
    """
    _check(diagnosis_metrics, "arm")
    test_sets = {arm: list(metrics["test_sets"]) for arm, metrics in diagnosis_metrics.items()}
    if len({tuple(names) for names in test_sets.values()}) > 1:
        raise ValueError(f"every arm must be measured on the same test sets. Got {test_sets}")
    rows = []
    for test_set in next(iter(test_sets.values()), []):
        for group in (OVERALL, *TONE_GROUPS):
            for arm, metrics in diagnosis_metrics.items():
                part = metrics["test_sets"][test_set]
                entry = part[OVERALL] if group == OVERALL else part["tone_group"][group]
                compared = (arm_comparison or {}).get("accuracy", {}).get(test_set, {}).get(arm, {}).get(group, {})
                place = {"test_set": test_set, "group": group, "arm": arm, "label_name": part["label_name"]}
                threshold = {"threshold": mean_threshold(metrics["thresholds"], group)}
                rows.append({**place, **_flat(entry, threshold), **_differences(compared)})
    return _in_order(pd.DataFrame(rows), first_rows or {})


def _in_order(rows: pd.DataFrame, first_rows: Mapping[str, str]) -> pd.DataFrame:
    """Put the named rows first and label them; the others keep their order."""
    places = rows["test_set"].where(rows["group"] == OVERALL, rows["test_set"] + ", " + rows["group"])
    for label, place in first_rows.items():
        if place not in set(places):
            logger.warning("Table 2 has no row %r: there is no %r", label, place)
    label_of = {place: label for label, place in first_rows.items()}
    ranks = {place: rank for rank, place in enumerate(first_rows.values())}
    rows.insert(0, "label", places.map(label_of).astype("object"))
    order = places.map(ranks).fillna(len(ranks)).argsort(kind="stable")
    return rows.iloc[order].reset_index(drop=True)


def mean_threshold(thresholds: Mapping[str, Any], group: str) -> float:
    """Return the threshold of a tone group, or of everybody else, averaged over the seeds."""
    own = thresholds.get("groups", {}).get(group) if thresholds.get("by") == "tone_group" else None
    limits = own or thresholds["overall"]
    return float(sum(limits) / len(limits))


def _flat(entry: Mapping[str, Any], threshold: Mapping[str, float]) -> dict[str, Any]:
    flat: dict[str, Any] = {key: entry[key] for key in ("n", "n_positive", "n_negative", "judgeable", "reason")}
    flat |= threshold
    for name in MEASURES:
        measured = entry[name] or {}
        flat |= {name: measured.get("value")} if name in POINTS else _with_interval(name, measured)
        flat[f"{name}_seed_std"] = measured.get("seed_std")
    return flat | {name: entry[name] for name in ("brier", "ece", "all_positive_f1")}


def _differences(compared: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name in ACCURACY:
        found = compared.get(name) or {}
        flat |= _with_interval(f"{name}_difference", found) | {f"{name}_p_adjusted": found.get("p_adjusted")}
    return flat


def _with_interval(name: str, entry: Mapping[str, Any] | None) -> dict[str, Any]:
    low, high = (entry or {}).get("interval") or (None, None)
    return {name: (entry or {}).get("value"), f"{name}_low": low, f"{name}_high": high}


def _check(metrics: Mapping[str, Mapping[str, Any]], key: str) -> None:
    wrong = {name: entry.get(key) for name, entry in metrics.items() if entry.get(key) != name}
    if wrong or not metrics:
        raise ValueError(f"every entry must name its {key}, and there must be one. Got {wrong or 'none'}")

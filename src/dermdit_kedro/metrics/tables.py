"""Tables 1 and 2 of the paper, from the metrics of variants and arms."""

from collections.abc import Mapping
from typing import Any

import pandas as pd


def table1(image_metrics: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return Table 1: one row a generator.

    Args:
        image_metrics: The content of `image_metrics.json` by variant, in the order of the table.

    Returns:
        Column variant; every Fréchet and kernel distance under its own name and reference, the floor and n beside
        it; MS-SSIM of synthetic and real images; agreement.

    Raises:
        ValueError: If an entry is not that variant's.
    """
    _check(image_metrics, "variant")
    return pd.DataFrame([_table1_row(name, metrics) for name, metrics in image_metrics.items()])


def _table1_row(variant: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"variant": variant, "image_size": metrics["image_size"]}
    for entry in metrics["frechet_distance"]:
        name = f"{entry['name']}_{entry['reference']}"
        row |= {name: entry["value"], f"{name}_floor": entry["floor"], f"{name}_n": entry["n_synthetic"]}
    for entry in metrics["kid"]:
        name = f"{entry['name']}_{entry['reference']}"
        row |= {name: entry["value"], f"{name}_std": entry["std"]}
    ssim = metrics["ms_ssim"] or {}
    for kind in ("synthetic", "real"):
        row |= _with_interval(f"{ssim.get('name', 'ms_ssim')}_{kind}", ssim.get(kind))
    for kind in ("tone_agreement", "label_agreement"):
        row |= _with_interval(kind, (metrics[kind] or {}).get("overall"))
    return row


def table2(diagnosis_metrics: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return Table 2: one row a test set, group and arm.

    Args:
        diagnosis_metrics: The content of `diagnosis_metrics.json` by arm, in the order of the table.

    Returns:
        Columns test_set, group (`overall` or an estimated tone), arm, label_name, n, n_positive, n_negative,
        judgeable, reason, the measures with their intervals, brier, ece, all_positive_f1.

    Raises:
        ValueError: If an entry is not that arm's, or the arms were tested on different sets.
    """
    _check(diagnosis_metrics, "arm")
    test_sets = {arm: list(metrics["test_sets"]) for arm, metrics in diagnosis_metrics.items()}
    if len({tuple(names) for names in test_sets.values()}) > 1:
        raise ValueError(f"every arm must be measured on the same test sets. Got {test_sets}")
    rows = []
    for test_set in next(iter(test_sets.values()), []):
        parts = {arm: metrics["test_sets"][test_set] for arm, metrics in diagnosis_metrics.items()}
        groups = ["overall", *next(iter(parts.values()))["tone_group"]]
        for group in groups:
            for arm, part in parts.items():
                entry = part["overall"] if group == "overall" else part["tone_group"][group]
                label = diagnosis_metrics[arm]["label_name"]
                rows.append({"test_set": test_set, "group": group, "arm": arm, "label_name": label, **_flat(entry)})
    return pd.DataFrame(rows)


def _flat(entry: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {key: entry[key] for key in ("n", "n_positive", "n_negative", "judgeable", "reason")}
    for name in ("auc", "recall", "specificity", "precision", "f1", "f1_at_half"):
        flat |= _with_interval(name, entry[name])
    return flat | {name: entry[name] for name in ("brier", "ece", "all_positive_f1")}


def _with_interval(name: str, entry: Mapping[str, Any] | None) -> dict[str, Any]:
    low, high = (entry or {}).get("interval") or (None, None)
    return {name: (entry or {}).get("value"), f"{name}_low": low, f"{name}_high": high}


def _check(metrics: Mapping[str, Mapping[str, Any]], key: str) -> None:
    wrong = {name: entry.get(key) for name, entry in metrics.items() if entry.get(key) != name}
    if wrong or not metrics:
        raise ValueError(f"every entry must name its {key}, and there must be one. Got {wrong or 'none'}")

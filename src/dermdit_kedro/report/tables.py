"""The rows of the report's tables of images and screens, made of the summary alone."""

from collections.abc import Iterable, Mapping
from typing import Any

from dermdit_kedro.report.cells import number, spread
from dermdit_kedro.report.summary import NOT_MEASURED

Rows = list[dict[str, Any]]


def image_rows(summary: Mapping[str, Any]) -> Rows:
    """List every image metric of every variant with its n.

    Args:
        summary: The summary.

    Returns:
        Rows of variant, measure, value, interval and what it was measured on.
    """
    rows = []
    for variant, metrics in items(summary["image_metrics"]):
        for entry in (*_entries(metrics.get("frechet_distance")), *_entries(metrics.get("kid"))):
            floor = f"; real against real {number(entry['floor'])}" if entry.get("floor") is not None else ""
            rows.append(_image_row(variant, entry, _counts(entry) + floor))
        rows += _manifold_rows(variant, metrics.get("manifold"))
        for entry in _entries(metrics.get("passed_over")):
            rows.append(_image_row(variant, entry, f"not asked: {entry.get('reason')}"))
        for entry in _entries(metrics.get("kid_by_group")):
            named = {**entry, "name": f"{entry.get('name')}, {entry.get('group')}"}
            what = f"{number(entry.get('n'))} synthetic and as many held-out images"
            rows.append(_image_row(variant, named, entry.get("reason") or what))
        ssim = metrics.get("ms_ssim")
        for kind in ("synthetic", "real"):
            part = (ssim if isinstance(ssim, Mapping) else {}).get(kind) or {}
            what = f"{number(part.get('n_pairs'))} pairs of {kind} images; lower is more varied"
            rows.append(_image_row(variant, {**part, "name": f"{_name(ssim, 'ms_ssim')}, {kind}"}, what))
        rows += _agreement_rows(variant, summary["agreement"][variant])
    return rows


def screening_rows(screening: Any) -> Rows:
    """List the screening of every variant.

    Args:
        screening: The summary's screening by variant, or the words that there is none.

    Returns:
        Rows with the counts, the reasons, the groups and what is unsupported.
    """
    rows = []
    for variant, result in items(screening):
        groups = [_unsupported(entry) for entry in _entries(result.get("unsupported_groups"))]
        rows.append({"variant": variant, **result, "unsupported": groups})
    return rows


def _image_row(variant: str, entry: Mapping[str, Any], what: str) -> dict[str, Any]:
    value = number(entry.get("value"))
    return {
        "variant": variant,
        "name": entry.get("name", NOT_MEASURED),
        "value": value,
        "spread": spread(entry),
        "what": what,
    }


def _manifold_rows(variant: str, entries: Any) -> Rows:
    rows = []
    for entry in _entries(entries):
        for kind, value in (entry.get("synthetic") or {}).items():
            floor = f"; of other real ones {number((entry.get('real') or {}).get(kind))}"
            named = {"name": f"{kind}_{entry.get('name')}", "value": value}
            rows.append(_image_row(variant, named, _counts(entry, "higher is better") + floor))
    return rows


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


def _unsupported(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Spell a group that is too small to learn from."""
    group = entry.get("group")
    asked = group if isinstance(group, Mapping) else {k: v for k, v in entry.items() if k != "n_train"}
    words = [
        {True: "malignant", False: "benign"}.get(v, str(v)) if k == "is_malignant" else str(v) for k, v in asked.items()
    ]
    return {"words": ", ".join(words), "n_train": entry.get("n_train")}


def items(part: Any) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Return what was measured of a part of the summary."""
    return [(k, v) for k, v in part.items() if isinstance(v, Mapping)] if isinstance(part, Mapping) else []


def _entries(part: Any) -> list[dict[str, Any]]:
    return list(part) if isinstance(part, list) else []


def distinct(names: Iterable[str]) -> list[str]:
    """Return each name once, in the order met."""
    return list(dict.fromkeys(names))


def _name(part: Any, otherwise: str) -> str:
    return str(part.get("name", otherwise)) if isinstance(part, Mapping) else otherwise


def _counts(entry: Mapping[str, Any], meaning: str = "lower is nearer") -> str:
    reference = {"train": "training", "held_out": "held-out"}.get(
        str(entry.get("reference")), str(entry.get("reference"))
    )
    synthetic, real = number(entry.get("n_synthetic")), number(entry.get("n_real"))
    return f"{synthetic} synthetic against {real} real {reference} images; {meaning}"

"""The tables of image metrics, one a question, made of the summary alone; within each, the variants one by one."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from dermdit_kedro.report.tables import Rows, entries, items
from dermdit_kedro.report.wording import readable

DISTANCES: Final = {
    "fd": "Fréchet distance",
    "kid": "Kernel distance (KID)",
    "cmmd": "CLIP distance (CMMD)",
}
"""What a distance is called, by the first word of its name."""

SHARES: Final = ("precision", "recall", "density", "coverage")
REFERENCES: Final = {"train": "training", "held_out": "held-out"}
Tables = dict[str, Rows]


def distance_tables(metrics: Any) -> Tables:
    """Arrange the distances of every variant: a row a measure and network, against training and held-out images.

    Args:
        metrics: The summary's `image_metrics`.

    Returns:
        By variant rows of `measure`, `name`, by reference the entry of `image_metrics.json`, and what training images
        reach that went through the generator's autoencoder.
    """
    tables: Tables = {}
    for variant, found in items(metrics):
        rows: dict[str, dict[str, Any]] = {}
        redrawn = {str(e["name"]): e for e in (*_redrawn(found, "frechet_distance"), *_redrawn(found, "kid"))}
        for entry in (*entries(found.get("frechet_distance")), *entries(found.get("kid"))):
            name = str(entry["name"])
            words = "FID" if name == "fd_inception_v3" else DISTANCES.get(name.split("_")[0], name)
            row = rows.setdefault(name, {"measure": words, "name": name, "by_reference": {}})
            row["autoencoder"] = redrawn.get(name)
            row["by_reference"][entry["reference"]] = entry
        tables[variant] = list(rows.values())
    return _filled(tables)


def share_tables(metrics: Any) -> Tables:
    """Arrange precision, recall, density and coverage: a row a network and reference.

    Args:
        metrics: The summary's `image_metrics`.

    Returns:
        By variant the entries of `manifold`; those against held-out images with what training images reach that went
        through the generator's autoencoder.
    """
    tables: Tables = {}
    for variant, found in items(metrics):
        redrawn = {(entry["name"], entry["reference"]): entry["synthetic"] for entry in _redrawn(found, "manifold")}
        rows = entries(found.get("manifold"))
        tables[variant] = [{**row, "autoencoder": redrawn.get((row["name"], row["reference"]))} for row in rows]
    return _filled(tables)


def group_tables(metrics: Any) -> Tables:
    """Arrange the kernel distances within each label and tone.

    Args:
        metrics: The summary's `image_metrics`.

    Returns:
        By variant the entries of `kid_by_group`.
    """
    return _filled({variant: entries(found.get("kid_by_group")) for variant, found in items(metrics)})


def ungrouped(metrics: Any) -> list[str]:
    """Name the variants whose images nothing was asked of, beside others that are compared by what was asked.

    Args:
        metrics: The summary's `image_metrics`.

    Returns:
        Their names.
    """
    return [variant for variant, found in items(metrics) if not entries(found.get("kid_by_group"))]


def variety_tables(metrics: Any) -> Tables:
    """Arrange MS-SSIM: a row for synthetic and one for real images.

    Args:
        metrics: The summary's `image_metrics`.

    Returns:
        By variant rows of `kind`, `name` and the entry.
    """
    tables: Tables = {}
    for variant, found in items(metrics):
        part = found.get("ms_ssim")
        if isinstance(part, Mapping):
            kinds = ("synthetic", "real")
            tables[variant] = [{"kind": kind, "name": part["name"], "entry": part.get(kind) or {}} for kind in kinds]
    return _filled(tables)


def agreement_tables(agreement: Any) -> Tables:
    """Arrange the shares of images that show what was asked for.

    Args:
        agreement: The summary's `agreement`.

    Returns:
        By variant rows of `asked`, `group`, the entry and, for a judge that was asked, how often it is right.
    """
    return _filled({variant: list(_agreement(found)) for variant, found in items(agreement)})


def extractor_lines(metrics: Any) -> list[str]:
    """Say of every network what it did to the images.

    Args:
        metrics: The summary's `image_metrics`.

    Returns:
        One line a network, of all variants together.
    """
    found = [entry for _, part in items(metrics) for entry in entries(part.get("extractors"))]
    keys = ("library", "resize", "dtype")
    lines = [f"{entry['name']}: {', '.join(entry[key] for key in keys if key in entry)}" for entry in found]
    return list(dict.fromkeys(lines))


def passed_over(metrics: Any) -> list[str]:
    """Say which networks were not asked, and why.

    Args:
        metrics: The summary's `image_metrics`.

    Returns:
        One line a network.
    """
    found = [entry for _, part in items(metrics) for entry in entries(part.get("passed_over"))]
    return list(dict.fromkeys(f"{entry['name']}: {entry['reason']}" for entry in found))


def _redrawn(found: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    """Return what was measured of training images that went through the autoencoder."""
    return entries((found.get("autoencoder") or {}).get(kind))


def _agreement(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for key, asked in (("tone_agreement", "estimated tone"), ("label_agreement", "label")):
        part = found.get(key)
        if not isinstance(part, Mapping):
            continue
        for group, entry in {"all": part.get("overall") or {}, **(part.get("by_group") or {})}.items():
            judge = part.get("judge_accuracy") if group == "all" else None
            yield {"asked": asked, "group": readable(group), "entry": entry, "judge": judge}


def _filled(tables: Tables) -> Tables:
    """Leave out the variants of which nothing was measured."""
    return {variant: rows for variant, rows in tables.items() if rows}

"""Tables of counts of a manifest: who is in it, what is unknown of whom, how tone is spread."""

from typing import Any, Final

import numpy as np
import pandas as pd

from dermdit_kedro.dermoscopy.records import MANIFEST_COLUMNS, TONE_SOURCES
from dermdit_kedro.dermoscopy.tone_parameters import SkinToneConfig

UNKNOWN: Final = "unknown"
LABELS: Final = ("benign", "malignant", UNKNOWN)
AGE_BANDS: Final = ("0-19", "20-39", "40-59", "60-79", "80 and over", UNKNOWN)
CELL: Final = ("source", "split", "label", "tone_group", "sex", "age_band", "site")
"""What a cell of `count_cells` is told apart by."""

AGE_EDGES: Final = (0, 20, 40, 60, 80, np.inf)
ITA_EDGES: Final = tuple(range(-90, 91, 5))
"""Bin edges of the histogram in degrees; an angle of skin, whose b* is positive, lies between the outer two."""


def name_labels(manifest: pd.DataFrame) -> pd.Series:
    """Spell the label of every image.

    Args:
        manifest: The manifest.

    Returns:
        benign, malignant or unknown, with the manifest's index.
    """
    return manifest["is_malignant"].map({True: "malignant", False: "benign"}).astype("object").fillna(UNKNOWN)


def band_ages(age: pd.Series) -> pd.Series:
    """Put ages into bands of twenty years.

    Args:
        age: Years; NaN where unknown.

    Returns:
        Values of `AGE_BANDS`, with the index of the input.
    """
    bands = pd.cut(age, AGE_EDGES, right=False, labels=AGE_BANDS[:-1])
    return bands.cat.add_categories(UNKNOWN).fillna(UNKNOWN)


def count_values(values: pd.Series) -> dict[str, int]:
    """Count how often each value occurs.

    Args:
        values: Any column; nulls are not counted.

    Returns:
        Counts by value, in the values' order.
    """
    return {str(name): int(count) for name, count in values.value_counts().sort_index().items()}


def count_by_source(table: pd.DataFrame, column: str) -> dict[str, dict[str, int]]:
    """Count the values of a column in each source.

    Args:
        table: The manifest or the quarantine.
        column: The column.

    Returns:
        Counts by source and value; empty for an empty table.
    """
    return {str(name): count_values(values) for name, values in table.groupby("source")[column]}


def count_cells(manifest: pd.DataFrame) -> list[dict[str, Any]]:
    """Count images by source, split, label, tone, sex, age and site together.

    Args:
        manifest: The manifest.

    Returns:
        One record per cell that occurs: the keys of `CELL` and `images`; sorted.
    """
    told = manifest[["source", "split", "tone_group"]].assign(
        label=name_labels(manifest),
        sex=manifest["sex"].fillna(UNKNOWN),
        age_band=band_ages(manifest["age_approx"]),
        site=manifest["site"].fillna(UNKNOWN),
    )
    cells = told[list(CELL)].astype("category").groupby(list(CELL), observed=True).size()
    return [
        {**dict(zip(CELL, map(str, key), strict=True)), "images": int(images)}
        for key, images in cells.sort_index().items()
        if isinstance(key, tuple)
    ]


def count_missing(manifest: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Count the nulls of every column in each source.

    Args:
        manifest: The manifest.

    Returns:
        Counts by source and column of the manifest.
    """
    columns = list(MANIFEST_COLUMNS)
    missing = manifest[columns].isna().groupby(manifest["source"]).sum()
    return {
        str(name): {column: int(row[column]) for column in columns}
        for name, row in missing.to_dict(orient="index").items()
    }


def spread_tone(manifest: pd.DataFrame, skin_tone: SkinToneConfig) -> dict[str, Any]:
    """Count images by where their tone is from, and by measured angle.

    Args:
        manifest: The manifest.
        skin_tone: The thresholds between tone groups.

    Returns:
        `by_tone_source`, and `ita_degrees`: thresholds, bin edges in degrees, and per source the number of images with
        an angle and how many of them lie in each bin (the outer bins hold what lies beyond).
    """
    angles = manifest.loc[manifest["ita_degrees"].notna(), ["source", "ita_degrees"]]
    spread = {}
    for name, degrees in angles.groupby("source")["ita_degrees"]:
        counts, _ = np.histogram(degrees.clip(ITA_EDGES[0], ITA_EDGES[-1]), ITA_EDGES)
        spread[str(name)] = {"n": len(degrees), "histogram": counts.tolist()}
    named = count_by_source(manifest, "tone_source")
    return {
        "by_tone_source": {
            source: {kind: counts.get(kind, 0) for kind in TONE_SOURCES} for source, counts in named.items()
        },
        "ita_degrees": {
            "preset": skin_tone.preset,
            "light_above": skin_tone.light_above,
            "brown_above": skin_tone.brown_above,
            "edges": list(ITA_EDGES),
            "by_source": spread,
        },
    }

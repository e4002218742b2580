"""Groups of people: by one attribute, or by two where the cells are large enough."""

import itertools

import numpy as np
import pandas as pd

from dermdit_kedro.dermoscopy.records import SEXES, SITES, TONE_GROUPS
from dermdit_kedro.metrics.panel import Panel
from dermdit_kedro.metrics.parameters import Attribute, GroupFairnessConfig

JOIN = " x "


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


def groupings(config: GroupFairnessConfig) -> dict[str, tuple[Attribute, ...]]:
    """Return what people are grouped by: attributes, then intersections such as `tone_group x sex`."""
    alone: list[tuple[Attribute, ...]] = [(attribute,) for attribute in config.attributes]
    return {JOIN.join(names): names for names in [*alone, *config.intersections]}


def group_names(attributes: tuple[Attribute, ...], config: GroupFairnessConfig) -> list[str]:
    """Return the possible groups of an attribute or intersection, in the order to report."""
    names = {
        "tone_group": list(TONE_GROUPS),
        "sex": list(SEXES),
        "age_band": _band_names(config.age_edges),
        "site": list(SITES),
    }
    return [", ".join(cell) for cell in itertools.product(*(names[attribute] for attribute in attributes))]


def groups_of(panel: Panel, attributes: tuple[Attribute, ...], config: GroupFairnessConfig) -> pd.Series:
    """Return the group of each image of a panel.

    Args:
        panel: The predictions.
        attributes: One attribute, or several for their intersection.
        config: Where age bands begin.

    Returns:
        Group by position; null where an attribute is unknown or names no group.
    """
    rows = panel.rows.assign(age_band=age_bands(panel.rows["age_approx"], config.age_edges)).reset_index(drop=True)
    known = set(group_names(attributes, config))
    cells = zip(*(rows[attribute] for attribute in attributes), strict=True)
    names = [", ".join(map(str, cell)) if not any(pd.isna(part) for part in cell) else None for cell in cells]
    return pd.Series([name if name in known else None for name in names], dtype="object")

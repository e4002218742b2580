"""Could chance have made a gap this large? Group names dealt out anew among comparable images."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from dermdit_kedro.metrics.intervals import Floats
from dermdit_kedro.metrics.panel import Array, Panel
from dermdit_kedro.metrics.rates import area_under_roc

CHUNK_CELLS = 4_000_000
"""Cells of a table of memberships worked through at a time, so that memory does not grow with the test set."""


def gap_p_values(
    panel: Panel, codes: Array, gaps: Mapping[str, float], num_permutations: int, seed: int
) -> dict[str, float]:
    """Return how often gaps as large occur where groups are dealt out at random.

    The images of a cluster in one group stay together. For rates given the label (and the AUC) the groups are dealt
    out among clusters with a positive image and among those without one apart, for the selection rate among all:
    that is what each gap's equality would mean. Smallest possible: 1 / (permutations + 1).

    Args:
        panel: The images of the groups that are compared.
        codes: Number of each image's group, from 0 on, (n,).
        gaps: Measured gap by name: those of `gap_values`.
        num_permutations: How often groups are dealt out.
        seed: Seed of the permutations.

    Returns:
        p-value by name.
    """
    rng = np.random.default_rng(seed)
    _, units = np.unique(np.stack([panel.clusters, codes]), axis=1, return_inverse=True)
    group_of = np.zeros(units.max() + 1, dtype="int64")
    group_of[units] = codes
    has_positive = np.bincount(units, weights=panel.labels) > 0
    step, exceeded = max(1, CHUNK_CELLS // len(codes)), dict.fromkeys(gaps, 0)
    for start in range(0, num_permutations, step):
        size = min(step, num_permutations - start)
        within = np.tile(group_of, (size, 1))
        for stratum in (has_positive, ~has_positive):
            within[:, stratum] = rng.permuted(within[:, stratum], axis=1)
        across = rng.permuted(np.tile(group_of, (size, 1)), axis=1)
        drawn = gap_values(panel, within[:, units], codes.max() + 1, across[:, units])
        for name, gap in gaps.items():
            exceeded[name] += int((drawn[name] >= gap - 1e-12).sum())
    return {name: (times + 1) / (num_permutations + 1) for name, times in exceeded.items()}


def gap_values(panel: Panel, codes: Array, num_groups: int, codes_across: Array | None = None) -> dict[str, Floats]:
    """Return the largest minus the smallest group's value of each measure, averaged over the seeds.

    Args:
        panel: The images of the groups that are compared.
        codes: Number of each image's group in each of b assignments, (b, n).
        num_groups: How many groups.
        codes_across: The assignments for the selection rate, (b, n); None for the same.

    Returns:
        By name of the gap, (b,).
    """
    codes_across = codes if codes_across is None else codes_across
    values: dict[str, list[Any]] = {"auc": [], "true": [], "false": [], "selected": []}
    calls = panel.decisions.mean(axis=1)
    for group in range(num_groups):
        here = (codes == group).astype("float64")
        values["auc"].append(np.mean([area_under_roc(panel.labels, s, here) for s in panel.scores.T], axis=0))
        values["true"].append(_share(here[:, panel.labels], calls[panel.labels]))
        values["false"].append(_share(here[:, ~panel.labels], calls[~panel.labels]))
        values["selected"].append(_share((codes_across == group).astype("float64"), calls))
    gaps = {name: np.nan_to_num(np.nanmax(v, axis=0) - np.nanmin(v, axis=0)) for name, v in values.items()}
    return {
        "auc_gap": gaps["auc"],
        "equal_opportunity_difference": gaps["true"],
        "equalized_odds_difference": np.maximum(gaps["true"], gaps["false"]),
        "demographic_parity_difference": gaps["selected"],
    }


def _share(members: Floats, calls: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((members @ calls) / members.sum(axis=1), dtype="float64")

"""The predictions of an arm on one test set, in the shape the measures take them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermdit_kedro.metrics.intervals import Floats, cluster_weights
from dermdit_kedro.metrics.parameters import GroupFairnessConfig

Array = NDArray[Any]


@dataclass(frozen=True)
class Panel:
    """The predictions of one arm on one test set.

    Attributes:
        labels: True labels, bool (n,).
        scores: Calibrated scores in [0, 1], one column a seed, (n, s).
        decisions: Whether called positive, bool (n, s).
        clusters: Number of each image's cluster of duplicates, from 0 on, (n,).
        weights: How often each image occurs in each resample, (b, n).
        rows: image_id, label_name, tone_group, sex, age_approx, site of each image.
    """

    labels: Array
    scores: Floats
    decisions: Array
    clusters: Array
    weights: Floats
    rows: pd.DataFrame

    def select(self, mask: Array) -> "Panel":
        """Return the images where `mask` (n,) is true, with the same resamples."""
        return Panel(
            self.labels[mask],
            self.scores[mask],
            self.decisions[mask],
            self.clusters[mask],
            self.weights[:, mask],
            self.rows[mask],
        )

    @property
    def everyone(self) -> Array:
        """A mask of all images, bool (n,)."""
        return np.ones(len(self.labels), dtype=bool)

    @property
    def num_positive(self) -> int:
        """How many labels are positive."""
        return int(self.labels.sum())

    @property
    def num_negative(self) -> int:
        """How many labels are negative."""
        return len(self.labels) - self.num_positive

    @property
    def label_name(self) -> str:
        """The label in use."""
        return str(self.rows["label_name"].iloc[0]) if len(self.rows) else ""


def panels(predictions: pd.DataFrame, num_resamples: int, seed: int) -> Iterator[tuple[str, Panel]]:
    """Yield the test sets of an arm by name.

    Args:
        predictions: The table `predictions` of one arm with the column `called`; validation rows are left out.
        num_resamples: How often clusters are drawn anew.
        seed: Seed of the resamples; they depend on it and the images alone, so arms share them.

    Yields:
        (test set, its panel), images in the order of their ids.

    Raises:
        ValueError: If an image occurs twice for a seed, or lacks one.
    """
    test = predictions[predictions["split"] == "test"]
    for name, part in test.groupby("test_set", sort=True):
        counts = part.groupby("image_id")["seed"].agg(["size", "nunique"])
        if (counts != part["seed"].nunique()).to_numpy().any():
            raise ValueError(f"every image must be scored once by every seed. {name!r} has images that are not")
        scores = part.pivot(index="image_id", columns="seed", values="score").sort_index()
        called = part.pivot(index="image_id", columns="seed", values="called").loc[scores.index]
        rows = part.drop_duplicates("image_id").set_index("image_id").loc[scores.index].reset_index()
        _, clusters = np.unique(rows["duplicate_cluster"].astype(str), return_inverse=True)
        columns = ["image_id", "label_name", "tone_group", "sex", "age_approx", "site"]
        yield (
            str(name),
            Panel(
                rows["label"].to_numpy(dtype=bool),
                scores.to_numpy(dtype="float64"),
                called.to_numpy(dtype=bool),
                clusters,
                cluster_weights(rows["duplicate_cluster"], num_resamples, seed),
                rows[columns],
            ),
        )


def why_too_small(panel: Panel, config: GroupFairnessConfig) -> str | None:
    """Return why a group cannot be judged, or None where it can; images of one cluster count once."""
    unknown = np.isnan(panel.scores)
    if len(panel.labels) and unknown.all():
        return "the arm could not be trained: too few synthetic images passed the screens"
    if unknown.any():
        return f"{int(unknown.sum())} of {unknown.size} scores are not numbers"
    few = []
    for kind, here, least in (
        ("positive", panel.labels, config.min_positive),
        ("negative", ~panel.labels, config.min_negative),
    ):
        images, lesions = int(here.sum()), len(np.unique(panel.clusters[here]))
        if lesions < least:
            of_lesions = f" of {lesions} lesions or patients" if lesions < images else ""
            few.append(f"{images} {kind} images{of_lesions}, fewer than {least}")
    return f"too small: {' and '.join(few)}" if few else None


def counts(panel: Panel) -> dict[str, int]:
    """Return n, n_positive and n_negative of a panel."""
    return {"n": len(panel.labels), "n_positive": panel.num_positive, "n_negative": panel.num_negative}

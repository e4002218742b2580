"""Do the images show what was asked for? Measured on all generated images, before any screen."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermdit_kedro.dermoscopy.records import TONE_GROUPS
from dermdit_kedro.metrics.intervals import proportion


def agree(requested: pd.Series, seen: pd.Series, names: dict[Any, str], confidence: float) -> dict[str, Any] | None:
    """Return how often what was asked for is what is seen, over all and by what was asked for.

    Args:
        requested: What was asked for, one an image; rows with null, or with what `names` lacks, are left out.
        seen: What the judge sees in the same images; unknown counts as not seen.
        names: Every possible request, with its name in the result.
        confidence: Of the intervals, in (0, 1).

    Returns:
        `{"overall", "by_group"}`, each part `{"value", "interval", "n"}`; None where nothing was asked for.
    """
    asked = requested.isin(list(names)).to_numpy(dtype=bool, na_value=False)
    if not asked.any():
        return None
    wanted = requested.to_numpy()[asked]
    hits = pd.Series(wanted == seen.to_numpy()[asked], dtype="boolean").fillna(False).to_numpy(dtype=bool)
    by_group = {name: proportion(hits[wanted == value], confidence) for value, name in names.items()}
    return {"overall": proportion(hits, confidence), "by_group": by_group}


def tone_agreement(synthetic_manifest: pd.DataFrame, confidence: float) -> dict[str, Any] | None:
    """Compare the tone measured in the images with the tone asked for.

    Args:
        synthetic_manifest: Columns requested_tone_group and tone_group (measured), all generated images.
        confidence: Of the intervals, in (0, 1).

    Returns:
        See `agree`; None for a generator that was not asked for a tone.
    """
    names = {tone: tone for tone in TONE_GROUPS}
    return agree(synthetic_manifest["requested_tone_group"], synthetic_manifest["tone_group"], names, confidence)


def label_agreement(
    requested: pd.Series,
    called: pd.Series,
    real_labels: pd.Series,
    real_called: pd.Series,
    judge: str,
    confidence: float,
) -> dict[str, Any] | None:
    """Compare the label a judge gives the images with the label asked for, and say how good the judge is.

    Args:
        requested: Label asked for, one an image; null rows are left out.
        called: Label the judge gives the same images.
        real_labels: True labels of held-out real images.
        real_called: Label the judge gives those.
        judge: Name of the judge.
        confidence: Of the intervals, in (0, 1).

    Returns:
        See `agree`, with judge, judge_accuracy and judge_balanced_accuracy; None for a generator that was not
        asked for a label.
    """
    agreement = agree(
        requested.astype("object"), called.astype("object"), {False: "benign", True: "malignant"}, confidence
    )
    if agreement is None:
        return None
    hits = real_labels.to_numpy(dtype=bool) == real_called.to_numpy(dtype=bool)
    return {
        **agreement,
        "judge": judge,
        "judge_accuracy": proportion(hits, confidence),
        "judge_balanced_accuracy": _balanced(real_labels.to_numpy(dtype=bool), hits, confidence),
    }


def _balanced(labels: NDArray[np.bool_], hits: NDArray[np.bool_], confidence: float) -> dict[str, Any]:
    """Return the mean of sensitivity and specificity; its interval squares and adds Wilson's (Newcombe 1998)."""
    parts = [proportion(hits[labels], confidence), proportion(hits[~labels], confidence)]
    if not all(part["n"] for part in parts):
        return {"value": None, "interval": None, "n": len(hits)}
    value = sum(part["value"] for part in parts) / 2
    below, above = (np.hypot(*[part["value"] - part["interval"][side] for part in parts]) / 2 for side in (0, 1))
    return {"value": value, "interval": [float(value - below), float(value + above)], "n": len(hits)}

"""Prompt swaps: the same seeds, one attribute of the prompt changed, and what the measurements say moved."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dermdit_kedro.augmentation.parameters import SwapConfig
from dermdit_kedro.augmentation.plan_rows import GROUP_VALUES, group_name
from dermdit_kedro.dermoscopy.images import read_rgb
from dermdit_kedro.handles import ImageFolder
from dermdit_kedro.prompts.instructions import describe, known
from dermdit_kedro.prompts.parameters import ATTRIBUTES, Attribute
from dermdit_kedro.seeds import stable_seed


def plan_swaps(
    manifest: pd.DataFrame, config: SwapConfig, attributes: Sequence[Attribute], min_train_images: int, seed: int
) -> pd.DataFrame:
    """Plan the images: every value of each attribute that is swapped, each with the same seeds.

    The other attributes are those that most training images have, so that the prompt asks for nothing unusual.

    Args:
        manifest: The manifest; its training rows say which values the generator has seen.
        config: Which attributes, how many seeds.
        attributes: The attributes that the prompts of this generator name; others are left alone.
        min_train_images: Training images that a value needs to be shown.
        seed: Seed of the run.

    Returns:
        sample_id, attribute, value (in words), number, prompt and seed, in the order of the figure; rows of an
        attribute with fewer than two values are left out.
    """
    train = manifest[manifest["split"] == "train"]
    usual: dict[str, Any] = {name: _usual(train[name]) for name in ATTRIBUTES if name in attributes}
    rows: list[dict[str, Any]] = []
    for attribute in [name for name in config.attributes if name in attributes]:
        counts = train[attribute].value_counts()
        values = [value for value in GROUP_VALUES[attribute] if counts.get(value, 0) >= min_train_images]
        for value in values if len(values) > 1 else ():
            prompt, word = describe({**usual, attribute: value}, attributes), group_name({attribute: value})
            rows += [
                {
                    "sample_id": f"{attribute}_{word}_{number:03d}", "attribute": attribute, "value": word,
                    "number": number, "prompt": prompt, "seed": stable_seed(seed, "swap", number),
                }
                for number in range(config.num_seeds)
            ]  # fmt: skip
    return pd.DataFrame(rows, columns=["sample_id", "attribute", "value", "number", "prompt", "seed"])


def score_swaps(
    plan: pd.DataFrame, images: ImageFolder, pixels: pd.DataFrame, malignancy_margins: Sequence[float]
) -> dict[str, Any]:
    """Say what moved when a word was changed.

    Args:
        plan: Of `plan_swaps`.
        images: The images, `<sample_id>.png`.
        pixels: contrast, ita_degrees and tone_group of each, in the order of the plan.
        malignancy_margins: Score of the screening classifier less its threshold.

    Returns:
        For each attribute and value: n, prompt, median ITA in degrees (of n_with_tone images), shares of the measured
        tones, mean margin and share taken for malignant, and the mean absolute difference of the pixels (0 to 255) to
        the same seed under the attribute's first value.
    """
    table = plan.reset_index(drop=True).join(pixels.reset_index(drop=True)).assign(margin=list(malignancy_margins))
    found: dict[str, Any] = {}
    for attribute, rows in table.groupby("attribute", sort=False):
        first = rows[rows["value"] == rows["value"].iloc[0]].set_index("number")["sample_id"]
        found[str(attribute)] = {
            str(value): {**_score(part), "mean_change": _change(part, first, images)}
            for value, part in rows.groupby("value", sort=False)
        }
    return found


def _usual(column: "pd.Series[Any]") -> Any:
    counts = column[[known(value) for value in column]].value_counts()
    return counts.index[0] if len(counts) else None


def _score(part: pd.DataFrame) -> dict[str, Any]:
    angles = part["ita_degrees"].dropna()
    return {
        "n": len(part),
        "prompt": str(part["prompt"].iloc[0]),
        "median_ita_degrees": float(angles.median()) if len(angles) else None,
        "n_with_tone": len(angles),
        "tones": {str(tone): float(share) for tone, share in part["tone_group"].value_counts(normalize=True).items()},
        "mean_malignancy_margin": float(part["margin"].mean()),
        "malignant_share": float((part["margin"] >= 0).mean()),
    }


def _change(part: pd.DataFrame, first: "Mapping[int, str] | pd.Series[Any]", images: ImageFolder) -> float:
    pairs = zip(part["sample_id"], (first[number] for number in part["number"]), strict=True)
    return float(np.mean([np.abs(_pixels(images, a) - _pixels(images, b)).mean() for a, b in pairs]))


def _pixels(images: ImageFolder, sample_id: str) -> "np.ndarray[Any, np.dtype[np.float64]]":
    return read_rgb(images.path / f"{sample_id}.png").astype(np.float64)

"""The manifest of a synthetic set: one row an image made, kept or not."""

from typing import Any, Final

import pandas as pd

from dermdit_kedro.augmentation.plan import ASKED_DTYPES
from dermdit_kedro.dermoscopy.records import conform

SYNTHETIC_DTYPES: Final[dict[str, str]] = {
    "sample_id": "str",
    "file": "str",
    **ASKED_DTYPES,
    "generator": "str",
    "guidance_scale": "float64",
    "num_inference_steps": "Int64",
    "kept": "bool",
    "reason": "str",
    "nearest_train_image_id": "str",
    "nearest_distance": "float64",
    "ita_degrees": "float64",
    "tone_group": "str",
}
"""Columns and dtypes, in their order; `reason` is null where `kept`."""


def file_of(sample_id: str) -> str:
    """Name the file of a sample, relative to the folder of the synthetic images."""
    return f"{sample_id}.png"


def build_synthetic_manifest(
    plan: pd.DataFrame,
    evidence: pd.DataFrame,
    reasons: "pd.Series[Any]",
    *,
    generator: str,
    guidance_scale: float,
    num_inference_steps: int,
) -> pd.DataFrame:
    """Put together what was asked for, how it was made and what became of it.

    Args:
        plan: The plan.
        evidence: What was measured, in the order of the plan.
        reasons: Why an image is set aside, null where it is kept; in the order of the plan.
        generator: Name and fingerprint of the generator.
        guidance_scale: The guidance the images were drawn with.
        num_inference_steps: The steps they were drawn with.

    Returns:
        A table with the columns of `SYNTHETIC_DTYPES`.
    """
    measured = ["nearest_train_image_id", "nearest_distance", "ita_degrees", "tone_group"]
    table = plan.reset_index(drop=True).join(evidence[measured].reset_index(drop=True))
    return conform(
        table.assign(
            file=[file_of(sample_id) for sample_id in plan["sample_id"]],
            generator=generator,
            guidance_scale=guidance_scale,
            num_inference_steps=num_inference_steps,
            kept=reasons.isna().to_numpy(),
            reason=reasons.to_numpy(),
        ),
        SYNTHETIC_DTYPES,
    )

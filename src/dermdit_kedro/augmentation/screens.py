"""The screens: which synthetic images to keep, and why the others are set aside.

Every screen reads the same evidence of an image, so all of them can be put to real images held out of training
as well: what they accuse there is their false-alarm rate, and it is reported beside what they accuse here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermdit_kedro.augmentation.memorisation import (
    MemorisationThresholds,
    calibrate_memorisation,
    is_memorised,
    repeats,
)
from dermdit_kedro.augmentation.parameters import ScreeningConfig
from dermdit_kedro.seeds import stable_seed

REASONS: Final = ("blank", "memorised", "outlier", "tone", "label", "duplicate")
"""Why an image is set aside; of several reasons the first is given."""


@dataclass(frozen=True)
class Thresholds:
    """What the screens compare with; null where a screen is off.

    Attributes:
        min_contrast: Least standard deviation of the grey level.
        memorisation: Distances of a copy.
        outlier_distance: Largest distance to the nearest training image.
        tone_differs: True where the measured tone must be the tone asked for.
        label_margin: How far the score may lie on the wrong side of the classifier's threshold.
        duplicate_hash_distance: Bits in which duplicates may differ at most.
    """

    min_contrast: float | None
    memorisation: MemorisationThresholds | None
    outlier_distance: float | None
    tone_differs: bool | None
    label_margin: float | None
    duplicate_hash_distance: int | None


def halve(clusters: "pd.Series[Any]") -> "pd.Series[bool]":
    """Split held-out images in two halves, images of one cluster on the same side.

    Args:
        clusters: Duplicate cluster of each image.

    Returns:
        True for the half that calibrates, False for the half on which false alarms are counted.
    """
    ranked = sorted(map(str, clusters.unique()), key=lambda cluster: (stable_seed("half", cluster), cluster))
    return clusters.isin(ranked[: (len(ranked) + 1) // 2])


def calibrate(held_out: pd.DataFrame, screening: ScreeningConfig) -> Thresholds:
    """Choose the thresholds of the screens that are on.

    Args:
        held_out: Evidence of the real images that calibrate: nearest_distance, relative_distance, hash_distance.
        screening: The parameters.

    Returns:
        The thresholds.

    Raises:
        ValueError: If there is no held-out image and a screen needs one.
    """
    memorisation, outlier = screening.memorisation, screening.outlier
    if held_out.empty and (memorisation.enabled or outlier.enabled):
        raise ValueError("the screens memorisation and outlier need held-out real images to calibrate. Got none")
    return Thresholds(
        min_contrast=screening.blank.min_contrast if screening.blank.enabled else None,
        memorisation=(
            calibrate_memorisation(held_out, memorisation.false_alarm_rate) if memorisation.enabled else None
        ),
        outlier_distance=(
            float(np.percentile(held_out["nearest_distance"], outlier.percentile) * outlier.tolerance)
            if outlier.enabled
            else None
        ),
        tone_differs=True if screening.tone.enabled else None,
        label_margin=screening.label.margin if screening.label.enabled else None,
        duplicate_hash_distance=(
            int(screening.duplicate.max_hash_share * memorisation.hash_size**2) if screening.duplicate.enabled else None
        ),
    )


def accusations(evidence: pd.DataFrame, thresholds: Thresholds) -> pd.DataFrame:
    """Ask each screen that is on, by itself, about each image; duplicates depend on the others and come later.

    Args:
        evidence: One row an image: contrast, nearest_distance, relative_distance, hash_distance, tone_group,
            malignancy_margin (score less threshold), requested_tone_group, requested_is_malignant.
        thresholds: The thresholds.

    Returns:
        One boolean column a screen, named by its reason; what was not asked for accuses nobody.
    """
    accused = pd.DataFrame(index=evidence.index)
    if thresholds.min_contrast is not None:
        accused["blank"] = evidence["contrast"] < thresholds.min_contrast
    if thresholds.memorisation is not None:
        accused["memorised"] = is_memorised(evidence, thresholds.memorisation)
    if thresholds.outlier_distance is not None:
        accused["outlier"] = evidence["nearest_distance"] > thresholds.outlier_distance
    if thresholds.tone_differs:
        requested = evidence["requested_tone_group"]
        accused["tone"] = requested.notna() & (requested != evidence["tone_group"])
    if thresholds.label_margin is not None:
        asked = evidence["requested_is_malignant"].astype("boolean")
        margin = evidence["malignancy_margin"]
        too_low, too_high = margin < -thresholds.label_margin, margin >= thresholds.label_margin
        wrong = (asked.fillna(False) & too_low) | (~asked.fillna(True) & too_high)
        accused["label"] = wrong.astype(bool)
    return accused


def give_reasons(accused: pd.DataFrame, hashes: NDArray[np.uint8], thresholds: Thresholds) -> "pd.Series[Any]":
    """Give each image the first reason to set it aside, or none.

    Duplicates are looked for among the images no other screen accuses: the first of a kind is kept.

    Args:
        accused: From `accusations`.
        hashes: Perceptual hashes of the images, uint8 (n, bytes), in the order of the plan.
        thresholds: The thresholds.

    Returns:
        One of `REASONS`, or null where the image is kept.
    """
    reasons = pd.Series(None, index=accused.index, dtype="object")
    for reason in reversed(accused.columns):
        reasons[accused[reason]] = reason
    if thresholds.duplicate_hash_distance is not None:
        passed = np.flatnonzero(reasons.isna())
        repeated = repeats(hashes[passed], thresholds.duplicate_hash_distance)
        reasons.iloc[passed[repeated]] = "duplicate"
    return reasons


def share(accused: Sequence[bool] | NDArray[np.bool_]) -> dict[str, Any]:
    """State a share with its 95 % interval and n.

    Args:
        accused: One truth value an image.

    Returns:
        value, interval (Wilson) and n; value and interval are null where n is 0.
    """
    from scipy.stats import binomtest

    n, k = len(accused), int(np.sum(accused))
    if n == 0:
        return {"value": None, "interval": None, "n": 0}
    low, high = binomtest(k, n).proportion_ci(method="wilson")
    return {"value": k / n, "interval": [float(low), float(high)], "n": n}


def report_screening(
    evidence: pd.DataFrame,
    accused: pd.DataFrame,
    reasons: "pd.Series[Any]",
    held_out_accused: pd.DataFrame,
    thresholds: Thresholds,
) -> dict[str, Any]:
    """Count what was planned, kept and set aside.

    Args:
        evidence: requested_tone_group and requested_is_malignant of each synthetic image.
        accused: What each screen says of them.
        reasons: Why they are set aside.
        held_out_accused: What each screen says of the half of the held-out real images that did not calibrate.
        thresholds: The thresholds.

    Returns:
        n_planned, n_kept, reasons, by_group, accused (per screen, whatever the others say), false_alarms (per
        screen, on held-out real images), memorisation (null where that screen is off; `copies` says whether it accuses
        more of the synthetic than of real images beyond both intervals, null where there is nothing to compare),
        thresholds.
    """
    screens = [*accused.columns, *(["duplicate"] if thresholds.duplicate_hash_distance is not None else [])]
    alarms = {str(name): share(column.to_numpy()) for name, column in held_out_accused.items()}
    return {
        "n_planned": len(reasons),
        "n_kept": int(reasons.isna().sum()),
        "reasons": {reason: int((reasons == reason).sum()) for reason in screens},
        "by_group": _by_group(evidence, reasons),
        "accused": {str(name): int(column.sum()) for name, column in accused.items()},
        "false_alarms": alarms,
        "memorisation": _memorisation(accused["memorised"].to_numpy(), alarms) if "memorised" in accused else None,
        "thresholds": asdict(thresholds),
    }


def _memorisation(accused: NDArray[np.bool_], alarms: Mapping[str, Any]) -> dict[str, Any]:
    found, alarm = share(accused), alarms["memorised"]
    low, highest = (part["interval"] and part["interval"][side] for part, side in ((found, 0), (alarm, 1)))
    return {
        "copies": None if low is None or highest is None else bool(low > highest),
        "n_accused": int(accused.sum()),
        "share_accused": found["value"],
        "interval": found["interval"],
        "n": found["n"],
        "false_alarm_rate": alarm["value"],
        "false_alarm_interval": alarm["interval"],
        "n_held_out": alarm["n"],
    }


def _by_group(evidence: pd.DataFrame, reasons: "pd.Series[Any]") -> list[dict[str, Any]]:
    requested = ["requested_tone_group", "requested_is_malignant"]
    groups: Any = evidence.assign(kept=reasons.isna()).groupby(requested, dropna=False, sort=True)
    return [
        {
            "tone_group": None if pd.isna(tone) else str(tone),
            "is_malignant": None if pd.isna(malignant) else bool(malignant),
            "planned": len(rows),
            "kept": int(rows["kept"].sum()),
        }
        for (tone, malignant), rows in groups
    ]

"""Screening from end to end: calibrate on one half of the held-out images, judge, count false alarms on the other."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from dermdit_kedro.augmentation.evidence import Candidates, TrainingImages, gather_evidence
from dermdit_kedro.augmentation.parameters import ScreeningConfig
from dermdit_kedro.augmentation.screens import accusations, calibrate, give_reasons, halve, report_screening
from dermdit_kedro.augmentation.synthetic_manifest import file_of
from dermdit_kedro.dermoscopy.records import UNKNOWN_TONE
from dermdit_kedro.dermoscopy.tone_parameters import SkinToneConfig
from dermdit_kedro.handles import ModelFolder

REQUESTED = ["requested_is_malignant", "requested_tone_group"]


@dataclass(frozen=True)
class Screened:
    """What became of a synthetic set; the tables in the order of the plan.

    Attributes:
        evidence: What was measured.
        reasons: Why an image is set aside; null where it is kept.
        report: Counts, thresholds and false alarms.
    """

    evidence: pd.DataFrame
    reasons: "pd.Series[Any]"
    report: dict[str, Any]


def asked_of_plan(plan: pd.DataFrame) -> pd.DataFrame:
    """Say what each planned image ought to show.

    Args:
        plan: The plan.

    Returns:
        image_id (the sample id), file and what was asked for.
    """
    asked = plan.reset_index(drop=True).rename(columns={"sample_id": "image_id"})
    return asked.assign(file=asked["image_id"].map(file_of))[["image_id", "file", *REQUESTED]]


def asked_of_real(manifest: pd.DataFrame, files: pd.DataFrame) -> pd.DataFrame:
    """Say what real images ought to show: what the manifest says of them, as if it had been asked for.

    Args:
        manifest: The manifest.
        files: image_id and file of some of its images.

    Returns:
        image_id, file, duplicate_cluster and what counts as asked for; in the order of `files`.
    """
    rows = files.merge(manifest, on="image_id", suffixes=("", "_of_source"), validate="one_to_one")
    known_tone = rows["tone_group"].where(rows["tone_group"] != UNKNOWN_TONE)
    asked = rows.assign(requested_is_malignant=rows["is_malignant"], requested_tone_group=known_tone)
    return asked[["image_id", "file", "duplicate_cluster", *REQUESTED]]


def screen(
    synthetic: Candidates,
    held_out: Candidates,
    train: TrainingImages,
    classifier: ModelFolder,
    screening: ScreeningConfig,
    skin_tone: SkinToneConfig,
) -> Screened:
    """Judge synthetic images, and real held-out images beside them.

    Args:
        synthetic: The synthetic images, asked for as `asked_of_plan` says.
        held_out: Real images that nothing was trained on, asked for as `asked_of_real` says.
        train: The real training images.
        classifier: The screening classifier.
        screening: The parameters.
        skin_tone: How tone is measured.

    Returns:
        The verdicts and their report.
    """
    by = classifier if screening.label.enabled else None
    real, _ = gather_evidence(held_out, train, by, screening, skin_tone)
    evidence, hashes = gather_evidence(synthetic, train, by, screening, skin_tone)
    calibrating = halve(real["duplicate_cluster"])
    thresholds = calibrate(real[calibrating], screening)
    accused = accusations(evidence, thresholds)
    reasons = give_reasons(accused, hashes, thresholds)
    held_out_accused = accusations(real[~calibrating], thresholds)
    return Screened(evidence, reasons, report_screening(evidence, accused, reasons, held_out_accused, thresholds))

"""Nodes of fairness_evaluation that diagnose: what the arms' classifiers learn, how well, and for whom."""

import logging
from pathlib import Path
from typing import Any

import pandas as pd

from dermdit_kedro.diagnosis.examples import (
    REAL,
    SYNTHETIC,
    TooFewImagesError,
    arm_examples,
    real_examples,
    refuse_foreign,
    synthetic_examples,
)
from dermdit_kedro.diagnosis.parameters import ArmConfig, ClassifierConfig, ClassifierTraining, EvaluationConfig
from dermdit_kedro.handles import ImageFolder, ModelFolder
from dermdit_kedro.launching import LaunchConfig
from dermdit_kedro.metrics.parameters import GroupFairnessConfig
from dermdit_kedro.pipelines.variants import named
from dermdit_kedro.report.parameters import ReportConfig

logger = logging.getLogger(__name__)


def train_classifier(
    images: ImageFolder,
    manifest: pd.DataFrame,
    synthetic_images: ImageFolder,
    synthetic_manifest: pd.DataFrame,
    arm: ArmConfig,
    classifier: ClassifierConfig,
    classifier_training: ClassifierTraining,
    image_size: int,
    seed: int,
    launch_config: LaunchConfig,
    work_dir: Path,
    arm_name: str,
) -> ModelFolder:
    """Train an arm's classifiers, one a seed, all arms for the same number of steps.

    Arms that train on the same, and only decide otherwise, share their classifiers.

    Args:
        images: Prepared images.
        manifest: Their manifest.
        synthetic_images: The generated images of the default variant.
        synthetic_manifest: Their manifest.
        arm: What the arm trains on.
        classifier: Architecture and first weights.
        classifier_training: Epochs, seeds, batch, optimizer.
        image_size: Side of the images.
        seed: Seed of the run.
        launch_config: Where it runs.
        work_dir: The folder of all work folders.
        arm_name: The arm's name.

    Returns:
        A folder with `seed_0/`, `seed_1/`, ...; of an arm with too few synthetic images one that says so.
    """
    from dermdit_kedro.diagnosis.jobs import leave_untrained, train_seeds

    name = f"train_classifier.{arm.training_set}"
    refuse_foreign(synthetic_manifest, manifest)
    real = real_examples(manifest, images, classifier.label_name)
    try:
        examples = arm_examples(real, synthetic_examples(synthetic_manifest), arm, classifier.label_name, seed)
    except TooFewImagesError as error:
        logger.warning("the arm %s is not trained: %s", arm_name, error)
        return leave_untrained(work_dir, name, str(error))
    return train_seeds(
        work_dir,
        name,
        examples=examples,
        folders={REAL: images, SYNTHETIC: synthetic_images},
        classifier=classifier,
        training=classifier_training.for_images(int((real["split"] == "train").sum())),
        balance=classifier_training.balance,
        image_size=image_size,
        seeds=range(seed, seed + classifier_training.num_seeds),
        launch_config=launch_config,
    )


def predict(
    classifier_folder: ModelFolder,
    images: ImageFolder,
    manifest: pd.DataFrame,
    classifier: ClassifierConfig,
    evaluation: EvaluationConfig,
    arm_name: str,
) -> pd.DataFrame:
    """Score the validation and test images with every seed's classifier of an arm.

    Args:
        classifier_folder: The arm's classifiers.
        images: Prepared images.
        manifest: Their manifest.
        classifier: Names the label that was learned.
        evaluation: Test sets that are judged by the other label.
        arm_name: The arm's name.

    Returns:
        The table `predictions`: one row an image and seed.
    """
    from dermdit_kedro.diagnosis import predict as prediction

    rows = prediction.rows_to_predict(manifest, images, classifier.label_name, evaluation)
    return prediction.predict(classifier_folder, rows, images, arm_name)


def score_diagnosis(
    predictions: pd.DataFrame, arm: ArmConfig, group_fairness: GroupFairnessConfig, seed: int
) -> dict[str, Any]:
    """Measure how well an arm diagnoses, on every test set and per estimated tone.

    Args:
        predictions: The arm's predictions; its validation rows choose the thresholds.
        arm: Whether groups have thresholds of their own.
        group_fairness: Least counts, resamples, confidence.
        seed: Seed of the resamples.

    Returns:
        The content of `diagnosis_metrics.json`.
    """
    from dermdit_kedro.diagnosis.thresholds import decide
    from dermdit_kedro.metrics.diagnosis import score_arm

    return score_arm(*decide(predictions, arm.threshold_by), group_fairness, seed)


def score_fairness(
    predictions: pd.DataFrame, arm: ArmConfig, group_fairness: GroupFairnessConfig, seed: int
) -> dict[str, Any]:
    """Measure how differently an arm serves groups of people, attribute by attribute.

    Args:
        predictions: The arm's predictions; its validation rows choose the thresholds.
        arm: Whether groups have thresholds of their own.
        group_fairness: Attributes, least counts, resamples, confidence.
        seed: Seed of the resamples and permutations.

    Returns:
        The content of `group_fairness.json`.
    """
    from dermdit_kedro.diagnosis.thresholds import decide
    from dermdit_kedro.metrics.group_fairness import score_groups

    return score_groups(decide(predictions, arm.threshold_by)[0], group_fairness, seed)


def compare_arms(group_fairness: GroupFairnessConfig, report: ReportConfig, **parts: Any) -> dict[str, Any]:
    """Compare every arm with the baseline on the same images.

    Args:
        group_fairness: Attributes, least counts, confidence.
        report: Names the baseline.
        **parts: `<arm>.predictions` and `<arm>.arm`.

    Returns:
        The content of `arm_comparison.json`.
    """
    from dermdit_kedro.diagnosis.thresholds import decide
    from dermdit_kedro.metrics import arm_comparison

    arms = named(parts, "arm")
    decided = {name: decide(part, arms[name].threshold_by)[0] for name, part in named(parts, "predictions").items()}
    return arm_comparison.compare_arms(decided, report.baseline_arm, group_fairness)


def write_verdict(arm_comparison: dict[str, Any], **parts: Any) -> dict[str, Any]:
    """Judge the arms by the rules that the verdict states.

    Args:
        arm_comparison: What `compare_arms` found.
        **parts: `<arm>.diagnosis_metrics` and `<arm>.group_fairness`.

    Returns:
        The content of `verdict.json`.
    """
    from dermdit_kedro.report import verdict

    return verdict.write_verdict(arm_comparison, named(parts, "diagnosis_metrics"), named(parts, "group_fairness"))


def join_table1(report: ReportConfig, **image_metrics: dict[str, Any]) -> pd.DataFrame:
    """Join the variants' image metrics into Table 1.

    Args:
        report: Labels of the rows.
        **image_metrics: `image_metrics` by variant, in the order of the table.

    Returns:
        One row a variant.

    Raises:
        ValueError: If an entry is not that variant's.
    """
    from dermdit_kedro.metrics.tables import table1

    return table1(image_metrics, report.variant_labels)


def join_table2(report: ReportConfig, arm_comparison: dict[str, Any], **parts: dict[str, Any]) -> pd.DataFrame:
    """Join the arms' diagnosis metrics and their differences from the baseline into Table 2.

    Args:
        report: The rows that come first, with their labels.
        arm_comparison: What `compare_arms` found.
        **parts: `<arm>.diagnosis_metrics`, in the order of the table.

    Returns:
        One row a test set, group (overall or a tone) and arm.

    Raises:
        ValueError: If an entry is not that arm's.
    """
    from dermdit_kedro.metrics.tables import table2

    return table2(named(parts, "diagnosis_metrics"), arm_comparison, report.table2_rows)

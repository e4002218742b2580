"""Nodes of fairness_evaluation that look at images: are they like real ones, and do they show what was asked for?"""

from pathlib import Path
from typing import Any

import pandas as pd

from dermdit_kedro.diagnosis.parameters import HELD_OUT, ClassifierConfig, ClassifierTraining
from dermdit_kedro.handles import Features, ImageFolder, ModelFolder
from dermdit_kedro.launching import LaunchConfig
from dermdit_kedro.metrics import extraction
from dermdit_kedro.metrics.parameters import ExtractorConfig, ImageQualityConfig
from dermdit_kedro.pipelines.fairness_evaluation.comparing import FINETUNED, MEASURED, distances, real_files

INCEPTION_SEED = 1000
"""Added to the run's seed, so that the feature network is no twin of a judge."""


def train_inception(
    images: ImageFolder,
    manifest: pd.DataFrame,
    inception: ClassifierConfig,
    classifier_training: ClassifierTraining,
    image_size: int,
    seed: int,
    launch_config: LaunchConfig,
    work_dir: Path,
) -> ModelFolder:
    """Train the network whose features stand for the paper's fine-tuned Inception (section 3.2).

    Args:
        images: Prepared images.
        manifest: Their manifest; its train rows train, its val rows choose.
        inception: Architecture and first weights.
        classifier_training: How it is trained.
        image_size: Side of the images.
        seed: Seed of the run.
        launch_config: Where it runs.
        work_dir: The folder of all work folders.

    Returns:
        A folder with one classifier.
    """
    from dermdit_kedro.diagnosis.jobs import train_on_real

    return train_on_real(
        work_dir,
        "train_inception",
        images,
        manifest,
        inception,
        classifier_training,
        image_size=image_size,
        seed=seed + INCEPTION_SEED,
        launch_config=launch_config,
    )


def extract_real_features(
    images: ImageFolder,
    manifest: pd.DataFrame,
    inception_folder: ModelFolder,
    extractor: ExtractorConfig,
    launch_config: LaunchConfig,
    work_dir: Path,
) -> tuple[Features, Features, Features]:
    """Extract the features of real images that the synthetic ones are compared with.

    Held-out images are the test split of the sources that train: the same kind of images, seen by no model.

    Args:
        images: Prepared images.
        manifest: Their manifest.
        inception_folder: The fine-tuned network.
        extractor: The general network.
        launch_config: Where it runs.
        work_dir: The folder of all work folders.

    Returns:
        Held-out images by the general network; training and held-out images by the fine-tuned one.
    """
    train, held_out = real_files(images, manifest)
    general = (extractor, launch_config)
    finetuned = (FINETUNED, launch_config, inception_folder)
    return (
        extraction.extract_features(work_dir, "held_out_features", images, held_out, *general),
        extraction.extract_features(work_dir, "finetuned_train_features", images, train, *finetuned),
        extraction.extract_features(work_dir, "finetuned_held_out_features", images, held_out, *finetuned),
    )


def extract_features(
    synthetic_images: ImageFolder,
    inception_folder: ModelFolder,
    extractor: ExtractorConfig,
    launch_config: LaunchConfig,
    work_dir: Path,
) -> tuple[Features, Features]:
    """Extract the features of all generated images, kept or not.

    Args:
        synthetic_images: The generated images.
        inception_folder: The fine-tuned network.
        extractor: The general network.
        launch_config: Where it runs.
        work_dir: The folder of all work folders.

    Returns:
        Features by the general network and by the fine-tuned one.
    """
    files = synthetic_images.index()[["image_id", "file"]]
    finetuned = (FINETUNED, launch_config, inception_folder)
    return (
        extraction.extract_features(work_dir, "synthetic_features", synthetic_images, files, extractor, launch_config),
        extraction.extract_features(work_dir, "finetuned_features", synthetic_images, files, *finetuned),
    )


def score_images(
    images: ImageFolder,
    manifest: pd.DataFrame,
    synthetic_images: ImageFolder,
    synthetic_manifest: pd.DataFrame,
    train_features: Features,
    held_out_features: Features,
    synthetic_features: Features,
    finetuned_train_features: Features,
    finetuned_held_out_features: Features,
    finetuned_features: Features,
    further_metrics: dict[str, Any],
    autoencoder_metrics: dict[str, Any],
    judge: ModelFolder,
    image_quality: ImageQualityConfig,
    image_size: int,
    seed: int,
    variant_name: str,
    judge_name: str,
) -> dict[str, Any]:
    """Compare all generated images, kept or not, with real ones and with what was asked for.

    Args:
        images: Prepared images.
        manifest: Their manifest.
        synthetic_images: The generated images.
        synthetic_manifest: What was asked for and what was measured.
        train_features: Training images, by the general network.
        held_out_features: Held-out images, by the general network.
        synthetic_features: Generated images, by the general network.
        finetuned_train_features: Training images, by the fine-tuned network.
        finetuned_held_out_features: Held-out images, by the fine-tuned network.
        finetuned_features: The generated ones, by the fine-tuned network.
        further_metrics: What further networks found.
        autoencoder_metrics: How far training images are that went through the generator's autoencoder.
        judge: The classifiers that say what label an image shows.
        image_quality: Pairs, subsets, confidence.
        image_size: Side of the images.
        seed: Seed of all draws.
        variant_name: The variant's name.
        judge_name: The judge's name.

    Returns:
        The content of `image_metrics.json`.
    """
    from dermdit_kedro.diagnosis.examples import refuse_foreign
    from dermdit_kedro.metrics.agreement import tone_agreement

    refuse_foreign(synthetic_manifest, manifest)
    for folder in (images, synthetic_images):
        folder.refuse_other_size(image_size)
    by_finetuned = finetuned_train_features, finetuned_held_out_features, finetuned_features
    by_general = train_features, held_out_features, synthetic_features
    found = [*(distances(*by, image_quality, seed) for by in (by_general, by_finetuned)), further_metrics]
    by_group = held_out_features, synthetic_features, manifest, synthetic_manifest
    ready = images.index().merge(manifest[["image_id", "split"]], on="image_id")
    generated = (synthetic_images, list(synthetic_images.index()["file"]))
    trained_on = (images, list(ready.loc[ready["split"] == "train", "file"]))
    return {
        "variant": variant_name,
        "image_size": image_size,
        "images": "all generated, before screening",
        **{kind: [entry for part in found for entry in part.get(kind, [])] for kind in MEASURED},
        "passed_over": further_metrics["passed_over"],
        "autoencoder": autoencoder_metrics,
        "kid_by_group": _by_group(*by_group, image_quality, seed),
        "ms_ssim": _diversity([generated, trained_on], image_size, image_quality, seed),
        "tone_agreement": tone_agreement(synthetic_manifest, image_quality.confidence),
        "label_agreement": _label_agreement(
            judge, judge_name, images, manifest, synthetic_images, synthetic_manifest, image_quality.confidence
        ),
    }


def _by_group(
    held_out: Features, synthetic: Features, real: pd.DataFrame, asked: pd.DataFrame, config: Any, seed: int
) -> list[dict[str, Any]]:
    """Compare within label x tone: what real images show with what synthetic ones were asked to show."""
    from dermdit_kedro.metrics.feature_distances import compare_groups, label_and_tone

    tables = (held_out, real), (synthetic, asked.rename(columns={"sample_id": "image_id"}))
    sides = [features.index()[["image_id"]].merge(table, on="image_id", how="left") for features, table in tables]
    groups = label_and_tone(sides[0]), label_and_tone(sides[1], prefix="requested_")
    return compare_groups(synthetic.name, held_out.array(), synthetic.array(), groups, config, seed)


def _diversity(
    files: list[tuple[ImageFolder, list[str]]], image_size: int, config: ImageQualityConfig, seed: int
) -> dict[str, Any] | None:
    """Measure MS-SSIM of synthetic images, then of real ones."""
    from dermdit_kedro.dermoscopy.images import ImageStack
    from dermdit_kedro.metrics.image_quality import ms_ssim_diversity, ms_ssim_entry

    stacks = [ImageStack(folder, names) for folder, names in files]
    measured = [ms_ssim_diversity(stack.__getitem__, len(stack), image_size, config, seed) for stack in stacks]
    return ms_ssim_entry(image_size, *measured)


def _label_agreement(
    judge: ModelFolder,
    judge_name: str,
    images: ImageFolder,
    manifest: pd.DataFrame,
    synthetic_images: ImageFolder,
    synthetic_manifest: pd.DataFrame,
    confidence: float,
) -> dict[str, Any] | None:
    """Let the judge call the generated images and the held-out real ones."""
    from dermdit_kedro.diagnosis import predict as prediction
    from dermdit_kedro.diagnosis.classifier import read_cards
    from dermdit_kedro.metrics.agreement import label_agreement

    cards, requested = read_cards(judge), synthetic_manifest["requested_is_malignant"]
    if requested.isna().all() or cards[0].label_name != "is_malignant":
        return None
    rows = prediction.rows_to_predict(manifest, images, "is_malignant")
    rows = rows[rows["test_set"] == HELD_OUT]
    thresholds = {card.seed: card.threshold for card in cards}
    called, real_called = (
        prediction.decide_together(prediction.score_images(judge, folder, list(table["file"])), thresholds)
        for folder, table in ((synthetic_images, synthetic_manifest), (images, rows))
    )
    return label_agreement(requested, called, rows["label"], real_called, judge_name, confidence)

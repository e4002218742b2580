"""Nodes of synthesis: the plan here, sampling, features and classifier as jobs, then the screens."""

import functools
import logging
from pathlib import Path
from typing import Any

import pandas as pd

from dermdit_kedro.augmentation.parameters import ScreeningConfig, SynthesisConfig
from dermdit_kedro.dermoscopy.parameters import DataEngineeringConfig
from dermdit_kedro.diagnosis.parameters import ClassifierConfig, ClassifierTraining
from dermdit_kedro.diffusion.parameters import SamplerConfig
from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import Features, ImageFolder, ModelFolder
from dermdit_kedro.jobs import create_job
from dermdit_kedro.launching import LaunchConfig, launch
from dermdit_kedro.metrics import extraction
from dermdit_kedro.metrics.parameters import ExtractorConfig
from dermdit_kedro.prompts.parameters import PromptSetConfig
from dermdit_kedro.seeds import stable_seed

logger = logging.getLogger(__name__)


def extract_train_features(
    images: ImageFolder, manifest: pd.DataFrame, extractor: ExtractorConfig, launch_config: LaunchConfig, work_dir: Path
) -> Features:
    """Extract the features of the real training images, which every variant is compared with.

    Args:
        images: Prepared images.
        manifest: Their manifest.
        extractor: The network.
        launch_config: Where it runs.
        work_dir: The folder of all work folders.

    Returns:
        The features of the images in split `train`.
    """
    files = _real_images(manifest, images, "train")
    return extraction.extract_features(work_dir, "train_features", images, files, extractor, launch_config)


def train_screening_classifier(
    images: ImageFolder,
    manifest: pd.DataFrame,
    screening_classifier: ClassifierConfig,
    classifier_training: ClassifierTraining,
    image_size: int,
    seed: int,
    launch_config: LaunchConfig,
    work_dir: Path,
) -> ModelFolder:
    """Train the classifier of the label screen on real training images alone; it is not the judge.

    Args:
        images: Prepared images.
        manifest: Their manifest; its train rows train, its val rows choose weights and threshold.
        screening_classifier: Architecture and first weights, others than the judge's.
        classifier_training: How it is trained.
        image_size: Side of the images.
        seed: Seed of the run; the classifier's own is derived from it.
        launch_config: Where it runs.
        work_dir: The folder of all work folders.

    Returns:
        A folder with one classifier.

    Raises:
        UserError: If its label is not the one that plans ask for.
    """
    from dermdit_kedro.diagnosis.jobs import train_on_real

    if screening_classifier.label_name != "is_malignant":
        raise UserError(
            "screening_classifier.label_name must be is_malignant, the label that plans ask for. "
            f"Got {screening_classifier.label_name!r}"
        )
    return train_on_real(
        work_dir,
        "train_screening_classifier",
        images,
        manifest,
        screening_classifier,
        classifier_training,
        image_size=image_size,
        seed=stable_seed(seed, "screening_classifier") % 2**31,
        launch_config=launch_config,
    )


def plan_synthesis(
    manifest: pd.DataFrame,
    synthesis: SynthesisConfig,
    seed: int,
    prompts: pd.DataFrame | None = None,
    prompt_set: PromptSetConfig | None = None,
    synthesis_table: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Plan which images to make.

    Args:
        manifest: The manifest; its training rows say what the generator has seen.
        synthesis: How many of whom.
        seed: Seed of the run.
        prompts: The captions the generator was trained with; null for an unconditional one.
        prompt_set: What those captions name; null for an unconditional one.
        synthesis_table: What the strategy `table` asks for.

    Returns:
        The plan, and the groups too small to plan for.
    """
    from dermdit_kedro.augmentation.plan import plan_groups, plan_unconditional, training_records
    from dermdit_kedro.augmentation.plan_rows import group_name
    from dermdit_kedro.augmentation.plan_table import plan_table, read_table

    if prompt_set is None:
        plan = plan_unconditional(synthesis.num_unconditional_images or synthesis.num_images, seed)
    elif synthesis.strategy == "table":
        assert synthesis_table is not None, "the pipeline sees to it"
        train, asked = training_records(manifest, prompts), read_table(synthesis_table)
        plan = plan_table(train, asked, prompt_set.attributes, synthesis.min_train_images, seed)
    else:
        plan = plan_groups(training_records(manifest, prompts), synthesis, prompt_set.attributes, seed)
    for left_out in plan.unsupported_groups:
        logger.warning(
            "not planned for: %s; %d training images show it, synthesis.min_train_images asks for %d",
            group_name(left_out["group"]).replace("_", " "), left_out["n_train"], left_out["min_train_images"],
        )  # fmt: skip
    return plan.rows, {"unsupported_groups": plan.unsupported_groups}


def sample_images(
    generator: ModelFolder,
    synthesis_plan: pd.DataFrame,
    sampler: SamplerConfig,
    launch_config: LaunchConfig,
    work_dir: Path,
) -> ImageFolder:
    """Draw every image of the plan.

    Args:
        generator: All that sampling needs.
        synthesis_plan: The plan.
        sampler: Scheduler, steps and guidance.
        launch_config: Where it runs.
        work_dir: The folder of all work folders.

    Returns:
        The images, `<sample_id>.png`.
    """
    job = create_job(
        work_dir,
        "sample_images",
        "dermdit_kedro.diffusion.sample",
        config={"sampler": sampler},
        inputs={"generator": generator, "plan": synthesis_plan[["sample_id", "prompt", "seed"]]},
    )
    launch(job, launch_config)
    return job.handle(ImageFolder)


def screen_images(
    synthetic_images: ImageFolder,
    synthesis_plan: pd.DataFrame,
    unsupported_groups: dict[str, Any],
    generator: ModelFolder,
    images: ImageFolder,
    manifest: pd.DataFrame,
    train_features: Features,
    screening_classifier_folder: ModelFolder,
    screening: ScreeningConfig,
    sampler: SamplerConfig,
    extractor: ExtractorConfig,
    data_engineering: DataEngineeringConfig,
    launch_config: LaunchConfig,
    work_dir: Path,
    variant_name: str,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Say of every synthetic image whether to keep it, and if not, why.

    Args:
        synthetic_images: The images of the plan.
        synthesis_plan: The plan.
        unsupported_groups: The groups it leaves out.
        generator: What drew them.
        images: Prepared real images.
        manifest: Their manifest; val rows calibrate the screens and count their false alarms.
        train_features: Features of the training images.
        screening_classifier_folder: The classifier of the label screen.
        screening: The screens.
        sampler: How the images were drawn.
        extractor: The network of the features.
        data_engineering: How skin tone is measured.
        launch_config: Where features are extracted.
        work_dir: The folder of all work folders.
        variant_name: The generator's name.

    Returns:
        The manifest of the synthetic set, and the report of the screens.
    """
    from dermdit_kedro.augmentation.evidence import Candidates, look_at_training_images
    from dermdit_kedro.augmentation.plan import is_unconditional
    from dermdit_kedro.augmentation.screening import asked_of_plan, asked_of_real, screen
    from dermdit_kedro.augmentation.synthetic_manifest import build_synthetic_manifest

    extract = functools.partial(extraction.extract_features, work_dir, extractor=extractor, launch_config=launch_config)
    train_files = _real_images(manifest, images, "train")
    train = look_at_training_images(images, train_files, train_features, screening.memorisation.hash_size)
    files, val_files = synthetic_images.index()[["image_id", "file"]], _real_images(manifest, images, "val")
    synthetic_features = extract("synthetic_features", synthetic_images, files)
    val_features = extract("validation_features", images, val_files)
    synthetic = Candidates(synthetic_images, asked_of_plan(synthesis_plan), synthetic_features)
    held_out = Candidates(images, asked_of_real(manifest, val_files), val_features)
    screened = screen(synthetic, held_out, train, screening_classifier_folder, screening, data_engineering.skin_tone)
    copying = screened.report["memorisation"] or {}
    if copying.get("copies"):
        logger.warning(
            "%s copies its training images: %.1f %% of its images look like copies, and %.1f %% of real ones that it "
            "has never seen. It was trained too long, or on too few images",
            variant_name, 100 * copying["share_accused"], 100 * copying["false_alarm_rate"],
        )  # fmt: skip
    synthetic_manifest = build_synthetic_manifest(
        synthesis_plan,
        screened.evidence,
        screened.reasons,
        generator=f"{variant_name}@{generator.fingerprint}",
        guidance_scale=1.0 if is_unconditional(synthesis_plan) else sampler.guidance_scale,
        num_inference_steps=sampler.num_inference_steps,
    )
    by = {"variant": variant_name, "extractor": extractor.name}
    return synthetic_manifest, {**by, **unsupported_groups, **screened.report}


def _real_images(manifest: pd.DataFrame, images: ImageFolder, split: str) -> pd.DataFrame:
    """Return image_id and file of the prepared images of one split, in the order of the manifest."""
    rows = manifest.loc[manifest["split"] == split, ["image_id"]]
    files = rows.merge(images.index()[["image_id", "file"]], on="image_id", how="left", validate="one_to_one")
    missing = files.loc[files["file"].isna(), "image_id"]
    if len(missing) or files.empty:
        found = f"{len(missing)} are not, the first is {missing.iloc[0]!r}" if len(missing) else "there is none"
        raise UserError(
            f"every {split} image of the manifest must be among the prepared images, and there must be one: {found}. "
            "Run `kedro run --pipeline data_engineering` again, or change data_engineering.val_share"
        )
    return files

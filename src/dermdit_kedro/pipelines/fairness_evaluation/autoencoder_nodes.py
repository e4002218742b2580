"""The node of fairness_evaluation that says how much of the distance to real images the autoencoder makes."""

import logging
from pathlib import Path
from typing import Any, Final

import pandas as pd

from dermdit_kedro.handles import Features, ImageFolder, ModelFolder
from dermdit_kedro.jobs import create_job
from dermdit_kedro.launching import LaunchConfig, launch
from dermdit_kedro.metrics import extraction
from dermdit_kedro.metrics.parameters import ExtractorConfig, ImageQualityConfig
from dermdit_kedro.pipelines.fairness_evaluation.comparing import FINETUNED, distances, real_files

logger = logging.getLogger(__name__)

COMPARED: Final = ("frechet_distance", "kid", "manifold")


def measure_autoencoder(
    images: ImageFolder,
    manifest: pd.DataFrame,
    generator: ModelFolder,
    synthetic_images: ImageFolder,
    inception_folder: ModelFolder,
    train_features: Features,
    held_out_features: Features,
    finetuned_train_features: Features,
    finetuned_held_out_features: Features,
    extractor: ExtractorConfig,
    image_quality: ImageQualityConfig,
    launch_config: LaunchConfig,
    work_dir: Path,
    seed: int,
) -> dict[str, Any]:
    """Compare training images, passed through the generator's autoencoder, with held-out images.

    It is what generated images reach that show exactly what training images show: whatever the denoiser learns, the
    decoder draws it. As many are drawn as are compared of the generated ones.

    Args:
        images: Prepared images.
        manifest: Their manifest.
        generator: The generator, with its autoencoder.
        synthetic_images: What it drew.
        inception_folder: The fine-tuned network.
        train_features: Training images, by the general network.
        held_out_features: Held-out images, by the general network.
        finetuned_train_features: Training images, by the fine-tuned network.
        finetuned_held_out_features: Held-out images, by the fine-tuned network.
        extractor: The general network.
        image_quality: Neighbours and confidence.
        launch_config: Where it runs.
        work_dir: The folder of all work folders.
        seed: Seed of all draws.

    Returns:
        `n`, `reason` (why it was not measured, or None) and, against held-out images, the lists `frechet_distance`,
        `kid` and `manifold` as in `image_metrics.json`.
    """
    from dermdit_kedro.diffusion.reconstruct import why_not

    train, held_out = real_files(images, manifest)
    n = min(len(train), len(held_out), len(synthetic_images.index()))
    reason = why_not(generator)
    if reason is not None:
        logger.warning("how much of the distance the autoencoder makes is not measured: %s", reason)
        return {"n": n, "reason": reason, **{kind: [] for kind in COMPARED}}
    job = create_job(
        work_dir,
        "reconstruct_images",
        "dermdit_kedro.diffusion.reconstruct",
        config={},
        inputs={"images": images, "generator": generator, "examples": train.sample(n, random_state=seed)[["file"]]},
    )
    launch(job, launch_config.alone())
    folder = job.handle(ImageFolder)
    files = folder.index()[["image_id", "file"]]
    general = extraction.extract_features(
        work_dir, "reconstructed_features", folder, files, extractor, launch_config.alone()
    )
    finetuned = extraction.extract_features(
        work_dir, "finetuned_reconstructed_features", folder, files, FINETUNED, launch_config.alone(), inception_folder
    )
    sets = (
        (train_features, held_out_features, general),
        (finetuned_train_features, finetuned_held_out_features, finetuned),
    )
    found = [distances(*features, image_quality, seed) for features in sets]
    return {
        "n": n,
        "reason": None,
        **{kind: [e for part in found for e in part[kind] if e["reference"] == "held_out"] for kind in COMPARED},
    }

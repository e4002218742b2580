"""The node of fairness_evaluation that compares images by networks of the user's choice."""

import logging
from pathlib import Path
from typing import Any

import pandas as pd

from dermdit_kedro.handles import ImageFolder
from dermdit_kedro.launching import LaunchConfig
from dermdit_kedro.metrics import extraction
from dermdit_kedro.metrics.parameters import ExtractorConfig, ImageQualityConfig
from dermdit_kedro.pipelines.fairness_evaluation.comparing import MEASURED, distances, real_files

logger = logging.getLogger(__name__)


def score_by_further_networks(
    images: ImageFolder,
    manifest: pd.DataFrame,
    synthetic_images: ImageFolder,
    extractor: ExtractorConfig,
    image_quality: ImageQualityConfig,
    launch_config: LaunchConfig,
    work_dir: Path,
    seed: int,
) -> dict[str, Any]:
    """Compare all generated images with real ones by every further network whose weights are there.

    The features of real images are extracted once; the other variants find them in the work folder.

    Args:
        images: Prepared images.
        manifest: Their manifest.
        synthetic_images: The generated images.
        extractor: The general network; a further one of its name is not taken twice.
        image_quality: The further networks; neighbours and confidence.
        launch_config: Where they run.
        work_dir: The folder of all work folders.
        seed: Seed of all draws.

    Returns:
        The lists of `image_metrics.json` that networks add to, and `passed_over`: name and reason of each network
        that was not asked.
    """
    from dermdit_kedro.metrics.extractors import weights_are_there

    found: dict[str, Any] = {kind: [] for kind in (*MEASURED, "passed_over")}
    sets = {
        name: (images, files)
        for name, files in zip(("train", "held_out"), real_files(images, manifest), strict=True)
    } | {"synthetic": (synthetic_images, synthetic_images.index()[["image_id", "file"]])}  # fmt: skip
    for config in image_quality.further_extractors:
        if config.name == extractor.name:
            reason = "it is the extractor already"
        elif not weights_are_there(config):
            reason = f"its weights are not there: {Path(config.weights or '').name}"
        else:
            train, held_out, synthetic = (
                extraction.extract_features(
                    work_dir, f"{name}_features_of_{_short(config)}", *of, config, launch_config
                )
                for name, of in sets.items()
            )
            for kind, entries in distances(train, held_out, synthetic, image_quality, seed).items():
                found[kind] += entries
            continue
        logger.warning("images are not compared by %s: %s", config.name, reason)
        found["passed_over"].append({"name": config.name, "reason": reason})
    return found


def _short(config: ExtractorConfig) -> str:
    return config.name.removeprefix("timm:").split(".")[0]

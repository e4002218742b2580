"""The node that makes the finished synthetic set, a folder that anything opens."""

from pathlib import Path
from typing import Any

import pandas as pd

from dermdit_kedro.diffusion.parameters import SamplerConfig
from dermdit_kedro.handles import ImageFolder
from dermdit_kedro.jobs import create_job
from dermdit_kedro.launching import LaunchConfig, launch


def publish_set(
    synthetic_images: ImageFolder,
    synthetic_manifest: pd.DataFrame,
    screening: dict[str, Any],
    manifest: pd.DataFrame,
    data_report: dict[str, Any],
    sampler: SamplerConfig,
    image_size: int,
    launch_config: LaunchConfig,
    work_dir: Path,
    variant_name: str,
) -> ImageFolder:
    """Put the kept images, their tables and a data card together.

    Args:
        synthetic_images: All images of the plan.
        synthetic_manifest: Which of them are kept.
        screening: The report of the screens.
        manifest: The real images that the generator learned from.
        data_report: What the sources are.
        sampler: How the images were drawn.
        image_size: Side of the images in pixels.
        launch_config: Where it runs.
        work_dir: The folder of all work folders.
        variant_name: The generator's name.

    Returns:
        A folder with `images/`, `metadata.jsonl`, `manifest.parquet` and `README.md`.
    """
    from dermdit_kedro.augmentation.data_card import describe_screening
    from dermdit_kedro.diffusion.model_card import count_sources
    from dermdit_kedro.report.summary import kind_of_data

    first = synthetic_manifest.iloc[0]
    card = {
        "variant": variant_name,
        "image_size": image_size,
        "shows": kind_of_data(data_report),
        "conditional": bool((synthetic_manifest["prompt"] != "").any()),
        "generator": str(first["generator"]),
        "scheduler": sampler.scheduler,
        "num_inference_steps": int(first["num_inference_steps"]),
        "guidance_scale": float(first["guidance_scale"]),
        **count_sources(manifest),
        **describe_screening(screening),
    }
    job = create_job(
        work_dir,
        f"publish_set.{variant_name}",
        "dermdit_kedro.augmentation.publish",
        config={"card": card},
        inputs={"images": synthetic_images, "manifest": synthetic_manifest},
    )
    launch(job, launch_config.alone())
    return job.handle(ImageFolder)

"""Nodes for those who look: the finished synthetic set, a folder that anything opens, and prompt swaps."""

from pathlib import Path
from typing import Any

import pandas as pd

from dermdit_kedro.augmentation.parameters import SwapConfig, SynthesisConfig
from dermdit_kedro.dermoscopy.parameters import DataEngineeringConfig
from dermdit_kedro.diffusion.parameters import SamplerConfig
from dermdit_kedro.handles import ImageFolder, ModelFolder
from dermdit_kedro.jobs import create_job
from dermdit_kedro.launching import LaunchConfig, launch
from dermdit_kedro.prompts.parameters import PromptSetConfig

THUMBNAIL_PX = 96
"""Longest side of an image in the figure of prompt swaps."""


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
        "guidance_interval": list(sampler.guidance_interval),
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


def swap_prompts(
    generator: ModelFolder,
    manifest: pd.DataFrame,
    screening_classifier_folder: ModelFolder,
    prompt_set: PromptSetConfig,
    prompt_swaps: SwapConfig,
    synthesis: SynthesisConfig,
    sampler: SamplerConfig,
    data_engineering: DataEngineeringConfig,
    seed: int,
    launch_config: LaunchConfig,
    work_dir: Path,
) -> tuple[dict[str, Any], Any]:
    """Draw images whose prompts differ in one word, from the same seeds, and measure what moved.

    Args:
        generator: All that sampling needs.
        manifest: The real images; its training rows say which values the generator has seen.
        screening_classifier_folder: Says how malignant an image looks.
        prompt_set: What the prompts of this generator name.
        prompt_swaps: Which words, how many seeds.
        synthesis: Training images that a value needs to be shown.
        sampler: How the images are drawn.
        data_engineering: How skin tone is measured.
        seed: Seed of the run.
        launch_config: Where it runs.
        work_dir: The folder of all work folders.

    Returns:
        What was measured, by attribute and value, empty where no attribute has two values that enough training images
        show; and the figure.
    """
    from dermdit_kedro.augmentation.evidence import malignancy_margins, measure_pixels
    from dermdit_kedro.augmentation.swaps import plan_swaps, score_swaps
    from dermdit_kedro.pipelines.synthesis.nodes import sample_images
    from dermdit_kedro.report.swap_figure import prompt_swap_figure

    plan = plan_swaps(manifest, prompt_swaps, prompt_set.attributes, synthesis.min_train_images, seed)
    if plan.empty:  # no attribute has two values that enough training images show
        return {}, prompt_swap_figure(plan, None, {}, shown=1, thumbnail_px=THUMBNAIL_PX)
    images = sample_images(generator, plan, sampler, launch_config, work_dir)
    files = [f"{sample_id}.png" for sample_id in plan["sample_id"]]
    pixels = measure_pixels(images, files, data_engineering.skin_tone)
    scores = score_swaps(plan, images, pixels, list(malignancy_margins(screening_classifier_folder, images, files)))
    shown = min(prompt_swaps.shown, prompt_swaps.num_seeds)
    return scores, prompt_swap_figure(plan, images, scores, shown=shown, thumbnail_px=THUMBNAIL_PX)

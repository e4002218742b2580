"""Draw the images of a plan with a generator folder alone.

`accelerate launch -m dermdit_kedro.diffusion.sample <job folder>` repeats a run without Kedro. An image
depends on its row (prompt, seed) and the settings, not on batch size, process or what ran before.
"""

from typing import Any

import pandas as pd
import torch

from dermdit_kedro.dermoscopy.images import build_image_index, to_uint8, write_png
from dermdit_kedro.diffusion.parameters import SamplerConfig
from dermdit_kedro.diffusion.sampler import DermDiTPipeline
from dermdit_kedro.diffusion.schedulers import swap_scheduler
from dermdit_kedro.handles import ModelFolder
from dermdit_kedro.jobs import Job
from dermdit_kedro.progress import Progress


def sample_batch(pipeline: Any, rows: pd.DataFrame, sampler: SamplerConfig) -> torch.Tensor:
    """Draw the images of some plan rows.

    Args:
        pipeline: A loaded `DermDiTPipeline`.
        rows: Columns prompt and seed.
        sampler: Steps and guidance.

    Returns:
        uint8 (b, 3, h, w).
    """
    generators = [torch.Generator().manual_seed(int(seed)) for seed in rows["seed"]]
    images = pipeline(
        list(rows["prompt"]),
        guidance_scale=sampler.guidance_scale if pipeline.config.conditional else 1.0,
        guidance_interval=sampler.guidance_interval,
        negative_prompt=sampler.negative_prompt,
        num_inference_steps=sampler.num_inference_steps,
        generator=generators,
        output_type="pt",
    ).images
    return to_uint8(images * 2 - 1)


def load_generator(folder: ModelFolder, sampler: SamplerConfig, device: torch.device) -> Any:
    """Load a generator folder, to draw with a scheduler by name.

    Args:
        folder: Written by `diffusion.export`, or any folder that `DermDiTPipeline` loads.
        sampler: The scheduler.
        device: Where it computes.

    Returns:
        The pipeline.

    Raises:
        UserError: If the generator was not trained for such a scheduler.
    """
    pipeline: Any = DermDiTPipeline.from_pretrained(folder.path)
    pipeline.scheduler = swap_scheduler(pipeline.scheduler, sampler.scheduler)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def main(job: Job) -> None:
    """Draw what is missing of this process's share; the main process then writes the index.

    Args:
        job: Config `sampler`; input `generator` and table `plan` (sample_id, prompt, seed).
    """
    from accelerate import PartialState

    state = PartialState()
    sampler, plan = job.config("sampler", SamplerConfig), job.table("plan")
    pipeline = load_generator(job.input("generator", ModelFolder), sampler, state.device)
    share = plan.iloc[state.process_index :: state.num_processes]
    done = [(job.result / f"{sample_id}.png").is_file() for sample_id in share["sample_id"]]
    progress = Progress("sample images", len(share), done=sum(done))
    missing = share[[not is_done for is_done in done]]
    for start in range(0, len(missing), sampler.batch_size):
        rows = missing.iloc[start : start + sampler.batch_size]
        for sample_id, image in zip(rows["sample_id"], sample_batch(pipeline, rows, sampler), strict=True):
            write_png(job.result / f"{sample_id}.png", image.permute(1, 2, 0).cpu().numpy())
        progress.advance(len(rows))
    state.wait_for_everyone()
    if state.is_main_process:
        build_image_index(job.result)
        job.complete()


if __name__ == "__main__":
    from dermdit_kedro.launching import run_child

    run_child(main)

"""Draw the images of a plan with a generator folder alone.

`accelerate launch -m dermdit_kedro.diffusion.sample <job folder>` repeats a run without Kedro. An image
depends on its row (prompt, seed) and the settings, not on batch size, process or what ran before.
"""

import logging
from pathlib import Path
from typing import Any, Final

import pandas as pd
import torch

from dermdit_kedro.dermoscopy.images import build_image_index, to_uint8, write_png
from dermdit_kedro.diffusion.given_pipelines import INDEX, OURS, draw_given, load_given, read_index
from dermdit_kedro.diffusion.parameters import SamplerConfig
from dermdit_kedro.diffusion.sampler import DermDiTPipeline
from dermdit_kedro.diffusion.schedulers import swap_scheduler
from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import ModelFolder
from dermdit_kedro.jobs import Job
from dermdit_kedro.progress import Progress
from dermdit_kedro.prompts.clip import count_tokens, cut_text, prompt_limit

logger = logging.getLogger(__name__)

PARTS: Final = ("denoiser", "vae", "text_encoder", "tokenizer", "scheduler")
"""What a generator folder holds, each in a folder of its own."""


def sample_batch(pipeline: Any, rows: pd.DataFrame, sampler: SamplerConfig) -> torch.Tensor:
    """Draw the images of some plan rows.

    Args:
        pipeline: From `load_generator`.
        rows: Columns prompt and seed.
        sampler: Steps and guidance.

    Returns:
        uint8 (b, 3, h, w).
    """
    generators = [torch.Generator().manual_seed(int(seed)) for seed in rows["seed"]]
    if not isinstance(pipeline, DermDiTPipeline):
        return to_uint8(draw_given(pipeline, list(rows["prompt"]), generators, sampler) * 2 - 1)
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
    """Load a generator folder, to draw with a scheduler by name, in some precision.

    Args:
        folder: Written by `diffusion.export`, or any folder that `DermDiTPipeline` or a text-to-image pipeline of
            diffusers saved.
        sampler: The scheduler and the precision.
        device: Where it computes.

    Returns:
        The pipeline.

    Raises:
        UserError: If a part is missing, or the generator was not trained for such a scheduler.
    """
    dtype = getattr(torch, sampler.dtype)
    pipeline: Any
    if read_index(folder.path).get("_class_name", OURS) == OURS:
        _require_parts(folder.path)
        pipeline = DermDiTPipeline.from_pretrained(folder.path, dtype=dtype)
    else:
        pipeline = load_given(folder.path, dtype)
    pipeline.scheduler = swap_scheduler(pipeline.scheduler, sampler.scheduler)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def _require_parts(folder: Path) -> None:
    """Refuse a folder that is no generator, before anything is computed."""
    parts = read_index(folder)
    missing = [name for name in PARTS if name not in parts or not any((folder / name).glob("*"))]
    if missing:
        raise UserError(
            f"a generator folder must hold {INDEX} and {', '.join(PARTS)}. {folder} lacks "
            f"{', '.join(missing) if parts else INDEX}: run `kedro run --pipeline generative_training`, "
            "or copy the whole folder"
        )


def warn_of_long_prompts(pipeline: Any, plan: pd.DataFrame) -> None:
    """Say which prompts the text encoder does not read to their end.

    Args:
        pipeline: From `load_generator`.
        plan: Columns sample_id and prompt.
    """
    limit = prompt_limit(pipeline.tokenizer, int(getattr(pipeline.text_encoder.config, "max_windows", 1)))
    first = plan.drop_duplicates("prompt")
    is_long = [count > limit for count in count_tokens(pipeline.tokenizer, list(first["prompt"]))]
    if any(is_long):
        row = first[is_long].iloc[0]
        read = cut_text(pipeline.tokenizer, row["prompt"], limit)
        logger.warning(
            "%d prompts are longer than the %d tokens that the text encoder takes; of the first, %s, it reads up to %r",
            plan["prompt"].isin(first["prompt"][is_long]).sum(), limit, row["sample_id"], read[-40:],
        )  # fmt: skip


def main(job: Job) -> None:
    """Draw what is missing of this process's share; the main process then writes the index.

    Args:
        job: Config `sampler`; input `generator` and table `plan` (sample_id, prompt, seed).
    """
    from accelerate import PartialState

    state = PartialState()
    sampler, plan = job.config("sampler", SamplerConfig), job.table("plan")
    pipeline = load_generator(job.input("generator", ModelFolder), sampler, state.device)
    if state.is_main_process and pipeline.config.get("conditional", True):
        warn_of_long_prompts(pipeline, plan)
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

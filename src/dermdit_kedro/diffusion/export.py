"""The finished generator: one folder that diffusers loads.

Run as a child: puts denoiser, autoencoder, text encoder, tokenizer and scheduler together.
"""

from pathlib import Path
from typing import Any

from diffusers import UNet2DConditionModel

from dermdit_kedro.diffusion.objective import build_scheduler
from dermdit_kedro.diffusion.parameters import DenoiserConfig, ObjectiveConfig, SamplerConfig
from dermdit_kedro.diffusion.patch_autoencoder import load_autoencoder
from dermdit_kedro.diffusion.sampler import DermDiTPipeline
from dermdit_kedro.diffusion.transformer import DermDiTTransformer2DModel
from dermdit_kedro.handles import ModelFolder
from dermdit_kedro.jobs import Job
from dermdit_kedro.prompts.clip import load_text_encoder


def load_denoiser(folder: Path, config: DenoiserConfig) -> Any:
    """Load a trained denoiser.

    Args:
        folder: A folder written by `diffusion.train`.
        config: What it was built from.

    Returns:
        The diffusers model in eval mode.
    """
    kind = DermDiTTransformer2DModel if config.architecture == "dermdit" else UNet2DConditionModel
    return kind.from_pretrained(folder).eval()


def main(job: Job) -> None:
    """Write the generator folder of a job.

    Args:
        job: Config `denoiser`, `objective`, `sampler`; inputs `denoiser`, `autoencoder`, `text_encoder`.
    """
    denoiser_config = job.config("denoiser", DenoiserConfig)
    text_encoder, tokenizer = load_text_encoder(job.input("text_encoder", ModelFolder).path)
    pipeline: Any = DermDiTPipeline(
        denoiser=load_denoiser(job.input("denoiser", ModelFolder).path, denoiser_config),
        vae=load_autoencoder(job.input("autoencoder", ModelFolder).path),
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        scheduler=build_scheduler(job.config("objective", ObjectiveConfig), job.config("sampler", SamplerConfig)),
        conditional=denoiser_config.conditional,
    )
    pipeline.save_pretrained(job.result)
    job.complete()


if __name__ == "__main__":
    from dermdit_kedro.launching import run_child

    run_child(main)

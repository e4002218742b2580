"""The finished generator: one folder that diffusers loads.

Run as a child: puts denoiser, autoencoder, text encoder, tokenizer and scheduler together.
"""

import json
from pathlib import Path
from typing import Any

from diffusers import UNet2DConditionModel

from dermdit_kedro import __version__
from dermdit_kedro.atomic import write_json
from dermdit_kedro.diffusion.model_card import write_model_card
from dermdit_kedro.diffusion.parameters import DenoiserConfig, ObjectiveConfig, SamplerConfig
from dermdit_kedro.diffusion.patch_autoencoder import load_autoencoder
from dermdit_kedro.diffusion.sampler import DermDiTPipeline
from dermdit_kedro.diffusion.schedulers import build_scheduler
from dermdit_kedro.diffusion.transformer import DermDiTTransformer2DModel
from dermdit_kedro.errors import UserError
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


def _refuse_other_text(denoiser: Any, text_encoder: Any, config: DenoiserConfig) -> None:
    """Refuse a text encoder whose embeddings are not of the width that the denoiser learned from."""
    is_dermdit = config.architecture == "dermdit"
    learned = denoiser.config.text_embed_dim if is_dermdit else denoiser.config.cross_attention_dim
    width = text_encoder.config.hidden_size
    if config.conditional and width != learned:
        raise UserError(
            f"the denoiser learned from text embeddings of width {learned}, and the text encoder makes them of width "
            f"{width}. Run `kedro run --pipeline prompting`, then generative_training, with one text encoder"
        )


def main(job: Job) -> None:
    """Write the generator folder of a job.

    Args:
        job: Config `denoiser`, `objective`, `sampler`, `card` (see `model_card`); inputs `denoiser`, `autoencoder`,
            `text_encoder`.
    """
    denoiser_config, objective = job.config("denoiser", DenoiserConfig), job.config("objective", ObjectiveConfig)
    sampler = job.config("sampler", SamplerConfig)
    scale = sampler.guidance_scale if denoiser_config.conditional else 1.0
    text_encoder, tokenizer = load_text_encoder(job.input("text_encoder", ModelFolder).path)
    denoiser = load_denoiser(job.input("denoiser", ModelFolder).path, denoiser_config)
    _refuse_other_text(denoiser, text_encoder, denoiser_config)
    autoencoder: Any = load_autoencoder(job.input("autoencoder", ModelFolder).path)
    pipeline: Any = DermDiTPipeline(
        denoiser=denoiser,
        vae=autoencoder,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        scheduler=build_scheduler(objective, sampler),
        conditional=denoiser_config.conditional,
        guidance_scale=scale,
        num_inference_steps=sampler.num_inference_steps,
        guidance_interval=list(sampler.guidance_interval),
    )
    pipeline.save_pretrained(job.result)
    _forget_places(job.result)
    facts: dict[str, Any] = job.config("card", dict)
    write_model_card(
        job.result,
        **facts,
        version=__version__,
        architecture=denoiser_config.architecture,
        conditional=denoiser_config.conditional,
        prediction_type=objective.prediction_type,
        learn_sigma=objective.learn_sigma,
        scheduler=sampler.scheduler,
        num_inference_steps=sampler.num_inference_steps,
        guidance_scale=scale,
        example=facts["prompts"][0] if denoiser_config.conditional and facts["prompts"] else "",
    )
    job.complete()


def _forget_places(folder: Path) -> None:
    """Take out of each part's configuration where it was loaded from: the folder is handed on, and names a home."""
    for file in folder.glob("*/config.json"):
        config = json.loads(file.read_text())
        if config.pop("_name_or_path", None) is not None:
            write_json(file, config)


if __name__ == "__main__":
    from dermdit_kedro.launching import run_child

    run_child(main)

"""The autoencoder between images and latents: z = E(x), x = D(z) (section 2.2).

Run as a child: trains a small `AutoencoderKL`, or adopts a given one and perhaps trains it further, finds its
scaling factor, and measures what it loses on held-out images.
"""

from typing import Any

import torch

from dermdit_kedro.atomic import write_json
from dermdit_kedro.dermoscopy.images import ImageStack, to_float
from dermdit_kedro.diffusion.autoencoder_loss import Reconstruction, build_error, build_loss, build_validate
from dermdit_kedro.diffusion.parameters import AutoencoderConfig
from dermdit_kedro.diffusion.patch_autoencoder import PatchAutoencoderKL, load_autoencoder
from dermdit_kedro.diffusion.reconstruction import measure_reconstruction
from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import ImageFolder
from dermdit_kedro.jobs import Job
from dermdit_kedro.seeds import stable_seed
from dermdit_kedro.training.engine import fit
from dermdit_kedro.training.parameters import TrainingConfig

MEASURED_IMAGES = 512
"""How many training images the scaling factor is measured on."""


def build_autoencoder(config: AutoencoderConfig, image_size: int) -> PatchAutoencoderKL:
    """Build a small autoencoder with random weights.

    Args:
        config: Its size.
        image_size: Side of the square images.

    Returns:
        An autoencoder whose latents are pixel_shuffle 2**(levels - 1) times smaller than the image.

    Raises:
        ValueError: If the image cannot be shrunk so.
    """
    factor = config.pixel_shuffle * 2 ** (len(config.block_out_channels) - 1)
    if image_size % factor:
        raise ValueError(f"image_size must be a multiple of {factor} for this autoencoder. Got {image_size}")
    return PatchAutoencoderKL(
        block_out_channels=config.block_out_channels,
        layers_per_block=config.layers_per_block,
        latent_channels=config.latent_channels,
        pixel_shuffle=config.pixel_shuffle,
        sample_size=image_size,
    )


def adopt_autoencoder(config: AutoencoderConfig) -> Any:
    """Load a given `AutoencoderKL` or `AutoencoderTiny` from a folder or the hub.

    Args:
        config: Names it in `pretrained` and `revision`.

    Returns:
        The diffusers model.

    Raises:
        UserError: If it cannot be loaded; names the parameter to change.
    """
    try:
        return load_autoencoder(str(config.pretrained), config.revision)
    except (OSError, ValueError) as error:
        raise UserError(
            f"the autoencoder {config.pretrained!r} could not be loaded ({error}). Set autoencoder.pretrained to a "
            "folder with a diffusers AutoencoderKL or AutoencoderTiny, or to null to train one"
        ) from error


def _train(job: Job, autoencoder: Any, config: AutoencoderConfig, train: ImageStack, held_out: ImageStack) -> Any:
    training, seed = job.config("training", TrainingConfig), job.config("seed", int)
    with torch.no_grad():
        latent_shape = autoencoder.encode(to_float(train[[0]])).latent_dist.mean.shape[1:]
    scale = 1 / read_scaling_factor(autoencoder, train, seed) if config.pretrained else 1.0
    measure = build_error(config)
    model = fit(
        job, Reconstruction(autoencoder, config),
        build_loss(config, measure, train, latent_shape, scale, training.max_train_steps),
        num_examples=len(train), training=training, seed=seed, what="train the autoencoder",
        validate=build_validate(measure, held_out, latent_shape, scale * config.latent_noise),
    )  # fmt: skip
    return model.autoencoder


def _build(config: AutoencoderConfig, train: ImageStack) -> PatchAutoencoderKL:
    """Build an autoencoder around the linear code of the training images."""
    autoencoder = build_autoencoder(config, int(train[[0]].shape[-1]))
    some = torch.linspace(0, len(train) - 1, min(len(train), MEASURED_IMAGES)).long()
    autoencoder.fit_patches(to_float(train[some]), config.chroma_weight)
    return autoencoder


@torch.no_grad()
def measure_scaling_factor(autoencoder: Any, train: ImageStack, seed: int) -> float:
    """Measure 1 / (standard deviation of the latents) on training images.

    Args:
        autoencoder: The trained encoder.
        train: Training images.
        seed: Picks the images and the posterior samples.

    Returns:
        The factor that brings the latents to unit variance.
    """
    generator = torch.Generator().manual_seed(stable_seed(seed, "scaling factor"))
    picked = torch.randperm(len(train), generator=generator)[:MEASURED_IMAGES]
    parts = [autoencoder.encode(to_float(train[rows])).latent_dist for rows in picked.split(32)]
    latents = torch.cat([p.sample(generator) for p in parts])
    return float(1 / latents.std())


def read_scaling_factor(autoencoder: Any, train: ImageStack, seed: int) -> float:
    """Return the scaling factor of a given autoencoder's configuration, or measure it where that has none.

    Args:
        autoencoder: The given encoder.
        train: Training images to measure on.
        seed: As for `measure_scaling_factor`.

    Returns:
        The factor.
    """
    given = autoencoder.config.get("scaling_factor")
    return float(given) if given else measure_scaling_factor(autoencoder, train, seed)


def main(job: Job) -> None:
    """Train or adopt the autoencoder of a job; write it with its scaling factor and its report.

    Args:
        job: Config `autoencoder`, `training`, `seed`; inputs `images` and table `examples`
            (file, split, tone_group).
    """
    config, seed = job.config("autoencoder", AutoencoderConfig), job.config("seed", int)
    images, examples = job.input("images", ImageFolder), job.table("examples")
    parts = {str(split): part for split, part in examples.groupby("split")}
    stacks = {split: ImageStack(images, list(part["file"])) for split, part in parts.items()}
    train, held_out = stacks["train"], stacks["val"]
    torch.manual_seed(stable_seed(seed, "autoencoder"))
    autoencoder = _build(config, train) if config.pretrained is None else adopt_autoencoder(config)
    if config.pretrained is None or config.fine_tune:
        autoencoder = _train(job, autoencoder, config, train, held_out)
        factor = measure_scaling_factor(autoencoder, train, seed)
    else:
        factor = read_scaling_factor(autoencoder, train, seed)
    autoencoder.register_to_config(scaling_factor=factor)
    if _is_main_process():
        tones = {split: list(part["tone_group"]) for split, part in parts.items()}
        report = measure_reconstruction(autoencoder, stacks, tones, seed)
        report |= {"scaling_factor": factor, "pretrained": config.pretrained, "fine_tuned": config.fine_tune}
        autoencoder.save_pretrained(job.result)
        write_json(job.result / "report.json", report)
        job.complete()


def _is_main_process() -> bool:
    from accelerate import PartialState

    return bool(PartialState().is_main_process)


if __name__ == "__main__":
    from dermdit_kedro.launching import run_child

    run_child(main)

"""The autoencoder between images and latents: z = E(x), x = D(z) (section 2.2).

Run as a child: trains a small `AutoencoderKL`, or adopts a given one, measures its scaling factor on
training images and its reconstruction error on held-out ones.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from dermdit_kedro.atomic import write_json
from dermdit_kedro.dermoscopy.images import ImageStack, to_float
from dermdit_kedro.diffusion.parameters import AutoencoderConfig
from dermdit_kedro.diffusion.patch_autoencoder import PatchAutoencoderKL, load_autoencoder, opponent_colours
from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import ImageFolder
from dermdit_kedro.jobs import Job
from dermdit_kedro.progress import Progress
from dermdit_kedro.seeds import stable_seed
from dermdit_kedro.training.engine import fit
from dermdit_kedro.training.parameters import TrainingConfig
from dermdit_kedro.training.streams import Batch

MEASURED_IMAGES = 512
"""How many training images the scaling factor is measured on."""


def build_autoencoder(config: AutoencoderConfig, image_size: int) -> PatchAutoencoderKL:
    """Build a small autoencoder with random weights.

    Args:
        config: Its size.
        image_size: Side of the square images.

    Returns:
        An autoencoder whose latents are 2**(levels - 1) times smaller than the image.

    Raises:
        ValueError: If the image cannot be halved that often.
    """
    factor = 2 ** (len(config.block_out_channels) - 1)
    if image_size % factor:
        raise ValueError(f"image_size must be a multiple of {factor} for this autoencoder. Got {image_size}")
    return PatchAutoencoderKL(
        block_out_channels=config.block_out_channels,
        layers_per_block=config.layers_per_block,
        latent_channels=config.latent_channels,
        sample_size=image_size,
    )


def adopt_autoencoder(config: AutoencoderConfig) -> Any:
    """Load a given `AutoencoderKL` from a folder or the hub.

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
            "folder with a diffusers AutoencoderKL, or to null to train one"
        ) from error


class _Reconstruction(nn.Module):
    """Reconstruct from a disturbed code; returns (reconstruction, KL per latent element)."""

    def __init__(self, autoencoder: Any) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, images: Tensor, noise: Tensor, latent_noise: Tensor) -> tuple[Tensor, Tensor]:
        """Encode, sample with the given noise, its standard deviation widened by `latent_noise` (b,), and decode."""
        posterior = self.autoencoder.encode(images).latent_dist
        std = (posterior.var + latent_noise.view(-1, 1, 1, 1).square()).sqrt()
        reconstruction = self.autoencoder.decode(posterior.mean + std * noise).sample
        kl = 0.5 * (posterior.mean.square() + posterior.var - 1 - posterior.logvar).mean()
        return reconstruction, kl


@torch.no_grad()
def reconstruction_psnr(autoencoder: Any, images: Tensor) -> Tensor:
    """Measure the peak signal-to-noise ratio of reconstructions, image by image.

    Args:
        autoencoder: Encoder and decoder; the posterior mean is decoded.
        images: uint8 (n, 3, h, w).

    Returns:
        PSNR in dB, float (n,), on the 8-bit range: 10 log10(255^2 / MSE).
    """
    pixels = to_float(images).to(autoencoder.device)
    reconstruction = autoencoder.decode(autoencoder.encode(pixels).latent_dist.mean).sample
    error = ((reconstruction.clamp(-1, 1) - pixels) * 127.5).square().flatten(1).mean(1)
    return (10 * torch.log10(255.0**2 / error.clamp_min(1e-10))).cpu()


def _train(job: Job, config: AutoencoderConfig, train: ImageStack, held_out: ImageStack) -> Any:
    training, seed = job.config("training", TrainingConfig), job.config("seed", int)
    torch.manual_seed(stable_seed(seed, "autoencoder"))
    size = int(train[[0]].shape[-1])
    autoencoder = build_autoencoder(config, size)
    some = torch.linspace(0, len(train) - 1, min(len(train), MEASURED_IMAGES)).long()
    autoencoder.fit_patches(to_float(train[some]), config.chroma_weight)
    model = _Reconstruction(autoencoder)
    colours = opponent_colours(config.chroma_weight)
    latent = (config.latent_channels, *([size // 2 ** (len(config.block_out_channels) - 1)] * 2))

    def loss(model: Any, batch: Batch) -> dict[str, Tensor]:
        images = to_float(train[batch.indices]).to(batch.device)
        mirrored = (batch.rand(1) < 0.5).view(-1, 1, 1, 1)
        images = torch.where(mirrored, images.flip(-1), images)
        reconstruction, kl = model(images, batch.randn(*latent), config.latent_noise * batch.rand(1)[:, 0])
        error = torch.einsum("kc,nchw->nkhw", colours.to(images.device), reconstruction - images)
        l1, mse = error.abs().mean(), error.square().mean()
        return {"loss": l1 + mse + config.kl_weight * kl, "l1": l1.detach(), "mse": mse.detach(), "kl": kl.detach()}

    def validate(model: Any) -> dict[str, float]:
        some = held_out[list(range(min(len(held_out), 64)))]
        return {"psnr": float(reconstruction_psnr(model.autoencoder, some).mean())}

    fit(
        job, model, loss, num_examples=len(train), training=training, seed=seed, what="train the autoencoder",
        validate=validate,
    )  # fmt: skip
    return model.autoencoder


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


def measure_reconstruction(autoencoder: Any, held_out: ImageStack, tone_groups: Sequence[str]) -> dict[str, Any]:
    """Report the PSNR on held-out images, over all and per estimated tone group.

    Args:
        autoencoder: Encoder and decoder.
        held_out: Images that trained nothing.
        tone_groups: Tone group of each image.

    Returns:
        `psnr` with value (mean of the images' dB), n and split, and `by_tone_group`.
    """
    progress = Progress("measure the autoencoder", len(held_out))
    values = []
    for rows in torch.arange(len(held_out)).split(32):
        values.append(reconstruction_psnr(autoencoder, held_out[rows]))
        progress.advance(len(rows))
    table = pd.DataFrame({"tone_group": list(tone_groups), "psnr": torch.cat(values).tolist()})
    groups = {
        str(name): {"value": float(part.mean()), "n": len(part)} for name, part in table.groupby("tone_group")["psnr"]
    }
    return {"psnr": {"value": float(table["psnr"].mean()), "n": len(table), "split": "val"}, "by_tone_group": groups}


def main(job: Job) -> None:
    """Train or adopt the autoencoder of a job; write it with its scaling factor and its report.

    Args:
        job: Config `autoencoder`, `training`, `seed`; inputs `images` and table `examples`
            (file, split, tone_group).
    """
    config = job.config("autoencoder", AutoencoderConfig)
    images, examples = job.input("images", ImageFolder), job.table("examples")
    stacks = {split: ImageStack(images, list(part["file"])) for split, part in examples.groupby("split")}
    if config.pretrained is None:
        autoencoder = _train(job, config, stacks["train"], stacks["val"])
        factor = measure_scaling_factor(autoencoder, stacks["train"], job.config("seed", int))
        autoencoder.register_to_config(scaling_factor=factor)
    else:
        autoencoder = adopt_autoencoder(config)
    if _is_main_process():
        held_out = examples[examples["split"] == "val"]
        report = measure_reconstruction(autoencoder, stacks["val"], list(held_out["tone_group"]))
        report |= {"scaling_factor": float(autoencoder.config.scaling_factor), "pretrained": config.pretrained}
        autoencoder.save_pretrained(job.result)
        write_json(job.result / "report.json", report)
        job.complete()


def _is_main_process() -> bool:
    from accelerate import PartialState

    return bool(PartialState().is_main_process)


if __name__ == "__main__":
    from dermdit_kedro.launching import run_child

    run_child(main)

"""What the autoencoder is trained for: reconstructions that pixels, features and a discriminator cannot tell apart."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dermdit_kedro.dermoscopy.images import ImageStack, to_float
from dermdit_kedro.diffusion.adversarial import PatchDiscriminator, adversarial_losses
from dermdit_kedro.diffusion.parameters import AutoencoderConfig
from dermdit_kedro.diffusion.patch_autoencoder import opponent_colours
from dermdit_kedro.diffusion.perceptual import PerceptualDistance
from dermdit_kedro.diffusion.reconstruction import reconstruction_psnr
from dermdit_kedro.training.engine import Loss, Validate
from dermdit_kedro.training.streams import Batch

VALIDATION_IMAGES = 64
"""How many held-out images, at most, are looked at on the way."""
ADVERSARIAL_FROM = 0.5
"""Share of the steps after which the decoder hears the discriminator, which learns from the first."""

Error = Callable[[Tensor, Tensor, Tensor], dict[str, Tensor]]
"""(images, reconstructions, KL per latent element) -> named scalars; `loss` is their weighted sum."""


class Reconstruction(nn.Module):
    """Reconstruct from a disturbed code; returns (reconstruction, KL per latent element).

    Args:
        autoencoder: Encoder and decoder.
        config: Says whether there is a discriminator.
    """

    def __init__(self, autoencoder: Any, config: AutoencoderConfig) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.discriminator = PatchDiscriminator() if config.adversarial_weight else None

    def forward(self, images: Tensor, noise: Tensor, latent_noise: Tensor) -> tuple[Tensor, Tensor]:
        """Encode, sample with the given noise, its standard deviation widened by `latent_noise` (b,), and decode."""
        posterior = self.autoencoder.encode(images).latent_dist
        std = (posterior.var + latent_noise.view(-1, 1, 1, 1).square()).sqrt()
        reconstruction = self.autoencoder.decode(posterior.mean + std * noise).sample
        kl = 0.5 * (posterior.mean.square() + posterior.var - 1 - posterior.logvar).mean()
        return reconstruction, kl


def build_error(config: AutoencoderConfig) -> Error:
    """Return what a reconstruction is measured by, in training and in validation.

    Args:
        config: Weights of its parts.

    Returns:
        See `Error`.
    """
    colours = opponent_colours(config.chroma_weight)
    perceptual = PerceptualDistance() if config.perceptual_weight else None

    def measure(images: Tensor, reconstruction: Tensor, kl: Tensor) -> dict[str, Tensor]:
        error = torch.einsum("kc,nchw->nkhw", colours.to(images.device), reconstruction - images)
        parts = {"l1": error.abs().mean(), "mse": error.square().mean(), "kl": kl}
        total = parts["l1"] + parts["mse"] + config.kl_weight * kl
        if perceptual is not None:
            parts["perceptual"] = perceptual.to(images.device)(reconstruction, images)
            total = total + config.perceptual_weight * parts["perceptual"]
        return {"loss": total, **parts}

    return measure


def build_loss(
    config: AutoencoderConfig, measure: Error, train: ImageStack, latent_shape: torch.Size, scale: float, steps: int
) -> Loss:
    """Return the loss of a `Reconstruction`: the error, and the discriminator's opinion where there is one.

    Args:
        config: Weights of its parts.
        measure: The error.
        train: Training images.
        latent_shape: Of one image.
        scale: Standard deviation of the latents.
        steps: Of the whole training.

    Returns:
        The loss of `training.engine.fit`.
    """

    def loss(model: Any, batch: Batch) -> dict[str, Tensor]:
        images = to_float(train[batch.indices]).to(batch.device)
        mirrored = (batch.rand(1) < 0.5).view(-1, 1, 1, 1)
        images = torch.where(mirrored, images.flip(-1), images)
        latent_noise = scale * config.latent_noise * batch.rand(1)[:, 0]
        reconstruction, kl = model(images, batch.randn(*latent_shape), latent_noise)
        parts = measure(images, reconstruction, kl)
        total = parts.pop("loss")
        if model.discriminator is not None:
            parts |= adversarial_losses(model.discriminator, reconstruction, images)._asdict()
            weight = config.adversarial_weight * (batch.step >= ADVERSARIAL_FROM * steps)
            total = total + parts["discriminator"] + weight * parts["adversarial"]
        return {"loss": total, **{name: value.detach() for name, value in parts.items()}}

    return loss


def build_validate(measure: Error, held_out: ImageStack, latent_shape: torch.Size, latent_noise: float) -> Validate:
    """Return what measures the error of some held-out images at noise that stays the same.

    Args:
        measure: The error.
        held_out: Images that train nothing.
        latent_shape: Of one image.
        latent_noise: Largest standard deviation of the noise on the latents.

    Returns:
        The validation of `training.engine.fit`; its `loss` is the error, its `psnr` that of the posterior means.
    """
    rows = torch.arange(min(len(held_out), VALIDATION_IMAGES))
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(len(rows), *latent_shape, generator=generator)
    widened = latent_noise * torch.rand(len(rows), generator=generator)

    def validate(model: Any) -> dict[str, float]:
        device = model.autoencoder.device
        images = to_float(held_out[rows]).to(device)
        error = measure(images, *model(images, noise.to(device), widened.to(device)))
        psnr = reconstruction_psnr(model.autoencoder, held_out[rows]).mean()
        return {"loss": float(error["loss"]), "psnr": float(psnr)}

    return validate

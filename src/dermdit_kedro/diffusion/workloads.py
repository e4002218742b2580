"""What the networks of this package need, before any is trained: steps to be counted and timed."""

from typing import Any

import torch
from torch import Tensor, nn

from dermdit_kedro.diffusion.parameters import AutoencoderConfig, DenoiserConfig, ObjectiveConfig
from dermdit_kedro.diffusion.sizes import LatentShape, latent_shape
from dermdit_kedro.training.footprint import RandomImages, Workload
from dermdit_kedro.training.parameters import TrainingConfig
from dermdit_kedro.training.streams import Batch


def autoencoder_workload(config: AutoencoderConfig, training: TrainingConfig, image_size: int) -> Workload:
    """Describe the training of an autoencoder from scratch.

    Args:
        config: Its size and the parts of its loss.
        training: Batch and optimizer.
        image_size: Side of the images in pixels.

    Returns:
        The workload; the loss is the real one.
    """
    from dermdit_kedro.diffusion.autoencoder import build_autoencoder
    from dermdit_kedro.diffusion.autoencoder_loss import Reconstruction, build_error, build_loss

    shape = latent_shape(config, image_size)
    assert shape is not None, "what is trained from scratch has a shape"
    sizes = torch.Size((shape.channels, shape.side, shape.side))
    images: Any = RandomImages(image_size)
    loss = build_loss(config, build_error(config), images, sizes, 1.0, training.max_train_steps)
    return Workload(lambda: Reconstruction(build_autoencoder(config, image_size), config), loss, training)


def denoiser_workload(
    config: DenoiserConfig,
    objective: ObjectiveConfig,
    training: TrainingConfig,
    latents: LatentShape,
    text: tuple[int, int],
) -> Workload:
    """Describe the training of a denoiser.

    Args:
        config: Its architecture and size.
        objective: What it learns.
        training: Batch and optimizer.
        latents: The latents of one image.
        text: Tokens of a prompt at most, and their width.

    Returns:
        The workload; prompts are as long as they can be.
    """
    from dermdit_kedro.diffusion.denoisers import build_denoiser
    from dermdit_kedro.diffusion.objective import Objective
    from dermdit_kedro.diffusion.train import denoising_losses

    def build() -> nn.Module:
        return build_denoiser(config, latents.side, latents.channels, text[1], objective.learn_sigma)

    def loss(model: Any, batch: Batch) -> dict[str, Tensor]:
        shape = (latents.channels, latents.side, latents.side)
        z, noise, time = batch.randn(*shape), batch.randn(*shape), batch.randn(1)[:, 0]
        prompts = batch.randn(*text), torch.ones(len(batch), text[0], dtype=torch.bool, device=batch.device)
        return {"loss": denoising_losses(model, Objective(objective), z, noise, time, prompts).mean()}

    return Workload(build, loss, training)

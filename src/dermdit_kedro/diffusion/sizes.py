"""What the networks of this package are asked for and give, by arithmetic; nothing is loaded for what is built here."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from dermdit_kedro.diffusion.parameters import AutoencoderConfig, SamplerConfig

PUBLISHED: Final = dict.fromkeys(("stabilityai/sd-vae-ft-ema", "stabilityai/sd-vae-ft-mse"), (4, 8))
"""Latent channels and shrinkage of autoencoders that the hub has, for a machine that has not."""


class LatentShape(NamedTuple):
    """The latents of one image.

    Attributes:
        channels: Channels.
        side: Side in latent pixels.
    """

    channels: int
    side: int

    @property
    def nbytes(self) -> int:
        """Bytes of an image's cached posteriors: float16 mean and log-variance, as it is and mirrored."""
        return 2 * 2 * 2 * self.channels * self.side**2


def latent_shape(config: AutoencoderConfig, image_size: int) -> LatentShape | None:
    """Work out the latents of an autoencoder, without its weights.

    Args:
        config: The autoencoder.
        image_size: Side of the images in pixels.

    Returns:
        Their shape; null where a given autoencoder's configuration is not on this machine and its sizes are not known.
    """
    if config.pretrained is None:
        shrinkage = config.pixel_shuffle * 2 ** (len(config.block_out_channels) - 1)
        return LatentShape(config.latent_channels, image_size // shrinkage)
    sizes = _given_sizes(config)
    return LatentShape(sizes[0], image_size // sizes[1]) if sizes else None


def _given_sizes(config: AutoencoderConfig) -> tuple[int, int] | None:
    from diffusers import AutoencoderKL

    name = str(config.pretrained)
    try:
        given: Mapping[str, Any] = AutoencoderKL.load_config(name, revision=config.revision, local_files_only=True)
    except (OSError, ValueError):
        return PUBLISHED.get(name)
    channels = given.get("block_out_channels") or given.get("encoder_block_out_channels")
    return (int(given["latent_channels"]), 2 ** (len(channels) - 1)) if channels else None


def evaluations(sampler: SamplerConfig, *, is_conditional: bool) -> int:
    """Count how often the network is asked for one image, with and without the prompt.

    Args:
        sampler: Steps and guidance.
        is_conditional: Whether prompts reach the network; else nothing is guided.

    Returns:
        Evaluations; a solver of second order (`flow_heun`) takes about two a step.
    """
    steps = sampler.num_inference_steps * (2 if sampler.scheduler == "flow_heun" else 1)
    if sampler.guidance_scale == 1 or not is_conditional:
        return steps
    first, last = (share * steps for share in sampler.guidance_interval)
    return steps + sum(first <= step < last for step in range(steps))

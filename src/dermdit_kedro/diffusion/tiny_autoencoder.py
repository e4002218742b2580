"""`AutoencoderTiny` with the face of `AutoencoderKL`: a posterior without spread."""

from typing import Any

import torch
from diffusers import AutoencoderTiny, ModelMixin  # noqa: F401  (a pipeline looks for it here; see load_autoencoder)
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from jaxtyping import Float
from torch import Tensor

LOG_VARIANCE = -30.0
"""The smallest that diffusers' posterior knows: a standard deviation of 3e-7."""


class TinyAutoencoder(AutoencoderTiny):  # type: ignore[misc]
    """An `AutoencoderTiny` that latents and sampler use like an `AutoencoderKL`; same arguments, same weights."""

    def encode(self, x: Float[Tensor, "n 3 h w"], return_dict: bool = True) -> Any:
        """Encode images.

        Args:
            x: Images in [-1, 1].
            return_dict: Whether to wrap the posterior as diffusers does.

        Returns:
            `AutoencoderKLOutput` whose `latent_dist` has the latents as its mean, or a tuple of the posterior.
        """
        latents = super().encode(x, return_dict=False)[0]
        moments = torch.cat([latents, torch.full_like(latents, LOG_VARIANCE)], dim=1)
        posterior = DiagonalGaussianDistribution(moments)
        return AutoencoderKLOutput(latent_dist=posterior) if return_dict else (posterior,)

"""An `AutoencoderKL` around a linear patch code: principal components of patches, refined by the usual network.

A small convolutional autoencoder learns luminance first and colour late; a few hundred steps give grey-brown
lesions, and colour is what tells them apart. The principal components of patches have the colour from the start,
so they carry the code and the network learns what they miss (a residual autoencoder, as in DC-AE, Chen et al. 2024).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput
from jaxtyping import Float
from torch import Tensor, nn

from dermdit_kedro.diffusion.tiny_autoencoder import TinyAutoencoder

INITIAL_LOG_VARIANCE = -6.0
"""Of the posterior before training: the code starts nearly without noise."""

_OPPONENT = ((0.299, 0.587, 0.114), (-0.169, -0.331, 0.5), (0.5, -0.419, -0.081))
"""Rows: luma, blue difference, red difference (ITU-R BT.601)."""


def opponent_colours(chroma_weight: float) -> Float[Tensor, "3 3"]:
    """Return the matrix from RGB to luma and weighted colour differences.

    Args:
        chroma_weight: Weight of the colour differences against luma.

    Returns:
        One row an opponent channel.
    """
    matrix = torch.tensor(_OPPONENT)
    matrix[1:] *= chroma_weight
    return matrix


class PatchAutoencoderKL(AutoencoderKL):  # type: ignore[misc]
    """`AutoencoderKL` whose latents are whitened principal components of patches plus a learned residual.

    Args:
        block_out_channels: Channels per resolution; each but the last halves the image.
        layers_per_block: Residual blocks per resolution.
        latent_channels: Channels of the latents, and principal components of a patch.
        pixel_shuffle: Side of the squares of pixels that the network sees as channels; it never works at a finer
            resolution than these, where a convolution costs most and learns least.
        norm_num_groups: Groups of the group norms.
        sample_size: Side of the images.
        scaling_factor: What brings the latents to unit variance.
    """

    # what the parent takes and this class fixes: saved, it would be warned of at every load
    ignore_for_config = [  # noqa: RUF012
        "in_channels", "out_channels", "down_block_types", "up_block_types", "act_fn", "shift_factor", "latents_mean",
        "latents_std", "force_upcast", "use_quant_conv", "use_post_quant_conv", "mid_block_add_attention",
    ]  # fmt: skip

    @register_to_config
    def __init__(
        self,
        block_out_channels: Sequence[int] = (16, 32, 64, 64),
        layers_per_block: int = 1,
        latent_channels: int = 8,
        pixel_shuffle: int = 1,
        norm_num_groups: int = 8,
        sample_size: int = 64,
        scaling_factor: float = 1.0,
    ) -> None:
        levels = len(block_out_channels)
        super().__init__(
            in_channels=3 * pixel_shuffle**2,
            out_channels=3 * pixel_shuffle**2,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=tuple(block_out_channels),
            layers_per_block=layers_per_block,
            latent_channels=latent_channels,
            norm_num_groups=norm_num_groups,
            sample_size=sample_size,
            scaling_factor=scaling_factor,
            mid_block_add_attention=False,
        )
        side = pixel_shuffle * 2 ** (levels - 1)
        self.patch_encoder = nn.Conv2d(3, latent_channels, side, stride=side).requires_grad_(False)
        self.patch_decoder = nn.ConvTranspose2d(latent_channels, 3, side, stride=side).requires_grad_(False)
        nn.init.zeros_(self.quant_conv.weight)
        nn.init.zeros_(self.quant_conv.bias[:latent_channels])
        nn.init.constant_(self.quant_conv.bias[latent_channels:], INITIAL_LOG_VARIANCE)
        nn.init.zeros_(self.decoder.conv_out.weight)
        nn.init.zeros_(self.decoder.conv_out.bias)

    @torch.no_grad()
    def fit_patches(self, images: Float[Tensor, "n 3 h w"], chroma_weight: float) -> None:
        """Set the linear code to the whitened principal components of the images' patches.

        Args:
            images: Training images in [-1, 1].
            chroma_weight: Weight of colour against luma, in the components' eyes.
        """
        from sklearn.decomposition import PCA

        side, channels = self.patch_encoder.stride[0], self.config.latent_channels
        colours = opponent_colours(chroma_weight)
        seen = torch.einsum("kc,nchw->nkhw", colours, images)
        patches = nn.functional.unfold(seen, side, stride=side).transpose(1, 2).flatten(0, 1)  # (patches, 3 side side)
        pca = PCA(channels, random_state=0).fit(patches.double().numpy())
        components = torch.from_numpy(pca.components_).view(channels, 3, side, side)
        spread = torch.from_numpy(pca.explained_variance_).sqrt().view(-1, 1, 1, 1)
        mean = torch.from_numpy(pca.mean_).view(3, side, side)
        back = torch.linalg.inv(colours).double()
        encoder = torch.einsum("mkij,kc->mcij", components / spread, colours.double())
        self.patch_encoder.weight.copy_(encoder)
        self.patch_encoder.bias.copy_(-(components / spread * mean).flatten(1).sum(1))
        self.patch_decoder.weight.copy_(torch.einsum("mkij,ck->mcij", components * spread, back))
        # a transposed convolution has one bias a channel; the mean's pattern within a patch is flat but for noise
        self.patch_decoder.bias.copy_(torch.einsum("ck,kij->cij", back, mean).flatten(1).mean(1))

    def _encode(self, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n m a b"]:
        moments: Tensor = super()._encode(nn.functional.pixel_unshuffle(x, self.config.pixel_shuffle))
        mean = self.patch_encoder(x)
        return moments + torch.cat([mean, torch.zeros_like(mean)], dim=1)

    def _decode(self, z: Float[Tensor, "n c a b"], return_dict: bool = True) -> Any:
        refined = super()._decode(z, return_dict=False)[0]
        sample = nn.functional.pixel_shuffle(refined, self.config.pixel_shuffle) + self.patch_decoder(z)
        return DecoderOutput(sample=sample) if return_dict else (sample,)


_KINDS = {
    "PatchAutoencoderKL": PatchAutoencoderKL,
    "AutoencoderKL": AutoencoderKL,
    "AutoencoderTiny": TinyAutoencoder,
    "TinyAutoencoder": TinyAutoencoder,
}


# A diffusers pipeline finds out how to load a part from the names in the part's module: `ModelMixin` must be one.
def load_autoencoder(name: str | Path, revision: str | None = None) -> ModelMixin:
    """Load an autoencoder from a folder or the hub, of the class its configuration names.

    Args:
        name: Folder or hub id.
        revision: Revision of a hub id.

    Returns:
        The diffusers model in eval mode; `encode` gives a `latent_dist`.

    Raises:
        ValueError: If it is of another class, its latents are not only scaled but shifted, or a pipeline's folder is
            given in its place.
    """
    inner = Path(name) / "vae"
    if (inner / AutoencoderKL.config_name).is_file() and not (Path(name) / AutoencoderKL.config_name).is_file():
        raise ValueError(f"a folder of an autoencoder must hold {AutoencoderKL.config_name}. Did you mean {inner}?")
    config = AutoencoderKL.load_config(name, revision=revision)
    kind = _KINDS.get(config.get("_class_name"))
    if kind is None:
        raise ValueError(f"an autoencoder must be one of {sorted(_KINDS)}. Got {config.get('_class_name')!r}")
    for field in ("shift_factor", "latents_mean", "latents_std"):
        if config.get(field):
            raise ValueError(f"{field} must be null: latents are scaled, not shifted. Got {config[field]}")
    return kind.from_pretrained(name, revision=revision).eval()

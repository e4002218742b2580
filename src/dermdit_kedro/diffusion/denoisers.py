"""One denoiser by name: DermDiT, or the U-Net of the LDM baseline, behind one call."""

from typing import Any

from torch import nn

from dermdit_kedro.diffusion.parameters import DenoiserConfig
from dermdit_kedro.diffusion.transformer import DermDiTTransformer2DModel


def build_denoiser(
    config: DenoiserConfig, sample_size: int, in_channels: int, text_embed_dim: int, learn_sigma: bool = False
) -> nn.Module:
    """Build a denoiser; both kinds take (sample, timestep, encoder_hidden_states, encoder_attention_mask).

    Args:
        config: Architecture and size.
        sample_size: Side of the square latents.
        in_channels: Latent channels.
        text_embed_dim: Size of the text embeddings.
        learn_sigma: Whether the prediction has a second half, the variance.

    Returns:
        A diffusers model with random weights.
    """
    model: Any
    out_channels = 2 * in_channels if learn_sigma else in_channels
    if config.architecture == "dermdit":
        model = DermDiTTransformer2DModel(
            sample_size=sample_size,
            in_channels=in_channels,
            patch_size=config.patch_size,
            hidden_size=config.hidden_size,
            depth=config.depth,
            num_heads=config.num_heads,
            text_embed_dim=text_embed_dim,
            conditioning=config.conditioning,
            adaln=config.adaln,
            out_channels=out_channels,
        )
        return model  # type: ignore[no-any-return]
    from diffusers import UNet2DConditionModel

    levels = len(config.block_out_channels)
    model = UNet2DConditionModel(
        sample_size=sample_size,
        in_channels=in_channels,
        out_channels=out_channels,
        layers_per_block=config.layers_per_block,
        block_out_channels=config.block_out_channels,
        down_block_types=("CrossAttnDownBlock2D",) * levels,
        up_block_types=("CrossAttnUpBlock2D",) * levels,
        cross_attention_dim=text_embed_dim,
        attention_head_dim=8,
        norm_num_groups=16,
    )
    return model  # type: ignore[no-any-return]

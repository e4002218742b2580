"""Parameters of the autoencoder, the denoisers, the objective and the sampler."""

from typing import Any, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from dermdit_kedro.parameters import Parameters

SIZES: Final = {
    name: {"hidden_size": width, "depth": depth, "num_heads": heads}
    for name, width, depth, heads in (("S", 384, 12, 6), ("B", 768, 12, 12), ("L", 1024, 24, 16), ("XL", 1152, 28, 16))
}
"""Sizes of DiT (Peebles and Xie 2023, Table 1), which DermDiT keeps."""


class AutoencoderConfig(Parameters):
    """The autoencoder between images and latents: adopted, or built here.

    Attributes:
        pretrained: Hub id or folder of a diffusers `AutoencoderKL` or `AutoencoderTiny`; null to train one.
        revision: Revision of a hub id.
        fine_tune: Whether a given one is trained further on the training images; `autoencoder_training` says how.
        block_out_channels: Channels per resolution; each but the last halves the image.
        layers_per_block: Residual blocks per resolution.
        latent_channels: Channels of the latents.
        pixel_shuffle: Side of the squares of pixels that the network sees as channels; shrinks the image as often
            again.
        chroma_weight: Weight of colour against luma in the linear code and in the loss.
        kl_weight: Weight of the KL term against the standard normal, per latent element.
        perceptual_weight: Weight of the distance of ImageNet features (`diffusion.perceptual`); 0 leaves it out.
        adversarial_weight: Weight of the patch discriminator's opinion (`diffusion.adversarial`); 0 leaves it out.
        latent_noise: Largest standard deviation of the noise that the decoder learns to undo, in units of the scaled
            latents. A decoder that has only seen encoded images draws every error of the generator as a block.
    """

    pretrained: str | None = None
    revision: str | None = None
    fine_tune: bool = False
    block_out_channels: tuple[int, ...] = (16, 32, 64)
    layers_per_block: int = Field(default=1, gt=0)
    latent_channels: int = Field(default=4, gt=0)
    pixel_shuffle: int = Field(default=1, gt=0)
    chroma_weight: float = Field(default=3.0, gt=0)
    kl_weight: float = Field(default=1e-6, ge=0)
    perceptual_weight: float = Field(default=0.0, ge=0)
    adversarial_weight: float = Field(default=0.0, ge=0)
    latent_noise: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _fine_tune_what_is_given(self) -> Self:
        if self.fine_tune and self.pretrained is None:
            raise ValueError("fine_tune must be false where pretrained is null. Got true")
        return self


class DenoiserConfig(Parameters):
    """The network that predicts the noise.

    Attributes:
        architecture: `dermdit` (the paper's transformer) or `unet` (the LDM baseline of Table 1).
        conditioning: How prompts reach it: `tokens` (the paper: timestep and text tokens, attended to), `pooled` (one
            token, the sum of both), `none` (not at all; the U-Net, which attends to something, gets the null prompt).
        size: `S`, `B`, `L` or `XL` of DiT: sets width, depth and heads, whatever these say; `custom` leaves them be.
        patch_size: Side of a patch in latent pixels (transformer).
        hidden_size: Width of the transformer.
        depth: Number of transformer blocks.
        num_heads: Attention heads of the transformer.
        adaln: Whether the timestep also modulates each block (adaLN); the paper's block has it off.
        block_out_channels: Channels per resolution of the U-Net, multiples of 16.
        layers_per_block: Residual blocks per resolution of the U-Net.
    """

    architecture: Literal["dermdit", "unet"] = "dermdit"
    conditioning: Literal["tokens", "pooled", "none"] = "tokens"
    size: Literal["custom", "S", "B", "L", "XL"] = "custom"
    patch_size: int = Field(default=4, gt=0)
    hidden_size: int = Field(default=256, gt=0)
    depth: int = Field(default=6, gt=0)
    num_heads: int = Field(default=4, gt=0)
    adaln: bool = True
    block_out_channels: tuple[int, ...] = (64, 128)
    layers_per_block: int = Field(default=1, gt=0)

    @property
    def conditional(self) -> bool:
        """Whether prompts reach it."""
        return self.conditioning != "none"

    @model_validator(mode="before")
    @classmethod
    def _fill_in_size(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {**values, **SIZES.get(str(values.get("size")), {})}

    @model_validator(mode="after")
    def _tokens_for_the_unet(self) -> Self:
        if self.architecture == "unet" and self.conditioning == "pooled":
            raise ValueError("conditioning of a unet must be tokens or none. Got 'pooled'")
        return self

    @model_validator(mode="after")
    def _groups_divide_the_channels(self) -> Self:
        if self.architecture == "unet" and any(count % 16 for count in self.block_out_channels):
            got = list(self.block_out_channels)
            raise ValueError(f"block_out_channels of a unet must be multiples of 16, its norm groups. Got {got}")
        return self

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.hidden_size % (4 * self.num_heads):
            raise ValueError(
                f"hidden_size must be a multiple of 4 x num_heads ({4 * self.num_heads}). Got {self.hidden_size}"
            )
        return self


class ObjectiveConfig(Parameters):
    """What the denoiser learns.

    Attributes:
        prediction_type: `epsilon` (equation 3 of the paper), `v_prediction`, or `flow` (rectified flow).
        num_train_timesteps: Steps of the noise schedule.
        beta_schedule: Schedule of diffusers' schedulers (not for `flow`).
        beta_start: First variance of the schedule.
        beta_end: Last variance of the schedule.
        prompt_dropout: Share of training prompts replaced by the null prompt, for guidance.
        min_snr_gamma: Bound on the signal-to-noise ratio by which timesteps are weighed (Hang et al. 2023), 5 there;
            null weighs all alike (not for `flow`).
        learn_sigma: Whether the variance of each step is learned too (Nichol and Dhariwal 2021), for `epsilon` with the
            scheduler `ddpm`; equation 3 of the paper has it fixed.
    """

    prediction_type: Literal["epsilon", "v_prediction", "flow"] = "flow"
    num_train_timesteps: int = Field(default=1000, gt=1)
    beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"] = "linear"
    beta_start: float = Field(default=1e-4, gt=0)
    beta_end: float = Field(default=0.02, gt=0, lt=1)
    prompt_dropout: float = Field(default=0.1, ge=0, lt=1)
    min_snr_gamma: float | None = Field(default=None, gt=0)
    learn_sigma: bool = False

    @model_validator(mode="after")
    def _learn_sigma_of_epsilon_alone(self) -> Self:
        if self.learn_sigma and self.prediction_type != "epsilon":
            raise ValueError(f"learn_sigma must be false where prediction_type is {self.prediction_type}. Got true")
        return self

    @model_validator(mode="after")
    def _weigh_diffusion_alone(self) -> Self:
        if self.prediction_type == "flow" and self.min_snr_gamma is not None:
            raise ValueError(f"min_snr_gamma must be null where prediction_type is flow. Got {self.min_snr_gamma}")
        return self


class SamplerConfig(Parameters):
    """How images are drawn from a trained denoiser, and from one in training.

    A change trains nothing anew: the sheets drawn during training show the sampler as it was when each was drawn.

    Attributes:
        scheduler: `ddpm` (the paper), `ddim`, `dpm_solver`, `unipc` for `epsilon` and `v_prediction`;
            `flow_euler`, `flow_heun`, `flow_dpm_solver`, `flow_unipc` for `flow`.
        num_inference_steps: Steps of the scheduler.
        guidance_scale: Classifier-free guidance; 1 is the conditional model alone.
        guidance_interval: Share of the steps at which guidance begins and ends; outside it a step costs half.
        negative_prompt: What guidance moves away from; empty for the null prompt.
        dtype: Precision of the networks; the steps are summed up in float32. `bfloat16` is for GPUs, and moves pixels.
        batch_size: Images at a time in each process; changes speed alone.
    """

    speed_fields: ClassVar[frozenset[str]] = frozenset({"batch_size"})

    scheduler: Literal[
        "ddpm", "ddim", "dpm_solver", "unipc", "flow_euler", "flow_heun", "flow_dpm_solver", "flow_unipc"
    ] = "flow_euler"
    num_inference_steps: int = Field(default=20, gt=0)
    guidance_scale: float = Field(default=2.0, ge=1)
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    negative_prompt: str = ""
    dtype: Literal["float32", "bfloat16"] = "float32"
    batch_size: int = Field(default=32, gt=0)

    @model_validator(mode="after")
    def _interval_is_within_the_steps(self) -> Self:
        first, last = self.guidance_interval
        if not 0 <= first < last <= 1:
            raise ValueError(
                f"guidance_interval must be two rising shares within [0, 1]. Got {list(self.guidance_interval)}"
            )
        return self

    @model_validator(mode="after")
    def _negative_prompts_need_guidance(self) -> Self:
        if self.negative_prompt and self.guidance_scale == 1:
            raise ValueError(
                f"negative_prompt is read where guidance_scale is above 1. Got {self.negative_prompt!r} at scale 1"
            )
        return self

"""`DermDiTPipeline`: prompts in, dermoscopic images out (section 2.3), as a diffusers pipeline."""

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import DiffusionPipeline
from diffusers.pipelines.pipeline_utils import ImagePipelineOutput
from torch import Tensor

# diffusers loads parts only from modules that are already imported: these hold ours
from dermdit_kedro.diffusion import patch_autoencoder, transformer  # noqa: F401
from dermdit_kedro.diffusion.denoising import denoise
from dermdit_kedro.prompts.clip import encode_text

OUTPUT_TYPES = ("pil", "np", "pt", "latent")


DECODED_AT_ONCE = 16
"""Latents that are decoded together: a decoder needs far more memory an image than a denoiser."""


def decode_latents(vae: Any, latents: Tensor) -> Tensor:
    """Decode scaled latents, some at a time.

    Args:
        vae: A diffusers autoencoder with its scaling factor.
        latents: (b, c, h, w).

    Returns:
        Images in [0, 1], float32 (b, 3, H, W).
    """
    parts = (latents / vae.config.scaling_factor).to(vae.dtype).split(DECODED_AT_ONCE)
    images = torch.cat([vae.decode(part).sample.float() for part in parts])
    return (images / 2 + 0.5).clamp(0, 1)


class DermDiTPipeline(DiffusionPipeline):  # type: ignore[misc]
    """Text-to-image pipeline over any denoiser of the project, in any precision that its parts are loaded in.

    Args:
        denoiser: DermDiT or the U-Net baseline.
        vae: A diffusers `AutoencoderKL` with its scaling factor.
        text_encoder: A transformers `CLIPTextModel`.
        tokenizer: Its tokenizer.
        scheduler: A diffusers scheduler that fits the objective.
        conditional: Whether the denoiser was trained with prompts; if not, every prompt is the null prompt.
        guidance_scale: Guidance where a call names none.
        num_inference_steps: Steps where a call names none.
        guidance_interval: Where guidance begins and ends, where a call does not say; null for all steps.
    """

    model_cpu_offload_seq = "text_encoder->denoiser->vae"

    def __init__(
        self,
        denoiser: Any,
        vae: Any,
        text_encoder: Any,
        tokenizer: Any,
        scheduler: Any,
        conditional: bool = True,
        guidance_scale: float = 1.0,
        num_inference_steps: int = 20,
        guidance_interval: list[float] | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(
            denoiser=denoiser, vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, scheduler=scheduler
        )
        self.register_to_config(
            conditional=conditional, guidance_scale=guidance_scale, num_inference_steps=num_inference_steps,
            guidance_interval=list(guidance_interval or (0.0, 1.0)),
        )  # fmt: skip

    def encode_prompt(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Encode prompts (equation 2).

        Args:
            prompts: b texts; the null prompt stands for each where the denoiser was trained without prompts.

        Returns:
            Embeddings (b, l, e) in the precision of the denoiser and their mask (b, l).
        """
        texts = list(prompts) if self.config.conditional else [""] * len(prompts)
        embeddings, mask = encode_text(self.text_encoder, self.tokenizer, texts)
        longest = int(mask.sum(1).max())  # padded tokens have no influence: leave those off that all prompts pad
        device = self._execution_device
        return embeddings[:, :longest].to(device, self.denoiser.dtype), mask[:, :longest].to(device)

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str],
        *,
        guidance_scale: float | None = None,
        num_inference_steps: int | None = None,
        num_images_per_prompt: int = 1,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        negative_prompt: str | Sequence[str] | None = None,
        guidance_interval: tuple[float, float] | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> Any:
        """Draw images of prompts.

        Args:
            prompt: One prompt or several.
            guidance_scale: Classifier-free guidance over all latent channels; 1 is the conditional model, null what
                the folder says.
            num_inference_steps: Steps of the scheduler; null for as many as the folder says.
            num_images_per_prompt: Images drawn of each prompt, side by side in the result.
            generator: One for all, or one an image, so that an image does not depend on its batch.
            negative_prompt: What guidance moves away from, one for all or one a prompt; null for the null prompt.
            guidance_interval: Share of the steps at which guidance begins and ends; null for what the folder says.
            output_type: `pil`, `np` (float (b, H, W, 3) in [0, 1]), `pt` (float (b, 3, H, W) in [0, 1]) or `latent`.
            return_dict: Whether to wrap the images as diffusers does.

        Returns:
            `ImagePipelineOutput` with images, or a tuple of them.

        Raises:
            ValueError: If guidance is asked of an unconditional model, or prompts, generators or steps do not fit.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        away = negative_prompt or ""
        negatives = [away] * len(prompts) if isinstance(away, str) else list(away)
        generators = list(generator) if isinstance(generator, Sequence) else generator
        scale = self.config.guidance_scale if guidance_scale is None else guidance_scale
        steps = self.config.num_inference_steps if num_inference_steps is None else num_inference_steps
        _refuse_misfits(prompts, negatives, generators, num_images_per_prompt, steps, output_type)
        if scale != 1 and not self.config.conditional:
            raise ValueError(f"guidance_scale must be 1 for an unconditional model. Got {scale}")
        texts, aways = ([text for text in each for _ in range(num_images_per_prompt)] for each in (prompts, negatives))
        begin, end = guidance_interval or self.config.guidance_interval
        images: Any = self._denoise(texts, scale, steps, generators, aways, (begin, end))
        if output_type != "latent":
            images = decode_latents(self.vae, images)
        if output_type in ("pil", "np"):
            images = images.permute(0, 2, 3, 1).cpu().numpy()
        if output_type == "pil":
            images = self.numpy_to_pil(images)
        self.maybe_free_model_hooks()
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def _denoise(
        self,
        prompts: list[str],
        guidance_scale: float,
        num_inference_steps: int,
        generators: Any,
        away: list[str],
        guidance_interval: tuple[float, float],
    ) -> Tensor:
        from diffusers.utils.torch_utils import randn_tensor

        config = self.denoiser.config
        shape = (len(prompts), config.in_channels, config.sample_size, config.sample_size)
        embeddings, mask = self.encode_prompt(away + prompts if guidance_scale != 1 else prompts)
        noise = randn_tensor(shape, generator=generators, device=self._execution_device, dtype=torch.float32)
        return denoise(
            self.denoiser, self.scheduler, noise, embeddings, mask, guidance_scale=guidance_scale,
            num_inference_steps=num_inference_steps, generator=generators, guidance_interval=guidance_interval,
        )  # fmt: skip


def _refuse_misfits(
    prompts: list[str], negatives: list[str], generators: Any, images_per_prompt: int, steps: int, output_type: str
) -> None:
    if not prompts:
        raise ValueError("there must be at least one prompt. Got none")
    if len(negatives) != len(prompts):
        raise ValueError(f"there must be one negative prompt, or one a prompt ({len(prompts)}). Got {len(negatives)}")
    if images_per_prompt < 1:
        raise ValueError(f"num_images_per_prompt must be at least 1. Got {images_per_prompt}")
    if isinstance(generators, list) and len(generators) != len(prompts) * images_per_prompt:
        raise ValueError(
            f"there must be one generator an image ({len(prompts) * images_per_prompt}). Got {len(generators)}"
        )
    if steps < 1:
        raise ValueError(f"num_inference_steps must be at least 1. Got {steps}")
    if output_type not in OUTPUT_TYPES:
        raise ValueError(f"output_type must be one of {', '.join(OUTPUT_TYPES)}. Got {output_type!r}")

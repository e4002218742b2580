"""`DermDiTPipeline`: prompts in, dermoscopic images out (section 2.3), as a diffusers pipeline."""

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import DiffusionPipeline
from diffusers.pipelines.pipeline_utils import ImagePipelineOutput
from torch import Tensor

# diffusers loads parts only from modules that are already imported: these hold ours
from dermdit_kedro.diffusion import patch_autoencoder, transformer  # noqa: F401
from dermdit_kedro.prompts.clip import encode_text


def denoise(
    denoiser: Any,
    scheduler: Any,
    noise: Tensor,
    embeddings: Tensor,
    mask: Tensor,
    *,
    guidance_scale: float,
    num_inference_steps: int,
    generator: Any = None,
) -> Tensor:
    """Turn noise into latents, step by step of the scheduler.

    Args:
        denoiser: DermDiT or the U-Net; where it tells a variance too, that of the prompt is used unguided.
        scheduler: A diffusers scheduler that fits the objective.
        noise: Standard normal (b, c, h, w).
        embeddings: Text embeddings (b, l, e); where guided (2 b, l, e), what to move away from first.
        mask: True where a text token is real, (b, l) or (2 b, l).
        guidance_scale: Classifier-free guidance over all latent channels; 1 is the conditional model alone.
        num_inference_steps: Steps of the scheduler.
        generator: One for all, or one an image, for schedulers that add noise.

    Returns:
        Scaled latents (b, c, h, w).
    """
    is_guided = guidance_scale != 1
    scheduler.set_timesteps(num_inference_steps, device=noise.device)
    latents = noise * getattr(scheduler, "init_noise_sigma", 1.0)
    extra = {"generator": generator} if "generator" in scheduler.step.__code__.co_varnames else {}
    for t in scheduler.timesteps:
        doubled = torch.cat([latents] * 2) if is_guided else latents
        if hasattr(scheduler, "scale_model_input"):
            doubled = scheduler.scale_model_input(doubled, t)
        prediction = denoiser(
            doubled, t.expand(len(doubled)), encoder_hidden_states=embeddings, encoder_attention_mask=mask,
            return_dict=False,
        )[0]  # fmt: skip
        if is_guided:
            away, toward = prediction.chunk(2)
            guided = away + guidance_scale * (toward - away)
            prediction = torch.cat([guided[:, : noise.shape[1]], toward[:, noise.shape[1] :]], dim=1)
        latents = scheduler.step(prediction, t, latents, **extra, return_dict=False)[0]
    return latents


def decode_latents(vae: Any, latents: Tensor) -> Tensor:
    """Decode scaled latents.

    Args:
        vae: A diffusers autoencoder with its scaling factor.
        latents: (b, c, h, w).

    Returns:
        Images in [0, 1], (b, 3, H, W).
    """
    images: Tensor = vae.decode(latents / vae.config.scaling_factor).sample
    return (images / 2 + 0.5).clamp(0, 1)


class DermDiTPipeline(DiffusionPipeline):  # type: ignore[misc]
    """Text-to-image pipeline over any denoiser of the project.

    Args:
        denoiser: DermDiT or the U-Net baseline.
        vae: A diffusers `AutoencoderKL` with its scaling factor.
        text_encoder: A transformers `CLIPTextModel`.
        tokenizer: Its tokenizer.
        scheduler: A diffusers scheduler that fits the objective.
        conditional: Whether the denoiser was trained with prompts; if not, every prompt is the null prompt.
    """

    model_cpu_offload_seq = "text_encoder->denoiser->vae"

    def __init__(
        self, denoiser: Any, vae: Any, text_encoder: Any, tokenizer: Any, scheduler: Any, conditional: bool = True
    ) -> None:
        super().__init__()
        self.register_modules(
            denoiser=denoiser, vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, scheduler=scheduler
        )
        self.register_to_config(conditional=conditional)

    def encode_prompt(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Encode prompts; returns (embeddings (b, l, e), mask (b, l)) (equation 2)."""
        texts = list(prompts) if self.config.conditional else [""] * len(prompts)
        embeddings, mask = encode_text(self.text_encoder, self.tokenizer, texts)
        longest = int(mask.sum(1).max())  # padded tokens have no influence: leave those off that all prompts pad
        return embeddings[:, :longest].to(self.device), mask[:, :longest].to(self.device)

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str],
        *,
        guidance_scale: float = 2.0,
        num_inference_steps: int = 20,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        negative_prompt: str = "",
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> Any:
        """Draw one image a prompt.

        Args:
            prompt: One prompt or several.
            guidance_scale: Classifier-free guidance over all latent channels; 1 is the conditional model.
            num_inference_steps: Steps of the scheduler.
            generator: One for all, or one an image, so that an image does not depend on its batch.
            negative_prompt: What guidance moves away from.
            output_type: `pil`, `pt` (float (b, 3, h, w) in [0, 1]) or `latent`.
            return_dict: Whether to wrap the images as diffusers does.

        Returns:
            `ImagePipelineOutput` with images, or a tuple of them.

        Raises:
            ValueError: If guidance is asked of an unconditional model, or there is not one generator an image.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        generators = list(generator) if isinstance(generator, Sequence) else generator
        self._check(prompts, guidance_scale, generators)
        latents = self._denoise(prompts, guidance_scale, num_inference_steps, generators, negative_prompt)
        if output_type == "latent":
            images: Any = latents
        else:
            images = decode_latents(self.vae, latents)
            if output_type == "pil":
                images = self.numpy_to_pil(images.permute(0, 2, 3, 1).float().cpu().numpy())
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def _check(self, prompts: list[str], guidance_scale: float, generators: Any) -> None:
        if guidance_scale != 1 and not self.config.conditional:
            raise ValueError(f"guidance_scale must be 1 for an unconditional model. Got {guidance_scale}")
        if isinstance(generators, list) and len(generators) != len(prompts):
            raise ValueError(f"there must be one generator an image ({len(prompts)}). Got {len(generators)}")

    def _denoise(
        self, prompts: list[str], guidance_scale: float, num_inference_steps: int, generators: Any, negative: str
    ) -> Tensor:
        from diffusers.utils.torch_utils import randn_tensor

        config = self.denoiser.config
        shape = (len(prompts), config.in_channels, config.sample_size, config.sample_size)
        is_guided = guidance_scale != 1
        embeddings, mask = self.encode_prompt([negative] * len(prompts) + prompts if is_guided else prompts)
        noise = randn_tensor(shape, generator=generators, device=self.device, dtype=embeddings.dtype)
        return denoise(
            self.denoiser, self.scheduler, noise, embeddings, mask, guidance_scale=guidance_scale,
            num_inference_steps=num_inference_steps, generator=generators,
        )  # fmt: skip

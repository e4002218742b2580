"""From noise to latents: the loop over a scheduler's steps, with guidance (section 2.3)."""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class _Text:
    """What the denoiser is told at every step."""

    embeddings: Tensor
    mask: Tensor
    cached: dict[str, Any]

    def toward(self, count: int) -> Self:
        """Leave off what guidance moves away from."""
        cached = {name: [kv[:, count:] for kv in cache] for name, cache in self.cached.items()}
        return type(self)(self.embeddings[count:], self.mask[count:], cached)


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
    guidance_interval: tuple[float, float] = (0.0, 1.0),
) -> Tensor:
    """Turn noise into latents, step by step of the scheduler.

    What the denoiser makes of the text alone is computed once, where it offers that (`cache_text`).

    Args:
        denoiser: DermDiT or the U-Net; where it tells a variance too, that of the prompt is used unguided.
        scheduler: A diffusers scheduler that fits the objective.
        noise: Standard normal (b, c, h, w).
        embeddings: Text embeddings (b, l, e) in the precision of the denoiser; where guided (2 b, l, e), what to move
            away from first.
        mask: True where a text token is real, (b, l) or (2 b, l).
        guidance_scale: Classifier-free guidance over all latent channels; 1 is the conditional model alone.
        num_inference_steps: Steps of the scheduler.
        generator: One for all, or one an image, for schedulers that add noise.
        guidance_interval: Share of the steps at which guidance begins and ends; the others are conditional alone, at
            half the cost (Kynkaanniemi et al., 2024, arXiv 2404.07724).

    Returns:
        Scaled latents (b, c, h, w) in the precision of the noise, in which every step is summed up.
    """
    is_guided = guidance_scale != 1
    _set_steps(scheduler, num_inference_steps, noise.device)
    latents = noise * getattr(scheduler, "init_noise_sigma", 1.0)
    extra = {"generator": generator} if "generator" in scheduler.step.__code__.co_varnames else {}
    cache = denoiser.cache_text(embeddings) if hasattr(denoiser, "cache_text") else None
    texts = {True: _Text(embeddings, mask, {} if cache is None else {"text_cache": cache})}
    texts[False] = texts[True].toward(len(noise)) if is_guided else texts[True]
    first, last = (share * len(scheduler.timesteps) for share in guidance_interval)
    for step, t in enumerate(scheduler.timesteps):
        guides = is_guided and first <= step < last
        text = texts[guides or not is_guided]
        doubled = torch.cat([latents] * 2) if guides else latents
        if hasattr(scheduler, "scale_model_input"):
            doubled = scheduler.scale_model_input(doubled, t)
        prediction = denoiser(
            doubled.to(embeddings.dtype), t.expand(len(doubled)), encoder_hidden_states=text.embeddings,
            encoder_attention_mask=text.mask, return_dict=False, **text.cached,
        )[0].to(noise.dtype)  # fmt: skip
        if guides:
            away, toward = prediction.chunk(2)
            guided = away + guidance_scale * (toward - away)
            prediction = torch.cat([guided[:, : noise.shape[1]], toward[:, noise.shape[1] :]], dim=1)
        latents = scheduler.step(prediction, t, latents, **extra, return_dict=False)[0]
    return latents


def _set_steps(scheduler: Any, num_inference_steps: int, device: torch.device) -> None:
    """Choose the times; Euler's by itself would spend the last evaluation on a step of a thousandth."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    if isinstance(scheduler, FlowMatchEulerDiscreteScheduler):
        even = torch.linspace(1, 1 / num_inference_steps, num_inference_steps).tolist()
        scheduler.set_timesteps(sigmas=even, device=device)
    else:
        scheduler.set_timesteps(num_inference_steps, device=device)

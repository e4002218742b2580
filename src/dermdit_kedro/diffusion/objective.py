"""What the denoiser learns: equation 3 of the paper, v-prediction, or rectified flow.

Noise schedules and schedulers are diffusers' own.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from dermdit_kedro.diffusion.parameters import ObjectiveConfig, SamplerConfig

FLOW_TIMESTEPS = 1000
"""diffusers' flow-matching schedulers count time from 0 (data) to this (noise)."""


@dataclass(frozen=True)
class NoisyLatents:
    """The input and the target of one denoising step.

    Attributes:
        sample: Noisy latents, (b, c, h, w).
        timestep: Timesteps, float (b,), in [0, num_train_timesteps).
        target: What the denoiser is to predict, (b, c, h, w).
    """

    sample: Tensor
    timestep: Tensor
    target: Tensor


class Objective:
    """Forward process and target of one prediction type.

    Args:
        config: Prediction type and noise schedule.
    """

    def __init__(self, config: ObjectiveConfig) -> None:
        self.config = config
        self._schedule = None if config.prediction_type == "flow" else _diffusion_scheduler("ddpm", config)

    def draw(
        self, latents: Float[Tensor, "b c h w"], noise: Float[Tensor, "b c h w"], time: Float[Tensor, " b"]
    ) -> NoisyLatents:
        """Noise clean latents.

        `epsilon`: x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) noise with t uniform, target noise.
        `v_prediction`: the same x_t, target sqrt(abar_t) noise - sqrt(1 - abar_t) x_0.
        `flow`: x_t = (1 - t) x_0 + t noise with t logit-normal, target noise - x_0.

        Args:
            latents: Clean latents, scaled to unit variance.
            noise: Standard normal.
            time: Standard normal, one number an image; its distribution function gives the uniform t.

        Returns:
            Noisy latents, timesteps and target.
        """
        if self._schedule is None:
            t = torch.sigmoid(time).view(-1, 1, 1, 1)
            return NoisyLatents((1 - t) * latents + t * noise, t.flatten() * FLOW_TIMESTEPS, noise - latents)
        steps = self.config.num_train_timesteps
        uniform = torch.special.ndtr(time.double())
        timestep = (uniform * steps).long().clamp(max=steps - 1)
        sample = self._schedule.add_noise(latents, noise, timestep)
        is_epsilon = self.config.prediction_type == "epsilon"
        target = noise if is_epsilon else self._schedule.get_velocity(latents, noise, timestep)
        return NoisyLatents(sample, timestep.float(), target)

    def loss(self, prediction: Tensor, noisy: NoisyLatents) -> Float[Tensor, ""]:
        """Return the mean squared error of a prediction (equation 3), weighed by `min_snr_gamma` where it is given.

        The weight of a timestep is min(SNR, gamma) / SNR for `epsilon`, over SNR + 1 for `v_prediction`, so that in
        both the error of the latents counts min(SNR, gamma)-fold (Hang et al. 2023).

        Args:
            prediction: What the denoiser said.
            noisy: What it was asked.

        Returns:
            A scalar.
        """
        gamma = self.config.min_snr_gamma
        if gamma is None or self._schedule is None:
            return F.mse_loss(prediction.float(), noisy.target)
        from diffusers.training_utils import compute_snr

        snr = compute_snr(self._schedule, noisy.timestep.long())
        weight = snr.clamp(max=gamma) / (snr if self.config.prediction_type == "epsilon" else snr + 1)
        errors = (prediction.float() - noisy.target).square().mean(dim=(1, 2, 3))
        return (weight * errors).mean()


def build_scheduler(objective: ObjectiveConfig, sampler: SamplerConfig) -> Any:
    """Return a diffusers scheduler that fits the objective.

    Args:
        objective: What the denoiser was trained for.
        sampler: The scheduler by name.

    Returns:
        A diffusers scheduler.

    Raises:
        ValueError: If the scheduler is not one of the objective's.
    """
    is_flow = sampler.scheduler.startswith("flow_")
    if is_flow != (objective.prediction_type == "flow"):
        allowed = "flow_euler, flow_heun" if objective.prediction_type == "flow" else "ddpm, ddim, dpm_solver, unipc"
        raise ValueError(
            f"sampler.scheduler must fit objective.prediction_type {objective.prediction_type!r}: one of {allowed}. "
            f"Got {sampler.scheduler!r}"
        )
    if is_flow:
        from diffusers import FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler

        kind = FlowMatchEulerDiscreteScheduler if sampler.scheduler == "flow_euler" else FlowMatchHeunDiscreteScheduler
        return kind(num_train_timesteps=FLOW_TIMESTEPS)
    return _diffusion_scheduler(sampler.scheduler, objective)


def _diffusion_scheduler(name: str, objective: ObjectiveConfig) -> Any:
    from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler

    schedule = {
        "num_train_timesteps": objective.num_train_timesteps,
        "beta_schedule": objective.beta_schedule,
        "beta_start": objective.beta_start,
        "beta_end": objective.beta_end,
        "prediction_type": objective.prediction_type,
    }
    if name in ("ddpm", "ddim"):
        kind = DDPMScheduler if name == "ddpm" else DDIMScheduler
        return kind(**schedule, clip_sample=False)
    return (DPMSolverMultistepScheduler if name == "dpm_solver" else UniPCMultistepScheduler)(**schedule)

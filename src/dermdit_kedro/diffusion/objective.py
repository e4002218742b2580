"""What the denoiser learns: equation 3 of the paper, v-prediction, or rectified flow.

Noise schedules and schedulers are diffusers' own.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dermdit_kedro.diffusion.parameters import ObjectiveConfig
from dermdit_kedro.diffusion.schedulers import FLOW_TIMESTEPS, diffusion_scheduler


@dataclass(frozen=True)
class NoisyLatents:
    """The input and the target of one denoising step.

    Attributes:
        sample: Noisy latents, (b, c, h, w).
        timestep: Timesteps, float (b,), in [0, num_train_timesteps).
        target: What the denoiser is to predict, (b, c, h, w).
        latents: What was noised, (b, c, h, w).
    """

    sample: Tensor
    timestep: Tensor
    target: Tensor
    latents: Tensor


class Objective:
    """Forward process and target of one prediction type.

    Args:
        config: Prediction type and noise schedule.
    """

    def __init__(self, config: ObjectiveConfig) -> None:
        self.config = config
        self._schedule = None if config.prediction_type == "flow" else diffusion_scheduler("ddpm", config)

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
            return NoisyLatents((1 - t) * latents + t * noise, t.flatten() * FLOW_TIMESTEPS, noise - latents, latents)
        steps = self.config.num_train_timesteps
        uniform = torch.special.ndtr(time.double())
        timestep = (uniform * steps).long().clamp(max=steps - 1)
        sample = self._schedule.add_noise(latents, noise, timestep)
        is_epsilon = self.config.prediction_type == "epsilon"
        target = noise if is_epsilon else self._schedule.get_velocity(latents, noise, timestep)
        return NoisyLatents(sample, timestep.float(), target, latents)

    def losses(self, prediction: Tensor, noisy: NoisyLatents) -> Float[Tensor, " b"]:
        """Return the mean squared error of a prediction (equation 3), weighed by `min_snr_gamma` where it is given.

        The weight of a timestep is min(SNR, gamma) / SNR for `epsilon`, over SNR + 1 for `v_prediction`, so that in
        both the error of the latents counts min(SNR, gamma)-fold (Hang et al. 2023). With `learn_sigma` the
        variational bound is added, 0.001 times the sum over the timesteps (Nichol and Dhariwal 2021, equation 16).

        Args:
            prediction: What the denoiser said, (b, c, h, w); with `learn_sigma` (b, 2 c, h, w), the variance behind.
            noisy: What it was asked.

        Returns:
            One number an image.
        """
        prediction = prediction.float()
        bound = torch.zeros(len(prediction), device=prediction.device)
        if self.config.learn_sigma:
            prediction, variance = prediction.chunk(2, dim=1)
            bound = 0.001 * self.config.num_train_timesteps * self._variational_bound(prediction, variance, noisy)
        errors = (prediction - noisy.target).square().mean(dim=(1, 2, 3))
        gamma = self.config.min_snr_gamma
        if gamma is None or self._schedule is None:
            return errors + bound
        from diffusers.training_utils import compute_snr

        snr = compute_snr(self._schedule, noisy.timestep.long())
        weight = snr.clamp(max=gamma) / (snr if self.config.prediction_type == "epsilon" else snr + 1)
        return weight * errors + bound

    def _variational_bound(self, noise: Tensor, variance: Tensor, noisy: NoisyLatents) -> Tensor:
        """Return the bound of one timestep, in nats a latent number, to which the predicted noise is held fast.

        The predicted `variance` v in [-1, 1] lies between the two bounds of log sigma^2, those of the posterior and of
        beta_t (equation 15). At t = 0 the bound is the negative log-likelihood of the latents; they are real
        numbers, so no bins are needed.
        """
        assert self._schedule is not None
        t = noisy.timestep.long().cpu()
        alphas, betas = self._schedule.alphas, self._schedule.betas
        abar = self._schedule.alphas_cumprod
        before = torch.cat([abar.new_ones(1), abar[:-1]])
        posterior = betas * (1 - before) / (1 - abar)
        posterior[0] = posterior[1]  # it is zero there, and has no logarithm
        numbers = {
            "low": posterior.log(),
            "high": betas.log(),
            "of_x0": betas * before.sqrt() / (1 - abar),
            "of_xt": (1 - before) * alphas.sqrt() / (1 - abar),
            "root": abar.sqrt(),
            "rest": (1 - abar).sqrt(),
        }
        at = {name: value[t].view(-1, 1, 1, 1).to(noise.device) for name, value in numbers.items()}
        share = (variance + 1) / 2
        log_variance = share * at["high"] + (1 - share) * at["low"]
        x0 = (noisy.sample - at["rest"] * noise.detach()) / at["root"]
        mean = at["of_x0"] * x0 + at["of_xt"] * noisy.sample
        true = at["of_x0"] * noisy.latents + at["of_xt"] * noisy.sample
        squared = (true - mean).square()
        kl = 0.5 * (log_variance - at["low"] - 1 + (at["low"].exp() + squared) * (-log_variance).exp())
        likelihood = 0.5 * (log_variance + math.log(2 * math.pi) + (noisy.latents - mean).square() / log_variance.exp())
        is_last = (t == 0).view(-1, 1, 1, 1).to(noise.device)
        return torch.where(is_last, likelihood, kl).mean(dim=(1, 2, 3))

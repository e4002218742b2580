"""Schedulers by name: one generator folder, drawn from with any that fits it."""

import itertools

import pytest
import torch

from dermdit_kedro.diffusion.denoising import denoise
from dermdit_kedro.diffusion.parameters import ObjectiveConfig, SamplerConfig
from dermdit_kedro.diffusion.schedulers import build_scheduler, fitting_schedulers, swap_scheduler
from dermdit_kedro.errors import UserError

FLOW = ObjectiveConfig(prediction_type="flow")
V = ObjectiveConfig(prediction_type="v_prediction", beta_schedule="scaled_linear", beta_end=0.012)
ENDS = 0.05
"""Largest distance from the only image at which a scheduler may end: diffusers rounds the times of some."""


class Knowing:
    """A denoiser of one image, which knows how it is asked."""

    def __init__(self, latents, objective):
        self.latents, self.objective, self.times = latents, objective, []
        self.schedule = None if objective is FLOW else build_scheduler(objective, SamplerConfig(scheduler="ddpm"))

    def __call__(self, sample, timestep, **_):
        t = timestep[0]
        self.times.append(float(t))
        if self.schedule is None:
            return ((sample - self.latents) / (t / 1000).clamp(min=1e-3),)
        alpha = self.schedule.alphas_cumprod[int(t)]
        noise = (sample - alpha.sqrt() * self.latents) / (1 - alpha).sqrt()
        return (self.schedule.get_velocity(self.latents, noise, t.long().expand(len(sample))),)


def draw(scheduler, objective, steps):
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    denoiser = Knowing(latents, objective)
    drawn = denoise(
        denoiser, scheduler, torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1)),
        torch.zeros(2, 1, 12), torch.ones(2, 1, dtype=torch.bool), guidance_scale=1.0, num_inference_steps=steps,
        generator=torch.Generator().manual_seed(2),
    )  # fmt: skip
    return (drawn - latents).abs().max(), denoiser.times


@pytest.mark.parametrize("objective", [FLOW, V], ids=["flow", "v"])
def test_whatever_a_folder_holds_every_fitting_scheduler_draws_from_it(objective):
    names = fitting_schedulers(objective is FLOW)
    assert len(names) == 4
    for held, asked in itertools.product(names, names):
        scheduler = swap_scheduler(build_scheduler(objective, SamplerConfig(scheduler=held)), asked)
        assert type(scheduler) is type(build_scheduler(objective, SamplerConfig(scheduler=asked)))
        distance, times = draw(scheduler, objective, 20)
        assert distance < ENDS, (held, asked)
        assert times[0] > 900 > 200 > times[-1]
        if objective is V:
            assert scheduler.config["beta_end"] == V.beta_end
            assert scheduler.config["beta_schedule"] == V.beta_schedule


def test_a_scheduler_that_is_asked_for_as_it_is_stays():
    scheduler = build_scheduler(FLOW, SamplerConfig(scheduler="flow_unipc"))
    assert swap_scheduler(scheduler, "flow_unipc") is scheduler


@pytest.mark.parametrize(
    ("objective", "held", "asked", "allowed"),
    [
        (FLOW, "flow_euler", "ddim", "flow_euler, flow_heun, flow_dpm_solver, flow_unipc"),
        (FLOW, "flow_dpm_solver", "dpm_solver", "flow_euler, flow_heun, flow_dpm_solver, flow_unipc"),
        (V, "ddpm", "flow_dpm_solver", "ddpm, ddim, dpm_solver, unipc"),
        (ObjectiveConfig(prediction_type="epsilon", learn_sigma=True), "ddpm", "ddim", "ddpm"),
    ],
)
def test_a_scheduler_for_another_training_is_refused(objective, held, asked, allowed):
    scheduler = build_scheduler(objective, SamplerConfig(scheduler=held))
    with pytest.raises(UserError, match=f"must be one of {allowed}. Got '{asked}'"):
        swap_scheduler(scheduler, asked)


@pytest.mark.parametrize("steps", [1, 4, 20])
def test_euler_takes_even_steps_down_to_no_noise(steps):
    _, times = draw(build_scheduler(FLOW, SamplerConfig(scheduler="flow_euler")), FLOW, steps)
    assert times == pytest.approx([1000 * (1 - i / steps) for i in range(steps)], rel=1e-5)

"""Laws of the objectives: exact prediction recovers the latents, schedules fit, the forward process is the paper's."""

import pytest
import torch

from dermdit_kedro.diffusion.objective import Objective
from dermdit_kedro.diffusion.parameters import ObjectiveConfig, SamplerConfig
from dermdit_kedro.diffusion.schedulers import build_scheduler, fitting_schedulers

FLOW = ObjectiveConfig(prediction_type="flow")


def _drawn(config):
    generator = torch.Generator().manual_seed(0)
    latents, noise = torch.randn(6, 4, 8, 8, generator=generator), torch.randn(6, 4, 8, 8, generator=generator)
    time = torch.randn(6, generator=generator)
    return latents, noise, Objective(config).draw(latents, noise, time)


def test_epsilon_is_the_forward_process_of_section_2_2():
    config = ObjectiveConfig(prediction_type="epsilon")
    latents, noise, noisy = _drawn(config)
    alphas = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0)[noisy.timestep.long()].view(-1, 1, 1, 1)
    assert torch.allclose(noisy.sample, alphas.sqrt() * latents + (1 - alphas).sqrt() * noise, atol=1e-5)
    assert torch.equal(noisy.target, noise)


def test_exact_prediction_recovers_the_latents():
    latents, _, noisy = _drawn(FLOW)
    t = (noisy.timestep / 1000).view(-1, 1, 1, 1)
    assert torch.allclose(noisy.sample - t * noisy.target, latents, atol=1e-5)
    for kind in ("epsilon", "v_prediction"):
        config = ObjectiveConfig(prediction_type=kind)
        latents, _, noisy = _drawn(config)
        scheduler = build_scheduler(config, SamplerConfig(scheduler="ddpm"))
        for i in range(len(latents)):
            step = scheduler.step(noisy.target[i : i + 1], int(noisy.timestep[i]), noisy.sample[i : i + 1])
            tolerance = 2e-2 if noisy.timestep[i] > 900 else 1e-3
            assert torch.allclose(step.pred_original_sample[0], latents[i], atol=tolerance)


@pytest.mark.parametrize("name", fitting_schedulers(is_flow=True))
def test_the_flow_of_one_image_ends_at_that_image(name):
    scheduler = build_scheduler(FLOW, SamplerConfig(scheduler=name))
    latents, noise, _ = _drawn(FLOW)
    x = noise.clone()
    scheduler.set_timesteps(10)
    for t in scheduler.timesteps:
        x = scheduler.step(noise - latents, t, x).prev_sample
    assert torch.allclose(x, latents, atol=1e-2 if "dpm" in name or "unipc" in name else 1e-4)


def test_times_are_logit_normal_for_flow_and_uniform_else():
    time = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    zeros = torch.zeros(20_000, 1, 1, 1)
    flow = Objective(FLOW).draw(zeros, zeros, time).timestep / 1000
    assert flow.median() == pytest.approx(0.5, abs=0.02)
    assert flow.logit().std() == pytest.approx(1.0, abs=0.02)
    uniform = Objective(ObjectiveConfig(prediction_type="epsilon")).draw(zeros, zeros, time).timestep
    assert uniform.min() >= 0
    assert uniform.max() <= 999
    assert torch.histc(uniform, 10, 0, 1000).std() / 2000 < 0.05


def test_the_loss_of_an_exact_prediction_is_zero():
    _, _, noisy = _drawn(FLOW)
    assert not Objective(FLOW).losses(noisy.target, noisy).any()


@pytest.mark.parametrize(("kind", "scheduler"), [("flow", "ddpm"), ("epsilon", "flow_euler")])
def test_a_scheduler_that_does_not_fit_is_refused(kind, scheduler):
    with pytest.raises(ValueError, match=f"must fit objective.prediction_type '{kind}'.*Got '{scheduler}'"):
        build_scheduler(ObjectiveConfig(prediction_type=kind), SamplerConfig(scheduler=scheduler))


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("gamma", [0.5, 5.0, 1e12])
def test_min_snr_weighs_the_error_of_the_latents(kind, gamma):
    objective = Objective(ObjectiveConfig(prediction_type=kind, min_snr_gamma=gamma))
    latents, noise, time = (
        torch.randn(64, *size, generator=torch.Generator().manual_seed(0)) for size in ((4, 2, 2), (4, 2, 2), ())
    )
    noisy = objective.draw(latents, noise, time)
    abar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)[noisy.timestep.long()]
    snr = abar / (1 - abar)
    off = torch.randn(64, 4, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    # an error of the latents by `off`, as an error of what is predicted
    scale = (snr.sqrt() if kind == "epsilon" else (1 / (1 - abar)).sqrt()).view(-1, 1, 1, 1)
    loss = objective.losses((noisy.target + scale * off).float(), noisy).mean()
    expected = (snr.clamp(max=gamma) * off.square().mean(dim=(1, 2, 3))).mean()
    assert float(loss) == pytest.approx(float(expected), rel=1e-3)


def test_min_snr_is_for_diffusion_alone():
    with pytest.raises(ValueError, match=r"min_snr_gamma must be null where prediction_type is flow\. Got 5"):
        ObjectiveConfig(prediction_type="flow", min_snr_gamma=5)


SIGMA = ObjectiveConfig(prediction_type="epsilon", learn_sigma=True)


def _variational_bound(variance, off=0.0):
    """The bound that the loss adds, for a prediction that is `off` from the noise."""
    _, noise, noisy = _drawn(SIGMA)
    prediction = torch.cat([noise + off, variance.expand_as(noise)], dim=1).requires_grad_()
    loss = Objective(SIGMA).losses(prediction, noisy).mean()
    return loss - off**2, prediction, loss


def test_the_bound_is_least_near_the_posterior_where_the_noise_is_known():
    """With the exact mean the best variance is the posterior's, v = -1; its divergence is zero but at t = 0."""
    values = [float(_variational_bound(torch.tensor(v))[0].detach()) for v in (-1.0, 0.0, 1.0)]
    assert values == sorted(values)
    assert values[0] == pytest.approx(0.0, abs=1e-4)


def test_the_bound_against_the_divergence_of_torch():
    latents, noise, noisy = _drawn(SIGMA)
    v, off = 0.3, 0.5
    bound, _, _ = _variational_bound(torch.tensor(v), off)
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    abar = torch.cumprod(1 - betas, 0)
    t = noisy.timestep.long()
    now, before, beta = (x[t].view(-1, 1, 1, 1) for x in (abar, torch.cat([abar.new_ones(1), abar[:-1]]), betas))
    posterior = beta * (1 - before) / (1 - now)
    normal = torch.distributions.Normal
    wrong = (noisy.sample - (1 - now).sqrt() * (noise + off)) / now.sqrt()
    means = [
        beta * before.sqrt() / (1 - now) * x + (1 - before) * (1 - beta).sqrt() / (1 - now) * noisy.sample
        for x in (latents, wrong)
    ]
    sigma = (((v + 1) / 2) * beta.log() + ((1 - v) / 2) * posterior.log()).exp().sqrt()
    divergence = torch.distributions.kl_divergence(normal(means[0], posterior.sqrt()), normal(means[1], sigma))
    assert t.min() > 0
    assert float(bound.detach()) == pytest.approx(float(divergence.mean()), rel=1e-3)


def test_the_bound_teaches_the_variance_alone():
    _, prediction, loss = _variational_bound(torch.tensor(0.3))
    loss.backward()
    assert not prediction.grad[:, :4].any()  # exact noise: nothing to learn from equation 3, nothing from the bound
    assert prediction.grad[:, 4:].abs().min() > 0


def test_the_learned_variance_is_what_the_scheduler_uses():
    scheduler = build_scheduler(SIGMA, SamplerConfig(scheduler="ddpm"))
    x, noise = torch.zeros(1, 4, 8, 8), torch.zeros(1, 4, 8, 8)
    spread = [
        scheduler.step(
            torch.cat([noise, torch.full_like(noise, v)], 1), 500, x, generator=torch.Generator().manual_seed(0)
        ).prev_sample.std()
        for v in (-1.0, 1.0)
    ]
    beta = scheduler.betas[500]
    posterior = beta * (1 - scheduler.alphas_cumprod[499]) / (1 - scheduler.alphas_cumprod[500])
    assert float(spread[1] / spread[0]) == pytest.approx(float((beta / posterior).sqrt()), rel=1e-4)


@pytest.mark.parametrize("kind", ["flow", "v_prediction"])
def test_the_variance_is_learned_beside_epsilon_alone(kind):
    with pytest.raises(ValueError, match=f"learn_sigma must be false where prediction_type is {kind}"):
        ObjectiveConfig(prediction_type=kind, learn_sigma=True)


def test_a_scheduler_that_would_ignore_the_learned_variance_is_refused():
    with pytest.raises(ValueError, match=r"must be ddpm where objective\.learn_sigma is on\. Got 'ddim'"):
        build_scheduler(SIGMA, SamplerConfig(scheduler="ddim"))

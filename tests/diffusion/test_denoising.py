"""The sampling loop: guidance where it is asked for, and a text that is read once."""

import pytest
import torch

from dermdit_kedro.diffusion.denoisers import build_denoiser
from dermdit_kedro.diffusion.denoising import denoise
from dermdit_kedro.diffusion.parameters import DenoiserConfig, ObjectiveConfig, SamplerConfig
from dermdit_kedro.diffusion.schedulers import build_scheduler

SAMPLER = SamplerConfig(num_inference_steps=5)
CONDITIONINGS = ("tokens", "pooled", "none")


def build(**changes):
    """A denoiser whose every weight matters: fresh ones are the identity."""
    torch.manual_seed(0)
    config = DenoiserConfig(**{"patch_size": 2, "hidden_size": 32, "depth": 3, "num_heads": 2, **changes})
    denoiser = build_denoiser(config, sample_size=8, in_channels=4, text_embed_dim=12).eval()
    for weight in denoiser.parameters():
        weight.data += 0.2 * torch.randn_like(weight)
    return denoiser


def texts(count=3, length=6):
    generator = torch.Generator().manual_seed(1)
    embeddings = torch.randn(count, length, 12, generator=generator)
    mask = torch.arange(length) < torch.tensor([length, 2, 4][:count])[:, None]
    return embeddings, mask


@pytest.mark.parametrize("adaln", [False, True])
def test_the_cached_text_changes_nothing(adaln):
    denoiser = build(adaln=adaln)
    embeddings, mask = texts()
    sample, times = torch.randn(3, 4, 8, 8), torch.tensor([3.0, 500.0, 999.0])
    arguments = {"encoder_hidden_states": embeddings, "encoder_attention_mask": mask, "return_dict": False}
    with torch.no_grad():
        plain = denoiser(sample, times, **arguments)[0]
        cached = denoiser(sample, times, **arguments, text_cache=denoiser.cache_text(embeddings))[0]
    assert plain.abs().max() > 0.1
    torch.testing.assert_close(cached, plain, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("conditioning", CONDITIONINGS)
def test_a_text_that_is_no_tokens_is_not_cached(conditioning):
    found = build(conditioning=conditioning).cache_text(texts()[0])
    assert (found is not None) == (conditioning == "tokens")


class Counting:
    """A denoiser that counts the rows it is asked for, and moves latents toward the mean of its text."""

    def __init__(self, has_cache=False):
        self.rows = []
        if has_cache:
            self.cache_text = lambda text: [text.new_zeros(2, len(text), 1, 1, 1)]

    def __call__(self, sample, timestep, encoder_hidden_states, encoder_attention_mask, return_dict, text_cache=None):
        self.rows.append(len(sample))
        assert len(encoder_hidden_states) == len(encoder_attention_mask) == len(sample)
        assert text_cache is None or all(kv.shape[1] == len(sample) for kv in text_cache)
        return (sample * 0 + encoder_hidden_states.mean(dim=(1, 2))[:, None, None, None],)


def draw(denoiser, guidance_scale=3.0, guidance_interval=(0.0, 1.0)):
    embeddings, mask = texts(2)
    both = torch.cat([embeddings * 0, embeddings]), torch.cat([mask, mask])
    if guidance_scale == 1:
        both = embeddings, mask
    scheduler = build_scheduler(ObjectiveConfig(prediction_type="flow"), SAMPLER)
    noise = torch.zeros(2, 4, 8, 8)
    return denoise(
        denoiser, scheduler, noise, *both, guidance_scale=guidance_scale, num_inference_steps=5,
        guidance_interval=guidance_interval,
    )  # fmt: skip


@pytest.mark.parametrize("has_cache", [False, True])
@pytest.mark.parametrize(
    ("interval", "rows"),
    [
        ((0.0, 1.0), [4, 4, 4, 4, 4]),
        ((0.2, 0.8), [2, 4, 4, 4, 2]),
        ((0.0, 0.4), [4, 4, 2, 2, 2]),
        ((0.99, 1.0), [2, 2, 2, 2, 2]),
    ],
)
def test_steps_outside_the_interval_cost_half(interval, rows, has_cache):
    denoiser = Counting(has_cache)
    draw(denoiser, guidance_interval=interval)
    assert denoiser.rows == rows


def test_without_guided_steps_the_images_are_those_of_the_conditional_model():
    nowhere, conditional = draw(Counting(), guidance_interval=(0.99, 1.0)), draw(Counting(), guidance_scale=1.0)
    torch.testing.assert_close(nowhere, conditional)
    everywhere = draw(Counting())
    torch.testing.assert_close(everywhere, 3 * conditional)
    halfway = draw(Counting(), guidance_interval=(0.0, 0.6))
    assert (halfway.abs() < everywhere.abs()).all()
    assert (halfway.abs() > conditional.abs()).all()


def test_a_negative_prompt_without_guidance_is_refused():
    with pytest.raises(ValueError, match="negative_prompt is read where guidance_scale is above 1"):
        SamplerConfig(guidance_scale=1.0, negative_prompt="hair")


@pytest.mark.parametrize("interval", [(0.5, 0.5), (0.8, 0.2), (-0.1, 1.0), (0.0, 1.1)])
def test_an_interval_that_is_none_is_refused(interval):
    with pytest.raises(ValueError, match="guidance_interval must be two rising shares"):
        SamplerConfig(guidance_interval=interval)

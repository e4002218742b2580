"""Laws of DermDiT: identity at the start, patches, masks, and text that reaches every query."""

import pytest
import torch

from dermdit_kedro.diffusion.denoisers import build_denoiser
from dermdit_kedro.diffusion.objective import Objective
from dermdit_kedro.diffusion.parameters import DenoiserConfig, ObjectiveConfig
from dermdit_kedro.diffusion.train import denoising_losses
from dermdit_kedro.diffusion.transformer import (
    Attention,
    DermDiTTransformer2DModel,
    SingleTokenAttention,
    _attend,
    patchify,
    unpatchify,
)


def _model(adaln=False, **changes):
    torch.manual_seed(0)
    size = {
        "sample_size": 8, "in_channels": 4, "patch_size": 2, "hidden_size": 32, "depth": 2, "num_heads": 4,
        "text_embed_dim": 12, "adaln": adaln, **changes,
    }  # fmt: skip
    return DermDiTTransformer2DModel(**size)


def _inputs(batch=3, tokens=5):
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(batch, 4, 8, 8, generator=generator),
        torch.rand(batch, generator=generator) * 1000,
        torch.randn(batch, tokens, 12, generator=generator),
        torch.ones(batch, tokens, dtype=torch.bool),
    )


def _woken(model):
    """Fill the zero-initialised layers, as training would."""
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    return model


@pytest.mark.parametrize("patch_size", [1, 2, 4])
def test_unpatchify_inverts_patchify(patch_size):
    latents = torch.randn(2, 3, 8, 4)
    tokens = patchify(latents, patch_size)
    assert tokens.shape == (2, 32 // patch_size**2, 3 * patch_size**2)
    assert torch.equal(unpatchify(tokens, patch_size, (8, 4)), latents)


@pytest.mark.parametrize("adaln", [False, True])
def test_a_fresh_block_is_the_identity_and_a_fresh_model_is_zero(adaln):
    model = _model(adaln)
    sample, timestep, text, mask = _inputs()
    seen = []
    for block in model.blocks:
        block.register_forward_hook(lambda _, args, out: seen.append(torch.equal(args[0], out)))
    prediction = model(sample, timestep, text, mask).sample
    assert seen == [True, True]
    assert prediction.shape == sample.shape
    assert not prediction.any()


@pytest.mark.parametrize("adaln", [False, True])
def test_text_and_timestep_change_the_prediction(adaln):
    model = _woken(_model(adaln))
    sample, timestep, text, mask = _inputs()
    base = model(sample, timestep, text, mask).sample
    assert not torch.allclose(base, model(sample, timestep, text + 1, mask).sample, atol=1e-4)
    assert not torch.allclose(base, model(sample, timestep / 2, text, mask).sample, atol=1e-4)


def test_cross_attention_depends_on_the_query_and_its_queries_learn():
    model = _woken(_model())
    attention: Attention = model.blocks[0].cross_attention
    context = torch.randn(1, 6, 32)
    out = attention(torch.randn(1, 16, 32), context)
    assert not torch.allclose(out[:, 0], out[:, 1], atol=1e-5)
    model(*_inputs()).sample.square().mean().backward()
    for block in model.blocks:
        assert block.cross_attention.to_q.weight.grad.abs().max() > 0
        assert block.cross_attention.to_kv.weight.grad[:32].abs().max() > 0


def test_attention_to_one_token_needs_neither_queries_nor_keys():
    torch.manual_seed(0)
    whole, cheap = Attention(32, 4), SingleTokenAttention(32)
    with torch.no_grad():
        cheap.to_v.weight.copy_(whole.to_kv.weight[32:])
        cheap.to_v.bias.copy_(whole.to_kv.bias[32:])
    cheap.to_out.load_state_dict(whole.to_out.state_dict())
    x, goal = torch.randn(3, 16, 32), torch.randn(3, 16, 32)
    contexts = [torch.randn(3, 1, 32, generator=torch.Generator().manual_seed(1)).requires_grad_() for _ in range(2)]
    outs = [module(x, context) for module, context in zip((whole, cheap), contexts, strict=True)]
    assert torch.allclose(outs[0], outs[1].expand_as(x), atol=1e-6)
    for out in outs:
        (out * goal).mean().backward()
    assert torch.allclose(contexts[0].grad, contexts[1].grad, atol=1e-5)
    assert torch.allclose(whole.to_kv.weight.grad[32:], cheap.to_v.weight.grad, atol=1e-5)
    assert torch.allclose(whole.to_out.weight.grad, cheap.to_out.weight.grad, atol=1e-5)
    assert whole.to_q.weight.grad.abs().max() < 1e-9


@pytest.mark.parametrize("adaln", [False, True])
@pytest.mark.parametrize("conditioning", ["tokens", "pooled", "none"])
def test_text_reaches_the_prediction_unless_there_is_none(conditioning, adaln):
    model = _woken(_model(adaln, conditioning=conditioning))
    sample, timestep, text, mask = _inputs()
    base = model(sample, timestep, text, mask).sample
    assert torch.equal(base, model(sample, timestep, text + 1, mask).sample) == (conditioning == "none")
    assert not torch.allclose(base, model(sample, timestep / 2, text, mask).sample, atol=1e-4)
    base.square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_an_unknown_conditioning_is_refused():
    with pytest.raises(ValueError, match=r"one of tokens, pooled, none\. Got 'class'"):
        _model(conditioning="class")


@pytest.mark.parametrize("size", ["S", "B", "L", "XL"])
def test_sizes_are_those_of_dit(size):
    config = DenoiserConfig(size=size, patch_size=4, adaln=False, hidden_size=8)
    with torch.device("meta"):
        model = build_denoiser(config, 32, 4, 512)
    count = sum(p.numel() for p in model.parameters())
    assert count == _count(config.hidden_size, 512, 4 * 4 * 4, config.depth)
    assert size != "L" or count == 405_094_464


@pytest.mark.parametrize("size", ["S", "B", "L", "XL"])
@pytest.mark.parametrize("patch_size", [2, 4, 8])
def test_every_size_takes_every_patch(size, patch_size):
    with torch.device("meta"):
        model = build_denoiser(DenoiserConfig(size=size, patch_size=patch_size, adaln=False), 32, 4, 512)
    assert model.positions.shape[1] == (32 // patch_size) ** 2
    width, depth = model.config.hidden_size, model.config.depth
    assert sum(p.numel() for p in model.parameters()) == _count(width, 512, 4 * patch_size**2, depth)


def test_a_pooled_unet_is_refused():
    with pytest.raises(ValueError, match="unet must be tokens or none"):
        DenoiserConfig(architecture="unet", conditioning="pooled")


def test_a_unet_whose_channels_its_groups_do_not_divide_is_refused():
    with pytest.raises(ValueError, match=r"multiples of 16, its norm groups. Got \[24, 48\]"):
        DenoiserConfig(architecture="unet", block_out_channels=(24, 48))


@pytest.mark.parametrize(
    ("kind", "adaln", "conditioning"),
    [("flow", True, "tokens"), ("epsilon", False, "tokens"), ("flow", True, "pooled")],
)
def test_one_batch_can_be_learned_by_heart(kind, adaln, conditioning):
    model = _model(adaln, hidden_size=64, depth=3, conditioning=conditioning)
    objective = Objective(ObjectiveConfig(prediction_type=kind))
    generator = torch.Generator().manual_seed(0)
    latents, noise = (torch.randn(8, 4, 8, 8, generator=generator) for _ in range(2))
    time, text = torch.randn(8, generator=generator), torch.randn(8, 5, 12, generator=generator)
    prompts = (text, torch.ones(8, 5, dtype=torch.bool))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.0, fused=True)
    losses = []
    while len(losses) < 600 and min(losses, default=1) > 5e-4:
        loss = denoising_losses(model, objective, latents, noise, time, prompts).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[0] > 0.5
    assert losses[-1] < 1e-3


@pytest.mark.parametrize("conditioning", ["tokens", "pooled"])
def test_a_padded_text_token_changes_nothing(conditioning):
    model = _woken(_model(conditioning=conditioning))
    sample, timestep, text, mask = _inputs()
    mask[:, 3:] = False
    changed = text.clone()
    changed[:, 3:] = 100.0
    assert torch.equal(model(sample, timestep, text, mask).sample, model(sample, timestep, changed, mask).sample)
    trimmed = model(sample, timestep, text[:, :3], mask[:, :3]).sample
    assert torch.allclose(model(sample, timestep, text, mask).sample, trimmed, atol=1e-6)


def test_it_saves_and_loads_bit_for_bit(tmp_path):
    model = _woken(_model(adaln=True))
    model.save_pretrained(tmp_path)
    loaded = DermDiTTransformer2DModel.from_pretrained(tmp_path)
    assert torch.equal(model(*_inputs()).sample, loaded(*_inputs()).sample)


def test_latents_that_do_not_split_into_patches_are_refused():
    with pytest.raises(ValueError, match=r"multiple of patch_size \(3\). Got 8"):
        _model(patch_size=3)


def _count(d, e, k, depth):
    """The weights of a model of width d for text of size e and patches of k numbers, without adaLN."""
    linear = lambda i, o: i * o + o  # noqa: E731
    attention = linear(d, d) + linear(d, 2 * d) + linear(d, d)
    block = 2 * attention + linear(d, 4 * d) + linear(4 * d, d) + 3 * 2 * d
    embedders = linear(k, d) + linear(256, d) + linear(d, d) + linear(e, d) + 2 * d
    return depth * block + embedders + 2 * d + linear(d, k)


def test_parameter_count_follows_its_formula():
    assert sum(p.numel() for p in _model().parameters()) == _count(32, 12, 4 * 2 * 2, 2)


@pytest.mark.parametrize("masked", [False, True])
def test_attention_of_a_cpu_in_bfloat16_is_the_fused_kernels(masked):
    generator = torch.Generator().manual_seed(3)
    q, k, v = (torch.randn(2, 4, n, 8, generator=generator) for n in (6, 9, 9))
    mask = torch.rand(2, 1, 1, 9, generator=generator) < 0.6 if masked else None
    if mask is not None:
        mask[..., 0] = True  # the timestep is always seen
    exact = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    assert torch.equal(_attend(q, k, v, mask), exact)
    rounded = _attend(*(x.bfloat16() for x in (q, k, v)), mask)
    assert rounded.dtype == torch.bfloat16
    assert (rounded.float() - exact).abs().max() < 0.03


def test_autocast_gives_the_prediction_of_float32_to_its_rounding():
    model = _woken(_model(adaln=True)).eval()
    with torch.no_grad():
        exact = model(*_inputs()).sample
        with torch.autocast("cpu", torch.bfloat16):
            rounded = model(*_inputs()).sample
    assert rounded.dtype == torch.bfloat16
    assert (rounded.float() - exact).norm() / exact.norm() < 0.02

"""Generators of others: what diffusers saved draws here as it draws elsewhere; what does not fit is refused."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from dermdit_kedro.diffusion.parameters import SamplerConfig
from dermdit_kedro.diffusion.sample import load_generator, sample_batch
from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import ModelFolder

SAMPLER = SamplerConfig(scheduler="ddim", num_inference_steps=2, guidance_scale=3.0, negative_prompt="hair")
PLAN = pd.DataFrame({"prompt": ["malignant", "dark", "malignant dark"], "seed": [1, 2, 3]})
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def stable_diffusion(tmp_path_factory, generator) -> Path:
    """Stable Diffusion's pipeline with a U-Net of few and random weights; text encoder and tokenizer of `generator`."""
    from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, block_out_channels=(8, 16), layers_per_block=1,
        norm_num_groups=4, cross_attention_dim=12, attention_head_dim=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(generator.path / "vae"),
        text_encoder=CLIPTextModel.from_pretrained(generator.path / "text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(generator.path / "tokenizer"),
        unet=unet, scheduler=PNDMScheduler(skip_prk_steps=True), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("stable diffusion") / "folder"
    pipeline.save_pretrained(folder)
    return folder


def test_stable_diffusion_draws_as_by_its_own_call(stable_diffusion):
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    drawn = sample_batch(load_generator(ModelFolder(stable_diffusion, "given"), SAMPLER, CPU), PLAN, SAMPLER)
    plain = StableDiffusionPipeline.from_pretrained(stable_diffusion)
    plain.scheduler = DDIMScheduler.from_config(plain.scheduler.config, clip_sample=False)
    generators = [torch.Generator().manual_seed(seed) for seed in PLAN["seed"]]
    told = {"guidance_scale": 3.0, "num_inference_steps": 2, "negative_prompt": ["hair"] * 3, "output_type": "pt"}
    expected = plain(list(PLAN["prompt"]), generator=generators, **told).images
    assert torch.equal(drawn, (expected * 255).round().to(torch.uint8))
    assert drawn.shape == (3, 3, 16, 16)
    alone = sample_batch(load_generator(ModelFolder(stable_diffusion, "given"), SAMPLER, CPU), PLAN.iloc[1:2], SAMPLER)
    assert (alone[0].float() - drawn[1].float()).abs().max() <= 1


def test_what_a_generator_of_others_cannot_do_is_said(stable_diffusion):
    pipeline = load_generator(ModelFolder(stable_diffusion, "given"), SAMPLER, CPU)
    partly = SAMPLER.model_copy(update={"guidance_interval": (0.0, 0.5)})
    with pytest.raises(UserError, match=r"guidance_interval must be \[0, 1\] for a StableDiffusionPipeline"):
        sample_batch(pipeline, PLAN, partly)
    with pytest.raises(UserError, match="scheduler of this generator must be one of ddpm, ddim"):
        load_generator(ModelFolder(stable_diffusion, "given"), SamplerConfig(), CPU)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("StableDiffusionImg2ImgPipeline", "must draw from a prompt alone. .* it begins with an image"),
        ("DDPMPipeline", "takes no prompt"),
        ("MyOwnPipeline", "must name a pipeline of diffusers, or DermDiTPipeline. Got 'MyOwnPipeline'"),
    ],
)
def test_a_pipeline_that_does_not_fit_is_refused_by_name(tmp_path, stable_diffusion, name, message):
    folder = shutil.copytree(stable_diffusion, tmp_path / "folder")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": name}))
    with pytest.raises(UserError, match=message):
        load_generator(ModelFolder(folder, "given"), SAMPLER, CPU)


def test_a_part_that_is_gone_or_would_be_unpickled_is_refused(tmp_path, stable_diffusion):
    folder = shutil.copytree(stable_diffusion, tmp_path / "folder")
    weights = folder / "unet/diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(UserError, match="could not be loaded, from safetensors alone"):
        load_generator(ModelFolder(folder, "given"), SAMPLER, CPU)
    shutil.rmtree(folder / "unet")
    with pytest.raises(UserError, match=r"lacks unet, which its model_index\.json names"):
        load_generator(ModelFolder(folder, "given"), SAMPLER, CPU)

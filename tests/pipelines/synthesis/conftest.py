"""Phantoms of 32 px as prepared images, and a generator of a few random weights."""

import json

import pandas as pd
import pytest

from dermdit_kedro.dermoscopy.images import build_image_index, write_png
from dermdit_kedro.dermoscopy.phantom import record, render
from dermdit_kedro.dermoscopy.phantom_parameters import PhantomConfig
from dermdit_kedro.dermoscopy.records import MANIFEST_DTYPES, conform
from dermdit_kedro.handles import ImageFolder, ModelFolder
from dermdit_kedro.prompts.instructions import describe, records

SIZE = 32
EVEN = {"light": 0.4, "brown": 0.3, "dark": 0.3}
PHANTOMS = PhantomConfig(
    num_images=400, seed=5, tone_shares=EVEN, malignant_shares=dict.fromkeys(EVEN, 0.5), rephotographed_share=0.0
)
TRAIN, VAL = range(90), range(90, 130)


@pytest.fixture(scope="session")
def phantoms() -> PhantomConfig:
    """Where the images come from; those from index 130 on are in no split."""
    return PHANTOMS


@pytest.fixture(scope="session")
def manifest() -> pd.DataFrame:
    """Ninety training and forty validation phantoms, their tone as it truly is."""
    rows = []
    for i in (*TRAIN, *VAL):
        truth = record(PHANTOMS, i)
        names = {"image_id": f"phantoms/{i:04d}", "source": "phantoms", "file": f"{i:04d}.png"}
        split = {"role": "train", "split": "train" if i in TRAIN else "val", "duplicate_cluster": f"cluster {i}"}
        rows.append({**truth, **names, **split, "modality": "dermoscopic", "tone_source": "ita"})
    return conform(pd.DataFrame(rows), MANIFEST_DTYPES)


@pytest.fixture(scope="session")
def images(tmp_path_factory, manifest) -> ImageFolder:
    """The prepared images of the manifest."""
    folder = tmp_path_factory.mktemp("images")
    for i, image_id in zip((*TRAIN, *VAL), manifest["image_id"], strict=True):
        write_png(folder / f"{image_id}.png", render(PHANTOMS, i, SIZE).image)
    build_image_index(folder)
    return ImageFolder(folder, "phantoms")


@pytest.fixture(scope="session")
def prompts(manifest) -> pd.DataFrame:
    """The template prompt of every image."""
    return pd.DataFrame({"image_id": manifest["image_id"], "prompt": [describe(r) for r in records(manifest)]})


@pytest.fixture(scope="session")
def generator(tmp_path_factory) -> ModelFolder:
    """A generator folder with random weights: real classes, 8 px images."""
    import torch
    from diffusers import AutoencoderKL
    from tokenizers import Tokenizer, models, trainers
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    from dermdit_kedro.diffusion.denoisers import build_denoiser
    from dermdit_kedro.diffusion.parameters import DenoiserConfig, ObjectiveConfig, SamplerConfig
    from dermdit_kedro.diffusion.sampler import DermDiTPipeline
    from dermdit_kedro.diffusion.schedulers import build_scheduler

    torch.manual_seed(0)
    tokenizer = Tokenizer(models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"))
    special = ["<|startoftext|>", "<|endoftext|>"]
    tokenizer.train_from_iterator(["malignant dark"] * 9, trainers.BpeTrainer(vocab_size=60, special_tokens=special))
    state = json.loads(tokenizer.to_str())["model"]
    clip = CLIPTokenizer(vocab=state["vocab"], merges=[tuple(m) for m in state["merges"]], model_max_length=8)
    text = CLIPTextConfig(
        vocab_size=len(clip), hidden_size=12, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=8, bos_token_id=clip.bos_token_id, eos_token_id=clip.eos_token_id,
        pad_token_id=clip.pad_token_id,
    )  # fmt: skip
    autoencoder = AutoencoderKL(
        block_out_channels=(8, 8), norm_num_groups=4, latent_channels=4, sample_size=8,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    denoiser = DenoiserConfig(patch_size=2, hidden_size=16, depth=1, num_heads=2)
    pipeline = DermDiTPipeline(
        denoiser=build_denoiser(denoiser, sample_size=4, in_channels=4, text_embed_dim=12),
        vae=autoencoder,
        text_encoder=CLIPTextModel(text),
        tokenizer=clip,
        scheduler=build_scheduler(ObjectiveConfig(), SamplerConfig()),
    )
    folder = tmp_path_factory.mktemp("generator")
    pipeline.save_pretrained(folder)
    return ModelFolder(folder, "random weights")

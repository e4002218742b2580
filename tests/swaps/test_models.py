"""Models of one's own: an autoencoder's folder, and a generator that was trained elsewhere."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.swaps.guide import run, shown, write_environment

from dermdit_kedro.errors import UserError

SOURCES = """
sources:
  type: dermdit_kedro.datasets.sources.SourcesDataset
  sources:
    phantom:
      {layout: phantom, role: train, num_images: 80, size: 32, tone_shares: {light: 0.4, brown: 0.3, dark: 0.3},
       malignant_shares: {light: 0.5, brown: 0.5, dark: 0.5}}
    even: {layout: phantom, role: test, num_images: 24, size: 32, seed: 1}
"""
FEW_STEPS = {"max_train_steps": 4, "lr_warmup_steps": 1, "checkpointing_steps": 2, "log_steps": 2}
TINY: dict[str, Any] = {
    "autoencoder_training": {**FEW_STEPS, "validation_steps": 2},
    "denoiser_training": {**FEW_STEPS, "validation_steps": 2},
    "text_encoder_training": FEW_STEPS,
    "classifier_training": {"epochs": 1, "num_seeds": 1, "num_validations": 1, "lr_warmup_steps": 0},
    "group_fairness": {"num_resamples": 100, "num_permutations": 19},
    "sampler": {"num_inference_steps": 2},
    "synthesis": {"num_images": 12, "min_train_images": 1},
    "prompt_swaps": {"num_seeds": 1},
}


def save_autoencoder(folder: Path) -> None:
    """An AutoencoderKL of diffusers with four channels and a factor of 4, where `conf/base` has others."""
    import torch
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    AutoencoderKL(
        block_out_channels=(8, 16, 16), norm_num_groups=8, latent_channels=3, sample_size=32, scaling_factor=0.5,
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
    ).save_pretrained(folder)  # fmt: skip


def weights_of(folder: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return load_file(folder / "diffusion_pytorch_model.safetensors")


def contents_of(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(file): (file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(folder.rglob("*"))}


def test_models_of_ones_own(tracked_project: Path) -> None:
    """An autoencoder by its folder, up to images; then the generator that came of it, as if it came from elsewhere."""
    files = shown("Swap the autoencoder") | {"conf/mine/catalog.yml": SOURCES}
    data = write_environment(tracked_project, files=files, **TINY)
    save_autoencoder(tracked_project / "models/vae")
    run(tracked_project, "data_engineering", "prompting", "generative_training")
    given = weights_of(tracked_project / "models/vae")
    for made in ("06_models/autoencoder", "06_models/dermdit/generator/vae"):
        kept = weights_of(data / made)
        assert {name: value.tolist() for name, value in kept.items()} == {n: v.tolist() for n, v in given.items()}
    run(tracked_project, "synthesis", to_outputs=["dermdit.synthetic_images"])
    images = sorted((data / "07_model_output/dermdit/images").glob("*.png"))
    assert len(images) == 12
    assert {Image.open(file).size for file in images} == {(32, 32)}
    first = np.asarray(Image.open(images[0]))

    elsewhere = tracked_project / "models/generator"
    shutil.copytree(data / "06_models/dermdit/generator", elsewhere)
    (elsewhere / "_complete.json").unlink()
    shutil.rmtree(data / "07_model_output")
    for made in ("06_models/dermdit", "06_models/autoencoder", "08_reporting/dermdit"):
        shutil.rmtree(data / made)
    (data / "08_reporting/autoencoder.json").unlink()
    shutil.rmtree(data / "02_intermediate/work")
    catalog = tracked_project / "conf/mine/catalog.yml"
    catalog.write_text(SOURCES + shown("A generator of your own")["conf/mine/catalog.yml"])
    before = contents_of(elsewhere)
    with pytest.raises(UserError, match=r"`dermdit\.generator`: given in the catalog, and not made anew"):
        run(tracked_project, "generative_training")
    run(tracked_project, "synthesis", "fairness_evaluation")
    again = sorted((data / "07_model_output/dermdit/images").glob("*.png"))
    assert np.array_equal(np.asarray(Image.open(again[0])), first)
    assert (data / "08_reporting/report.html").is_file()
    assert not (data / "06_models/dermdit").exists()
    assert contents_of(elsewhere) == before

    manifest = data / "07_model_output/dermdit/manifest.parquet"
    (said,) = pd.read_parquet(manifest)["generator"].unique()
    (elsewhere / "model_index.json").touch()
    run(tracked_project, "synthesis", to_outputs=["dermdit.synthetic_manifest"])
    (now,) = pd.read_parquet(manifest)["generator"].unique()
    assert said.startswith("dermdit@")
    assert now != said


def test_a_relative_folder_is_found_from_where_kedro_is_called(project: Path) -> None:
    from dermdit_kedro.diffusion.autoencoder import adopt_autoencoder
    from dermdit_kedro.diffusion.parameters import AutoencoderConfig

    save_autoencoder(project / "models/vae")
    relative = adopt_autoencoder(AutoencoderConfig(pretrained="models/vae"))
    assert relative.config.latent_channels == 3
    with pytest.raises(UserError, match=r"'models/gone' could not be loaded .*autoencoder\.pretrained"):
        adopt_autoencoder(AutoencoderConfig(pretrained="models/gone"))

"""`--env paper` from its archives to Tables 1 and 2, at toy size.

What is not the paper's: hub ids are folders of the same classes with few and random weights, archives are phantoms in
their layouts, and the dials (sizes, steps, counts) are small. Everything else is `conf/paper`.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import save_file
from tests.conftest import copy_project
from tests.dermoscopy.archives import write_source
from tests.prompts.tiny_llava import save_llava

SIZE = 64
ARCHITECTURE = "test_resnet.r160_in1k"
"""A ResNet of timm with 0.5 million weights, in place of ResNeXt-101 and Inception-v3."""

DIALS: dict[str, Any] = {
    "image_size": SIZE,
    "prompt_swaps": {"num_seeds": 2},
    "denoiser_training": {"max_train_steps": 10, "checkpointing_steps": 5, "log_steps": 5, "validation_steps": 5},
    "sampler": {"num_inference_steps": 4},
    **{name: {"denoiser": {"size": "custom", "hidden_size": 32, "depth": 2, "num_heads": 2}}
       for name in ("dermdit", "dit_llava", "dit")},
    **{name: {"denoiser": {"block_out_channels": [32, 64], "layers_per_block": 1}} for name in ("ldm_llava", "ldm")},
    "synthesis": {"num_images": 36, "num_unconditional_images": 24, "min_train_images": 1},
    "classifier": {"architecture": ARCHITECTURE},
    "inception": {"architecture": ARCHITECTURE},
    "classifier_training": {"epochs": 1, "num_validations": 1, "num_seeds": 1, "checkpointing_steps": 50},
    "image_quality": {"num_pairs": 20, "min_group_images": 4},
    "group_fairness": {"min_positive": 2, "min_negative": 2, "num_resamples": 100, "num_permutations": 19},
    "screening": {"tone": {"enabled": False}, "label": {"enabled": False}, "outlier": {"enabled": False}},
}  # fmt: skip
ROWS = [
    "DDI", "DDI (A)", "DDI (B)", "DDI (C)", "ISIC-2018", "Fitzpatrick17k", "Atlas Derm", "Atlas Clinical", "ASAN",
    "MClass Derm", "MClass Clinical",
]  # fmt: skip


def merge(into: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return nested mappings, the second's values before the first's."""
    merged = {key: merge(into.get(key) or {}, value) for key, value in over.items() if isinstance(value, dict)}
    return {**into, **over, **merged}


def save_models(folder: Path) -> dict[str, Any]:
    """Save what stands for the hub and the weight files; return the parameters that name it."""
    import timm
    from diffusers import AutoencoderKL

    from dermdit_kedro.prompts.instructions import vocabulary
    from dermdit_kedro.prompts.parameters import TextEncoderConfig
    from dermdit_kedro.prompts.text_encoder import build_clip
    from dermdit_kedro.prompts.tokenizer import train_tokenizer

    torch.manual_seed(0)
    AutoencoderKL(
        block_out_channels=(8,) * 4, norm_num_groups=4, latent_channels=4, sample_size=SIZE,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    ).save_pretrained(folder / "vae")  # fmt: skip
    clip = TextEncoderConfig(
        max_length=77,
        hidden_size=32,
        num_layers=1,
        num_heads=2,
        vision_image_size=32,
        vision_hidden_size=32,
        vision_num_layers=1,
    )
    tokenizer = train_tokenizer([*vocabulary()] * 3, clip)
    build_clip(clip, tokenizer, seed=0).save_pretrained(folder / "clip")
    tokenizer.save_pretrained(folder / "clip")
    llava = str(save_llava(folder / "llava"))
    backbone = timm.create_model(ARCHITECTURE.split(".")[0], num_classes=2)
    save_file(backbone.state_dict(), folder / "backbone.safetensors")
    captioner = {"prompt_set": {"captioner": {"model": llava, "batch_size": 8}}}
    return {
        "autoencoder": {"pretrained": str(folder / "vae")},
        "text_encoder": {"pretrained": str(folder / "clip")},
        "two_attributes": captioner,
        "five_attributes": captioner,
        "classifier": {"pretrained": str(folder / "backbone.safetensors")},
        "inception": {"pretrained": str(folder / "backbone.safetensors")},
    }


def save_inception(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Save FID's own Inception with random weights."""
    from torch_fidelity import feature_extractor_inceptionv3 as inception

    # its constructor builds the network before it asks for the (here empty) download
    monkeypatch.setattr(inception, "load_state_dict_from_url", lambda *args, **options: {})
    network = inception.FeatureExtractorInceptionV3.__new__(inception.FeatureExtractorInceptionV3)
    with pytest.raises(RuntimeError):
        inception.FeatureExtractorInceptionV3.__init__(network, "x", ["2048"], None)
    file.parent.mkdir(parents=True)
    torch.save(network.state_dict(), file)


def write_archives(raw: Path, sources: dict[str, dict[str, Any]]) -> None:
    """Write phantoms as every archive that the environment reads, each its own."""
    assert len(sources) == 13
    for number, source in enumerate(sources.values()):
        count = 60 if source["role"] == "train" else 48
        write_source(raw / Path(source["path"]).name, source, number, count, SIZE)


@pytest.fixture
def toy_paper(tmp_path: Path, mlflow_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project with `conf/paper` at toy size, its archives and its models."""
    folder = copy_project(tmp_path / "project")
    (folder / "mlflow.db").write_bytes(mlflow_store.read_bytes())
    paper, raw = folder / "conf/paper", folder / "data/01_raw"
    models = save_models(tmp_path / "models")
    save_inception(raw / "weights/pt_inception-2015-12-05-6726825d.pth", monkeypatch)
    parameters = yaml.safe_load((paper / "parameters.yml").read_text())
    (paper / "parameters.yml").write_text(yaml.safe_dump(merge(merge(parameters, DIALS), models), sort_keys=False))
    catalog = yaml.safe_load((paper / "catalog.yml").read_text())
    for source in catalog["sources"]["sources"].values():
        source.pop("expect", None)  # counts of the real archives
    (paper / "catalog.yml").write_text(yaml.safe_dump(catalog, sort_keys=False))
    write_archives(raw, catalog["sources"]["sources"])
    return folder


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_the_paper_at_toy_size(toy_paper: Path) -> None:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    for pipeline in ("table1", "table2"):
        command = [sys.executable, "-m", "kedro", "run", "--env", "paper", "--pipeline", pipeline]
        done = subprocess.run(command, cwd=toy_paper, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    reporting = toy_paper / "data/paper/08_reporting"
    table1 = pd.read_csv(reporting / "table1.csv")
    assert list(table1["label"]) == [
        "ISIC (No condition), LDM", "ISIC (No condition), DiT", "ISIC (2 attributes), LLaVA, LDM",
        "ISIC (2 attributes), LLaVA, DiT", "ISIC (5 attributes), LLaVA-Med, DiT",
    ]  # fmt: skip
    assert {"fd_inception_v3_train", "fd_finetuned_test_resnet_train"} < set(table1.columns)
    assert np.isfinite(table1.filter(regex="^(fd|kid|ms_ssim)_").to_numpy(dtype=float)).all()
    table2 = pd.read_csv(reporting / "table2.csv")
    for arm in ("real", "synthetic"):
        named = table2[(table2["arm"] == arm) & table2["label"].notna()]
        assert list(named["label"]) == ROWS
    assert table2.loc[table2["label"] == "ISIC-2018", "label_name"].eq("is_melanoma").all()
    assert table2.loc[table2["label"] == "DDI", "label_name"].eq("is_malignant").all()
    assert (table2.loc[table2["label"].notna(), "n"] > 0).all()

"""Training reads a million cached latents and keeps few of them in memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dermdit_kedro.diffusion.autoencoder import build_autoencoder
from dermdit_kedro.diffusion.parameters import AutoencoderConfig, DenoiserConfig, ObjectiveConfig, SamplerConfig
from dermdit_kedro.handles import Latents, ModelFolder, TextEmbeddings
from dermdit_kedro.jobs import Job, create_job
from dermdit_kedro.training.parameters import TrainingConfig

MILLION = 1_000_000
STEPS, BATCH = 60, 2048
"""An eighth of a million latents, 2 GB of them, are read: more than may stay in memory."""


def write_latents(folder: Path, count: int) -> Latents:
    """Write the latents of images of 256 px, as a sparse file: 33 GB of zeros that take no room on the disk."""
    folder.mkdir()
    shape = (count, 2, 2, 4, 32, 32)
    np.lib.format.open_memmap(folder / "moments.npy", mode="w+", dtype=np.float16, shape=shape).flush()
    (folder / "latents.json").write_text(json.dumps({"scaling_factor": 1.0}))
    return Latents(folder, f"{count} zeros")


def training_job(folder: Path, text_embeddings: TextEmbeddings) -> Job:
    """Write the job of a denoiser so small that reading is what takes the time."""
    rows = pd.DataFrame({"latent_row": range(MILLION), "text_row": 1, "split": "train", "tone_group": "light"})
    rows.loc[::50, "split"] = "val"
    training = TrainingConfig(
        max_train_steps=STEPS, batch_size=BATCH, learning_rate=1e-3, log_steps=20, checkpointing_steps=STEPS
    )
    small = AutoencoderConfig(block_out_channels=(8, 8), latent_channels=4)
    build_autoencoder(small, 64).save_pretrained(folder / "autoencoder")
    return create_job(
        folder / "work",
        "train_denoiser",
        "dermdit_kedro.diffusion.train",
        config={
            "denoiser": DenoiserConfig(patch_size=16, hidden_size=32, depth=1, num_heads=2),
            "objective": ObjectiveConfig(),
            "training": training,
            "seed": 0,
        },
        inputs={
            "latents": write_latents(folder / "latents", MILLION),
            "autoencoder": ModelFolder(folder / "autoencoder", "random"),
            "text_embeddings": text_embeddings,
            "examples": rows,
        },
        speed={"sampler": SamplerConfig(num_inference_steps=2)},
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_million_latents_take_less_than_two_gigabytes(tmp_path: Path, text_embeddings: TextEmbeddings) -> None:
    """The system's own maximum resident set counts, in which pages of a mapped file would be."""
    job = training_job(tmp_path, text_embeddings)
    child = subprocess.Popen([sys.executable, "-m", "dermdit_kedro.diffusion.train", str(job.folder / "job.json")])
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    assert job.is_complete
    assert np.isfinite([line["loss"] for line in job.metrics()]).all()
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(f"at most {peak / 1e9:.2f} GB")  # noqa: T201
    assert peak < 2e9

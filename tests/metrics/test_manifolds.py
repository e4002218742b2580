"""Precision, recall, density and coverage by their definitions, and their laws."""

import numpy as np
import pytest

from dermdit_kedro.metrics.manifolds import manifold_overlap


def by_definition(real, synthetic, k):
    """Each measure image by image, as the papers write it."""

    def radius(point, others):
        return sorted(np.linalg.norm(point - other) for other in others)[k]  # the first is itself

    real_radii = [radius(x, real) for x in real]
    synthetic_radii = [radius(y, synthetic) for y in synthetic]
    inside = [[np.linalg.norm(x - y) <= r for x, r in zip(real, real_radii, strict=True)] for y in synthetic]
    reached = [any(np.linalg.norm(x - y) <= r for y, r in zip(synthetic, synthetic_radii, strict=True)) for x in real]
    return {
        "precision": np.mean([any(row) for row in inside]),
        "recall": np.mean(reached),
        "density": np.sum(inside) / (k * len(synthetic)),
        "coverage": np.mean(np.any(inside, axis=0)),
    }


@pytest.mark.parametrize(("n", "m", "k", "shift"), [(40, 30, 3, 0.5), (25, 60, 5, 1.5), (30, 30, 1, 0.0)])
def test_they_are_what_their_papers_define(n, m, k, shift):
    rng = np.random.default_rng(n)
    real, synthetic = rng.normal(size=(n, 4)), rng.normal(size=(m, 4)) + shift
    found = manifold_overlap(real, synthetic, k)
    assert found == pytest.approx(by_definition(real, synthetic, k))


def test_one_picture_over_and_over_is_precise_and_reaches_nothing():
    real = np.random.default_rng(0).normal(size=(200, 6))
    found = manifold_overlap(real, np.repeat(real[:1], 100, axis=0), 5)
    assert found["precision"] == 1
    assert found["recall"] < 0.02
    assert found["coverage"] < 0.2


def test_noise_is_not_precise_and_an_equal_set_is_all():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(200, 6))
    assert manifold_overlap(real, 20 * rng.normal(size=(200, 6)), 5)["precision"] < 0.1
    same = manifold_overlap(real, real, 5)
    assert same["precision"] == same["recall"] == same["coverage"] == 1


def test_many_images_go_through_in_parts():
    import sklearn

    rng = np.random.default_rng(0)
    real, synthetic = rng.normal(size=(300, 8)), rng.normal(size=(500, 8)) + 0.3
    whole = manifold_overlap(real, synthetic, 5)
    with sklearn.config_context(working_memory=0.01):
        assert manifold_overlap(real, synthetic, 5) == pytest.approx(whole)


def test_too_few_images_are_refused():
    with pytest.raises(ValueError, match=r"more than 5 rows of each\. Got 5 and 9"):
        manifold_overlap(np.zeros((5, 2)), np.zeros((9, 2)), 5)

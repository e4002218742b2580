"""How much of the synthetic images looks real, and how much of the real ones they reach."""

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

Array = NDArray[Any]


def manifold_overlap(
    real: Float[Array, "n d"], synthetic: Float[Array, "m d"], num_neighbours: int
) -> dict[str, float]:
    """Return precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020).

    The manifold of a set is the union of balls around its members, each out to the k-th nearest other member.

    Args:
        real: Features of the real images, more rows than `num_neighbours`.
        synthetic: Features of the synthetic ones, likewise.
        num_neighbours: k.

    Returns:
        precision: share of synthetic images within the real manifold. recall: of real ones within the synthetic.
        density: real balls that hold a synthetic image, over k; above 1 where they crowd. coverage: share of real
        images whose ball holds a synthetic one.

    Raises:
        ValueError: If a set has too few rows.
    """
    from sklearn.metrics import pairwise_distances_chunked
    from sklearn.neighbors import NearestNeighbors

    if min(len(real), len(synthetic)) <= num_neighbours:
        raise ValueError(f"needs more than {num_neighbours} rows of each. Got {len(real)} and {len(synthetic)}")
    radii = []
    for part in (real, synthetic):
        distances, _ = NearestNeighbors(n_neighbors=num_neighbours, algorithm="brute").fit(part).kneighbors()
        radii.append(distances[:, -1])
    balls, first = np.zeros(len(synthetic), dtype=np.int64), 0
    is_recalled, is_covered = np.zeros((2, len(real)), dtype=bool)
    for distances in pairwise_distances_chunked(synthetic, real):
        rows = slice(first, first + len(distances))
        holds = distances <= radii[0]
        balls[rows] = holds.sum(axis=1)
        is_covered |= holds.any(axis=0)
        is_recalled |= (distances <= radii[1][rows, None]).any(axis=0)
        first = rows.stop
    return {
        "precision": float((balls > 0).mean()),
        "recall": float(is_recalled.mean()),
        "density": float(balls.mean() / num_neighbours),
        "coverage": float(is_covered.mean()),
    }

"""Figure 2, II and III: where the synthetic images lie among the real ones, in the space of the extractor.

Every axis is fitted on real training images alone, so the synthetic ones cannot bend it. Held-out real images are
drawn too: they show how far apart two real samples lie, which is all one may ask of a synthetic sample.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from scipy.stats import gaussian_kde
from sklearn.decomposition import PCA

from dermdit_kedro.handles import Features
from dermdit_kedro.report.figures import HELD_OUT_COLOUR, REAL_COLOUR, colour_of, finish
from dermdit_kedro.report.wording import readable

Array = np.ndarray[Any, np.dtype[np.float64]]
GRID_POINTS = 200


def embedding_figures(
    train: Features, held_out: Features, synthetic: Mapping[str, Features], *, max_points: int, seed: int
) -> tuple[go.Figure, go.Figure]:
    """Draw the density and the principal components of real and synthetic embeddings.

    Args:
        train: Features of the real training images, (n, d).
        held_out: Features of real images no model has seen.
        synthetic: Features of the synthetic images by variant.
        max_points: Most images of one kind; more are drawn at random.
        seed: Seed of that draw.

    Returns:
        The density figure and the PCA figure.

    Raises:
        ValueError: If fewer than three real training images have features.
    """
    real = sample_rows(train.array(), max_points, seed)
    if len(real) < 3:
        raise ValueError(f"the PCA is fitted on real training images and needs at least 3; got {len(real)}")
    others = {"real, held out": held_out, **synthetic}
    groups = {"real, training": real} | {k: sample_rows(v.array(), max_points, seed) for k, v in others.items()}
    groups = {name: rows for name, rows in groups.items() if len(rows)}
    colours = {"real, training": REAL_COLOUR, "real, held out": HELD_OUT_COLOUR, **colour_of(synthetic)}
    pca = PCA(n_components=2, svd_solver="full").fit(real)
    points = {name: pca.transform(rows) for name, rows in groups.items()}
    norms = {name: np.linalg.norm(rows, axis=1) for name, rows in groups.items()}
    density = density_figure({name: rows[:, 0] for name, rows in points.items()}, norms, colours)
    return density, pca_figure(points, pca.explained_variance_ratio_, colours)


def sample_rows(array: np.ndarray[Any, Any], count: int, seed: int) -> Array:
    """Draw rows without replacement, all of them where there are no more than asked for.

    Args:
        array: (n, d).
        count: Rows wanted.
        seed: Seed of the draw.

    Returns:
        float64 (min(n, count), d), finite rows only, in their order in the array.
    """
    rows = np.arange(len(array))
    if len(rows) > count:
        rows = np.sort(np.random.default_rng(seed).choice(len(array), count, replace=False))
    picked = np.asarray(array[rows], dtype=np.float64)
    return picked[np.isfinite(picked).all(axis=1)]


def density_figure(
    components: Mapping[str, Array], norms: Mapping[str, Array], colours: Mapping[str, str]
) -> go.Figure:
    """Draw kernel density estimates of the first principal component and of the embedding norm.

    Args:
        components: (n,) first component by kind of image.
        norms: (n,) Euclidean norms by kind of image.
        colours: Colour by kind of image.

    Returns:
        Two panels, one line per kind.
    """
    figure = make_subplots(rows=2, cols=1, vertical_spacing=0.2)
    for row, (values, axis) in enumerate(
        [(components, "first principal component"), (norms, "norm of the embedding")], start=1
    ):
        grid = _grid(values)
        for name, sample in values.items():
            curve = _density(sample, grid)
            if curve is not None:
                figure.add_scatter(
                    x=grid.round(5).tolist(),
                    y=curve.round(7).tolist(),
                    name=_label(name),
                    legendgroup=name,
                    showlegend=row == 1,
                    line={"color": colours[name], "width": 2.2, "dash": "dash" if name == "real, held out" else None},
                    row=row,
                    col=1,
                )
        figure.update_xaxes(title_text=axis, row=row, col=1)
        figure.update_yaxes(title_text="density", row=row, col=1)
    caption = (
        "Kernel densities of the images' embeddings. The nearer a synthetic curve runs to the real ones, the more "
        "alike the two are in what the extractor sees; the two real curves show how near is near. A curve that is "
        "narrower has lost variety, one that is shifted shows something real images do not."
    )
    return finish(figure, "Density of real and synthetic images", caption, 560)


def pca_figure(points: Mapping[str, Array], explained: Array, colours: Mapping[str, str]) -> go.Figure:
    """Draw the first two principal components of real images, with every kind of image in them.

    Args:
        points: (n, 2) by kind of image.
        explained: (2,) shares of the real variance.
        colours: Colour by kind of image.

    Returns:
        One cloud per kind of image.
    """
    figure = go.Figure()
    for name, rows in points.items():
        figure.add_scatter(
            x=rows[:, 0].round(4).tolist(),
            y=rows[:, 1].round(4).tolist(),
            name=f"{_label(name)} ({len(rows)})",
            mode="markers",
            marker={**_marker(name), "color": colours[name], "opacity": 0.6},
        )
    figure.update_xaxes(title_text=f"component 1 ({explained[0]:.0%})")
    figure.update_yaxes(title_text=f"component 2 ({explained[1]:.0%})")
    counts = ", ".join(f"{len(rows)} {_label(name)}" for name, rows in points.items())
    caption = (
        f"Principal components fitted on real training images alone ({counts}); the two axes hold "
        f"{float(explained.sum()):.0%} of their variance. Look for synthetic points that cover the real cloud: a clump "
        "inside it means little variety, a cloud beside it means images unlike real ones. What the other "
        "components hold does not show here."
    )
    return finish(figure, "Principal components", caption, 480)


def _label(name: str) -> str:
    return readable(name) if name.startswith("real, ") else f"synthetic, {readable(name)}"


def _marker(name: str) -> dict[str, Any]:
    """Give each kind a shape, so that print without colour can be read."""
    if name == "real, training":
        return {"symbol": "circle", "size": 5}
    return {"symbol": "circle-open", "size": 7} if name == "real, held out" else {"symbol": "diamond", "size": 6}


def _grid(values: Mapping[str, Array]) -> Array:
    joined = np.concatenate(list(values.values()))
    low, high = np.quantile(joined, [0.0, 1.0])
    margin = 0.1 * max(high - low, 1e-6)
    grid: Array = np.linspace(low - margin, high + margin, GRID_POINTS)
    return grid


def _density(sample: Array, grid: Array) -> Array | None:
    """Return the density over the grid, or None where the sample does not vary enough for one."""
    if len(sample) < 3 or float(np.std(sample)) < 1e-9:
        return None
    curve: Array = gaussian_kde(sample)(grid)
    return curve

"""Nodes and wiring of the report: they read what the other pipelines measured and add nothing to it."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from kedro.pipeline import Node, Pipeline

from dermdit_kedro.handles import Features, ImageFolder
from dermdit_kedro.pipelines.variants import REPORT, Variant, named
from dermdit_kedro.report.parameters import ReportConfig

IMAGE_FIGURES = ("sample_grid_figure", "density_figure", "pca_figure", "training_curves_figure")
"""Catalog entries of the figures of the generators, the paper's Figure 2 among them."""

FIGURES = (*IMAGE_FIGURES, "group_performance_figure", "data_figure")
"""Catalog entries of all figures."""


def draw_image_figures(
    manifest: pd.DataFrame,
    images: ImageFolder,
    held_out_features: Features,
    train_features: Features,
    config: ReportConfig,
    seed: int,
    **by_name: Any,
) -> dict[str, Any]:
    """Draw what shows the generators: samples, densities and principal components (Figure 2), losses.

    Args:
        manifest: The manifest.
        images: The prepared images.
        held_out_features: Features of real images no model has seen.
        train_features: Features of the real training images.
        config: How the figures are drawn.
        seed: Seed of the images and points that are drawn at random.
        **by_name: By catalog name: `<variant>.synthetic_images`, `<variant>.synthetic_manifest`,
            `<variant>.synthetic_features`, `<variant>.training_history`, `autoencoder_report`.

    Returns:
        plotly figures by the names of `IMAGE_FIGURES`.
    """
    from dermdit_kedro.report.embeddings import embedding_figures
    from dermdit_kedro.report.figures import training_curves_figure
    from dermdit_kedro.report.samples import sample_grid_figure

    folders = named(by_name, "synthetic_images")
    tables = named(by_name, "synthetic_manifest")
    histories = dict(named(by_name, "training_history"))
    histories["autoencoder"] = (by_name.get("autoencoder_report") or {}).get("history") or {}
    density, pca = embedding_figures(
        train_features,
        held_out_features,
        named(by_name, "synthetic_features"),
        max_points=config.max_points,
        seed=seed,
    )
    return {
        "sample_grid_figure": sample_grid_figure(
            manifest,
            images,
            {variant: (folders[variant], tables[variant]) for variant in folders},
            per_cell=config.samples_per_cell,
            thumbnail_px=config.thumbnail_px,
            seed=seed,
        ),
        "density_figure": density,
        "pca_figure": pca,
        "training_curves_figure": training_curves_figure(histories),
    }


def draw_diagnosis_figures(manifest: pd.DataFrame, **by_name: Any) -> dict[str, Any]:
    """Draw what shows the data and how well each group is served.

    Args:
        manifest: The manifest.
        **by_name: `<arm>.diagnosis_metrics`.

    Returns:
        plotly figures `group_performance_figure` and `data_figure`.
    """
    from dermdit_kedro.report.figures import data_figure, group_performance_figure

    return {
        "group_performance_figure": group_performance_figure(named(by_name, "diagnosis_metrics")),
        "data_figure": data_figure(manifest),
    }


def write_report(
    config: ReportConfig, image_size: int, seed: int, provenance: dict[str, Any], **parts: Any
) -> tuple[dict[str, Any], str]:
    """Gather the numbers of the run, judge the arms and write the page.

    Args:
        config: Which arm the others are compared with.
        image_size: Side of the images in pixels.
        seed: The run's seed.
        provenance: What is told of the run itself.
        **parts: Results by catalog name, as `dermdit_kedro.report.summary.sort_parts` takes them.

    Returns:
        The summary, the same for two equal runs but for its section `run`, and the HTML of the report.
    """
    from dermdit_kedro.report.page import render_page
    from dermdit_kedro.report.summary import build_summary, sort_parts

    sorted_parts = sort_parts(parts)
    summary = build_summary(
        sorted_parts, baseline=config.baseline_arm, seed=seed, image_size=image_size, run=provenance
    )
    return summary, render_page(summary, sorted_parts.figures)


def create_reporting_pipeline(variants: Sequence[Variant], arms: Sequence[str], prompt_sets: Sequence[str]) -> Pipeline:
    """Wire the figures and the report.

    Args:
        variants: The generators that were trained.
        arms: What classifiers were trained on.
        prompt_sets: The prompt sets that were written.

    Returns:
        Three nodes that need every result of the run.
    """
    names = [variant.name for variant in variants]
    drawn = _entries(names, "synthetic_images", "synthetic_manifest", "synthetic_features", "training_history")
    drawn.append("autoencoder_report")
    told = ["data_report", "autoencoder_report", "arm_comparison", "verdict", *FIGURES]
    told += _entries(prompt_sets, "prompt_audit")
    told += _entries(names, "training_history", "image_metrics", "screening")
    told += _entries([variant.name for variant in variants if variant.prompt_set], "prompt_swap_figure")
    told += _entries(arms, "diagnosis_metrics", "group_fairness")
    plain = ("manifest", "images", "held_out_features", "train_features")
    settings = {"config": "params:report", "seed": "params:seed"}
    return Pipeline(
        [
            Node(
                draw_image_figures,
                {**{name: name for name in (*plain, *drawn)}, **settings},
                {name: name for name in IMAGE_FIGURES},
                name="draw_image_figures",
            ),
            Node(
                draw_diagnosis_figures,
                {name: name for name in ("manifest", *_entries(arms, "diagnosis_metrics"))},
                {name: name for name in FIGURES if name not in IMAGE_FIGURES},
                name="draw_diagnosis_figures",
            ),
            Node(
                write_report,
                {**{name: name for name in (*told, "provenance")}, **settings, "image_size": "params:image_size"},
                ["summary", "report"],
                name="write_report",
            ),
        ],
        tags=REPORT,
    )


def _entries(owners: Sequence[str], *kinds: str) -> list[str]:
    return [f"{owner}.{kind}" for owner in owners for kind in kinds]

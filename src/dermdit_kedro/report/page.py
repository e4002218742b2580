"""The page for people: one HTML file with everything inside, made of the summary and the figures.

Every number on the page is one of the summary, so what a person reads and what a machine reads cannot differ.
"""

import importlib.metadata
import platform
from collections.abc import Mapping
from typing import Any

from dermdit_kedro.report import diagnosis_tables, tables
from dermdit_kedro.report.prompt_figure import prompt_audit_figure
from dermdit_kedro.report.rendering import describe_chart, render_template
from dermdit_kedro.report.samples import SampleCell, cells_of

LIBRARIES = ("torch", "diffusers", "transformers", "timm", "kedro", "fairlearn", "scikit-learn")
MEASURES = {"auc": "AUC", "recall": "Recall", "f1": "F1"}
SWAPS = ".prompt_swap_figure"
"""How the name of a variant's prompt swaps ends."""

FIGURE_ORDER = ("data_figure", "training_curves_figure", "density_figure", "pca_figure", "group_performance_figure")


def render_page(summary: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    """Write the report.

    Args:
        summary: What `build_summary` made.
        figures: plotly figures by catalog name; a missing one is left out and said to be missing.

    Returns:
        One HTML document that needs no network.
    """
    charts = {name: describe_chart(figures[name]) for name in FIGURE_ORDER if name in figures}
    charts |= _prompt_charts(summary["prompt_audit"])
    charts |= {name: describe_chart(figure) for name, figure in figures.items() if name.endswith(SWAPS)}
    grid = figures.get("sample_grid_figure")
    return render_template(
        "report.html.j2",
        kind=summary["data"]["kind"],
        charts=charts,
        summary=summary,
        measures=MEASURES,
        verdicts=diagnosis_tables.verdict_rows(summary["verdict"]),
        tally=diagnosis_tables.tally(summary["verdict"]),
        sample_rows=sample_rows(grid),
        grid_caption=_meta(grid).get("caption", ""),
        images=tables.image_rows(summary),
        diagnosis=diagnosis_tables.diagnosis_tables(summary),
        fairness=diagnosis_tables.fairness_tables(summary["fairness"]),
        screening=tables.screening_rows(summary["screening"]),
        libraries={name: _version(name) for name in LIBRARIES},
        python=platform.python_version(),
    )


def sample_rows(grid: Any) -> dict[str, list[SampleCell]]:
    """Arrange the sample grid for the page.

    Args:
        grid: The sample grid figure, or None.

    Returns:
        The cells of each row, in drawing order.
    """
    rows: dict[str, list[SampleCell]] = {}
    for cell in cells_of(grid) if grid is not None else []:
        rows.setdefault(cell.row, []).append(cell)
    return rows


def _prompt_charts(audits: Any) -> dict[str, Any]:
    """Draw the audit of each prompt set that was audited."""
    whole = dict(audits) if isinstance(audits, Mapping) else {}
    whole = {name: audit for name, audit in whole.items() if "by_tone_group" in audit}
    return {f"prompts_{name}": describe_chart(prompt_audit_figure(audit)) for name, audit in whole.items()}


def _meta(figure: Any) -> Mapping[str, Any]:
    return (figure.layout.meta or {}) if figure is not None else {}


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"

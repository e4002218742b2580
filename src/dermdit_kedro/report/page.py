"""The page for people: one HTML file with everything inside, made of the summary and the figures.

Every number on the page is one of the summary, so what a person reads and what a machine reads cannot differ.
"""

import importlib.metadata
import json
import platform
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from dermdit_kedro.report import cells, tables
from dermdit_kedro.report.figures import readable
from dermdit_kedro.report.samples import SampleCell, cells_of
from dermdit_kedro.report.summary import NOT_MEASURED

LIBRARIES = ("torch", "diffusers", "transformers", "timm", "kedro", "fairlearn", "scikit-learn")
MEASURES = {"auc": "AUC", "recall": "Recall", "f1": "F1"}
STATEMENTS = {
    "phantoms": "Phantoms: these figures say nothing about patients. "
    "The images were drawn by a program to show that everything works.",
    "phantoms and patients": "Phantoms among the images: figures that include them say nothing about patients.",
    "unknown": "It is not known whether these images show patients: the data report names no source.",
}
FIGURE_ORDER = ("data_figure", "training_curves_figure", "density_figure", "pca_figure", "group_performance_figure")


def render_page(summary: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    """Write the report.

    Args:
        summary: What `build_summary` made.
        figures: plotly figures by catalog name; a missing one is left out and said to be missing.

    Returns:
        One HTML document that needs no network.
    """
    from plotly.offline import get_plotlyjs

    charts = {name: _chart(figures[name]) for name in FIGURE_ORDER if name in figures}
    grid = figures.get("sample_grid_figure")
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            summary=summary,
            statement=STATEMENTS.get(summary["data"]["kind"]),
            verdicts=tables.verdict_rows(summary["verdict"]),
            tally=tables.tally(summary["verdict"]),
            sample_rows=sample_rows(grid),
            grid_caption=_meta(grid).get("caption", ""),
            charts=charts,
            images=tables.image_rows(summary),
            diagnosis=tables.diagnosis_tables(summary["diagnosis"]),
            fairness=tables.fairness_tables(summary["fairness"]),
            screening=tables.screening_rows(summary["screening"]),
            libraries={name: _version(name) for name in LIBRARIES},
            python=platform.python_version(),
            plotly_js=get_plotlyjs(),
            not_measured=NOT_MEASURED,
        )
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


def _meta(figure: Any) -> Mapping[str, Any]:
    return (figure.layout.meta or {}) if figure is not None else {}


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("dermdit_kedro.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": cells.number, "spread": cells.spread, "rate": cells.rate, "readable": readable}
    environment.globals |= {"measures": MEASURES}
    return environment


def _chart(figure: Any) -> dict[str, Any]:
    """Return what the page needs of a figure, without the words the page prints itself."""
    content = json.loads(figure.to_json())
    meta = content["layout"].pop("meta", None) or {}
    return {"title": meta.get("title", ""), "caption": meta.get("caption", ""), "content": content}


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"

"""The page for people: one HTML file with everything inside, made of the summary and the figures.

Every number on the page is one of the summary, so what a person reads and what a machine reads cannot differ.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from dermdit_kedro.report import diagnosis_tables, image_tables, tables
from dermdit_kedro.report.answers import answers, headline, image_answer
from dermdit_kedro.report.compared import arm_lines, interval_words, test_set_lines
from dermdit_kedro.report.prompt_figure import prompt_audit_figure
from dermdit_kedro.report.rendering import describe_chart, render_template
from dermdit_kedro.report.samples import SampleCell, cells_of
from dermdit_kedro.report.summary import RUN
from dermdit_kedro.report.swap_figure import swap_rows

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
    swaps = {name: figure for name, figure in figures.items() if name.endswith(SWAPS)}
    grid = figures.get("sample_grid_figure")
    return render_template(
        "report.html.j2",
        kind=summary["data"]["kind"],
        charts=charts,
        summary=summary,
        measures=MEASURES,
        verdicts=diagnosis_tables.verdict_rows(summary["verdict"]),
        compared=arm_lines(summary) | test_set_lines(summary),
        intervals=interval_words(summary),
        tally=diagnosis_tables.tally(summary["verdict"]),
        sample_rows=sample_rows(grid),
        grid_caption=_meta(grid).get("caption", ""),
        answers=image_answer(summary) | answers(summary["verdict"], summary["baseline_arm"]),
        headline=headline(summary),
        swaps=[{**describe_chart(figure), "blocks": swap_rows(figure)} for figure in swaps.values()],
        **_image_tables(summary),
        diagnosis=diagnosis_tables.diagnosis_tables(summary),
        fairness=diagnosis_tables.fairness_tables(summary["fairness"]),
        screening=tables.screening_rows(summary["screening"]),
        run=summary[RUN] if isinstance(summary[RUN], Mapping) else {},
        configuration=list(_lines(summary[RUN]["configuration"])) if isinstance(summary[RUN], Mapping) else [],
    )


def _image_tables(summary: Mapping[str, Any]) -> dict[str, Any]:
    metrics = summary["image_metrics"]
    return {
        "distances": image_tables.distance_tables(metrics),
        "shares": image_tables.share_tables(metrics),
        "share_names": image_tables.SHARES,
        "references": image_tables.REFERENCES,
        "kid_groups": image_tables.group_tables(metrics),
        "ungrouped": image_tables.ungrouped(metrics),
        "variety": image_tables.variety_tables(metrics),
        "agreement": image_tables.agreement_tables(summary["agreement"]),
        "extractors": image_tables.extractor_lines(metrics),
        "passed_over": image_tables.passed_over(metrics),
    }


def _lines(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted names and values of nested parameters, one a line."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _lines(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, json.dumps(value, ensure_ascii=False)


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

"""The page of the data: what there is, what is missing, and what a person must know before training on it.

Every number on the page is one of the data report, or a sum or a share of its counts.
"""

from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from dermdit_kedro.dermoscopy.data_counts import CELL
from dermdit_kedro.errors import UserError
from dermdit_kedro.report.data_cautions import FEW_TO_JUDGE, JUDGED, SKIN, find_cautions
from dermdit_kedro.report.data_figures import balance_figure, people_figure, source_figure, tone_figure
from dermdit_kedro.report.figures import SPLITS
from dermdit_kedro.report.rendering import describe_chart, render_template
from dermdit_kedro.report.summary import kind_of_data

MAY_BE_MISSING: Final = {
    "patient_id": "patient", "lesion_id": "lesion", "diagnosis": "diagnosis", "is_malignant": "malignant or not",
    "is_melanoma": "melanoma or not", "sex": "sex", "age_approx": "age", "site": "site",
    "fitzpatrick_skin_type": "Fitzpatrick type", "ita_degrees": "measured angle",
}  # fmt: skip
"""The columns of the manifest that may be null, as the page calls them."""

Rows = list[dict[str, Any]]


def render_data_page(data_report: Mapping[str, Any]) -> str:
    """Write the page of the data.

    Args:
        data_report: What `summarise_data` made.

    Returns:
        One HTML document that needs no network.

    Raises:
        UserError: If the report is of an older version, without counts.
    """
    if "counts" not in data_report:
        raise UserError(
            "data_report must have counts; this one was made by an older version: run data_engineering again"
        )
    counts = pd.DataFrame(data_report["counts"], columns=[*CELL, "images"])
    figures = {"balance": balance_figure(counts), "people": people_figure(counts)}
    if len(data_report["sources"]) > 1:
        figures["source"] = source_figure(counts)
    if data_report["ita_degrees"]["by_source"]:
        figures["tone"] = tone_figure(data_report["ita_degrees"])
    return render_template(
        "data_report.html.j2",
        kind=kind_of_data(data_report),
        charts={name: describe_chart(figure) for name, figure in figures.items()},
        report=data_report,
        cautions=find_cautions(data_report, counts),
        quarantined=sum(data_report["quarantined"].values()),
        cells=cell_rows(counts),
        missing=missing_rows(data_report),
        columns=MAY_BE_MISSING,
        skin=SKIN,
        judged=JUDGED,
        few=FEW_TO_JUDGE,
    )


def cell_rows(counts: pd.DataFrame) -> Rows:
    """Count images by source and split, tone and label.

    Args:
        counts: `counts` of the data report as a table.

    Returns:
        One row per source and split that occur: their names, `cells` (tone, label, images) and the sum of `others`,
        whose tone or label is unknown.
    """
    rows = []
    for source, part in counts.groupby("source"):
        for split in SPLITS:
            here = part[part["split"] == split]
            cells = here.groupby(["tone_group", "label"])["images"].sum()
            numbers = [int(cells.get((tone, label), 0)) for tone in SKIN for label in JUDGED]
            total = int(here["images"].sum())
            if total:
                rows.append({"source": source, "split": split, "cells": numbers, "others": total - sum(numbers)})
    return rows


def missing_rows(report: Mapping[str, Any]) -> Rows:
    """Arrange what is missing, a row per source, all together last where there are several.

    Args:
        report: `data_report`.

    Returns:
        Rows with `name`, `images` and `missing`, the nulls by column.
    """
    parts = report["missing_by_source"]
    rows = [{"name": name, "images": report["sources"][name]["images"], "missing": parts[name]} for name in parts]
    return [*rows, {"name": "all", "images": report["images"], "missing": report["missing"]}] if len(rows) > 1 else rows

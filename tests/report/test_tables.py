"""The rows of the report's tables."""

import copy
from typing import Any

import pytest

from dermdit_kedro.report import diagnosis_tables, tables
from dermdit_kedro.report.summary import build_summary, sort_parts


@pytest.fixture(scope="module")
def summary(parts: dict[str, Any]) -> dict[str, Any]:
    return build_summary(sort_parts(parts), baseline="real", seed=0, image_size=64)


def test_too_small_groups_are_named_and_empty_ones_are_not(parts: dict[str, Any], summary: dict[str, Any]) -> None:
    first, even, sex, *_ = diagnosis_tables.fairness_tables(summary["fairness"])
    assert (first["attribute"], first["too_small"]) == ("tone_group", ["dark"])
    assert even["too_small"] == []
    assert (sex["attribute"], sex["references"]) == ("sex", ["male"])
    assert len(first["rows"][0]["cells"]) == 4
    assert [row["group"] for row in even["differences"]["real"]] == ["brown", "dark"]
    fairness = copy.deepcopy(parts["real.group_fairness"])
    fairness["attributes"]["sex"]["held_out"]["groups"]["unknown"] = {"n": 0, "judgeable": False}
    assert diagnosis_tables.fairness_tables({"real": fairness})[2]["too_small"] == []


def test_verdicts_are_grouped_and_counted(summary: dict[str, Any]) -> None:
    rows, counts = diagnosis_tables.verdict_rows(summary["verdict"]), diagnosis_tables.tally(summary["verdict"])
    assert len(rows) == 6
    assert all(row["accuracy"]["arm"] == row["fairness"]["sex"]["arm"] == row["arm"] for row in rows)
    assert (sum(counts["accuracy"].values()), sum(counts["fairness"].values())) == (6, 12)


def test_unsupported_groups_are_spelt(summary: dict[str, Any]) -> None:
    assert tables.screening_rows(summary["screening"])[0]["unsupported"] == [{"words": "dark, malignant", "n_train": 2}]


def test_nothing_measured_gives_no_rows() -> None:
    nothing = build_summary(sort_parts({}), baseline="real", seed=0, image_size=64)
    assert not diagnosis_tables.diagnosis_tables(nothing)
    assert not diagnosis_tables.fairness_tables(nothing["fairness"])
    assert not tables.screening_rows(nothing["screening"])

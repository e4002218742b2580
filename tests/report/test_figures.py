"""The charts: what they show is what they were given, and each says what to see."""

from typing import Any

import pandas as pd
import plotly.io as pio

from dermdit_kedro.report.figures import (
    colour_of,
    data_figure,
    group_performance_figure,
    training_curves_figure,
)
from dermdit_kedro.report.wording import readable


def by_arm(parts: dict[str, Any]) -> dict[str, Any]:
    return {name.partition(".")[0]: part for name, part in parts.items() if name.endswith(".diagnosis_metrics")}


def test_the_bars_add_up_to_the_manifest(drawing_inputs: dict[str, Any]) -> None:
    manifest = drawing_inputs["manifest"]
    figure = data_figure(manifest)
    assert sum(sum(trace.x) for trace in figure.data) == len(manifest)
    assert "smallest training group is dark" in figure.layout.meta["caption"]


def test_an_unknown_label_has_its_own_bar(drawing_inputs: dict[str, Any]) -> None:
    manifest = drawing_inputs["manifest"].assign(is_malignant=pd.array([pd.NA] * 240, dtype="boolean"))
    assert [trace.name for trace in data_figure(manifest).data] == ["unknown"]


def test_a_group_too_small_to_judge_has_no_point(parts: dict[str, Any]) -> None:
    figure = group_performance_figure(by_arm(parts))
    held_out, even = figure.data[0], figure.data[4]
    assert len(held_out.x) == 3
    assert len(even.x) == 4
    low, high = parts["real.diagnosis_metrics"]["test_sets"]["held_out"]["overall"]["auc"]["interval"]
    assert abs(held_out.y[0] - held_out.error_y.arrayminus[0] - low) < 1e-12
    assert abs(held_out.y[0] + held_out.error_y.array[0] - high) < 1e-12


def test_without_a_diagnosis_the_figure_is_empty() -> None:
    assert not [trace for trace in group_performance_figure({}).data if len(trace.x or ())]


def test_curves_follow_the_history(parts: dict[str, Any]) -> None:
    history = parts["dermdit.training_history"]
    figure = training_curves_figure({"dermdit": history, "autoencoder": {}})
    assert [trace.name for trace in figure.data] == ["dermdit", "dermdit, validation"]
    assert list(figure.data[0].y) == history["loss"]
    assert "Not measured" in training_curves_figure({}).layout.meta["caption"]


def test_figures_survive_storage(parts: dict[str, Any]) -> None:
    figure = group_performance_figure(by_arm(parts))
    assert pio.from_json(figure.to_json()).layout.meta == figure.layout.meta


def test_names_and_colours() -> None:
    assert readable("real_plus_synthetic") == "real + synthetic"
    colours = colour_of(["ldm", "dit", "ldm_llava", "dit_llava", "dermdit"])
    assert len(set(colours.values())) == 5

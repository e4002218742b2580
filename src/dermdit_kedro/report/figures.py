"""The charts of the report: data, training, diagnosis. Each figure carries its title and caption in `layout.meta`."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dermdit_kedro.report.wording import readable

TONE_GROUPS = ("light", "brown", "dark", "unknown")
SPLITS = ("train", "val", "test", "excluded")
REAL_COLOUR = "#8c8c8c"
HELD_OUT_COLOUR = "#8a7ad6"
COLOURS = ("#d9622b", "#2f8fd0", "#1a9e77", "#c4699f", "#a8a032", "#5fb8c4")
"""Distinct for most colour-blind readers, and legible on white and on near-black."""

LABEL_COLOURS = {"benign": "#2f78b0", "malignant": "#c8452f", "unknown": "#737373"}
"""White numbers can be read on them."""


def colour_of(names: Iterable[str]) -> dict[str, str]:
    """Give each name a colour, the same in every figure.

    Args:
        names: Variants or arms, in the order of the registry.

    Returns:
        Colour by name; beyond six names the colours repeat.
    """
    return {name: COLOURS[position % len(COLOURS)] for position, name in enumerate(names)}


def finish(figure: go.Figure, title: str, caption: str, height: int) -> go.Figure:
    """Give a figure the look of the report and its words.

    Args:
        figure: The figure to finish.
        title: The heading above it.
        caption: What to see in it.
        height: Height in pixels.

    Returns:
        The same figure.
    """
    figure.update_layout(
        template="none",
        meta={"title": title, "caption": caption},
        height=height,
        autosize=True,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13, "color": "#444444"},
        margin={"l": 56, "r": 12, "t": 36, "b": 52},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0, "traceorder": "normal"},
        hoverlabel={"font": {"family": "system-ui, sans-serif"}},
    )
    figure.update_xaxes(automargin=True, gridcolor="#dddddd", zeroline=False)
    figure.update_yaxes(automargin=True, gridcolor="#dddddd", zeroline=False)
    return figure


def data_figure(manifest: pd.DataFrame) -> go.Figure:
    """Draw how many images there are by split, tone group and label.

    Args:
        manifest: The manifest.

    Returns:
        One row of bars per split and tone group, stacked by label.
    """
    label = manifest["is_malignant"].map({True: "malignant", False: "benign"}).fillna("unknown")
    counts = manifest.assign(label=label).groupby(["split", "tone_group", "label"]).size()
    splits = [split for split in SPLITS if split in set(manifest["split"])]
    tones = [tone for tone in TONE_GROUPS if tone in set(manifest["tone_group"])]
    rows = [(split, tone) for split in splits for tone in tones]
    figure = go.Figure()
    for name, colour in LABEL_COLOURS.items():
        values = [int(counts.get((split, tone, name), 0)) for split, tone in rows]
        if any(values):
            names = [[split for split, _ in rows], [tone for _, tone in rows]]
            figure.add_bar(x=values, y=names, name=name, orientation="h", marker_color=colour, text=values, textangle=0)
    figure.update_layout(barmode="stack")
    figure.update_xaxes(title_text="images")
    figure.update_yaxes(autorange="reversed")
    rarest = manifest.loc[manifest["split"].eq("train"), "tone_group"].value_counts().reindex(TONE_GROUPS[:3]).fillna(0)
    caption = (
        "Images by split, estimated tone and label. A short bar is a group the models hardly see, and one the test "
        f"can hardly judge: the smallest training group is {rarest.idxmin()} with {int(rarest.min())} images."
    )
    return finish(figure, "Images by split, tone and label", caption, 120 + 34 * len(rows))


def training_curves_figure(histories: Mapping[str, Mapping[str, Any]]) -> go.Figure:
    """Draw the loss of every model that was trained, over its steps.

    Args:
        histories: By name of the model: `steps`, `loss` and perhaps `validation` as a list of step and loss.

    Returns:
        One line per model, dashed for validation; empty where no history has a curve.
    """
    figure = go.Figure()
    for name, colour in colour_of(histories).items():
        history = histories[name]
        if history.get("steps") and history.get("loss"):
            line = {"color": colour, "width": 1.6}
            figure.add_scatter(x=history["steps"], y=history["loss"], name=readable(name), line=line, mode="lines")
        points = history.get("validation") or []
        if points:
            steps, losses = ([point["step"] for point in points], [point["loss"] for point in points])
            line = {"color": colour, "dash": "dot", "width": 2.4}
            figure.add_scatter(x=steps, y=losses, name=f"{readable(name)}, validation", line=line)
        for group in sorted({key for point in points for key in point if key.startswith("loss_")}):
            steps, losses = ([point["step"] for point in points], [point.get(group) for point in points])
            tone = group.removeprefix("loss_")
            line = {"color": colour, "dash": "dot", "width": 1}
            figure.add_scatter(x=steps, y=losses, name=f"{readable(name)}, validation, {tone}", line=line, opacity=0.6)
    figure.update_xaxes(title_text="training step")
    ticks = [digit * 10.0**power for power in range(-6, 4) for digit in (1, 2, 5)]
    figure.update_yaxes(title_text="loss", type="log", tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])
    caption = (
        "Training loss by step, logarithmic. A curve that still falls at its end would gain from more steps; "
        "a dotted validation curve that turns up says the model has begun to memorise; thin ones are single tone "
        "groups. Losses of different "
        "models are not comparable with each other."
    )
    return finish(figure, "Training", caption if figure.data else "Not measured: no training history.", 380)


def group_performance_figure(diagnosis: Mapping[str, Mapping[str, Any]]) -> go.Figure:
    """Draw AUC per arm and tone group with its interval, one panel per test set.

    Args:
        diagnosis: `diagnosis_metrics` by arm.

    Returns:
        Points with error bars; a group too small to judge has no point.
    """
    test_sets = list(dict.fromkeys(name for metrics in diagnosis.values() for name in metrics.get("test_sets", {})))
    figure = make_subplots(
        rows=max(len(test_sets), 1), cols=1, subplot_titles=[readable(t) for t in test_sets], vertical_spacing=0.12
    )
    groups = ("overall", *TONE_GROUPS[:3])
    colours = colour_of(diagnosis)
    for row, test_set in enumerate(test_sets, start=1):
        for position, (arm, metrics) in enumerate(diagnosis.items()):
            offset = 0.16 * (position - (len(diagnosis) - 1) / 2)
            points = _auc_points(metrics.get("test_sets", {}).get(test_set, {}), groups)
            figure.add_scatter(
                x=[groups.index(group) + offset for group in points],
                y=[value for value, _, _ in points.values()],
                error_y={
                    "array": [high - value for value, _, high in points.values()],
                    "arrayminus": [value - low for value, low, _ in points.values()],
                    "thickness": 1.6,
                    "width": 3,
                },
                mode="markers",
                marker={"color": colours[arm], "size": 9},
                name=readable(arm),
                legendgroup=arm,
                showlegend=row == 1,
                row=row,
                col=1,
            )
    figure.add_hline(y=0.5, line={"color": "#999999", "dash": "dot", "width": 1})
    figure.update_xaxes(tickvals=list(range(len(groups))), ticktext=list(groups), range=[-0.5, len(groups) - 0.5])
    lows = [y - low for trace in figure.data for y, low in zip(trace.y, trace.error_y.arrayminus, strict=True)]
    figure.update_yaxes(title_text="AUC", range=[min([0.42, *lows]) - 0.02, 1.02])
    figure.update_annotations(font_size=13)
    caption = (
        "Area under the ROC curve by what the classifier was trained on and by estimated tone, with "
        f"{_levels(diagnosis)} intervals. Look for an arm whose points lie together (fair) and high "
        "(accurate); the verdict, not the overlap of intervals, says whether arms differ. The dotted line is guessing; "
        "a missing point: too few to judge."
    )
    finish(figure, "Diagnosis by tone", caption, 130 + 250 * max(len(test_sets), 1))
    return figure.update_layout(margin_t=76, margin_b=36, legend_y=1 + 0.12 / max(len(test_sets), 1))


def _levels(diagnosis: Mapping[str, Mapping[str, Any]]) -> str:
    """Return how sure the intervals are."""
    return " and ".join(sorted({f"{100 * metrics['confidence']:.3g} %" for metrics in diagnosis.values()}))


def _auc_points(test_set: Mapping[str, Any], groups: Iterable[str]) -> dict[str, tuple[float, float, float]]:
    """Return (value, low, high) of the groups that can be judged."""
    points = {}
    for group in groups:
        cell = test_set.get("overall") if group == "overall" else test_set.get("tone_group", {}).get(group)
        area = (cell or {}).get("auc") or {}
        if area.get("value") is not None and area.get("interval"):
            points[group] = (area["value"], *area["interval"])
    return points

"""The charts of the data page, drawn from the counts of the data report alone."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dermdit_kedro.dermoscopy.data_counts import AGE_BANDS, LABELS, UNKNOWN
from dermdit_kedro.dermoscopy.records import SEXES, SITES
from dermdit_kedro.report.figures import SPLITS, TONE_GROUPS, finish

TONE_COLOURS: Final = {"light": "#e8b48a", "brown": "#b0713f", "dark": "#6e4530", "unknown": "#a3abb3"}
HISTOGRAM_COLOUR: Final = "#5aa9d6"
ROW_HEIGHT: Final = 27

Block = tuple[str, list[str]]


def balance_figure(counts: pd.DataFrame) -> go.Figure:
    """Draw how many images there are by split, tone group and label.

    Args:
        counts: `counts` of the data report as a table.

    Returns:
        One panel per label; in each, one bar per split and tone group.
    """
    splits = _present(counts["split"], SPLITS)
    rows = [f"{split}, {tone}" for split in splits for tone in TONE_GROUPS]
    named = counts.assign(row=counts["split"] + ", " + counts["tone_group"])
    rows = [row for row in rows if not row.endswith(UNKNOWN) or row in set(named["row"])]
    caption = (
        "Images by split, tone group and label; each label has its own scale. Look for short bars: a group that is "
        "short in train is hardly learned from, one that is short in test can hardly be judged. Test holds all test "
        "sets together; how many of whom are in each stands in the tables."
    )
    return _panels(named, [("row", rows)], "Images by split, tone and label", caption)


def source_figure(counts: pd.DataFrame) -> go.Figure:
    """Draw how many images each source gives to each split, by label and tone group.

    Args:
        counts: `counts` of the data report as a table.

    Returns:
        One panel per label; in each, one bar per source and split, stacked by tone group.
    """
    names = counts["source"].map(lambda name: escape(name, quote=False))
    rows = [f"{name}, {split}" for name in sorted(set(names)) for split in SPLITS]
    named = counts.assign(row=names + ", " + counts["split"])
    caption = (
        "Images by source and split; colours are tone groups, and each label has its own scale. Look for a source that "
        "gives nearly all of a label or a tone: a model may learn to tell the sources apart instead."
    )
    return _panels(named, [("row", _present(named["row"], rows))], "Images by source", caption)


def people_figure(counts: pd.DataFrame) -> go.Figure:
    """Draw who is in the images: sex, age and site by label, and the tones among them.

    Args:
        counts: `counts` of the data report as a table.

    Returns:
        One panel per attribute and label; bars stacked by tone group.
    """
    orders = {"sex": (*SEXES, UNKNOWN), "age_band": AGE_BANDS, "site": (*SITES, UNKNOWN)}
    blocks = [(column, _present(counts[column], order)) for column, order in orders.items()]
    caption = (
        "All images, by sex, age in years and site; colours are tone groups, and each label has its own scale. Look "
        "for people who hardly occur, and for rows whose colours differ between benign and malignant: there, tone or "
        "age alone would tell a model something of the label."
    )
    return _panels(counts, blocks, "Sex, age and site", caption)


def tone_figure(angles: Mapping[str, Any]) -> go.Figure:
    """Draw how the measured angles are spread, one panel per source.

    Args:
        angles: `ita_degrees` of the data report.

    Returns:
        Histograms over one axis, with the thresholds between the tone groups.
    """
    sources, edges = angles["by_source"], angles["edges"]
    names = [f"{escape(name, quote=False)}, {part['n']:,} images" for name, part in sources.items()]
    figure = make_subplots(
        max(len(sources), 1), 1, shared_xaxes=True, subplot_titles=names, vertical_spacing=0.3 / (len(sources) + 1)
    )
    centres = [(low + high) / 2 for low, high in pairwise(edges)]
    for row, part in enumerate(sources.values(), start=1):
        hover = "%{x}° ± 2.5°: %{y} images<extra></extra>"
        bar = {"marker_color": HISTOGRAM_COLOUR, "width": 4.6, "hovertemplate": hover}
        figure.add_bar(x=centres, y=part["histogram"], row=row, col=1, **bar)
    occupied = [x for part in sources.values() for x, n in zip(edges, part["histogram"], strict=False) if n]
    figure.update_annotations(x=0, xanchor="left")
    start = min([0, *occupied])
    ends = {"dark": (start, angles["brown_above"]), "brown": (angles["brown_above"], angles["light_above"])}
    for tone, (low, high) in (ends | {"light": (angles["light_above"], edges[-1])}).items():
        if sources:
            figure.add_vrect(low, high, fillcolor=TONE_COLOURS[tone], opacity=0.22, line_width=0, layer="below")
        figure.add_annotation(
            x=(low + high) / 2,
            y=1,
            yref="paper",
            yshift=18,
            yanchor="bottom",
            text=f"<b>{tone}</b>",
            showarrow=False,
            xref="x",
        )
    figure.update_xaxes(range=[start, edges[-1]])
    figure.update_yaxes(nticks=4, tickformat=",d")
    axis = {"text": "individual typology angle in degrees", "font": {"size": 13}}
    figure.update_xaxes(title=axis, row=max(len(sources), 1), col=1)
    figure.update_annotations(font_size=13)
    caption = (
        f"Images by measured angle, larger is lighter. Thresholds ({angles['preset']}): light above "
        f"{angles['light_above']:g}°, brown above {angles['brown_above']:g}°, dark below. Look "
        "for peaks at a threshold: small errors of the colour move those images to another group."
    )
    finish(figure, "Measured skin colour", caption, 170 + (110 if len(sources) < 5 else 75) * len(sources))
    return figure.update_layout(margin_t=64, showlegend=False, bargap=0)


def _panels(counts: pd.DataFrame, blocks: Sequence[Block], title: str, caption: str) -> go.Figure:
    """Draw bars stacked by tone: a row of panels per block (a column and its values), a column of panels per label."""
    labels = [label for label in LABELS if label in set(counts["label"])]
    totals = counts.groupby("label")["images"].sum()
    rows = sum(len(order) for _, order in blocks)
    figure = make_subplots(
        len(blocks), len(labels),
        shared_yaxes=True, horizontal_spacing=0.1, vertical_spacing=0.05,
        row_heights=[len(order) + 0.5 for _, order in blocks],
        column_titles=[f"{_spell(label, 'label')}<br>{totals[label]:,} images" for label in labels],
    )  # fmt: skip
    for column, label in enumerate(labels, start=1):
        part = counts[counts["label"] == label]
        longest = max(part.groupby(key)["images"].sum().max() for key, _ in blocks)
        for row, (key, order) in enumerate(blocks, start=1):
            _bars(figure, part, key, order, {"row": row, "col": column})
        figure.update_xaxes(range=[0, longest * 1.45], nticks=3, col=column)
    figure.update_layout(barmode="stack", bargap=0.25)
    for tone, colour in TONE_COLOURS.items():
        if tone in set(counts["tone_group"]):
            figure.add_bar(
                x=[None], y=[blocks[0][1][0]], orientation="h", name=_spell(tone, "tone"), marker_color=colour
            )
    finish(figure, title, caption, 144 + ROW_HEIGHT * rows + 20 * len(blocks))
    figure.update_yaxes(autorange="reversed", ticklabelstandoff=5, showgrid=False)
    figure.update_annotations(font_size=13, yshift=2)
    legend = {"x": 0, "xref": "container", "y": 1, "yref": "container", "yanchor": "top"}
    return figure.update_layout(margin_t=104, margin_b=30, legend=legend)


def _spell(value: str, what: str) -> str:
    return f"unknown {what}" if value == UNKNOWN else value


def _present(values: pd.Series, order: Iterable[str]) -> list[str]:
    found = set(values)
    return [value for value in order if value in found]


def _bars(figure: go.Figure, part: pd.DataFrame, key: str, order: list[str], place: dict[str, int]) -> None:
    table = part.pivot_table(index=key, columns="tone_group", values="images", aggfunc="sum", fill_value=0)
    table = table.reindex(index=order, columns=list(TONE_GROUPS), fill_value=0)
    for tone in TONE_GROUPS:
        if table[tone].any():
            hover = f"%{{y}}, {tone}: %{{x}} images<extra></extra>"
            bar = {"marker_color": TONE_COLOURS[tone], "showlegend": False, "hovertemplate": hover}
            figure.add_bar(x=table[tone].tolist(), y=order, orientation="h", **bar, **place)
    totals = table.sum(axis=1)
    words = {"mode": "text", "textposition": "middle right", "hoverinfo": "skip", "showlegend": False}
    text = [f" {int(n):,}" for n in totals]
    figure.add_scatter(x=totals.tolist(), y=order, text=text, cliponaxis=False, **words, **place)

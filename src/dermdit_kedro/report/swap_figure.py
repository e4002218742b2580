"""Prompt swaps as a picture: a row for each word, a column for each seed, and beside them what was measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dermdit_kedro.handles import ImageFolder
from dermdit_kedro.report.figures import finish
from dermdit_kedro.report.samples import embed_image
from dermdit_kedro.report.wording import readable

_ROW_PX, _TITLE = 84, 0.5
_HEADINGS = {"tone_group": "skin tone", "is_malignant": "benign or malignant"}
_SCORES = ("median_ita_degrees", "malignant_share", "mean_change")


@dataclass(frozen=True)
class SwapRow:
    """One word of a prompt, the images it gave and what was measured of them.

    Attributes:
        attribute: What the word says, in words.
        word: The word.
        sources: The images, as data URIs.
        scores: `median_ita_degrees`, `malignant_share` and `mean_change`.
    """

    attribute: str
    word: str
    sources: tuple[str, ...]
    scores: Mapping[str, Any]


def prompt_swap_figure(
    plan: pd.DataFrame, images: ImageFolder | None, scores: Mapping[str, Any], *, shown: int, thumbnail_px: int
) -> go.Figure:
    """Draw prompt swaps.

    Args:
        plan: sample_id, attribute, value, number.
        images: The images, `<sample_id>.png`; None where there are none.
        scores: Of `augmentation.swaps.score_swaps`.
        shown: Seeds drawn; all of them are measured.
        thumbnail_px: Longest side of an embedded image.

    Returns:
        One figure; a block of rows for each attribute.
    """
    figure, y = go.Figure(), 0.0
    for attribute, values in scores.items():
        y -= _TITLE
        _write(figure, 0, y, f"<b>{_HEADINGS.get(attribute, readable(attribute))}</b>", "bottom")
        for value, score in values.items():
            rows = plan[(plan["attribute"] == attribute) & (plan["value"] == value)].head(shown)
            _write(figure, 0, y - 0.5, value.replace("-", " "), "middle")
            for column, sample_id in enumerate(rows["sample_id"]):
                assert images is not None, "what was measured was drawn"
                figure.add_layout_image(
                    source=embed_image(images, f"{sample_id}.png", thumbnail_px), name=f"{attribute} {value}",
                    x=2 + column, y=y, sizex=0.96, sizey=0.96, xref="x", yref="y", xanchor="left", yanchor="top",
                )  # fmt: skip
            _write(figure, 2.15 + shown, y - 0.5, _measured(score), "middle")
            y -= 1
    figure.add_scatter(x=[0, shown + 5.6], y=[0, y], mode="markers", marker={"opacity": 0}, hoverinfo="skip")
    seeds = plan["number"].nunique() if len(plan) else 0
    caption = (
        "One word of the prompt changed from row to row, the same seeds in every row. Where the model follows it, "
        f"what it names changes and the rest stays. Beside each row, over all {seeds} seeds: the median ITA (lower is "
        "darker skin), the share the screening classifier takes for malignant, and how far the pixels moved from the "
        "first row (0 to 255)."
    )
    finish(figure, "What one word changes", caption, int(-y * _ROW_PX) + 40)
    figure.update_xaxes(visible=False, range=[0, shown + 5.6])
    figure.update_yaxes(visible=False, range=[y, 0], scaleanchor="x")
    words = [
        {"attribute": attribute, "word": value, "scores": {key: score[key] for key in _SCORES}}
        for attribute, values in scores.items()
        for value, score in values.items()
    ]
    meta = {**figure.layout.meta, "words": words}
    return figure.update_layout(meta=meta, margin={"l": 4, "r": 4, "t": 8, "b": 4}, showlegend=False)


def swap_rows(figure: Any) -> dict[str, list[SwapRow]]:
    """Read the rows back from a figure of prompt swaps, for a page that lays them out itself.

    Args:
        figure: A figure made by `prompt_swap_figure`, perhaps stored and loaded.

    Returns:
        The rows by attribute, in drawing order.
    """
    blocks: dict[str, list[SwapRow]] = {}
    for part in (figure.layout.meta or {}).get("words", ()):
        name = f"{part['attribute']} {part['word']}"
        sources = tuple(image.source for image in figure.layout.images if image.name == name)
        heading = _HEADINGS.get(part["attribute"], readable(part["attribute"]))
        row = SwapRow(heading, part["word"].replace("-", " "), sources, part["scores"])
        blocks.setdefault(heading, []).append(row)
    return blocks


def _measured(score: Mapping[str, Any]) -> str:
    angle = score["median_ita_degrees"]
    tone = "ITA unknown" if angle is None else f"ITA {angle:.0f}°"
    return f"{tone}, malignant {score['malignant_share']:.0%}, moved {score['mean_change']:.0f}"


def _write(figure: go.Figure, x: float, y: float, text: str, anchor: str) -> None:
    figure.add_annotation(
        x=x, y=y, text=text, showarrow=False, xref="x", yref="y", xanchor="left", yanchor=anchor, font={"size": 11}
    )

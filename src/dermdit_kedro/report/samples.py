"""Figure 2, I: real images beside synthetic ones, by the label and the tone that were asked for."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from PIL import Image

from dermdit_kedro.handles import ImageFolder
from dermdit_kedro.report.figures import TONE_GROUPS, finish
from dermdit_kedro.report.wording import readable

LABELS = {"benign": False, "malignant": True}
STRIP = 0.34
"""Height of the line of text above a row of images, in image heights."""


@dataclass(frozen=True)
class SampleCell:
    """Images of one label and tone group from one place.

    Attributes:
        row: Label and tone group, in words.
        block: "real" or the variant.
        sources: The images, as data URIs.
    """

    row: str
    block: str
    sources: tuple[str, ...]


def sample_grid_figure(
    manifest: pd.DataFrame,
    images: ImageFolder,
    synthetic: Mapping[str, tuple[ImageFolder, pd.DataFrame]],
    *,
    per_cell: int,
    thumbnail_px: int,
    seed: int,
) -> go.Figure:
    """Draw real training images beside synthetic ones, one row per label and tone group.

    The images are drawn at random, before screening, so that nobody has picked them.

    Args:
        manifest: The manifest; rows of the training split are shown.
        images: The prepared images.
        synthetic: Image folder and synthetic manifest by variant.
        per_cell: Images per row and block.
        thumbnail_px: Longest side of an embedded image.
        seed: Seed of the draw.

    Returns:
        A figure whose images are embedded; `layout.images[i].name` is `<row> | <block>`.
    """
    real = manifest[manifest["split"].eq("train")].rename(columns={"file": "file_in_source"})
    real = real.merge(images.index()[["image_id", "file"]], on="image_id")
    blocks = {"real": (images, real, "is_malignant", "tone_group")}
    for name, (folder, table) in synthetic.items():
        blocks[name] = (folder, table, "requested_is_malignant", "requested_tone_group")
    cells = []
    for label in LABELS:
        for tone in TONE_GROUPS[:3]:
            for block, (folder, table, label_column, tone_column) in blocks.items():
                rows = _rows(table, label_column, tone_column, label, tone).sort_values("file")
                picked = rows.sample(min(per_cell, len(rows)), random_state=seed)["file"]
                sources = tuple(embed_image(folder, file, thumbnail_px) for file in picked)
                cells.append(SampleCell(f"{label}, {tone} tone", block, sources))
    return _draw(cells, list(blocks), per_cell)


def embed_image(folder: ImageFolder, file: str, thumbnail_px: int) -> str:
    """Return one image as a PNG data URI, shrunk where it is larger than asked for.

    Args:
        folder: The image folder.
        file: The file inside it.
        thumbnail_px: Longest side in pixels.

    Returns:
        `data:image/png;base64,...`
    """
    with Image.open(folder.path / file) as opened:
        image = opened.convert("RGB")
    image.thumbnail((thumbnail_px, thumbnail_px))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def cells_of(figure: Any) -> list[SampleCell]:
    """Read the cells back from a sample grid, for a page that lays them out itself.

    Args:
        figure: A figure made by `sample_grid_figure`, perhaps stored and loaded.

    Returns:
        The cells in drawing order, also those without an image.
    """
    meta = figure.layout.meta or {}
    sources: dict[str, list[str]] = {}
    for image in figure.layout.images:
        sources.setdefault(image.name, []).append(image.source)
    keys = [(row, block) for row in meta.get("rows", []) for block in meta.get("blocks", [])]
    return [SampleCell(row, block, tuple(sources.get(f"{row} | {block}", ()))) for row, block in keys]


def _rows(table: pd.DataFrame, label_column: str, tone_column: str, label: str, tone: str) -> pd.DataFrame:
    """Return the rows of one cell; what was asked of no image (an unconditional variant) fits every cell."""
    for column, asked in ((label_column, LABELS[label]), (tone_column, tone)):
        if column in table and table[column].notna().any():
            table = table[table[column].eq(asked).fillna(False).astype(bool)]
    return table


def _draw(cells: Sequence[SampleCell], blocks: Sequence[str], per_cell: int) -> go.Figure:
    rows = list(dict.fromkeys(cell.row for cell in cells))
    figure, pitch = go.Figure(), per_cell + 0.4
    for cell in cells:
        left, top = (blocks.index(cell.block) * pitch, -rows.index(cell.row) * (1 + STRIP))
        text = f"{readable(cell.block)}: {cell.row}" + ("" if cell.sources else " (none)")
        place = {"xanchor": "left", "yanchor": "top", "xref": "x", "yref": "y"}
        note = {"text": text, "showarrow": False, "font": {"size": 11}, "yshift": 2}
        figure.add_annotation(x=left, y=top - STRIP, **note, **{**place, "yanchor": "bottom"})
        for column, source in enumerate(cell.sources):
            name = f"{cell.row} | {cell.block}"
            figure.add_layout_image(
                source=source, name=name, x=left + column, y=top - STRIP, sizex=0.96, sizey=0.96, **place
            )
    width, height = len(blocks) * pitch, len(rows) * (1 + STRIP)
    figure.add_scatter(x=[0, width], y=[0, -height], mode="markers", marker={"opacity": 0}, hoverinfo="skip")
    figure.update_xaxes(visible=False, range=[0, width])
    caption = (
        "Images drawn at random, before screening: real training images beside synthetic ones of the same requested "
        "label and estimated tone. Malignant lesions ought to be less symmetric, with ragged borders and more "
        "colours; the skin around them ought to darken from row to row. A synthetic row whose images look alike "
        "has lost variety."
    )
    finish(figure, "Real and synthetic images", caption, 900)
    figure.update_yaxes(visible=False, range=[-height, 0], scaleanchor="x")
    meta = {**figure.layout.meta, "rows": rows, "blocks": list(blocks)}
    figure.update_layout(meta=meta, margin={"l": 4, "r": 4, "t": 8, "b": 4}, showlegend=False)
    return figure

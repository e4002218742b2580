"""The sample grid shows what was asked for, embedded and unpicked."""

import base64
import io
from typing import Any

import pandas as pd
import plotly.io as pio
import pytest
from PIL import Image

from dermdit_kedro.handles import ImageFolder
from dermdit_kedro.report.samples import cells_of, embed_image, sample_grid_figure


@pytest.fixture
def made(drawing_inputs: dict[str, Any]) -> tuple[ImageFolder, pd.DataFrame]:
    return drawing_inputs["dermdit.synthetic_images"], drawing_inputs["dermdit.synthetic_manifest"]


def draw(drawing_inputs: dict[str, Any], synthetic: dict[str, Any], seed: int = 0) -> Any:
    manifest, images = drawing_inputs["manifest"], drawing_inputs["images"]
    return sample_grid_figure(manifest, images, synthetic, per_cell=3, thumbnail_px=32, seed=seed)


def pixel(source: str) -> tuple[int, ...]:
    image = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
    return image.getpixel((1, 1))


def test_one_row_per_label_and_tone_and_one_block_per_variant(drawing_inputs: dict[str, Any], made: Any) -> None:
    figure = pio.from_json(draw(drawing_inputs, {"dermdit": made}).to_json())
    cells = cells_of(figure)
    assert len(cells) == 6 * 2
    assert [cell.block for cell in cells[:2]] == ["real", "dermdit"]
    assert all(len(cell.sources) == 3 for cell in cells if cell.block == "dermdit")
    brightness = {cell.row: sum(pixel(cell.sources[0])) for cell in cells if cell.block == "dermdit"}
    for label in ("benign", "malignant"):
        light, brown, dark = (brightness[f"{label}, {tone} tone"] for tone in ("light", "brown", "dark"))
        assert light > brown > dark


def test_the_draw_is_the_seeds(drawing_inputs: dict[str, Any], made: Any) -> None:
    first, again, other = (draw(drawing_inputs, {"dermdit": made}, seed).to_json() for seed in (0, 0, 1))
    assert first == again
    assert first != other


@pytest.mark.parametrize("absent", ["columns", "values"])
def test_an_unconditional_variant_fills_every_row(drawing_inputs: dict[str, Any], made: Any, absent: str) -> None:
    folder, table = made
    columns = ["requested_is_malignant", "requested_tone_group"]
    bare = table.drop(columns=columns) if absent == "columns" else table.assign(**dict.fromkeys(columns))
    cells = cells_of(draw(drawing_inputs, {"ldm": (folder, bare)}))
    assert all(len(cell.sources) == 3 for cell in cells if cell.block == "ldm")


def test_a_group_without_images_is_said_to_be_empty(drawing_inputs: dict[str, Any], made: Any) -> None:
    folder, table = made
    figure = draw(drawing_inputs, {"dermdit": (folder, table[table["requested_tone_group"].ne("dark")])})
    empty = [cell for cell in cells_of(figure) if not cell.sources and cell.block == "dermdit"]
    assert [cell.row for cell in empty] == ["benign, dark tone", "malignant, dark tone"]
    assert any("dermdit: benign, dark tone (none)" in note.text for note in figure.layout.annotations)


def test_embedded_images_are_small_and_bare(made: Any) -> None:
    folder, table = made
    source = embed_image(folder, table["file"].iloc[0], 16)
    image = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
    assert max(image.size) == 16
    assert image.info == {}

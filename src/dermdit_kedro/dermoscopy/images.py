"""Images on disk and in memory: decoded, squared, written as PNG, read in batches."""

import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageOps

from dermdit_kedro.atomic import atomic_file
from dermdit_kedro.dermoscopy.parameters import ResizeMode
from dermdit_kedro.handles import ImageFolder

if TYPE_CHECKING:
    from torch import Tensor

CACHE_BYTES = 2**30
"""Decoded images up to this size in all are kept in memory; those beyond it are decoded each time."""
_LABEL_WIDTH, _TITLE_HEIGHT = 64, 20
"""Pixels left of the rows and above the images of a contact sheet with words."""


def resize_image(image: Image.Image, size: int, mode: ResizeMode) -> Image.Image:
    """Make an image square.

    Args:
        image: RGB, any size.
        size: Side in pixels.
        mode: `resize` squeezes (the paper), `center_crop` cuts the longer side, `pad` fills with black.

    Returns:
        RGB, size x size, bicubic.
    """
    if mode == "center_crop":
        return ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
    if mode == "pad":
        return ImageOps.pad(image, (size, size), Image.Resampling.BICUBIC)
    return image if image.size == (size, size) else image.resize((size, size), Image.Resampling.BICUBIC)


def write_png(path: Path, image: "np.ndarray[Any, Any] | Image.Image") -> bytes:
    """Write an image as PNG, atomically and without metadata.

    Args:
        path: The file to create or replace.
        image: uint8 (h, w, 3), or an RGB image.

    Returns:
        What was written.
    """
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.info = {}
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", compress_level=1)
    with atomic_file(path, durable=False) as aside:
        aside.write_bytes(buffer.getvalue())
    return buffer.getvalue()


def index_row(file: str, content: bytes) -> dict[str, Any]:
    """Describe one image of a folder of ours.

    Args:
        file: The image's path below the folder; its id is this without the suffix.
        content: What it holds.

    Returns:
        image_id, file, width, height, sha256.
    """
    width, height = Image.open(io.BytesIO(content), formats=["PNG"]).size
    digest = hashlib.sha256(content).hexdigest()
    return {"image_id": file.removesuffix(".png"), "file": file, "width": width, "height": height, "sha256": digest}


def write_index(folder: Path, rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Write `index.parquet` of a folder.

    Args:
        folder: The folder.
        rows: What `index_row` says of each image, in any order.

    Returns:
        The index, sorted by file.
    """
    index = pd.DataFrame(list(rows), columns=["image_id", "file", "width", "height", "sha256"])
    index = index.sort_values("file", ignore_index=True)
    with atomic_file(folder / "index.parquet") as aside:
        index.to_parquet(aside, index=False)
    return index


def build_image_index(folder: Path) -> pd.DataFrame:
    """Write `index.parquet` for all PNG images below a folder.

    Args:
        folder: The folder.

    Returns:
        The index, sorted by file.
    """
    files = (path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    return write_index(folder, (index_row(file, (folder / file).read_bytes()) for file in files))


def read_rgb(path: Path) -> "np.ndarray[Any, Any]":
    """Read one image of a folder of ours, uint8 (h, w, 3)."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


class ImageStack:
    """Images of one size by position; what fits stays decoded in memory.

    Args:
        folder: A finished folder, or its path.
        files: Files relative to it, in the order of the positions.
        max_cached_bytes: Bound on the memory that decoded images may take.
    """

    def __init__(self, folder: ImageFolder | Path, files: Sequence[str], max_cached_bytes: int = CACHE_BYTES) -> None:
        self._root = folder.path if isinstance(folder, ImageFolder) else folder
        self._files = list(files)
        self._cache: dict[int, np.ndarray[Any, Any]] = {}
        self._shape = read_rgb(self._root / files[0]).shape if files else (0, 0, 3)
        self._max_cached = max_cached_bytes // max(prod(self._shape), 1)

    def __len__(self) -> int:
        return len(self._files)

    def _read(self, position: int) -> "np.ndarray[Any, Any]":
        if position in self._cache:
            return self._cache[position]
        image = read_rgb(self._root / self._files[position])
        if image.shape != self._shape:
            raise ValueError(f"images must be of one size, {self._shape}. Got {image.shape}: {self._files[position]}")
        if len(self._cache) < self._max_cached:
            self._cache[position] = image
        return image

    def __getitem__(self, indices: "Sequence[int] | Tensor") -> "Tensor":
        """Read images by position.

        Args:
            indices: Positions, in any order.

        Returns:
            uint8 (b, 3, h, w).

        Raises:
            ValueError: If an image is of another size than the first.
        """
        import torch

        positions = [int(i) for i in indices]
        return torch.from_numpy(np.stack([self._read(i) for i in positions])).permute(0, 3, 1, 2)


def to_float(images: "Tensor") -> "Tensor":
    """Map uint8 in [0, 255] to float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


def to_uint8(images: "Tensor") -> "Tensor":
    """Map floats in [-1, 1] to uint8 in [0, 255], rounded and clamped. Law: inverts `to_float`."""
    import torch

    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def contact_sheet(
    images: "Sequence[np.ndarray[Any, Any]]", columns: int, tile: int = 96, *, title: str = "", rows: Sequence[str] = ()
) -> Image.Image:
    """Lay images out row by row.

    Args:
        images: uint8 (h, w, 3) each.
        columns: Images in a row.
        tile: Side of an image on the sheet, in pixels.
        title: A line above the images; empty for none.
        rows: A label to the left of each row; empty for none.

    Returns:
        The sheet.

    Raises:
        ValueError: If there is no image.
    """
    if not images:
        raise ValueError("a contact sheet needs at least one image. Got none")
    left, top = _LABEL_WIDTH if rows else 0, _TITLE_HEIGHT if title else 0
    sheet = Image.new("RGB", (left + columns * tile, top + -(-len(images) // columns) * tile), "white")
    for i, image in enumerate(images):
        picture = Image.fromarray(image).resize((tile, tile), Image.Resampling.LANCZOS)
        sheet.paste(picture, (left + (i % columns) * tile, top + (i // columns) * tile))
    pen = ImageDraw.Draw(sheet)
    pen.text((4, 4), title, "black")
    for i, label in enumerate(rows):
        pen.text((4, top + i * tile + tile // 2), label, "black", anchor="lm")
    return sheet

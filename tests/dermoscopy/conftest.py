"""Fixtures of the dermoscopy tests: HAM10000 in its distributed form, tiny and real."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

HAM_ROWS = [
    ("HAM_1", "ISIC_01", "nv", "histo", "80.0", "male", "scalp", "rosendahl"),
    ("HAM_1", "ISIC_02", "nv", "histo", "80.0", "male", "scalp", "rosendahl"),
    ("HAM_2", "ISIC_03", "mel", "histo", "0.0", "female", "acral", "vidir_modern"),
    ("HAM_3", "ISIC_04", "akiec", "histo", "", "unknown", "unknown", "vidir_modern"),
    ("HAM_4", "ISIC_05", "bcc", "histo", "45.0", "female", "genital", "vidir_modern"),
]
HAM_COLUMNS = ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization", "dataset"]


def paint(seed: int, width: int = 40, height: int = 30) -> Image.Image:
    """Draw smooth noise: every seed gives another picture with another perceptual hash."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture
def write_ham(tmp_path: Path) -> Callable[..., Path]:
    """Write HAM10000 as Dataverse distributes it, in one of its forms."""

    def write(table: str = "HAM10000_metadata", separator: str = ",", parts: bool = True) -> Path:
        folder = tmp_path / "ham10000"
        folder.mkdir()
        rows = pd.DataFrame(HAM_ROWS, columns=HAM_COLUMNS)
        rows.to_csv(folder / table, index=False, sep=separator)
        for i, name in enumerate(rows["image_id"]):
            below = folder / (f"HAM10000_images_part_{1 + i % 2}" if parts else "images")
            below.mkdir(exist_ok=True)
            paint(i).save(below / f"{name}.jpg")
        return folder

    return write


@pytest.fixture(scope="session")
def real_ham(root: Path) -> Path:
    """The real HAM10000; the test skips where it is absent."""
    folder = root / "data" / "01_raw" / "ham10000"
    if not folder.is_dir():
        pytest.skip("HAM10000 is not in data/01_raw/ham10000 (Harvard Dataverse, doi:10.7910/DVN/DBW86T)")
    return folder


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """The bytes of a file that holds an image."""
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


@pytest.fixture
def noise() -> np.ndarray:
    """Five images of random pixels."""
    return np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)

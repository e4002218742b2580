"""A few phantoms with their manifest, and a real LLaVA of a few weights."""

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from tests.prompts.tiny_llava import save_llava

from dermdit_kedro.dermoscopy.images import build_image_index
from dermdit_kedro.dermoscopy.phantom import PhantomConfig, render
from dermdit_kedro.dermoscopy.records import MANIFEST_DTYPES, conform
from dermdit_kedro.handles import ImageFolder

COUNT = 64


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory) -> tuple[pd.DataFrame, ImageFolder]:
    """64 phantoms of 32 px: their manifest (the last 8 are not for training) and their folder."""
    folder = tmp_path_factory.mktemp("phantoms")
    config = PhantomConfig(num_images=COUNT, tone_shares={"light": 0.4, "brown": 0.3, "dark": 0.3})
    rows = []
    for index in range(COUNT):
        phantom = render(config, index, 32)
        Image.fromarray(phantom.image).save(folder / f"{index:02d}.png")
        split = "train" if index < COUNT - 8 else "val"
        rows.append({**phantom.record, "image_id": f"{index:02d}", "split": split, "modality": "dermoscopic"})
    build_image_index(folder)
    return conform(pd.DataFrame(rows), MANIFEST_DTYPES), ImageFolder(folder, "phantoms")


@pytest.fixture(scope="session")
def llava(tmp_path_factory) -> Path:
    """A LLaVA of random weights."""
    return save_llava(tmp_path_factory.mktemp("models") / "tiny-llava")

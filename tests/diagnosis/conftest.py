"""A few phantoms on disk with their manifest; a classifier folder trained on them in seconds."""

import numpy as np
import pandas as pd
import pytest

from dermdit_kedro.dermoscopy.images import build_image_index, write_png
from dermdit_kedro.dermoscopy.records import MALIGNANT, MANIFEST_DTYPES, Diagnosis, conform
from dermdit_kedro.handles import ImageFolder

SIZE = 32


def draw(label, rng):
    """Return an image whose label shows: malignant ones are dark in the middle."""
    image = rng.integers(150, 220, size=(SIZE, SIZE, 3), dtype=np.uint8)
    if label:
        image[8:24, 8:24] //= 3
    return image


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """96 images of an easy task, as the prepared images are."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for i in range(96):
        write_png(root / f"easy/{i:03d}.png", draw(i % 2 == 1, rng))
    build_image_index(root)
    return ImageFolder(root, "easy-96")


@pytest.fixture(scope="session")
def manifest():
    """Their manifest: 48 train, 16 val, 16 held-out and 16 images of a source that only tests."""
    diagnoses = [Diagnosis.NEVUS, Diagnosis.MELANOMA]
    rows = [
        {
            "image_id": f"easy/{i:03d}",
            "source": "easy" if i < 80 else "easy_test",
            "modality": "dermoscopic",
            "diagnosis": str(diagnoses[i % 2]),
            "is_malignant": MALIGNANT[diagnoses[i % 2]],
            "is_melanoma": i % 2 == 1,
            "tone_group": ["light", "light", "brown", "light", "dark", "brown", "light", "light"][i % 8],
            "sex": [None, "male", "female"][i % 3],
            "age_approx": None if i % 5 == 0 else float(20 + i % 60),
            "site": "trunk",
            "role": "train" if i < 80 else "test",
            "split": "train" if i < 48 else "val" if i < 64 else "test",
            "duplicate_cluster": f"c{i}",
        }
        for i in range(96)
    ]
    return conform(pd.DataFrame(rows), MANIFEST_DTYPES)

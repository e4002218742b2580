"""Thirty-two pixel images of an easy task, real and synthetic, with their manifests."""

import numpy as np
import pandas as pd
import pytest

from dermdit_kedro.dermoscopy.images import build_image_index, write_png
from dermdit_kedro.dermoscopy.records import MANIFEST_DTYPES, TONE_GROUPS, conform
from dermdit_kedro.diagnosis.parameters import ClassifierConfig, ClassifierTraining
from dermdit_kedro.handles import ImageFolder

SIZE = 32
REAL, SYNTHETIC = 120, 36


def _write(root, names, labels, seed):
    """Write images whose label shows: positive ones are dark in the middle."""
    rng = np.random.default_rng(seed)
    for name, label in zip(names, labels, strict=True):
        image = rng.integers(150, 220, size=(SIZE, SIZE, 3), dtype=np.uint8)
        if label:
            image[8:24, 8:24] //= 3
        write_png(root / f"{name}.png", image)
    build_image_index(root)
    return ImageFolder(root, f"{root.name}-{seed}")


@pytest.fixture(scope="session")
def easy_manifest():
    """Sixty train, twenty val, twenty held-out rows, and twenty of a source that only tests."""
    rows = [
        {
            "image_id": f"easy/{i:03d}",
            "source": "easy" if i < 100 else "easy_test",
            "modality": "dermoscopic",
            "is_malignant": i % 2 == 1,
            "is_melanoma": i % 2 == 1,
            "tone_group": TONE_GROUPS[i // 2 % 3],
            "sex": ["male", "female"][i // 2 % 2],
            "age_approx": float(20 + i % 60),
            "site": "trunk",
            "role": "train" if i < 100 else "test",
            "split": "train" if i < 60 else "val" if i < 80 else "test",
            "duplicate_cluster": f"c{i}",
        }
        for i in range(REAL)
    ]
    return conform(pd.DataFrame(rows), MANIFEST_DTYPES)


@pytest.fixture(scope="session")
def easy_images(tmp_path_factory, easy_manifest):
    """The prepared images."""
    root = tmp_path_factory.mktemp("real")
    return _write(root, easy_manifest["image_id"], easy_manifest["is_malignant"], seed=0)


@pytest.fixture(scope="session")
def easy_synthetic_manifest():
    """What was asked of a generator that obeys; the last ten were set aside by a screen."""
    return pd.DataFrame(
        {
            "sample_id": [f"s{i:03d}" for i in range(SYNTHETIC)],
            "file": [f"s{i:03d}.png" for i in range(SYNTHETIC)],
            "requested_is_malignant": pd.array([i % 2 == 1 for i in range(SYNTHETIC)], "boolean"),
            "requested_tone_group": [TONE_GROUPS[i % 3] for i in range(SYNTHETIC)],
            "tone_group": [TONE_GROUPS[i % 3] if i % 12 else "unknown" for i in range(SYNTHETIC)],
            "kept": [i < SYNTHETIC - 10 for i in range(SYNTHETIC)],
            "nearest_train_image_id": pd.Series([None] * SYNTHETIC, dtype="str"),
        }
    )


@pytest.fixture(scope="session")
def easy_synthetic_images(tmp_path_factory, easy_synthetic_manifest):
    """The generated images."""
    root = tmp_path_factory.mktemp("synthetic")
    rows = easy_synthetic_manifest
    return _write(root, rows["sample_id"], rows["requested_is_malignant"], seed=1)


@pytest.fixture(scope="session")
def architecture():
    """A network of two hundred thousand parameters."""
    return ClassifierConfig(architecture="test_byobnet")


@pytest.fixture(scope="session")
def classifier_training():
    """Enough steps for the easy task."""
    return ClassifierTraining(epochs=10, num_seeds=2, batch_size=16, learning_rate=3e-3, num_validations=2)

"""Predictions with a known truth."""

import numpy as np
import pandas as pd
import pytest


def call(predictions, thresholds=0.5):
    """Return the predictions with the column `called`; thresholds one for all or one a seed."""
    limits = predictions["seed"].map(thresholds) if isinstance(thresholds, dict) else thresholds
    return predictions.assign(called=predictions["score"] >= limits)


def simulate_predictions(n=240, seeds=(0, 1), separation=1.5, harder_group=None, seed=0, test_set="phantom_even"):
    """Return predictions of an arm: equal groups, or one in which the scores tell nothing."""
    rng = np.random.default_rng(seed)
    tone = np.array(["light", "brown", "dark"])[np.arange(n) % 3]
    label = rng.random(n) < 0.5
    parts = []
    for k in seeds:
        strength = np.where(tone == harder_group, 0.0, separation)
        logit = rng.normal(size=n) + strength * np.where(label, 1, -1)
        parts.append(
            pd.DataFrame(
                {
                    "image_id": [f"{test_set}/{i}" for i in range(n)],
                    "source": test_set,
                    "modality": "dermoscopic",
                    "test_set": test_set,
                    "split": "test",
                    "duplicate_cluster": [f"c{i // 2}" for i in range(n)],
                    "arm": "real",
                    "seed": k,
                    "label_name": "is_malignant",
                    "label": label,
                    "score": 1 / (1 + np.exp(-logit)),
                    "tone_group": tone,
                    "sex": pd.array(np.array(["female", "male", None], dtype=object)[rng.integers(3, size=n)], "str"),
                    "age_approx": np.where(rng.random(n) < 0.1, np.nan, rng.integers(1, 90, size=n)),
                    "site": "trunk",
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="session")
def make_predictions():
    """The function that simulates predictions."""
    return simulate_predictions


@pytest.fixture(scope="session")
def make_calls():
    """The function that calls images positive."""
    return call


@pytest.fixture
def predictions():
    """Two seeds, equal groups."""
    return simulate_predictions()

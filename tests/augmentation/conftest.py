"""A manifest whose groups have known sizes."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from dermdit_kedro.dermoscopy.records import MANIFEST_DTYPES, SEXES, SITES, conform
from dermdit_kedro.prompts.instructions import describe, records
from dermdit_kedro.prompts.parameters import ATTRIBUTES

COUNTS = {("light", False): 40, ("light", True): 30, ("brown", False): 25, ("brown", True): 22, ("dark", False): 20}
"""Training images per group; malignant lesions on dark skin are too few."""


def make_manifest(counts: dict[tuple[str, bool], int], split: str = "train", prefix: str = "a") -> pd.DataFrame:
    """One row an image of each group, with the other attributes sometimes unknown."""
    rng = np.random.default_rng(len(counts))
    rows: list[dict[str, Any]] = []
    for (tone, malignant), count in counts.items():
        for _ in range(count):
            number = len(rows)
            rows.append(
                {
                    "image_id": f"phantoms/{prefix}{number:04d}",
                    "modality": "dermoscopic",
                    "is_malignant": malignant,
                    "tone_group": tone,
                    "tone_source": "ita",
                    "sex": rng.choice([*SEXES, None]),
                    "age_approx": rng.choice([30.0, 60.0, np.nan]),
                    "site": rng.choice(SITES),
                    "role": "train",
                    "split": split,
                    "duplicate_cluster": f"{prefix}{number // 2}",
                }
            )
    return conform(pd.DataFrame(rows), MANIFEST_DTYPES)


def make_prompts(manifest: pd.DataFrame) -> pd.DataFrame:
    """The template prompts of a manifest, marked so that a caption is told from the grammar's own words."""
    texts = [f"caption: {describe(record, ATTRIBUTES)}" for record in records(manifest)]
    return pd.DataFrame({"image_id": manifest["image_id"], "prompt": texts})


@pytest.fixture
def manifest() -> pd.DataFrame:
    """Training rows of six groups, one of them too small, and validation rows that must not count."""
    train = make_manifest({**COUNTS, ("dark", True): 3})
    val = make_manifest({("dark", True): 50}, split="val", prefix="v")
    unknown = make_manifest({("unknown", True): 5}, prefix="u")
    return pd.concat([train, val, unknown], ignore_index=True)


@pytest.fixture
def prompts(manifest: pd.DataFrame) -> pd.DataFrame:
    """A caption of every image."""
    return make_prompts(manifest)

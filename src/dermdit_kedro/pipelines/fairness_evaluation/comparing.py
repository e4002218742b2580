"""What generated images are compared with, and how, whatever the network."""

from typing import Any, Final

import pandas as pd

from dermdit_kedro.handles import Features, ImageFolder
from dermdit_kedro.metrics.parameters import ExtractorConfig, ImageQualityConfig

MEASURED: Final = ("extractors", "frechet_distance", "kid", "manifold")
"""The lists of `image_metrics.json` that every network adds to."""

FINETUNED: Final = ExtractorConfig(name="finetuned")
"""The network that `train_inception` makes."""


def real_files(images: ImageFolder, manifest: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return image_id and file of training images, and of those held out from the same sources."""
    files = images.index()[["image_id", "file"]].merge(manifest[["image_id", "role", "split"]], on="image_id")
    is_held_out = (files["role"] == "train") & (files["split"] == "test")
    chosen = files["split"] == "train", is_held_out
    train, held_out = (files.loc[rows, ["image_id", "file"]] for rows in chosen)
    return train, held_out


def distances(
    train: Features, held_out: Features, synthetic: Features, config: ImageQualityConfig, seed: int
) -> dict[str, list[dict[str, Any]]]:
    """Compare generated images with training and with held-out ones by the features of one network.

    Args:
        train: Training images.
        held_out: Held-out images.
        synthetic: Generated images.
        config: Neighbours and confidence.
        seed: Seed of all draws.

    Returns:
        The lists `frechet_distance`, `kid` and `manifold`, and `extractors`: what the network did to the images.
    """
    from dermdit_kedro.metrics.feature_distances import compare_features

    arrays = train.array(), held_out.array(), synthetic.array()
    return {**compare_features(synthetic.name, *arrays, config, seed), "extractors": [synthetic.about()]}

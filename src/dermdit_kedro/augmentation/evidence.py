"""What is measured of an image before the screens judge it, the same for synthetic and for real images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from dermdit_kedro.augmentation.memorisation import (
    nearest_hash_distance,
    nearest_training_images,
    perceptual_hashes,
    views_of_copies,
)
from dermdit_kedro.augmentation.parameters import ScreeningConfig
from dermdit_kedro.dermoscopy.images import read_rgb
from dermdit_kedro.dermoscopy.tone_parameters import SkinToneConfig
from dermdit_kedro.handles import Features, ImageFolder, ModelFolder
from dermdit_kedro.progress import track


@dataclass(frozen=True)
class TrainingImages:
    """The real training images, as the memorisation screens look at them.

    Attributes:
        image_ids: Their ids.
        features: Their features, in that order, (n, d).
        hashes: Perceptual hashes of all their views, in any order.
    """

    image_ids: Sequence[str]
    features: NDArray[np.floating[Any]]
    hashes: NDArray[np.uint8]


@dataclass(frozen=True)
class Candidates:
    """Images in question.

    Attributes:
        images: Their folder.
        asked: image_id, file, and what the image ought to show: requested_is_malignant and
            requested_tone_group, null where nothing is asked for.
        features: Their features, in any order.
    """

    images: ImageFolder
    asked: pd.DataFrame
    features: Features


def look_at_training_images(
    images: ImageFolder, files: pd.DataFrame, features: Features, hash_size: int
) -> TrainingImages:
    """Bring together what candidates are compared with.

    Args:
        images: The prepared images.
        files: image_id and file of the training images.
        features: Their features, in any order.
        hash_size: Side of the perceptual hash, in bits.

    Returns:
        The training images, in the order of `files`.
    """
    image_ids = list(files["image_id"])
    hashes = hash_images(images, list(files["file"]), hash_size, views_of_copies)
    return TrainingImages(image_ids, align_features(features, image_ids), hashes)


def gather_evidence(
    candidates: Candidates,
    train: TrainingImages,
    classifier: ModelFolder | None,
    screening: ScreeningConfig,
    skin_tone: SkinToneConfig,
) -> tuple[pd.DataFrame, NDArray[np.uint8]]:
    """Measure everything the screens look at.

    Args:
        candidates: The images in question.
        train: The real training images.
        classifier: The screening classifier; null where the label screen is off.
        screening: The parameters of the screens.
        skin_tone: How tone is measured.

    Returns:
        What was asked, with contrast, ita_degrees, tone_group, nearest_train_image_id, nearest_distance,
        relative_distance, hash_distance and malignancy_margin; and the perceptual hashes.
    """
    images, memorisation = candidates.images, screening.memorisation
    files = list(candidates.asked["file"])
    hashes = hash_images(images, files, memorisation.hash_size)
    aligned = align_features(candidates.features, list(candidates.asked["image_id"]))
    near = compare_with_training(aligned, hashes, train, memorisation.num_neighbours)
    margins = malignancy_margins(classifier, images, files) if classifier else np.full(len(files), np.nan)
    parts = [candidates.asked.reset_index(drop=True), measure_pixels(images, files, skin_tone), near]
    return pd.concat(parts, axis="columns").assign(malignancy_margin=margins), hashes


def hash_images(
    images: ImageFolder,
    files: Sequence[str],
    hash_size: int,
    views: Callable[[Image.Image], Sequence[Image.Image]] = lambda image: [image],
) -> NDArray[np.uint8]:
    """Hash images of a folder, one in memory at a time.

    Args:
        images: The folder.
        files: Files of it.
        hash_size: Side of the hash, in bits.
        views: What to hash of each image; by default the image as it is.

    Returns:
        The hashes, uint8 (n, bytes), in the order of the files.
    """
    shown = (Image.fromarray(read_rgb(images.path / file)) for file in track(files, "hash images", len(files)))
    return perceptual_hashes((view for image in shown for view in views(image)), hash_size)


def measure_pixels(images: ImageFolder, files: Sequence[str], skin_tone: SkinToneConfig) -> pd.DataFrame:
    """Measure contrast and skin tone.

    Args:
        images: The folder.
        files: Files of it.
        skin_tone: How tone is measured.

    Returns:
        contrast (standard deviation of the grey level, 0-255), ita_degrees and tone_group; one row a file.
    """
    from dermdit_kedro.dermoscopy.skin_tone import measure_skin_tone

    rows = []
    for file in track(files, "measure contrast and tone", len(files)):
        image = read_rgb(images.path / file)
        tone = measure_skin_tone(image, skin_tone)
        contrast = float(np.asarray(Image.fromarray(image).convert("L"), dtype=np.float64).std())
        rows.append((contrast, tone.ita_degrees, str(tone.tone_group)))
    return pd.DataFrame(rows, columns=["contrast", "ita_degrees", "tone_group"])


def align_features(features: Features, image_ids: Sequence[str]) -> NDArray[np.floating[Any]]:
    """Return features in the order asked for.

    Args:
        features: Extracted features.
        image_ids: Ids among theirs.

    Returns:
        One row an id, float32 (n, d).

    Raises:
        ValueError: If an id has no features; the message names the first.
    """
    index = pd.Index(features.index()["image_id"])
    rows = index.get_indexer(pd.Index(image_ids))
    if (rows < 0).any():
        missing = [image_id for image_id, row in zip(image_ids, rows, strict=True) if row < 0]
        raise ValueError(f"every image must have features: {len(missing)} have none, the first is {missing[0]!r}")
    aligned: NDArray[np.float32] = np.asarray(features.array()[rows])
    return aligned


def compare_with_training(
    features: NDArray[np.floating[Any]], hashes: NDArray[np.uint8], train: TrainingImages, num_neighbours: int
) -> pd.DataFrame:
    """Find each image's nearest training image.

    Args:
        features: Features of the images in question, (n, d).
        hashes: Their perceptual hashes.
        train: The training images.
        num_neighbours: Neighbours the nearest is compared with.

    Returns:
        nearest_train_image_id, nearest_distance, relative_distance, hash_distance.
    """
    near = nearest_training_images(features, train.features, num_neighbours)
    ids = np.asarray(train.image_ids, dtype=object)[near["nearest_row"].to_numpy()]
    return near.drop(columns="nearest_row").assign(
        nearest_train_image_id=ids, hash_distance=nearest_hash_distance(hashes, train.hashes)
    )


def malignancy_margins(classifier: ModelFolder, images: ImageFolder, files: Sequence[str]) -> NDArray[np.floating[Any]]:
    """Score images with the screening classifier, relative to its threshold.

    Args:
        classifier: The screening classifier; several seeds decide as one, mean score against mean threshold.
        images: The folder.
        files: Files of it.

    Returns:
        Score less threshold, in [-1, 1]; malignant from 0 on; (n,).
    """
    from dermdit_kedro.diagnosis.classifier import read_cards
    from dermdit_kedro.diagnosis.predict import score_images

    scores = score_images(classifier, images, files).groupby("file", sort=False)["score"].mean()
    threshold = float(np.mean([card.threshold for card in read_cards(classifier)]))
    margins: NDArray[np.float64] = scores.loc[list(files)].to_numpy() - threshold
    return margins

"""Does an image copy a training image? Two criteria, both calibrated on real images held out of training.

In feature space a copy lies much nearer to one training image than that image's neighbours do; the ratio of the
two distances means the same in crowded and in empty corners (after Carlini et al. 2023, arXiv 2301.13188). A
perceptual hash sees exact, mirrored, cropped, blurred and recompressed copies whatever the features make of them.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageOps

CROPS = (0.025, 0.05)
"""Shares of each edge that copies are looked for without."""

_CHUNK = 2048


@dataclass(frozen=True)
class MemorisationThresholds:
    """Below which distances an image counts as a copy.

    Attributes:
        relative_distance: Accused below this ratio of distances, in (0, 1].
        hash_distance: Accused at this many differing bits or fewer; -1 accuses none.
    """

    relative_distance: float
    hash_distance: int


def perceptual_hashes(images: Iterable[Image.Image], hash_size: int) -> NDArray[np.uint8]:
    """Hash images by the signs of their low frequencies (pHash).

    Args:
        images: Any images.
        hash_size: Side of the hash, in bits.

    Returns:
        Packed bits, eight a byte, uint8 (n, bytes), in the order given.
    """
    from imagehash import phash

    bits = np.array([phash(image, hash_size).hash for image in images], dtype=bool)
    return np.packbits(bits.reshape(len(bits), hash_size * hash_size), axis=1)


def views_of_copies(image: Image.Image) -> list[Image.Image]:
    """Return an image as copies of it may look to a hash: as it is, cropped, and all of these mirrored.

    Args:
        image: A training image.

    Returns:
        The views, the image itself first; cropped ones are brought to its size.
    """
    edges = [(image.width * share, image.height * share) for share in CROPS]
    boxes = [(x, y, image.width - x, image.height - y) for x, y in edges]
    views = [image, *(image.resize(image.size, Image.Resampling.BICUBIC, box=box) for box in boxes)]
    return [*views, *map(ImageOps.mirror, views)]


def hash_distances(hashes: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count the bits in which each pair of hashes differs.

    Args:
        hashes: Packed bits, uint8 (n, bytes).
        others: Packed bits, uint8 (m, bytes).

    Returns:
        Hamming distances, int64 (n, m).
    """
    width = -(-hashes.shape[1] // 8) * 8
    left, right = (np.pad(h, ((0, 0), (0, width - h.shape[1]))).view(np.uint64) for h in (hashes, others))
    distances = np.zeros((len(left), len(right)), dtype=np.int64)
    for word in range(width // 8):
        distances += np.bitwise_count(left[:, word, None] ^ right[None, :, word])
    return distances


def nearest_hash_distance(candidates: NDArray[np.uint8], train: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count the bits between each candidate and the nearest view of a training image.

    Args:
        candidates: Hashes of the images in question, uint8 (n, bytes).
        train: Hashes of the views of the training images, uint8 (m, bytes), at least one.

    Returns:
        The smallest of all distances, int64 (n,).
    """
    nearest = np.full(len(candidates), 8 * train.shape[1])
    for start, begin in itertools.product(range(0, len(candidates), _CHUNK), range(0, len(train), _CHUNK)):
        part = slice(start, start + _CHUNK)
        distances = hash_distances(candidates[part], train[begin : begin + _CHUNK])
        nearest[part] = np.minimum(nearest[part], distances.min(axis=1))
    return nearest


def nearest_training_images(
    features: NDArray[np.floating[Any]], train_features: NDArray[np.floating[Any]], num_neighbours: int
) -> pd.DataFrame:
    """Find each image's nearest training image in feature space.

    Args:
        features: Features of the images in question, (n, d); any length, they are brought to length 1.
        train_features: Features of the training images, (m, d).
        num_neighbours: How many further neighbours the nearest is compared with.

    Returns:
        nearest_row (row of `train_features`), nearest_distance (Euclidean, in [0, 2]) and relative_distance
        (that distance over the mean distance of the next neighbours, in [0, 1]).

    Raises:
        ValueError: If there are fewer than two training images.
    """
    from sklearn.neighbors import NearestNeighbors

    if len(train_features) < 2:
        raise ValueError(f"the nearest training image needs at least 2 to compare. Got {len(train_features)}")
    index = NearestNeighbors(n_neighbors=min(num_neighbours + 1, len(train_features)), algorithm="brute")
    distances, rows = index.fit(_unit(train_features)).kneighbors(_unit(features))
    nearest, further = distances[:, 0], distances[:, 1:].mean(axis=1)
    relative = np.divide(nearest, further, out=np.ones_like(nearest), where=further > 0)
    return pd.DataFrame({"nearest_row": rows[:, 0], "nearest_distance": nearest, "relative_distance": relative})


def calibrate_memorisation(held_out: pd.DataFrame, false_alarm_rate: float) -> MemorisationThresholds:
    """Choose both thresholds so that at most `false_alarm_rate` of the held-out images is accused.

    Each criterion gets half of the rate.

    Args:
        held_out: relative_distance and hash_distance of held-out real images, at least one row.
        false_alarm_rate: The rate both criteria may spend together.

    Returns:
        The thresholds.

    Raises:
        ValueError: If there is no held-out image.
    """
    if held_out.empty:
        raise ValueError("calibration needs held-out real images. Got none")
    rate = false_alarm_rate / 2
    hashes = np.sort(held_out["hash_distance"].to_numpy())
    return MemorisationThresholds(
        relative_distance=float(np.quantile(held_out["relative_distance"], rate, method="lower")),
        hash_distance=int(hashes[int(rate * len(hashes))]) - 1,
    )


def is_memorised(evidence: pd.DataFrame, thresholds: MemorisationThresholds) -> NDArray[np.bool_]:
    """Say which images count as copies by either criterion.

    Args:
        evidence: relative_distance and hash_distance of each image.
        thresholds: The thresholds.

    Returns:
        True where accused, bool (n,).
    """
    near = evidence["relative_distance"].to_numpy() < thresholds.relative_distance
    alike = evidence["hash_distance"].to_numpy() <= thresholds.hash_distance
    accused: NDArray[np.bool_] = near | alike
    return accused


def repeats(hashes: NDArray[np.uint8], max_distance: int) -> NDArray[np.bool_]:
    """Say which images repeat an earlier one that is not itself a repetition.

    Args:
        hashes: Packed perceptual hashes, uint8 (n, bytes), in the order in which the first of a kind is kept.
        max_distance: Bits in which two images of a kind may differ.

    Returns:
        True for every repetition, bool (n,).
    """
    repeated = np.zeros(len(hashes), dtype=bool)
    kept, count = np.empty_like(hashes), 0
    for row in range(len(hashes)):
        if count and hash_distances(hashes[row : row + 1], kept[:count]).min() <= max_distance:
            repeated[row] = True
        else:
            kept[count] = hashes[row]
            count += 1
    return repeated


def _unit(features: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    features = np.asarray(features, dtype=np.float64)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(lengths > 0, lengths, 1.0)

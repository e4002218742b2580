"""Planted copies are found, held-out images are rarely accused, repetitions are named once."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageEnhance, ImageOps

from dermdit_kedro.augmentation.memorisation import (
    MemorisationThresholds,
    calibrate_memorisation,
    hash_distances,
    is_memorised,
    nearest_hash_distance,
    nearest_training_images,
    perceptual_hashes,
    repeats,
    views_of_copies,
)

HASH_SIZE = 16


def make_images(count: int, seed: int) -> list[Image.Image]:
    """Smooth random pictures, 64 x 64."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (count, 6, 6, 3), dtype=np.uint8)
    return [Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC) for pixels in small]


def jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=60)
    return Image.open(buffer).convert("RGB")


@pytest.fixture(scope="module")
def train():
    views = (view for image in make_images(300, seed=0) for view in views_of_copies(image))
    return perceptual_hashes(views, HASH_SIZE)


@pytest.mark.parametrize(
    "copy",
    [
        lambda image: image,
        ImageOps.mirror,
        jpeg,
        lambda image: ImageEnhance.Brightness(image).enhance(1.1),
        lambda image: image.resize((32, 32)).resize((64, 64)),
        lambda image: ImageOps.mirror(image.resize(image.size, box=(2, 3, 61, 62))),
    ],
    ids=["exact", "mirrored", "jpeg", "brighter", "blurred", "cropped and mirrored"],
)
def test_planted_copies_are_found_by_hash_and_new_images_are_not(train, copy):
    held_out = nearest_hash_distance(perceptual_hashes(make_images(100, seed=1), HASH_SIZE), train)
    table = pd.DataFrame({"relative_distance": 1.0, "hash_distance": held_out})
    thresholds = calibrate_memorisation(table, false_alarm_rate=0.02)
    planted = [copy(image) for image in make_images(300, seed=0)[:40]]
    found = nearest_hash_distance(perceptual_hashes(planted, HASH_SIZE), train) <= thresholds.hash_distance
    others = nearest_hash_distance(perceptual_hashes(make_images(100, seed=2), HASH_SIZE), train)
    assert found.mean() >= 0.95
    assert (others <= thresholds.hash_distance).mean() <= 0.03


@pytest.mark.parametrize("count", [20, 50, 120, 1000])
def test_those_that_calibrate_are_accused_no_more_often_than_allowed(count):
    rng = np.random.default_rng(count)
    held_out = pd.DataFrame({"relative_distance": rng.random(count), "hash_distance": rng.integers(20, 90, count)})
    thresholds = calibrate_memorisation(held_out, false_alarm_rate=0.01)
    assert is_memorised(held_out, thresholds).mean() <= 0.01


def test_hash_distance_is_a_metric(train):
    distances = hash_distances(train[:20], train[:20])
    assert (np.diag(distances) == 0).all()
    assert (distances == distances.T).all()
    assert (distances[:, :, None] <= distances[:, None, :] + distances.T[None, :, :].transpose(0, 2, 1)).all()
    assert distances.max() <= HASH_SIZE**2


@pytest.mark.parametrize("hash_size", [4, 5, 8, 9, 16])
def test_hashes_of_any_size_count_single_bits(hash_size):
    bits = np.zeros((2, hash_size**2), dtype=bool)
    bits[1, [0, -1]] = True
    packed = np.packbits(bits, axis=1)
    assert hash_distances(packed[:1], packed).tolist() == [[0, 2]]


def test_the_mirror_image_is_as_near_as_the_image(train):
    images = make_images(300, seed=0)[:10]
    mirrored = perceptual_hashes([ImageOps.mirror(image) for image in images], HASH_SIZE)
    assert (nearest_hash_distance(mirrored, train) <= 4).all()


def test_a_copy_in_feature_space_is_nearer_than_its_neighbours_and_scale_is_no_matter():
    rng = np.random.default_rng(0)
    train, new = rng.normal(size=(400, 16)), rng.normal(size=(200, 16))
    copies = train[:50] + 0.05 * rng.normal(size=(50, 16))
    near = nearest_training_images(copies, train, num_neighbours=10)
    held_out = nearest_training_images(new, train, num_neighbours=10)
    thresholds = calibrate_memorisation(held_out[:100].assign(hash_distance=256), false_alarm_rate=0.02)
    assert (near["nearest_row"] == np.arange(50)).all()
    assert is_memorised(near.assign(hash_distance=256), thresholds).mean() >= 0.95
    assert is_memorised(held_out[100:].assign(hash_distance=256), thresholds).mean() <= 0.05
    scaled = nearest_training_images(7 * copies, train, num_neighbours=10)
    pd.testing.assert_frame_equal(near, scaled)
    assert near["nearest_distance"].between(0, 2).all()
    assert near["relative_distance"].between(0, 1).all()


def test_an_exact_copy_of_an_image_that_occurs_twice_has_relative_distance_zero():
    train = np.eye(5)[[0, 0, 1, 2, 3, 4]]
    near = nearest_training_images(train[:1], train, num_neighbours=3)
    assert near["relative_distance"].tolist() == [0.0]


def test_calibration_spends_no_more_than_its_rate():
    rng = np.random.default_rng(0)
    for n in (1, 7, 150, 1000):
        table = pd.DataFrame({"relative_distance": rng.random(n), "hash_distance": rng.integers(40, 120, n)})
        accused = is_memorised(table, calibrate_memorisation(table, false_alarm_rate=0.02))
        assert accused.sum() <= 0.02 * n + 1


def test_either_criterion_accuses():
    evidence = pd.DataFrame({"relative_distance": [0.1, 0.9, 0.9], "hash_distance": [99, 3, 99]})
    assert is_memorised(evidence, MemorisationThresholds(0.5, 10)).tolist() == [True, True, False]
    assert is_memorised(evidence, MemorisationThresholds(0.0, -1)).tolist() == [False, False, False]


def test_the_first_of_a_kind_is_no_repetition(train):
    order = [0, 1, 0, 2, 1, 0]
    assert repeats(train[order], max_distance=0).tolist() == [False, False, True, False, True, True]
    assert not repeats(train[:50], max_distance=0).any()
    assert repeats(train[:0], max_distance=0).tolist() == []


def test_too_little_to_compare_with_is_refused():
    with pytest.raises(ValueError, match="at least 2"):
        nearest_training_images(np.ones((1, 3)), np.ones((1, 3)), num_neighbours=1)
    with pytest.raises(ValueError, match="held-out"):
        calibrate_memorisation(pd.DataFrame({"relative_distance": [], "hash_distance": []}), 0.01)

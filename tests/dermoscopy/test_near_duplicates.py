"""Near-duplicates: which copies the perceptual hash finds, and that it joins nothing unrelated.

`docs/decisions/0005-near-duplicates.md` rests on the slow tests here.
"""

import io
from collections.abc import Callable
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageEnhance
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dermdit_kedro.dermoscopy import near_hashes
from dermdit_kedro.dermoscopy.inspect import HASH_SIDE
from dermdit_kedro.dermoscopy.linking import near_duplicates
from dermdit_kedro.dermoscopy.near_hashes import connect_near
from dermdit_kedro.dermoscopy.parameters import DataEngineeringConfig
from dermdit_kedro.dermoscopy.phantom import render
from dermdit_kedro.dermoscopy.phantom_parameters import PhantomConfig

DISTANCE = DataEngineeringConfig().near_duplicate_distance
SAME_PICTURE = 0.65
"""Correlation of two aligned pictures' details: 1.00 to 0.65 for one picture, at most 0.62 for two."""


def reencode(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def halve(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC)


def crop(image: Image.Image, share: float) -> Image.Image:
    cut_x, cut_y = image.width * share / 2, image.height * share / 2
    return image.crop((round(cut_x), round(cut_y), round(image.width - cut_x), round(image.height - cut_y)))


def whiten(image: Image.Image) -> Image.Image:
    """Balance white by shades of grey, as challenge entries do."""
    pixels = np.asarray(image).astype(float)
    light = (pixels**6).mean(axis=(0, 1)) ** (1 / 6)
    balanced = pixels * np.linalg.norm(light) / (light * np.sqrt(3))
    return Image.fromarray(np.clip(balanced, 0, 255).astype(np.uint8))


COPIES: dict[str, tuple[Callable[[Image.Image], Image.Image], float]] = {
    "JPEG 90": (lambda image: reencode(image, 90), 0.99),
    "JPEG 70": (lambda image: reencode(image, 70), 0.99),
    "half size": (halve, 0.99),
    "half size, JPEG 70": (lambda image: reencode(halve(image), 70), 0.98),
    "brighter": (lambda image: ImageEnhance.Brightness(image).enhance(1.2), 0.98),
    "more contrast": (lambda image: ImageEnhance.Contrast(image).enhance(1.2), 0.98),
    "white balance": (whiten, 0.99),
    "crop 2 %": (lambda image: crop(image, 0.02), 0.85),
}
"""A way to copy, and the share of the copies that must be found."""


def hash_of(image: Image.Image) -> np.ndarray:
    return np.packbits(imagehash.phash(image, hash_size=HASH_SIDE).hash.ravel())


def share_found(images: list[Image.Image], copy: Callable[[Image.Image], Image.Image]) -> float:
    apart = [np.bitwise_count(hash_of(image) ^ hash_of(copy(image))).sum() for image in images]
    return float(np.mean(np.array(apart) <= DISTANCE))


@pytest.fixture(scope="module")
def phantoms() -> tuple[list[Image.Image], list[str]]:
    """Phantoms of different lesions, and their names."""
    config = PhantomConfig(num_images=320, seed=5, rephotographed_share=0)
    drawn = [render(config, index, 96) for index in range(config.num_images)]
    return [Image.fromarray(one.image) for one in drawn], [one.record["lesion_id"] for one in drawn]


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_of_a_phantom_is_found(name: str, phantoms: tuple[list[Image.Image], list[str]]) -> None:
    copy, share = COPIES[name]
    assert share_found(phantoms[0][:60], copy) >= share


def test_phantoms_of_different_lesions_are_no_near_duplicates(phantoms: tuple[list[Image.Image], list[str]]) -> None:
    images, lesions = phantoms
    assert len(set(lesions)) == len(images)
    hashes = pd.Series([hash_of(image).tobytes().hex() for image in images])
    assert len(near_duplicates(hashes, DISTANCE)) == 0


def noisy(base: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Flip up to so many bits of each hash."""
    flips = np.zeros((len(base), 8 * base.shape[1]), dtype=np.uint8)
    for row in flips:
        row[rng.choice(len(row), rng.integers(0, most + 1), replace=False)] = 1
    return base ^ np.packbits(flips, axis=1)


def components(pairs: np.ndarray, count: int) -> np.ndarray:
    graph = coo_array((np.ones(len(pairs)), tuple(pairs.T)), shape=(count, count))
    return connected_components(graph, directed=False)[1]


@pytest.mark.parametrize("few", [False, True])
@pytest.mark.parametrize("distance", [1, 2, 7, 24, 32])
def test_all_near_hashes_are_joined_and_no_others(distance: int, few: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if few:  # pairs in many pieces, and drawn at random first
        monkeypatch.setattr(near_hashes, "CHUNK", 50)
        monkeypatch.setattr(near_hashes, "MANY", 100)
    rng = np.random.default_rng(distance)
    base = rng.integers(0, 256, (60, 32), dtype=np.uint8)
    alike = noisy(np.repeat(base[:1], 200, axis=0), distance, rng)
    hashes = np.unique(np.concatenate([base, noisy(np.repeat(base, 4, axis=0), distance, rng), alike]), axis=0)
    apart = np.bitwise_count(hashes[:, None] ^ hashes[None]).sum(axis=2, dtype=int)
    found = connect_near(hashes, distance)
    assert len(found) < len(hashes)
    assert (apart[found[:, 0], found[:, 1]] <= distance).all()
    expected = components(np.argwhere(apart <= distance), len(hashes))
    assert len(np.unique(expected)) > 20
    assert pd.crosstab(components(found, len(hashes)), expected).astype(bool).sum().max() == 1


def test_a_heap_of_hashes_nearly_alike_is_not_compared_pair_by_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_hashes, "MANY", 10_000)
    compared = []
    join = near_hashes._Plan.join
    monkeypatch.setattr(
        near_hashes._Plan, "join", lambda plan, left, right: compared.append(len(left)) or join(plan, left, right)
    )
    rng = np.random.default_rng(0)
    hashes = np.unique(noisy(np.zeros((3000, 32), dtype=np.uint8), DISTANCE // 2, rng), axis=0)
    assert len(connect_near(hashes, DISTANCE)) == len(hashes) - 1
    assert sum(compared) < len(hashes) ** 2 / 20


def ham_images(folder: Path) -> tuple[list[Image.Image], pd.DataFrame]:
    table = pd.read_csv(folder / "HAM10000_metadata").sort_values("image_id", ignore_index=True)
    files = {file.stem: file for file in folder.rglob("*.jpg")}
    return [Image.open(files[name]).convert("RGB") for name in table["image_id"]], table


@pytest.fixture(scope="module")
def ham(real_ham: Path) -> tuple[list[Image.Image], pd.DataFrame, pd.DataFrame]:
    """HAM10000, and all pairs of at most 32 bits by full comparison."""
    images, table = ham_images(real_ham)
    words = np.stack([hash_of(image) for image in images]).view(np.uint64)
    found = []
    for row in range(len(words)):
        distance = np.bitwise_count(words[row] ^ words[row + 1 :]).sum(axis=1, dtype=int)
        found += [(row, row + 1 + other, distance[other]) for other in np.flatnonzero(distance <= 32)]
    pairs = pd.DataFrame(found, columns=["a", "b", "distance"])
    lesion = table["lesion_id"].to_numpy()
    return images, table, pairs.assign(one_lesion=lesion[pairs["a"]] == lesion[pairs["b"]])


@pytest.mark.slow
def test_near_duplicates_of_ham10000_are_of_one_lesion(
    ham: tuple[list[Image.Image], pd.DataFrame, pd.DataFrame],
) -> None:
    pairs = ham[2]
    for distance, count, one_lesion in [
        (0, 2, 2),
        (8, 10, 10),
        (16, 42, 41),
        (24, 86, 85),
        (30, 111, 110),
        (32, 117, 115),
    ]:
        near = pairs[pairs["distance"] <= distance]
        assert (len(near), near["one_lesion"].sum()) == (count, one_lesion)


@pytest.mark.slow
def test_near_duplicates_of_ham10000_show_the_same_picture(
    ham: tuple[list[Image.Image], pd.DataFrame, pd.DataFrame],
) -> None:
    images, _, pairs = ham
    alike = np.array([correlate_aligned(images[a], images[b]) for a, b in pairs[["a", "b"]].itertuples(index=False)])
    is_other = alike < SAME_PICTURE
    assert (pairs.loc[is_other, "distance"] == 32).all()
    assert not pairs.loc[is_other, "one_lesion"].any()
    assert is_other.sum() == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", COPIES)
def test_a_copy_of_a_real_image_is_found(name: str, ham: tuple[list[Image.Image], pd.DataFrame, pd.DataFrame]) -> None:
    copy, share = COPIES[name]
    chosen = np.random.default_rng(0).choice(len(ham[0]), 400, replace=False)
    assert share_found([ham[0][index] for index in chosen], copy) >= share


Y, X = np.mgrid[:150, :200].astype(np.float32)
ACROSS, DOWN = (X - 99.5) / 100, (Y - 74.5) / 100


def _move(grey: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x = X + affine[0] * ACROSS + affine[1] * DOWN + affine[2]
    y = Y + affine[3] * ACROSS + affine[4] * DOWN + affine[5]
    inside = (x >= 0) & (x <= 199) & (y >= 0) & (y <= 149)
    return ndimage.map_coordinates(grey, [y, x], order=1, mode="nearest"), inside


def correlate_aligned(one: Image.Image, other: Image.Image) -> float:
    """Lay one picture over another (affine map, brightness, contrast; Gauss-Newton) and correlate their details."""
    still, moving = (np.asarray(image.convert("L"), dtype=np.float32) for image in (one, other))
    affine = np.zeros(6, dtype=np.float32)
    for blur in (6.0, 3.0, 1.2):
        target, source = ndimage.gaussian_filter(still, blur), ndimage.gaussian_filter(moving, blur)
        slope_y, slope_x = np.gradient(source)
        for _ in range(15):
            moved, inside = _move(source, affine)
            by_x, by_y = _move(slope_x, affine)[0], _move(slope_y, affine)[0]
            columns = [by_x * ACROSS, by_x * DOWN, by_x, by_y * ACROSS, by_y * DOWN, by_y, moved, np.ones_like(moved)]
            design = np.stack(columns, axis=-1)[inside]
            solved = np.linalg.lstsq(design.T @ design + 1e-3 * np.eye(8), design.T @ target[inside], rcond=None)[0]
            step = solved[:6] / max(solved[6], 0.2)
            affine = affine + np.clip(step, -3, 3)
            if np.abs(step).max() < 1e-3:
                break
    moved, inside = _move(moving, affine)
    inside &= ndimage.binary_erosion(inside, iterations=6)
    if inside.sum() < 9000:
        return 0.0
    details = [(grey - ndimage.gaussian_filter(grey, 4))[inside] for grey in (still, moved)]
    return float(np.corrcoef(*details)[0, 1])

"""Copies of training images planted among others are found, however they were altered; new images are left alone."""

import io
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageEnhance, ImageOps

from dermdit_kedro.augmentation.evidence import compare_with_training, hash_images, look_at_training_images
from dermdit_kedro.augmentation.memorisation import calibrate_memorisation, is_memorised
from dermdit_kedro.augmentation.parameters import MemorisationScreen
from dermdit_kedro.augmentation.screens import halve
from dermdit_kedro.dermoscopy.images import build_image_index, write_png
from dermdit_kedro.dermoscopy.phantom import render
from dermdit_kedro.dermoscopy.phantom_parameters import PhantomConfig
from dermdit_kedro.handles import ImageFolder
from dermdit_kedro.launching import LaunchConfig
from dermdit_kedro.metrics.extraction import extract_features
from dermdit_kedro.metrics.parameters import ExtractorConfig

SIZE, PLANTED = 64, 50
SCREEN = MemorisationScreen()
EXTRACTOR = ExtractorConfig(name="efficientnet_lite0", image_size=96)


def recompress(image: Image.Image) -> Image.Image:
    """As JPEG of quality 60."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=60)
    return Image.open(buffer).convert("RGB")


def crop(image: Image.Image) -> Image.Image:
    """Without a twentieth of each side, in the old size again."""
    edge = image.width / 20
    box = (edge, edge, image.width - edge, image.height - edge)
    return image.resize(image.size, Image.Resampling.BICUBIC, box=box)


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "exact": lambda image: image,
    "flipped": ImageOps.mirror,
    "jpeg": recompress,
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.9),
    "cropped": crop,
}


def phantoms(counts: Iterable[int]) -> list[list[tuple[str, Image.Image]]]:
    """Sets of phantoms, no patient in two."""
    config, number, sets = PhantomConfig(num_images=10_000, seed=3, rephotographed_share=0.0), 0, []
    for count in counts:
        numbers = range(number, number + count)
        sets.append([(f"patient {i}", Image.fromarray(render(config, i, SIZE).image)) for i in numbers])
        number += count
    return sets


def ham10000(folder: Path, counts: Iterable[int]) -> list[list[tuple[str, Image.Image]]]:
    """Sets of real images, no lesion in two."""
    table = pd.read_csv(folder / "HAM10000_metadata", sep=None, engine="python")
    lesions = table["lesion_id"].drop_duplicates().sample(frac=1, random_state=0).tolist()
    groups, sets = table.groupby("lesion_id")["image_id"].agg(list), []
    for count in counts:
        part: list[tuple[str, Image.Image]] = []
        while len(part) < count:
            lesion = lesions.pop()
            for image_id in groups[lesion]:
                with Image.open(folder / "images" / f"{image_id}.jpg") as image:
                    square = ImageOps.fit(image.convert("RGB"), (SIZE, SIZE), Image.Resampling.BICUBIC)
                part.append((lesion, square))
        sets.append(part)
    return sets


@pytest.fixture(params=["phantoms", pytest.param("ham10000", marks=pytest.mark.slow)])
def sets(request, root, require) -> list[list[tuple[str, Image.Image]]]:
    """Training, held-out and new images, each with the lesion it shows."""
    if request.param == "phantoms":
        return phantoms((400, 300, 200))
    folder = root / "data" / "01_raw" / "ham10000"
    require(folder)
    return ham10000(folder, (4000, 1000, 450))


def test_planted_copies_are_found_and_real_images_are_rarely_accused(sets, tmp_path):
    train, held_out, new = sets
    planted = [image for _, image in train[:: len(train) // PLANTED]][:PLANTED]
    shown = {
        "train": [image for _, image in train],
        "held_out": [image for _, image in held_out],
        "new": [image for _, image in new],
        **{name: [copy(image) for image in planted] for name, copy in COPIES.items()},
    }
    rows = []
    for name, pictures in shown.items():
        for i, picture in enumerate(pictures):
            rows.append({"set": name, "image_id": f"{name}/{i:05d}"})
            write_png(tmp_path / f"{name}/{i:05d}.png", np.asarray(picture))
    build_image_index(tmp_path)
    images, table = ImageFolder(tmp_path, "planted"), pd.DataFrame(rows)
    files = table.assign(file=table["image_id"] + ".png")[["image_id", "file"]]
    features = extract_features(tmp_path / "work", "features", images, files, EXTRACTOR, LaunchConfig())
    is_train = (table["set"] == "train").to_numpy()
    seen = look_at_training_images(images, files[is_train], features, SCREEN.hash_size)
    others = table[~is_train].reset_index(drop=True)
    hashes = hash_images(images, list(files.loc[~is_train, "file"]), SCREEN.hash_size)
    evidence = compare_with_training(features.array()[~is_train], hashes, seen, SCREEN.num_neighbours)
    real = (others["set"] == "held_out").to_numpy()
    calibrates = np.zeros(len(others), dtype=bool)
    calibrates[real] = halve(pd.Series([lesion for lesion, _ in held_out]))
    thresholds = calibrate_memorisation(evidence[calibrates], SCREEN.false_alarm_rate)
    accused = pd.Series(is_memorised(evidence, thresholds))[~calibrates].groupby(others["set"]).mean()
    said = accused.to_dict()
    assert accused[list(COPIES)].mean() >= 0.95, said
    assert accused[list(COPIES)].min() >= 0.9, said
    assert accused["held_out"] <= 0.02, said
    assert accused["new"] <= 0.02, said

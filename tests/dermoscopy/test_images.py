"""Decoding, squaring, writing and reading images."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tests.dermoscopy.conftest import encode

from dermdit_kedro.dermoscopy.images import (
    ImageStack,
    build_image_index,
    contact_sheet,
    read_rgb,
    resize_image,
    to_float,
    to_uint8,
    write_png,
)

MANY = 10**6


def test_uint8_survives_the_float_range() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    floats = to_float(levels)
    assert floats.min() == -1
    assert floats.max() == 1
    assert torch.equal(to_uint8(floats), levels)
    assert to_uint8(torch.tensor([-7.0, 7.0])).tolist() == [0, 255]


def test_png_round_trip_is_lossless_and_without_metadata(tmp_path: Path, noise: np.ndarray) -> None:
    text, exif = PngInfo(), Image.Exif()
    text.add_text("patient", "Jane Doe")
    exif[0x010E] = "a name"
    picture = Image.open(io.BytesIO(encode(Image.fromarray(noise[0]), pnginfo=text, exif=exif)))
    picture.load()
    write_png(tmp_path / "a.png", picture)
    with Image.open(tmp_path / "a.png") as read:
        assert np.array_equal(np.asarray(read), noise[0])
        assert read.info == {}
        assert not read.getexif()
    assert b"Jane" not in (tmp_path / "a.png").read_bytes()


@pytest.mark.parametrize("mode", ["resize", "center_crop", "pad"])
def test_every_mode_gives_a_square(mode: str) -> None:
    picture = resize_image(Image.new("RGB", (20, 10), "red"), 8, mode)
    assert picture.size == (8, 8)
    top = picture.getpixel((4, 0))
    assert top == ((0, 0, 0) if mode == "pad" else (255, 0, 0))


def test_image_of_the_right_size_is_left_alone(noise: np.ndarray) -> None:
    assert np.array_equal(np.asarray(resize_image(Image.fromarray(noise[0]), 8, "resize")), noise[0])


@pytest.mark.parametrize("cache", [0, 2 * 8 * 8 * 3, 2**20])
def test_stack_gives_images_by_position_whatever_is_cached(tmp_path: Path, noise: np.ndarray, cache: int) -> None:
    files = [f"s/{i}.png" for i in range(len(noise))]
    for file, image in zip(files, noise, strict=True):
        write_png(tmp_path / file, image)
    stack = ImageStack(tmp_path, files, max_cached_bytes=cache)
    assert len(stack) == len(noise)
    for indices in ([3, 1, 3], torch.tensor([4, 0])):
        batch = stack[indices]
        assert batch.dtype == torch.uint8
        assert np.array_equal(batch.permute(0, 2, 3, 1).numpy(), noise[np.asarray(indices)])


def test_stack_refuses_images_of_two_sizes(tmp_path: Path, noise: np.ndarray) -> None:
    write_png(tmp_path / "a.png", noise[0])
    write_png(tmp_path / "b.png", noise[0][:4])
    with pytest.raises(ValueError, match=r"one size.*b\.png"):
        ImageStack(tmp_path, ["a.png", "b.png"])[[0, 1]]


def test_index_names_every_image(tmp_path: Path, noise: np.ndarray) -> None:
    for name in ("s/b", "s/a", "c"):
        write_png(tmp_path / f"{name}.png", noise[0])
    index = build_image_index(tmp_path)
    assert index["image_id"].tolist() == ["c", "s/a", "s/b"]
    assert (index["file"] == index["image_id"] + ".png").all()
    assert (index[["width", "height"]] == 8).all(axis=None)
    assert index["sha256"].nunique() == 1


def test_contact_sheet_lays_out_rows(noise: np.ndarray) -> None:
    assert contact_sheet(list(noise), columns=3, tile=10).size == (30, 20)
    with pytest.raises(ValueError, match="at least one image"):
        contact_sheet([], columns=3)


def test_contact_sheet_has_words_beside_the_images_alone(noise: np.ndarray) -> None:
    plain = contact_sheet(list(noise), columns=3, tile=20)
    labelled = contact_sheet(list(noise), columns=3, tile=20, title="step 20", rows=["light", "dark"])
    left, top = labelled.width - plain.width, labelled.height - plain.height
    assert np.array_equal(np.asarray(labelled)[top:, left:], np.asarray(plain))
    for band in ((0, 0, labelled.width, top), (0, top, left, top + 20), (0, top + 20, left, top + 40)):
        assert np.asarray(labelled.crop(band)).min() < 128


def test_read_rgb_returns_what_was_written(tmp_path: Path, noise: np.ndarray) -> None:
    write_png(tmp_path / "a.png", noise[1])
    assert np.array_equal(read_rgb(tmp_path / "a.png"), noise[1])

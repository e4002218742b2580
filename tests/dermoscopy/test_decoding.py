"""Whatever a file holds, it becomes 8-bit sRGB or is refused."""

import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms
from tests.dermoscopy.conftest import encode, paint

from dermdit_kedro.dermoscopy.decoding import decode_image
from dermdit_kedro.dermoscopy.images import resize_image

MANY = 10**6


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_every_mode_decodes_to_rgb(mode: str) -> None:
    kind = "JPEG" if mode in ("CMYK", "YCbCr") else "PNG"
    image = decode_image(encode(Image.new(mode, (6, 4)), kind), MANY)
    assert (image.mode, image.size, image.info) == ("RGB", (6, 4), {})


def test_exif_orientation_is_applied(noise: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = decode_image(encode(Image.new("RGB", (6, 4)), "JPEG", exif=exif), MANY)
    assert upright.size == (4, 6)


@pytest.mark.parametrize("content", [b"", b"text named .jpg", encode(Image.new("RGB", (64, 64)), "JPEG")[:300]])
def test_broken_bytes_raise(content: bytes) -> None:
    with pytest.raises((OSError, SyntaxError, ValueError)):
        decode_image(content, MANY)


def test_pixel_bound_is_named() -> None:
    with pytest.raises(OverflowError, match=r"at most 23 pixels\. Got 6 x 4"):
        decode_image(encode(Image.new("RGB", (6, 4))), 23)


def test_decompression_bomb_is_too_large() -> None:
    bomb = bytearray(encode(Image.new("1", (8, 8))))
    bomb[16:24] = (30_000).to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    with pytest.raises(OverflowError, match="at most"):
        decode_image(bytes(bomb), MANY)


def test_sixteen_bits_are_scaled_not_cut() -> None:
    values = np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8)
    decoded = np.asarray(decode_image(encode(Image.fromarray(values)), MANY))
    assert np.array_equal(decoded[..., 0], np.round(values / 257).astype(np.uint8))
    assert (decoded == decoded[..., :1]).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_becomes_black(mode: str) -> None:
    image = Image.new("RGBA", (4, 4), (200, 200, 200, 255))
    image.paste((200, 200, 200, 0), (0, 0, 2, 4))
    decoded = np.asarray(decode_image(encode(image.convert(mode) if mode != "P" else image.quantize(4)), MANY))
    assert (decoded[:, :2] == 0).all()
    assert np.abs(decoded[:, 2:].astype(int) - 200).max() <= 1


def swap_red_and_blue(profile: bytes) -> bytes:
    """Change the names of two primaries in the table of an ICC profile's tags."""
    swapped = bytearray(profile)
    for tag in range(int.from_bytes(profile[128:132], "big")):
        place = slice(132 + 12 * tag, 136 + 12 * tag)
        swapped[place] = {b"rXYZ": b"bXYZ", b"bXYZ": b"rXYZ"}.get(profile[place], profile[place])
    return bytes(swapped)


def test_a_colour_profile_is_converted() -> None:
    image, srgb = Image.new("RGB", (4, 4), (180, 120, 90)), ImageCms.createProfile("sRGB")
    profile = ImageCms.ImageCmsProfile(srgb).tobytes()
    for embedded, expected in ((profile, (180, 120, 90)), (swap_red_and_blue(profile), (90, 120, 180))):
        decoded = np.asarray(decode_image(encode(image, icc_profile=embedded), MANY)).astype(int)
        assert np.abs(decoded - expected).max() <= 2


def test_a_profile_that_is_none_changes_nothing() -> None:
    image = Image.new("RGB", (4, 4), (180, 120, 90))
    assert decode_image(encode(image, icc_profile=b"no profile"), MANY).getpixel((0, 0)) == (180, 120, 90)


def test_several_pictures_in_a_file_are_refused(noise: np.ndarray) -> None:
    frames = [Image.fromarray(frame) for frame in noise]
    with pytest.raises(ValueError, match=r"must hold one picture"):
        decode_image(encode(frames[0], "GIF", save_all=True, append_images=frames[1:]), MANY)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_numbers_of_32_bits_are_refused(mode: str) -> None:
    with pytest.raises(ValueError, match="at most 16 bits"):
        decode_image(encode(Image.new(mode, (4, 4)), "TIFF"), MANY)


@pytest.mark.parametrize("kind", ["EPS", "PDF", "PPM", "TGA", "PCX"])
def test_other_formats_are_refused(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow decodes PostScript by starting Ghostscript."""
    content = encode(Image.new("RGB", (4, 4)), kind)
    monkeypatch.setattr("subprocess.Popen", None)
    with pytest.raises(ValueError, match="a whole image of the format BMP or GIF or"):
        decode_image(content, MANY)


def test_every_bit_of_a_png_is_checked(noise: np.ndarray) -> None:
    content = bytearray(encode(Image.fromarray(noise[0]), compress_level=0))
    content[-40] ^= 1
    with pytest.raises(SyntaxError, match="checksum"):
        decode_image(bytes(content), MANY)


def test_a_profile_of_a_palette_is_converted() -> None:
    image, srgb = Image.new("RGB", (4, 4), (180, 120, 90)), ImageCms.createProfile("sRGB")
    profile = swap_red_and_blue(ImageCms.ImageCmsProfile(srgb).tobytes())
    decoded = np.asarray(decode_image(encode(image.quantize(4), icc_profile=profile), MANY)).astype(int)
    assert np.abs(decoded - (90, 120, 180)).max() <= 2


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0no such thing"])
def test_broken_exif_turns_nothing(exif: bytes) -> None:
    assert decode_image(encode(Image.new("RGB", (6, 4)), "JPEG", exif=exif), MANY).size == (6, 4)


def test_a_progressive_jpeg_of_endless_scans_is_too_large(noise: np.ndarray) -> None:
    content = encode(Image.fromarray(noise[0]), "JPEG", progressive=True)
    last = content[content.rindex(b"\xff\xda") : -2]
    assert decode_image(content[:-2] + last * 9 + content[-2:], MANY).size == (8, 8)
    with pytest.raises(OverflowError, match="at most 200 scans"):
        decode_image(content[:-2] + last * 200 + content[-2:], MANY)


@pytest.mark.parametrize("mode", ["RGB", "CMYK", "L"])
def test_a_large_jpeg_need_not_be_decoded_pixel_by_pixel(mode: str) -> None:
    content = encode(paint(1, 900, 700).convert(mode), "JPEG", quality=95)
    whole, smaller = decode_image(content, MANY), decode_image(content, MANY, at_least=150)
    assert smaller.size == (225, 175)
    assert decode_image(content, MANY, at_least=350).size == (450, 350)
    assert decode_image(content, MANY, at_least=351).size == (900, 700)
    one, other = (np.asarray(resize_image(image, 75, "resize")).astype(int) for image in (whole, smaller))
    assert np.abs(one - other).mean() < 1
    assert decode_image(encode(paint(1, 90, 70)), MANY, at_least=5).size == (90, 70)

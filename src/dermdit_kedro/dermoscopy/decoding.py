"""From the bytes of a file, whatever it holds, to 8-bit sRGB."""

import io
from typing import Final

from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

FORMATS: Final = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""What is decoded, whatever a file's name says. Of Pillow's other formats some start programs (PostScript)."""

WIDE: Final = ("I;16", "I;16B", "I;16L", "I;16N")
"""Modes of 16 bits."""

TO_EIGHT_BITS: Final = [round(value / 257) for value in range(65536)]

MAX_SCANS: Final = 200
"""Bound on the scans of a progressive JPEG, which has about ten; 50 bytes can make one, a pass over all pixels."""

UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what brings the picture upright."""


def decode_image(content: bytes, max_pixels: int, at_least: int | None = None) -> Image.Image:
    """Decode an image fully, apply its EXIF orientation and bring it to 8-bit sRGB.

    A colour profile is converted, not dropped; 16 bits are scaled to 8; what is transparent becomes black, as the
    corners of a dermoscope's picture are.

    Args:
        content: The bytes of the file.
        max_pixels: Bound on width x height, checked before anything is decoded.
        at_least: A side in pixels that is enough: of a JPEG with sides twice as long or more, blocks of 2, 4 or 8
            pixels are averaged while decoding, several times faster; null decodes every pixel.

    Returns:
        An RGB image without metadata.

    Raises:
        OverflowError: If the image, or what must be decoded for it, is larger than the bound.
        ValueError: If the file is of another format, holds several pictures (none of them is known to be the one
            meant), or numbers of no known range.
        OSError, SyntaxError: If the bytes are not a whole image.
    """
    try:
        image: Image.Image = Image.open(io.BytesIO(content), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise OverflowError(f"an image may have at most {max_pixels:,} pixels: {error}") from error
    except UnidentifiedImageError as error:
        raise ValueError(f"a file must be a whole image of the format {' or '.join(FORMATS)}") from error
    _check_cost(image, content, max_pixels)
    if getattr(image, "is_animated", False):
        raise ValueError("a file must hold one picture. Got several")
    if image.mode in ("F", "I"):
        raise ValueError(f"the numbers of a picture must have at most 16 bits. Those of mode {image.mode} have 32")
    if image.format == "PNG":
        Image.open(io.BytesIO(content), formats=["PNG"]).verify()  # `load` skips the checksums of the pixels
    if at_least is not None and image.format == "JPEG":
        image.draft(None, (at_least, at_least))
    image.load()
    rgb = _to_srgb(_turn_upright(image))
    rgb.info = {}
    return rgb


def _check_cost(image: Image.Image, content: bytes, max_pixels: int) -> None:
    """Refuse what takes more memory or time than an image of the bound."""
    width, height = image.size
    if width * height > max_pixels:
        raise OverflowError(f"an image may have at most {max_pixels:,} pixels. Got {width} x {height}")
    tags = getattr(image, "tag_v2", {})
    width, height = tags.get(ExifTags.Base.TileWidth, 1), tags.get(ExifTags.Base.TileLength, 1)
    if width * height > max_pixels:
        raise OverflowError(f"a tile of an image may have at most {max_pixels:,} pixels. Got {width} x {height}")
    if image.info.get("progressive") and content.count(b"\xff\xda") > MAX_SCANS:
        raise OverflowError(f"a progressive JPEG may have at most {MAX_SCANS} scans")


def _turn_upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # whatever broken EXIF raises: the pixels are whole
        return image
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def _to_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if image.mode in WIDE:
        image = image.convert("I").point(TO_EIGHT_BITS, "L")
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        layer = image if image.mode == "RGBA" else image.convert("RGBA")
        image = Image.new("RGB", image.size)
        image.paste(layer, mask=layer)
    if image.mode == "P":
        image = image.convert("RGB")
    if profile and image.mode in ("RGB", "CMYK", "L"):
        return _convert_profile(image, profile)
    is_bare = type(image) is Image.Image and image.mode == "RGB"  # one that is still a file's has metadata
    return image if is_bare else image.convert("RGB")


def _convert_profile(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert to sRGB by the embedded profile; one that cannot be read, or is of another kind, is ignored."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return image.convert("RGB")
    return converted if converted is not None else image.convert("RGB")

"""From the bytes of a file, whatever it holds, to 8-bit sRGB."""

import io
from typing import Any, Final

import numpy as np
from PIL import Image, ImageCms, ImageOps

WIDE: Final = ("I", "I;16", "I;16B", "I;16L", "I;16N")
"""Modes of 16 bits."""


def decode_image(content: bytes, max_pixels: int) -> Image.Image:
    """Decode an image fully, apply its EXIF orientation and bring it to 8-bit sRGB.

    A colour profile is converted, not dropped; 16 bits are scaled to 8; what is transparent becomes black, as the
    corners of a dermoscope's picture are.

    Args:
        content: The bytes of the file.
        max_pixels: Bound on width x height, checked before anything is decoded.

    Returns:
        An RGB image without metadata.

    Raises:
        OverflowError: If the image is larger than the bound.
        ValueError: If the file holds several pictures (none of them is known to be the one meant), or numbers of
            no known range.
        OSError, SyntaxError: If the bytes are not a whole image.
    """
    try:
        image: Image.Image = Image.open(io.BytesIO(content))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise OverflowError(f"an image may have at most {max_pixels:,} pixels: {error}") from error
    width, height = image.size
    if width * height > max_pixels:
        raise OverflowError(f"an image may have at most {max_pixels:,} pixels. Got {width} x {height}")
    frames = getattr(image, "n_frames", 1)
    if frames != 1:
        raise ValueError(f"a file must hold one picture. Got {frames}")
    if image.mode == "F":
        raise ValueError("the numbers of a picture must be whole. Got floating ones, whose range is not known")
    image.load()
    rgb = _to_srgb(ImageOps.exif_transpose(image))
    rgb.info = {}
    return rgb


def _to_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if image.mode in WIDE:
        image = _scale(image)
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.new("RGB", image.size)
        image.paste(layer, mask=layer.getchannel("A"))
    if profile and image.mode in ("RGB", "CMYK", "L"):
        return _convert_profile(image, profile)
    return image.convert("RGB")


def _scale(image: Image.Image) -> Image.Image:
    """Bring 16 bits to 8."""
    values: np.ndarray[Any, Any] = np.asarray(image).astype("float64")
    return Image.fromarray(np.clip(np.round(values / 257), 0, 255).astype(np.uint8))


def _convert_profile(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert to sRGB by the embedded profile; one that cannot be read, or is of another kind, is ignored."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return image.convert("RGB")
    return converted if converted is not None else image.convert("RGB")

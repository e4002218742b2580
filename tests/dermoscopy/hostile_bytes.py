"""Contents of image files, whole, odd and hostile; a seeded picture gives each of them its colours."""

import pickle
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms
from tests.dermoscopy.conftest import encode

CELLS = 4
"""A picture has so many cells a side, each of one colour."""


@dataclass(frozen=True)
class Fate:
    """What must become of a file: a reason of the quarantine, or a size and the colours of the cells."""

    reason: str | None = None
    size: tuple[int, int] = (0, 0)
    cells: np.ndarray | None = None


Content = tuple[bytes, Fate]
UNREADABLE, TOO_LARGE = Fate("unreadable"), Fate("too_large")


class Picture:
    """Random cells on a random rectangle."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.cells = rng.integers(0, 256, (CELLS, CELLS, 3), dtype=np.uint8)
        self.size = tuple(CELLS * int(side) for side in rng.integers(10, 21, 2))
        self.image = Image.fromarray(self.cells).resize(self.size, Image.Resampling.NEAREST)

    def whole(self, content: bytes, cells: np.ndarray | None = None) -> Content:
        return content, Fate(None, self.size, self.cells if cells is None else cells)

    def saved(self, kind: str, mode: str = "RGB", **options: object) -> Content:
        """Save in a mode, and expect what the mode keeps of the cells."""
        kept = Image.fromarray(self.cells).convert("L" if mode in ("L", "LA") else "RGB").convert("RGB")
        return self.whole(encode(self.image.convert(mode), kind, **options), np.asarray(kept))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(size: tuple[int, int], depth: int, colour: int, rows: list[bytes], *extra: bytes) -> bytes:
    """Write a PNG by hand: Pillow writes no 16-bit colours and nothing broken."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(extra) + pixels + chunk(b"IEND", b"")


def tiff(tags: dict[int, int], content: bytes) -> bytes:
    """Write a TIFF of one-number tags; tag 324 is set to where the content begins."""
    place = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack(">HHII", tag, 4, 1, place if tag == 324 else value) for tag, value in tags.items())
    return struct.pack(">2sHIH", b"MM", 42, 8, len(tags)) + entries + bytes(4) + content


def turned(picture: Picture, kind: str) -> Content:
    """Save a picture turned away, with the EXIF orientation that turns it back."""
    orientation = int(picture.rng.integers(1, 9))
    away = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    image = picture.image.transpose(Image.Transpose(away[orientation])) if orientation in away else picture.image
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if kind == "JPEG" else {}
    return picture.whole(encode(image, kind, exif=exif, **options))


def see_through(picture: Picture) -> Content:
    alpha = picture.rng.integers(0, 2, (CELLS, CELLS), dtype=np.uint8)
    mask = Image.fromarray(alpha * 255).resize(picture.size, Image.Resampling.NEAREST)
    image = picture.image.copy()
    image.putalpha(mask)
    kind = str(picture.rng.choice(["PNG", "TIFF"]))
    return picture.whole(encode(image, kind), picture.cells * alpha[..., None])


def black_and_white(picture: Picture) -> Content:
    bits = picture.rng.integers(0, 2, (CELLS, CELLS, 1), dtype=np.uint8) * np.full(3, 255, dtype=np.uint8)
    image = Image.fromarray(bits).resize(picture.size, Image.Resampling.NEAREST).convert("1")
    return picture.whole(encode(image), bits)


def clear_palette(picture: Picture) -> Content:
    image = picture.image.quantize(CELLS**2)
    clear = image.getpixel((0, 0))
    cells = picture.cells.copy()
    cells[(cells == cells[0, 0]).all(axis=-1)] = 0
    return picture.whole(encode(image, transparency=clear), cells)


def deep_grey(picture: Picture) -> Content:
    values = np.asarray(picture.image.convert("L")).astype(np.uint16) * 257
    kind = str(picture.rng.choice(["PNG", "TIFF"]))
    grey = np.asarray(Image.fromarray(picture.cells).convert("L").convert("RGB"))
    return picture.whole(encode(Image.fromarray(values), kind), grey)


def deep_colour(picture: Picture) -> Content:
    values = np.asarray(picture.image).astype(">u2") * 257
    return picture.whole(png(picture.size, 16, 2, [row.astype(">u2").tobytes() for row in values]))


def strange_profile(picture: Picture) -> Content:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    kinds = (b"no profile", profile[:200], lab, profile + bytes(500_000), profile[:16] + b"CMYK" + profile[20:])
    return picture.saved("JPEG", icc_profile=kinds[picture.rng.integers(len(kinds))], quality=95)


def broken_exif(picture: Picture) -> Content:
    kinds = (
        b"Exif\0\0",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff",
        b"Exif\0\0\xff\xff\xff\xff",
        b"Exif\0\0II*\0" + b"\xff" * 60,
    )
    return picture.saved("JPEG", exif=kinds[picture.rng.integers(len(kinds))], quality=95)


def trailing(picture: Picture) -> Content:
    content, fate = picture.saved("JPEG", quality=95)
    return content + picture.rng.bytes(300) + b"PK\x05\x06" + bytes(18), fate


def truncated(picture: Picture) -> Content:
    kind = str(picture.rng.choice(["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"]))
    content = encode(picture.image, kind)
    return content[: int(picture.rng.uniform(0.0, 0.95) * len(content))], UNREADABLE


def wrong_checksum(picture: Picture) -> Content:
    content = bytearray(encode(picture.image, compress_level=0))
    content[-int(picture.rng.integers(20, 200))] ^= 1 << int(picture.rng.integers(8))
    return bytes(content), UNREADABLE


def several(picture: Picture) -> Content:
    kind = str(picture.rng.choice(["GIF", "PNG", "TIFF", "MPO", "WEBP"]))
    other = Image.fromarray(255 - np.asarray(picture.image))
    return encode(picture.image, kind, save_all=True, append_images=[other]), UNREADABLE


def wide_numbers(picture: Picture) -> Content:
    values = np.asarray(picture.image.convert("L"))
    return encode(Image.fromarray(values.astype(picture.rng.choice(["float32", "int32"]))), "TIFF"), UNREADABLE


def huge_header(picture: Picture) -> Content:
    side = struct.pack(">H", 30_000)
    content = encode(picture.image, "JPEG")
    place = content.index(b"\xff\xc0") + 5
    jpeg = content[:place] + side * 2 + content[place + 4 :]
    return (jpeg, png((30_000, 30_000), 8, 2, [b""]))[picture.rng.integers(2)], TOO_LARGE


def text_bomb(picture: Picture) -> Content:
    text = b"key\0\0" + zlib.compress(bytes(50_000_000))
    kind = (b"zTXt", b"iCCP")[picture.rng.integers(2)]
    return png((8, 8), 8, 0, [bytes(8)] * 8, chunk(kind, text)), UNREADABLE


def pixel_bomb(picture: Picture) -> Content:
    """The pixels of a small image are followed by many more."""
    rows = [bytes(8)] * 20_000_000
    return png((8, 8), 8, 0, rows), Fate(None, (8, 8), np.zeros((CELLS, CELLS, 3), dtype=np.uint8))


def tile_bomb(picture: Picture) -> Content:
    side = 20_000
    content = zlib.compress(bytes(side * side), 1)
    tags = {256: 10, 257: 10, 258: 8, 259: 8, 262: 1, 277: 1, 322: side, 323: side, 324: 0, 325: len(content)}
    return tiff(tags, content), TOO_LARGE


def scan_bomb(picture: Picture) -> Content:
    content = encode(Image.new("L", (7_000, 7_000), 128), "JPEG", progressive=True)
    last = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + last * 20_000 + content[-2:], TOO_LARGE


def endless_pages(picture: Picture) -> Content:
    """A TIFF whose second page says that it is followed by the first."""
    content = encode(picture.image, "TIFF")
    place = struct.unpack("<I", content[4:8])[0]
    count = struct.unpack("<H", content[place : place + 2])[0]
    end = place + 2 + 12 * count
    first = content[:end] + struct.pack("<I", len(content)) + content[end + 4 :]
    return first + content[place:end] + struct.pack("<I", place), UNREADABLE


def large(picture: Picture) -> Content:
    """Little less than the bound of 50 million pixels, in few bytes."""
    side = 7_000
    mode, kind, options = (
        ("1", "PNG", {}),
        ("RGBA", "PNG", {}),
        ("RGB", "JPEG", {"progressive": True}),
        ("CMYK", "JPEG", {"progressive": True}),
        ("RGB", "WEBP", {"method": 0, "quality": 1}),
    )[picture.rng.integers(5)]
    black = np.zeros((CELLS, CELLS, 3), dtype=np.uint8)
    blank = Image.new(mode, (side, side), (0, 0, 0, 255) if mode == "CMYK" else 0)
    return encode(blank, kind, **options), Fate(None, (side, side), black)


def sliver(picture: Picture) -> Content:
    size = ((1, 1), (1, 20_000), (20_000, 1))[picture.rng.integers(3)]
    return encode(Image.new("RGB", size, (90, 60, 50))), Fate(None, size, np.full((CELLS, CELLS, 3), (90, 60, 50)))


OTHERS = (
    b"",
    b"text named .jpg",
    b"<html><body>404 Not Found</body></html>",
    b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    b"%PDF-1.4\n" + encode(Image.new("RGB", (4, 4)), "JPEG"),
    b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64),
    encode(Image.new("RGB", (4, 4)), "EPS"),
    encode(Image.new("RGB", (4, 4)), "PDF"),
    encode(Image.new("RGB", (4, 4)), "PPM"),
    pickle.dumps(np.zeros((4, 4, 3), dtype=np.uint8)),
    b"GIF89a=1;alert(1)//",
    bytes(4096),
)


def no_image(picture: Picture) -> Content:
    return OTHERS[picture.rng.integers(len(OTHERS))], UNREADABLE


CONTENTS: dict[str, Callable[[Picture], Content]] = {
    "jpeg": lambda p: p.saved("JPEG", quality=95),
    "progressive": lambda p: p.saved("JPEG", quality=95, progressive=True),
    "cmyk": lambda p: p.saved("JPEG", "CMYK", quality=95),
    "grey": lambda p: p.saved("JPEG", "L", quality=95),
    "png": lambda p: p.saved("PNG"),
    "bmp": lambda p: p.saved("BMP"),
    "gif": lambda p: p.whole(encode(p.image.quantize(CELLS**2), "GIF")),
    "webp": lambda p: p.saved("WEBP", lossless=True),
    "tiff": lambda p: p.saved("TIFF", compression="tiff_lzw"),
    "palette": lambda p: p.whole(encode(p.image.quantize(CELLS**2))),
    "grey with alpha": lambda p: p.saved("PNG", "LA"),
    "turned jpeg": lambda p: turned(p, "JPEG"),
    "turned png": lambda p: turned(p, "PNG"),
    "turned tiff": lambda p: turned(p, "TIFF"),
    **{
        function.__name__: function
        for function in (
            see_through, black_and_white, clear_palette, deep_grey, deep_colour, strange_profile, broken_exif, trailing,
            truncated, wrong_checksum, several, wide_numbers, huge_header, endless_pages, sliver, no_image,
        )
    },
}  # fmt: skip

COSTLY: dict[str, Callable[[Picture], Content]] = {
    function.__name__: function for function in (text_bomb, pixel_bomb, tile_bomb, scan_bomb, large)
}
"""Those that take a second to make or to refuse."""

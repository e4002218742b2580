"""A folder of images from everywhere, with a table that names them, and what must become of each row."""

import csv
import os
import socket
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tests.dermoscopy.conftest import encode
from tests.dermoscopy.hostile_bytes import CONTENTS, COSTLY, UNREADABLE, Fate, Picture

SUFFIXES = (".jpg", ".JPG", ".jpeg", ".png", ".tif", ".TIFF", ".bmp", ".webp")
"""Endings, dealt out to contents of any kind."""

MISSING, UNSAFE = Fate("missing_file"), Fate("unsafe_path")


@dataclass(frozen=True)
class Row:
    """A row of the table: what it is a case of, what it calls its image and what must become of it."""

    kind: str
    name: str
    fate: Fate


Place = Callable[[Path, Path, str, bytes, Fate], tuple[str, Fate]]
"""A case: the file to make, its folder's neighbour, its number, a whole image and its fate -> name, fate."""


def under(spell: str, called: str | None = None) -> Place:
    """A whole image under a name with the number in it; the table may call it otherwise."""

    def put(folder: Path, outside: Path, number: str, content: bytes, fate: Fate) -> tuple[str, Fate]:
        path = folder / spell.format(number)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return (called or spell).format(number), fate

    return put


def only_called(name: str, fate: Fate) -> Place:
    """A name in the table alone."""
    return lambda folder, outside, number, content, _: (name.format(number, outside=outside), fate)


def made(make: Callable[[Path, Path], object], fate: Fate | None) -> Place:
    """Something that is no plain file; without a fate of its own it has that of the image beside it."""

    def put(folder: Path, outside: Path, number: str, content: bytes, whole: Fate) -> tuple[str, Fate]:
        path = folder / f"{number}.jpg"
        (folder / f"{number}.target").write_bytes(content)
        make(path, outside)
        return path.name, fate or whole

    return put


def bind(path: Path, outside: Path) -> None:
    with socket.socket(socket.AF_UNIX) as endpoint:
        endpoint.bind(os.path.relpath(path))


def stretch(path: Path, outside: Path) -> None:
    with path.open("wb") as file:
        file.truncate(5 * 2**30)


COMPOSED, APART = (unicodedata.normalize(form, "Läsion é {}.png") for form in ("NFC", "NFD"))

PLACES: dict[str, Place] = {
    "subfolder": under("below/{}.png"),
    "without ending": under("bare {}.png", "bare {}"),
    "newline": under("new\nline {}.png"),
    "quotes": under('"quo\'ted" {},;.png'),
    "emoji": under("🩺 {}.png"),
    "right to left": under("צילום {} \u202egnp.png"),
    "255 bytes": under("{:é<125}.png"),
    "space at the end": under("{} .png"),
    "dash": under("-rf {}.png"),
    "taken apart": under(APART, COMPOSED),
    "composed": under(COMPOSED, APART),
    "case": under("Upper {}.PNG", "uPPER {}.png"),
    "backslashes": under("win {}/a.png", "win {}\\a.png"),
    "dots inside": under("dots {}.png", "below/../dots {}.png"),
    "dot": under("dot {}.png", "./dot {}.png"),
    "dots out": only_called("../outside/secret.png", UNSAFE),
    "absolute": only_called("{outside}/secret.png", UNSAFE),
    "device": only_called("/dev/zero", UNSAFE),
    "nothing": only_called("nothing {}.jpg", MISSING),
    "address": only_called("https://example.org/{}.jpg", MISSING),
    "drive": only_called("C:\\images\\{}.jpg", MISSING),
    "zero": only_called("zero\0{}.jpg", MISSING),
    "too long": only_called("{:x<300}.jpg", MISSING),
    "below a file": only_called("whole.png/{}.jpg", MISSING),
    "folder": made(lambda path, _: path.mkdir(), UNREADABLE),
    "pipe": made(lambda path, _: os.mkfifo(path), UNREADABLE),
    "socket": made(bind, UNREADABLE),
    "loop": made(lambda path, _: path.symlink_to(path), UNREADABLE),
    "link to nothing": made(lambda path, _: path.symlink_to("nothing at all"), MISSING),
    "link inside": made(lambda path, _: path.symlink_to(path.with_suffix(".target")), None),
    "link out": made(lambda path, outside: path.symlink_to(outside / "secret.png"), UNSAFE),
    "link to a device": made(lambda path, _: path.symlink_to("/dev/zero"), UNSAFE),
    "huge file": made(stretch, Fate("too_large")),
}
if os.geteuid():  # root may read everything
    PLACES["forbidden"] = made(lambda path, _: (path.touch(), path.chmod(0)), UNREADABLE)


def write_hostile_folder(folder: Path, count: int, seed: int, costly: int) -> list[Row]:
    """Write a source of the layout `table`.

    Args:
        folder: Where to write; `outside` is written beside it.
        count: Rows, every case in turn.
        seed: Seed of the pictures.
        costly: How many rows each costly content has.

    Returns:
        The rows, in the order of the table.
    """
    outside = folder.parent / "outside"
    for made_folder in (folder, outside):
        made_folder.mkdir()
    picture = Picture(np.random.default_rng(seed))
    for path in (folder / "whole.png", outside / "secret.png"):
        path.write_bytes(encode(picture.image))
    (folder / "itself").symlink_to(folder, target_is_directory=True)
    kinds = [*CONTENTS, *PLACES]
    dealt = [*(list(COSTLY) * costly), *(kinds[number % len(kinds)] for number in range(count))][:count]
    rows = [_make(folder, outside, kind, number, seed) for number, kind in enumerate(dealt)]
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "diagnosis"])
        writer.writerows([row.name, ("nevus", "melanoma")[number % 2]] for number, row in enumerate(rows))
    return rows


def _make(folder: Path, outside: Path, kind: str, number: int, seed: int) -> Row:
    picture = Picture(np.random.default_rng([seed, number]))
    label = f"{number:05d}"
    if kind in PLACES:
        return Row(kind, *PLACES[kind](folder, outside, label, *picture.saved("PNG")))
    content, fate = (CONTENTS | COSTLY)[kind](picture)
    name = f"{label}{SUFFIXES[picture.rng.integers(len(SUFFIXES))]}"
    (folder / name).write_bytes(content)
    return Row(kind, name, fate)

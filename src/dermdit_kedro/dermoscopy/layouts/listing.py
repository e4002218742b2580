"""What lies below a folder, seen in one walk: its images, found by what a table calls them, and its other files."""

import unicodedata
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Final

from dermdit_kedro.dermoscopy.layouts.places import Place
from dermdit_kedro.errors import UserError

IMAGE_SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
SAME: Final = {".jpeg": ".jpg", ".tiff": ".tif"}


@dataclass(frozen=True)
class Listing:
    """The files below a folder; links to folders are not followed.

    Attributes:
        root: The folder, wherever it lies.
    """

    root: Place

    @cached_property
    def _files(self) -> tuple[list[str], list[str]]:
        """Images and other files, as paths relative to the folder, in the order of their parts."""
        found = sorted(self.root.walk(), key=lambda file: file.replace("/", "\0"))
        odd = [file for file in found if file != file.encode(errors="replace").decode()]
        if odd:
            raise UserError(f"the name of a file in {self.root} must be UTF-8. Rename {odd[0]!r}")
        images = [file for file in found if _is_image(file)]
        return images, [file for file in found if not _is_image(file)]

    @property
    def images(self) -> list[str]:
        """The images, by their endings."""
        return self._files[0]

    def named(self, *patterns: str) -> list[str]:
        """Return the files, other than images, whose names match a pattern; `*` stands for anything."""
        names = ((file, file.rpartition("/")[2]) for file in self._files[1])
        fitting = (file for file, name in names if any(fnmatchcase(name, one) for one in patterns))
        return [file for file in fitting if (self.root / file).is_file()]

    @cached_property
    def _by_ending(self) -> list[tuple[str, str]]:
        """The images with their parts in reverse, sorted: those whose paths end alike stand together."""
        return sorted((_reverse(file), file) for file in self.images)

    def find(self, asked: str) -> list[str]:
        """Find images by the end of their path, with or without ending.

        Args:
            asked: A name or a path, with slashes.

        Returns:
            Those that fit best: letter by letter, or with accents written otherwise, or in another case, or without
            the ending. A name with an ending stands for no file with another, but for `.jpeg` for `.jpg` and the like.
        """
        start = _reverse(asked)
        first = last = bisect_left(self._by_ending, (start,))
        while last < len(self._by_ending) and self._by_ending[last][0].startswith(start):
            last += 1
        ending = _ending(asked)
        candidates = [file for _, file in self._by_ending[first:last] if ending in (None, _ending(file))]
        if len(candidates) < 2:
            return candidates
        ways: tuple[Callable[[str], str], ...] = (str, _compose, _fold, bare_name, lambda path: bare_name(_fold(path)))
        for way in ways:
            fitting = [file for file in candidates if f"/{way(file)}".endswith(f"/{way(asked)}")]
            if fitting:
                return fitting
        return candidates


def _is_image(path: str) -> bool:
    name = path.rpartition("/")[2]
    return bare_name(name) not in (name, "")


def _compose(path: str) -> str:
    """Write accents in one of the two ways of Unicode; some systems take file names apart."""
    return path if path.isascii() else unicodedata.normalize("NFC", path)


def _ending(path: str) -> str | None:
    """Return the ending of an image, one for those that mean the same, or null where there is none."""
    ending = path[len(bare_name(path)) :].lower()
    return SAME.get(ending, ending) or None


def _fold(path: str) -> str:
    return _compose(path).lower()


def _reverse(path: str) -> str:
    """Return a path's parts, last first, without its ending, in one case, each with a slash after it."""
    return "/".join(reversed(bare_name(_fold(path)).split("/"))) + "/"


def bare_name(path: str) -> str:
    """Return a path without the ending of an image, if it has one."""
    stem, dot, ending = path.rpartition(".")
    return stem if dot and f".{ending.lower()}" in IMAGE_SUFFIXES else path

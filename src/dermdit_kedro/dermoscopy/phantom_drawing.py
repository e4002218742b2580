"""Drawing primitives of the phantoms: a canvas on which every mark is defined in continuous coordinates.

Coordinates run from -1 to 1 across the picture, whatever its size in pixels, so a phantom looks the same
at 64 and at 256 px. Sums of plane waves and of Gaussian spots are separable in x and y: each is one
matrix product, also when the lesion is rotated and shifted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32
from PIL import Image, ImageDraw

Field2D = Float32[np.ndarray, "s s"]
Planes = Float32[np.ndarray, "3 s s"]
SUPERSAMPLING = 3


def smoothstep(values: Field2D, low: float | Field2D, high: float | Field2D) -> Field2D:
    """Rise smoothly from 0 at `low` to 1 at `high`.

    Args:
        values: Any field.
        low: Where the rise starts.
        high: Where it ends; must differ from `low`.

    Returns:
        A field in [0, 1], 3t^2 - 2t^3 of the clipped ratio t.
    """
    t = np.clip((values - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), dtype=np.float32)


@dataclass(frozen=True)
class Pose:
    """Where the lesion's own frame lies in the picture.

    Attributes:
        angle: Rotation in radians.
        shift_x: Shift to the right, in half picture widths.
        shift_y: Shift downwards, in half picture widths.
        zoom: Magnification; 1 leaves sizes as they are.
    """

    angle: float = 0.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    zoom: float = 1.0


class Canvas:
    """A square picture of `size` pixels with the lesion's frame in `pose`."""

    def __init__(self, size: int, pose: Pose) -> None:
        """Lay the pixel grid.

        Args:
            size: Side in pixels, at least 8.
            pose: Rotation, shift and zoom of the frame in which marks are given.

        Raises:
            ValueError: If the size is below 8.
        """
        if size < 8:
            raise ValueError(f"a phantom needs a size of at least 8 pixels; got {size}")
        self.size = size
        self.pixel = 2.0 / size
        self.axis = ((np.arange(size, dtype=np.float32) + 0.5) * self.pixel - 1.0).astype(np.float32)
        self.pose = pose
        cos, sin = np.cos(pose.angle) / pose.zoom, np.sin(pose.angle) / pose.zoom
        self._turn = np.array([[cos, sin], [-sin, cos]])
        dx, dy = self.axis[None, :] - pose.shift_x, self.axis[:, None] - pose.shift_y
        self.x = (cos * dx + sin * dy).astype(np.float32)
        self.y = (cos * dy - sin * dx).astype(np.float32)

    def to_picture(self, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Map points of the lesion's frame into the picture.

        Args:
            points: (x, y) in the lesion's frame.

        Returns:
            (x, y) in [-1, 1] where they fall inside the picture.
        """
        shift = np.array([self.pose.shift_x, self.pose.shift_y])
        return np.asarray(points @ self._turn * self.pose.zoom**2 + shift)

    def waves(self, rng: np.random.Generator, shortest: float, longest: float, count: int = 24) -> Field2D:
        """Draw a smooth random field: a sum of plane waves, averaged over each pixel.

        Args:
            rng: Source of directions, wavelengths and phases.
            shortest: Shortest wavelength, in half picture widths.
            longest: Longest wavelength.
            count: Number of waves.

        Returns:
            A field of mean about 0 and variance about 1, fixed to the lesion's frame.
        """
        direction, bands, phase = rng.random((3, count))
        direction, phase = 2.0 * np.pi * direction, 2.0 * np.pi * phase
        number = 2.0 * np.pi / (shortest * (longest / shortest) ** bands)
        turned = np.stack([np.cos(direction) * number, np.sin(direction) * number], axis=1) @ self._turn
        phase = phase - turned @ np.array([self.pose.shift_x, self.pose.shift_y])
        box = np.sinc(turned * (self.pixel / (2.0 * np.pi))).prod(axis=1) * np.sqrt(2.0 / count)
        along_x = self.axis[:, None] * turned[:, 0].astype(np.float32) + phase.astype(np.float32)
        along_y = self.axis[:, None] * turned[:, 1].astype(np.float32)
        weight = box.astype(np.float32)
        even = (np.cos(along_y) * weight) @ np.cos(along_x).T
        return np.asarray(even - (np.sin(along_y) * weight) @ np.sin(along_x).T)

    def spots(
        self,
        centres: Float[np.ndarray, "n 2"],
        radii: Float[np.ndarray, " n"],
        heights: Float[np.ndarray, " n"] | None = None,
    ) -> Field2D:
        """Add up round Gaussian spots given in the lesion's frame.

        Args:
            centres: (x, y) of each spot.
            radii: Standard deviation of each spot, widened where it is finer than a pixel.
            heights: Value at each centre; 1 by default.

        Returns:
            The sum of the spots.
        """
        placed = self.to_picture(centres)
        sharp = radii * self.pose.zoom
        wide = np.sqrt(sharp**2 + (0.4 * self.pixel) ** 2)
        weight = (np.ones(len(radii)) if heights is None else heights) * (sharp / wide) ** 2
        column = np.exp(-0.5 * ((self.axis[:, None] - placed[:, 0]) / wide) ** 2)
        row = np.exp(-0.5 * ((self.axis[:, None] - placed[:, 1]) / wide) ** 2) * weight
        return np.asarray(row.astype(np.float32) @ column.astype(np.float32).T)

    def lines(self, paths: Sequence[tuple[Float[np.ndarray, "n 2"], float]]) -> Field2D:
        """Draw antialiased polylines given in picture coordinates.

        Args:
            paths: (points, width) pairs; widths in half picture widths.

        Returns:
            The share of each pixel which the lines cover, in [0, 1].
        """
        side = self.size * SUPERSAMPLING
        sheet = Image.new("L", (side, side))
        pen = ImageDraw.Draw(sheet)
        for points, width in paths:
            pixels = (points + 1.0) * (side / 2.0)
            wide = width * side / 2.0
            ink = int(255 * min(1.0, wide))
            pen.line([(float(px), float(py)) for px, py in pixels], fill=ink, width=max(1, round(wide)), joint="curve")
        return np.asarray(sheet.reduce(SUPERSAMPLING), dtype=np.float32) / np.float32(255.0)


def paint(image: Planes, cover: Field2D, colour: Float[np.ndarray, " 3"]) -> None:
    """Lay a colour over an image in place.

    Args:
        image: sRGB planes in [0, 1]; changed in place.
        cover: Opacity in [0, 1].
        colour: sRGB in [0, 1].
    """
    for plane, value in zip(image, colour, strict=True):
        plane += cover * (np.float32(value) - plane)

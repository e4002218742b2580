"""Words for the asymmetry, border and colours of a lesion, by the ABCD rule of dermatoscopy (Stolz et al., 1994).

The measures are coarse and cheap: they work at 64 pixels a side on a lesion found by Otsu's threshold. They
word a prompt; they diagnose nothing.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 64
"""Pixels a side at which an image is measured."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "white": (235, 225, 220),
    "red": (185, 70, 70),
    "light brown": (175, 125, 90),
    "dark brown": (95, 60, 40),
    "blue-gray": (95, 105, 125),
    "black": (35, 28, 28),
}
"""The six colours of the ABCD rule, as sRGB in [0, 255]."""

_ASYMMETRIC = 0.1
_IRREGULAR = 1.25
_LEAST_SHARE = 0.1
_SMALLEST_LESION = 40
_FIELD_RADIUS = 0.49


@dataclass(frozen=True)
class Descriptors:
    """What was measured on one image.

    Attributes:
        asymmetry: Share of the lesion not covered by its mirror images, the mean of both axes, in [0, 1].
        border_irregularity: Perimeter squared over 4 pi area; 1 for a disc.
        colours: Names of `COLOURS` that hold at least a tenth of the lesion, largest first; one at least.
    """

    asymmetry: float
    border_irregularity: float
    colours: tuple[str, ...]

    def words(self) -> list[str]:
        """Return the phrases of a prompt, such as ["asymmetric", "irregular border", "red and black"]."""
        shape = "asymmetric" if self.asymmetry > _ASYMMETRIC else "symmetric"
        border = "irregular border" if self.border_irregularity > _IRREGULAR else "regular border"
        *others, last = self.colours
        return [shape, border, f"{', '.join(others)} and {last}" if others else last]


def measure(image: NDArray[np.uint8]) -> Descriptors | None:
    """Measure one image.

    Args:
        image: RGB, uint8 (h, w, 3).

    Returns:
        The measures, or None where no lesion stands out.
    """
    small = _shrink(image)
    mask = find_lesion(small)
    if mask is None:
        return None
    return Descriptors(_asymmetry(mask), _irregularity(mask), _colours(small, mask))


def find_lesion(image: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """Find the lesion: the darkest large region within the round field of view.

    Args:
        image: RGB, uint8 (h, w, 3).

    Returns:
        Mask (h, w), or None where fewer than 40 pixels stand out.
    """
    from scipy import ndimage
    from skimage.filters import threshold_otsu

    height, width = image.shape[:2]
    rows, columns = np.ogrid[:height, :width]
    centre, radius = ((height - 1) / 2, (width - 1) / 2), _FIELD_RADIUS * min(height, width)
    field = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2
    # green and blue: melanin and blood absorb there, skin reflects
    gray = ndimage.uniform_filter(image[..., 1:].mean(axis=-1), 3)
    dark = field & (gray < threshold_otsu(gray[field]))
    labels, count = ndimage.label(ndimage.binary_opening(dark, iterations=1))
    if count == 0:
        return None
    sizes = np.bincount(labels.ravel())[1:]
    if sizes.max() < _SMALLEST_LESION:
        return None
    mask: NDArray[np.bool_] = ndimage.binary_fill_holes(labels == sizes.argmax() + 1)
    return mask


def _shrink(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if max(image.shape[:2]) <= SIDE:
        return image
    from PIL import Image

    return np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BOX))


def _asymmetry(mask: NDArray[np.bool_]) -> float:
    """Mirror the lesion at its two principal axes and measure what is not covered."""
    points = np.argwhere(mask).astype(float)
    points -= points.mean(axis=0)
    _, axes = np.linalg.eigh(points.T @ points)
    centre = np.argwhere(mask).mean(axis=0)
    uncovered = []
    for axis in axes.T:
        mirrored = points - 2 * np.outer(points @ axis, axis) + centre
        at = np.rint(mirrored).astype(int)
        inside = ((at >= 0) & (at < mask.shape)).all(axis=1)
        covered = mask[tuple(at[inside].T)].sum()
        uncovered.append(1 - covered / len(points))
    return float(np.mean(uncovered))


def _irregularity(mask: NDArray[np.bool_]) -> float:
    from skimage.measure import perimeter_crofton

    return float(perimeter_crofton(mask, directions=4) ** 2 / (4 * np.pi * mask.sum()))


def _colours(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> tuple[str, ...]:
    """Name the colours of the lesion by the nearest of `COLOURS` in CIELAB."""
    from skimage.color import rgb2lab

    palette = _palette()
    pixels = rgb2lab(image[mask][None] / 255.0)[0]
    nearest = ((pixels[:, None] - palette[None]) ** 2).sum(axis=-1).argmin(axis=1)
    shares = np.bincount(nearest, minlength=len(COLOURS)) / len(nearest)
    order = [int(i) for i in np.argsort(-shares, kind="stable") if shares[i] >= _LEAST_SHARE]
    return tuple(tuple(COLOURS)[i] for i in order)


@lru_cache(maxsize=1)
def _palette() -> NDArray[Any]:
    from skimage.color import rgb2lab

    return np.asarray(rgb2lab(np.array([list(COLOURS.values())], dtype=float) / 255.0)[0])

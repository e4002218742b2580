"""Skin tone, estimated from the bare skin round a lesion.

The individual typology angle (ITA) is a colour measurement, not a Fitzpatrick type: a group found here is
an *estimated* tone. Patches of skin free of lesion, hair, glare and vignette are measured, and the median
over patches is taken; the maximum would be biased to light skin.
"""

from dataclasses import dataclass
from functools import cache, lru_cache
from math import isnan, nan

import numpy as np
from jaxtyping import Bool, Float, Shaped, UInt8
from PIL import Image
from scipy import ndimage
from skimage.color import rgb2lab

from dermdit_kedro.dermoscopy.tone_parameters import SkinToneConfig

WORKING_SIZE = 64
PATCHES_PER_SIDE = 8
HAIR_CONTRAST = 5.0
TEXTURE_FACTOR = 3.0
SKIN_SPREAD = 4.0
LIGHTNESS_WEIGHT = 0.06
RING_WIDTH = 0.1
VIGNETTE_RINGS = np.arange(0.7, 1.9, RING_WIDTH)
VIGNETTE_FALL = 1.5

Plane = Float[np.ndarray, "s s"]
Mask = Bool[np.ndarray, "s s"]


@dataclass(frozen=True)
class SkinTone:
    """The estimated tone of the skin in one image.

    Attributes:
        ita_degrees: Median individual typology angle over the valid patches; NaN where unknown.
        ita_iqr: Interquartile range over the valid patches in degrees; NaN where unknown.
        tone_group: light, brown, dark or unknown.
        num_valid_patches: Number of patches of usable skin.
    """

    ita_degrees: float
    ita_iqr: float
    tone_group: str
    num_valid_patches: int


def individual_typology_angle(lab: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
    """Measure skin tone as the individual typology angle (ITA) of CIELAB colours.

    ITA = atan2(L* - 50, b*) * 180 / pi (Chardon et al. 1991); larger is lighter. `atan2`, not `atan`: the two
    differ where b* < 0, which is no colour of skin. At fixed b* > 0 the angle rises with L*.

    Args:
        lab: Colours, one per row; L* in [0, 100], illuminant D65.

    Returns:
        Angles in degrees, in (-180, 180].

    Raises:
        ValueError: If an L* lies outside [0, 100]; the message names the first row.
    """
    lightness = lab[:, 0]
    wrong = np.flatnonzero(~((lightness >= 0.0) & (lightness <= 100.0)))
    if len(wrong):
        raise ValueError(f"L* must lie in [0, 100]; row {wrong[0]} has {lightness[wrong[0]]}")
    return np.asarray(np.degrees(np.arctan2(lightness - 50.0, lab[:, 2])))


def tone_group(ita_degrees: float, config: SkinToneConfig) -> str:
    """Name the tone group of an angle.

    Args:
        ita_degrees: Individual typology angle; NaN where unknown.
        config: The thresholds.

    Returns:
        light above `light_above`, brown above `brown_above`, dark otherwise; unknown for NaN.
    """
    if isnan(ita_degrees):
        return "unknown"
    if ita_degrees > config.light_above:
        return "light"
    return "brown" if ita_degrees > config.brown_above else "dark"


def measure_skin_tone(image: UInt8[np.ndarray, "h w 3"], config: SkinToneConfig) -> SkinTone:
    """Estimate the skin tone in a dermoscopic image.

    Mirroring the image leaves the estimate as it is.

    Args:
        image: sRGB of any size from 32 pixels up.
        config: Thresholds and limits.

    Returns:
        The estimate; unknown where fewer than `min_valid_patches` patches show usable skin.

    Raises:
        ValueError: If the image is not uint8 of shape (h, w, 3).
    """
    angles = _measure_angles(find_skin_patches(image, config), config)
    if len(angles) < config.min_valid_patches:
        return SkinTone(nan, nan, "unknown", len(angles))
    low, middle, high = np.percentile(angles, [25, 50, 75])
    return SkinTone(float(middle), float(high - low), tone_group(float(middle), config), len(angles))


def find_skin_patches(image: UInt8[np.ndarray, "h w 3"], config: SkinToneConfig) -> Float[np.ndarray, "k 3"]:
    """Find bare skin and return its colours.

    Args:
        image: sRGB of any size from 32 pixels up.
        config: Limits.

    Returns:
        CIELAB of each valid patch among the outer two rings, or of all where these hold too few.

    Raises:
        ValueError: If the image is not uint8 of shape (h, w, 3).
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"an image must be uint8 of shape (h, w, 3); got {image.dtype} of shape {image.shape}")
    pixels, radius = _resize(image, config.border_share)
    lab = rgb2lab(pixels.astype(np.float32) / np.float32(255.0))
    skin = _find_skin(lab, _find_usable(pixels, lab, config), radius)
    colours, spreads, shares = _summarise(lab, skin)
    valid = (shares >= config.min_valid_share) & (spreads <= config.max_texture) & (_outerness() > 0.0)
    outer = valid & (_outerness() >= 0.5)
    return colours[outer if outer.sum() >= config.min_valid_patches else valid]


def _resize(image: UInt8[np.ndarray, "h w 3"], border_share: float) -> tuple[UInt8[np.ndarray, "s s 3"], Plane]:
    """Cut the border and bring the image to the working size, with each pixel's distance from the centre."""
    height, width = image.shape[:2]
    top, left = round(height * border_share), round(width * border_share)
    box = (left, top, width - left, height - top)
    small = Image.fromarray(image).resize((WORKING_SIZE, WORKING_SIZE), Image.Resampling.BOX, box=box)
    return np.asarray(small), _distances(max(round(width / height, 3), 0.001))


@lru_cache(maxsize=256)
def _distances(aspect: float) -> Plane:
    """Return distances from the centre in half short sides."""
    axis = (np.arange(WORKING_SIZE) + 0.5) * (2.0 / WORKING_SIZE) - 1.0
    return np.asarray(np.hypot(axis[None, :] * max(aspect, 1.0), axis[:, None] * max(1.0 / aspect, 1.0)))


def _find_usable(pixels: UInt8[np.ndarray, "s s 3"], lab: Float[np.ndarray, "s s 3"], config: SkinToneConfig) -> Mask:
    """Leave out black frames, glare, saturation, hair and marks."""
    lightness = lab[..., 0]
    thin = _is_thin(ndimage.grey_closing(lightness, size=(7, 7)) - lightness)
    thin |= _is_thin(lightness - ndimage.grey_opening(lightness, size=(7, 7)))
    saturated = (pixels.min(axis=2) >= 250) | (pixels.max(axis=2) <= 4)
    bad = ndimage.maximum_filter(thin | saturated | (lightness >= config.max_lightness), size=3)
    return np.asarray(~bad & (lightness > config.min_lightness))


def _is_thin(hat: Plane) -> Mask:
    """Tell hair and marks from the texture of the skin itself by a morphological hat transform."""
    return np.asarray(hat > max(HAIR_CONTRAST, TEXTURE_FACTOR * float(np.median(hat))))


def _find_skin(lab: Float[np.ndarray, "s s 3"], usable: Mask, radius: Plane) -> Mask:
    """Keep the usable pixels of the colour which the periphery shares.

    The reference is the densest colour among patches, those near the frame's edge and those lighter counting more:
    skin surrounds a lesion and is lighter, while lesions and vignettes spread over many colours.
    """
    colours, _, shares = _summarise(lab, usable)
    near = np.exp(-0.5 * (np.linalg.norm(colours[:, None] - colours[None], axis=2) / SKIN_SPREAD) ** 2)
    density = near @ (shares * _outerness()) * np.exp(LIGHTNESS_WEIGHT * colours[:, 0])
    reference = colours[int(np.argmax(np.where(shares >= 0.4, density, 0.0)))]
    for _ in range(2):
        away = np.linalg.norm(lab - reference, axis=2)
        skin = usable & (away < 2.0 * SKIN_SPREAD)
        if not skin.any():
            return np.asarray(skin)
        reference = np.median(lab[skin], axis=0)
    return np.asarray(skin & (radius < _vignette_radius(lab[..., 0], skin, radius)))


def _vignette_radius(lightness: Plane, skin: Mask, radius: Plane) -> float:
    """Find the radius beyond which skin fades or ends in every direction; infinite where it reaches the corners."""
    plateau = float(np.median(lightness[skin]))
    limit = float("inf")
    for inner in VIGNETTE_RINGS[::-1]:
        ring = (radius >= inner) & (radius < inner + RING_WIDTH)
        if not ring.any():
            continue
        kept = ring & skin
        if kept.sum() >= 0.15 * ring.sum() and np.median(lightness[kept]) > plateau - VIGNETTE_FALL:
            break
        limit = float(inner)
    return limit


def _blocks(values: Shaped[np.ndarray, "s s ..."]) -> Shaped[np.ndarray, "p q c"]:
    """Cut a working image into patches: (patches, pixels of a patch, channels)."""
    step = WORKING_SIZE // PATCHES_PER_SIDE
    cut = values.reshape(PATCHES_PER_SIDE, step, PATCHES_PER_SIDE, step, -1).swapaxes(1, 2)
    return np.asarray(cut.reshape(PATCHES_PER_SIDE**2, step * step, -1))


@cache
def _outerness() -> Float[np.ndarray, " p"]:
    """Weigh each patch by how near the frame's edge it lies."""
    steps = np.minimum(np.arange(PATCHES_PER_SIDE), np.arange(PATCHES_PER_SIDE)[::-1])
    ring = np.minimum(steps[:, None], steps[None, :])
    return np.array([1.0, 0.5, 0.15, 0.0])[ring].ravel()


def _summarise(
    lab: Float[np.ndarray, "s s 3"], kept: Mask
) -> tuple[Float[np.ndarray, "p 3"], Float[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    """Return each patch's mean colour of the kept pixels, its spread of L* and its share of kept pixels."""
    colours, weights = _blocks(lab), _blocks(kept)[..., 0].astype(np.float64)
    count = np.maximum(weights.sum(axis=1), 1.0)
    mean = (colours * weights[..., None]).sum(axis=1) / count[:, None]
    spread = np.sqrt((weights * (colours[..., 0] - mean[:, None, 0]) ** 2).sum(axis=1) / count)
    return mean, spread, weights.mean(axis=1)


def _measure_angles(colours: Float[np.ndarray, "k 3"], config: SkinToneConfig) -> Float[np.ndarray, " m"]:
    """Return the angles of the patches that have one.

    Where most have none (b* too small) or no colour of skin (a* too large), none is returned: the few others would be
    a biased choice. Nor where skin is red and not light: blood and a red cast lower L* as melanin does, so red skin
    that is light nevertheless is light, but red skin that looks brown or dark may be any.
    """
    measured = colours[(colours[:, 2] > config.min_yellowness) & (colours[:, 1] < config.max_redness)]
    if 2 * len(measured) <= len(colours):
        return np.empty(0)
    angles = individual_typology_angle(measured)
    is_red = np.median(measured[:, 1]) >= config.max_redness_of_pigment
    return np.empty(0) if is_red and np.median(angles) <= config.light_above else angles

"""Skin and artefacts of the phantoms: texture, hair, ruler marks, glare, vignette."""

import numpy as np
from jaxtyping import Float
from skimage.color import lab2rgb

from dermdit_kedro.dermoscopy.phantom_drawing import Canvas, Planes, paint, smoothstep


def draw_skin_lab(ita_degrees: float, rng: np.random.Generator) -> Float[np.ndarray, " 3"]:
    """Draw a skin colour of exactly the given individual typology angle.

    Args:
        ita_degrees: The angle, in [-35, 70]; tan(ITA) = (L* - 50) / b*.
        rng: The patient's random stream.

    Returns:
        CIELAB (D65) with L* at most 90 and b* in [12, 22], within sRGB.
    """
    slope = np.tan(np.radians(ita_degrees))
    highest = min(22.0, 38.0 / slope) if slope > 0 else 22.0
    yellowness = rng.uniform(12.0, highest)
    lightness = 50.0 + slope * yellowness
    redness = rng.uniform(6.0, 12.0) * np.clip((98.0 - lightness) / 30.0, 0.35, 1.0)
    return np.array([lightness, redness, yellowness])


def draw_skin(canvas: Canvas, skin_lab: Float[np.ndarray, " 3"], rng: np.random.Generator) -> Planes:
    """Draw bare skin: its colour under a fine texture and slightly uneven light of mean 1.

    Args:
        canvas: The canvas.
        skin_lab: CIELAB of the skin.
        rng: The lesion's random stream.

    Returns:
        sRGB planes in [0, 1].
    """
    colour = lab2rgb(skin_lab[None, None])[0, 0]
    texture = 0.007 * canvas.waves(rng, 0.05, 0.16, 32) + 0.008 * canvas.waves(rng, 0.3, 1.0, 10)
    tint = 0.006 * canvas.waves(rng, 0.4, 1.2, 8)
    shade = np.float32(1.0) + texture
    return np.stack(
        [shade * np.float32(colour[0]), (shade + tint) * np.float32(colour[1]), shade * np.float32(colour[2])]
    )


def add_hair(image: Planes, canvas: Canvas, skin_lightness: float, rng: np.random.Generator) -> None:
    """Lay hairs over the picture.

    Args:
        image: sRGB planes in [0, 1]; changed in place.
        canvas: The canvas.
        skin_lightness: L* of the skin: on dark skin hair is black.
        rng: The image's random stream.
    """
    heading = rng.uniform(0.0, np.pi)
    paths = []
    for _ in range(int(rng.integers(3, 14))):
        start = rng.uniform(-1.1, 1.1, 2)
        turns = heading + rng.normal(0.0, 0.35) + np.linspace(0.0, rng.normal(0.0, 0.9), 10)
        stride = np.stack([np.cos(turns), np.sin(turns)], axis=1) * rng.uniform(0.5, 1.8) / 10.0
        paths.append((start + np.cumsum(stride, axis=0), float(rng.uniform(0.010, 0.022))))
    brown = rng.random() * np.clip((skin_lightness - 40.0) / 40.0, 0.0, 1.0)
    colour = np.array([0.07, 0.05, 0.04]) + brown * np.array([0.26, 0.17, 0.10])
    paint(image, canvas.lines(paths) * np.float32(0.9), colour)


def add_ruler(image: Planes, canvas: Canvas, rng: np.random.Generator) -> None:
    """Print millimetre marks along one side.

    Args:
        image: sRGB planes in [0, 1]; changed in place.
        canvas: The canvas.
        rng: The image's random stream.
    """
    step, start, side = rng.uniform(0.12, 0.2), rng.uniform(0.0, 0.2), int(rng.integers(0, 4))
    places = np.arange(-1.0 + start, 1.0, step)
    long = (np.arange(len(places)) + int(rng.integers(0, 5))) % 5 == 0
    along = np.abs(canvas.axis[:, None] - places[None])
    tick = np.clip((0.013 - along) / canvas.pixel + 0.5, 0.0, min(1.0, 0.026 / canvas.pixel))
    reach = [np.clip((length - 1.0 - canvas.axis) / canvas.pixel + 0.5, 0.0, 1.0) for length in (0.10, 0.20)]
    marks = np.outer(reach[0], tick[:, ~long].sum(axis=1)) + np.outer(reach[1], tick[:, long].sum(axis=1))
    paint(image, np.rot90(marks, side).astype(np.float32) * np.float32(0.85), np.full(3, rng.uniform(0.03, 0.15)))


def add_glare(image: Planes, canvas: Canvas, rng: np.random.Generator) -> None:
    """Lay specular spots and gel bubbles over the picture.

    Args:
        image: sRGB planes in [0, 1]; changed in place.
        canvas: The canvas.
        rng: The image's random stream.
    """
    count = int(rng.integers(2, 9))
    flat = Canvas(canvas.size, type(canvas.pose)())
    spots = flat.spots(rng.uniform(-0.95, 0.95, (count, 2)), rng.uniform(0.015, 0.05, count))
    paint(image, smoothstep(spots, 0.35, 0.75) * np.float32(0.96), np.ones(3))
    for _ in range(int(rng.integers(0, 3))):
        centre, radius = rng.uniform(-0.9, 0.9, 2), rng.uniform(0.07, 0.2)
        away = np.hypot(flat.x - np.float32(centre[0]), flat.y - np.float32(centre[1]))
        rim = np.exp(-(((away - np.float32(radius)) / np.float32(0.6 * canvas.pixel + 0.008)) ** 2))
        light = 0.5 + 0.5 * np.cos(np.arctan2(flat.y - centre[1], flat.x - centre[0]) - rng.uniform(0.0, 6.3))
        paint(image, (rim * light).astype(np.float32) * np.float32(0.75), np.ones(3))


def add_vignette(image: Planes, canvas: Canvas, rng: np.random.Generator) -> None:
    """Darken the corners round the dermatoscope's opening.

    Args:
        image: sRGB planes in [0, 1]; changed in place.
        canvas: The canvas.
        rng: The image's random stream.
    """
    shift, start, width = rng.normal(0.0, 0.03, 2), rng.uniform(1.0, 1.25), rng.uniform(0.03, 0.3)
    across = (canvas.axis[None, :] - np.float32(shift[0])) ** 2
    radius = np.sqrt(across + (canvas.axis[:, None] - np.float32(shift[1])) ** 2)
    image *= 1.0 - smoothstep(radius, start, start + width) * np.float32(rng.uniform(0.85, 1.0))

"""The body of a phantom's lesion: its outline, border and colours."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from dermdit_kedro.dermoscopy.phantom_drawing import Canvas, Field2D, Planes, paint, smoothstep
from dermdit_kedro.dermoscopy.phantom_traits import Traits

ANGLES = 512


def streak_rays(angle: float) -> Float[np.ndarray, " n"]:
    """Lay radial streaks along one sector of the rim.

    Args:
        angle: Direction of the sector's middle in radians.

    Returns:
        Strength in [-0.3, 1] for each of `ANGLES` directions.
    """
    theta = np.arange(ANGLES) * (2.0 * np.pi / ANGLES)
    sector = np.clip(np.cos(theta - angle) + 0.3, 0.0, 1.0)
    rays = np.cos(20.0 * theta + 1.5 * np.sin(3.0 * theta + 5.0 * angle))
    return np.asarray(sector * np.clip(rays, -0.3, 1.0))


@dataclass(frozen=True)
class Body:
    """The lesion's geometry on a canvas.

    Attributes:
        x: Warped horizontal coordinate from the lesion's centre.
        y: Warped vertical coordinate.
        depth: Distance from the centre over the outline's distance: 0 at the centre, 1 on the outline.
        theta: Index of the direction among `ANGLES`.
        cover: Opacity of the lesion in [0, 1].
        inside: Whether a pixel lies within the outline.
    """

    x: Field2D
    y: Field2D
    depth: Field2D
    theta: np.ndarray
    cover: Field2D
    inside: np.ndarray


def _outline(traits: Traits, rng: np.random.Generator) -> Float32[np.ndarray, " n"]:
    theta = np.arange(ANGLES) * (2.0 * np.pi / ANGLES)
    order = np.arange(2, 9)
    size = rng.normal(0.0, 1.0, len(order)) / order**0.8 * (0.02 + 0.17 * traits.atypia**1.3)
    phase = rng.uniform(0.0, 2.0 * np.pi, len(order))
    ratio, tilt = rng.uniform(0.72, 1.0), rng.uniform(0.0, np.pi)
    ellipse = ratio / np.sqrt((ratio * np.cos(theta - tilt)) ** 2 + np.sin(theta - tilt) ** 2)
    wobble = (size[:, None] * np.cos(order[:, None] * theta + phase[:, None])).sum(axis=0)
    centres, widths = rng.uniform(0.0, 2.0 * np.pi, 4), rng.uniform(0.12, 0.35, 4)
    depths = rng.uniform(-0.18, 0.42, 4) * max(0.0, traits.atypia - 0.35) * 1.3
    away = (theta - centres[:, None] + np.pi) % (2.0 * np.pi) - np.pi
    wobble -= (depths[:, None] * np.exp(-0.5 * (away / widths[:, None]) ** 2)).sum(axis=0)
    if "streaks" in traits.structures:
        wobble += 0.13 * traits.structures["streaks"] * streak_rays(traits.streak_angle)
    return np.asarray(np.clip(traits.radius / np.sqrt(ratio) * ellipse * (1.0 + wobble), 0.12, 1.5).astype(np.float32))


def draw_body(canvas: Canvas, traits: Traits, rng: np.random.Generator) -> Body:
    """Draw the outline of a lesion.

    Args:
        canvas: The canvas.
        traits: The lesion's traits.
        rng: The lesion's random stream.

    Returns:
        Its geometry.
    """
    warp = np.float32(traits.radius * (0.02 + 0.06 * traits.atypia))
    x = canvas.x + warp * canvas.waves(rng, 0.25, 0.8, 12)
    y = canvas.y + warp * canvas.waves(rng, 0.25, 0.8, 12)
    outline = _outline(traits, rng)
    radius = np.sqrt(x * x + y * y)
    theta = (np.arctan2(y, x) * np.float32(ANGLES / (2.0 * np.pi))).astype(np.int32) % ANGLES
    edge = outline[theta]
    uneven = np.cos(np.arange(ANGLES) * (2.0 * np.pi / ANGLES) + rng.uniform(0.0, 6.3)) * 0.5 * traits.atypia
    width = traits.radius * (0.34 - 0.28 * np.clip(traits.abruptness + uneven, 0.0, 1.0))
    width = np.maximum(width, 1.2 * canvas.pixel).astype(np.float32)[theta]
    cover = 1.0 - smoothstep(radius - edge, -0.6 * width, 0.4 * width)
    return Body(x, y, radius / edge, theta, cover, cover > 0.5)


@dataclass(frozen=True)
class Scene:
    """One lesion being painted.

    Attributes:
        image: sRGB planes in [0, 1]; changed in place.
        canvas: The canvas.
        traits: The lesion's traits.
        body: The lesion's geometry.
        colours: sRGB by pigment.
        rng: The lesion's random stream.
    """

    image: Planes
    canvas: Canvas
    traits: Traits
    body: Body
    colours: dict[str, Float[np.ndarray, " 3"]]
    rng: np.random.Generator

    def paint(self, region: Field2D, opacity: float, colour: str | Float[np.ndarray, " 3"]) -> None:
        """Lay a colour over a region of the lesion.

        Args:
            region: Weight in [0, 1]; the lesion's own cover is applied on top.
            opacity: Opacity in [0, 1] where both are 1.
            colour: A pigment's name, or sRGB in [0, 1].
        """
        value = self.colours[colour] if isinstance(colour, str) else colour
        paint(self.image, self.body.cover * region * np.float32(opacity), value)


def paint_body(scene: Scene) -> None:
    """Paint the body of a lesion: its two base pigments and its further colour regions.

    Benign bodies darken or lighten towards the centre; atypical ones are mottled off-centre.

    Args:
        scene: The lesion; its image is changed in place.
    """
    canvas, traits, body, rng = scene.canvas, scene.traits, scene.body, scene.rng
    mottle = canvas.waves(rng, 0.22, 0.7, 16)
    inner = rng.uniform(0.35, 0.75)
    slope = rng.normal(0.0, 1.0, 2) * traits.atypia * 0.5 / traits.radius
    tilt = body.x * np.float32(slope[0]) + body.y * np.float32(slope[1])
    uneven = np.float32(0.08 + 0.25 * traits.atypia) * mottle + tilt
    scene.paint(np.ones_like(mottle), rng.uniform(0.80, 0.97), traits.base[0])
    middle = 1.0 - smoothstep(body.depth + uneven, inner - 0.25, inner + 0.3)
    scene.paint(middle, rng.uniform(0.6, 0.95), traits.base[1])
    for name in traits.patches:
        away, direction = traits.radius * rng.uniform(0.25, 0.7), rng.uniform(0.0, 2.0 * np.pi)
        centre = away * np.array([[np.cos(direction), np.sin(direction)]])
        blob = canvas.spots(centre, np.array([traits.radius * rng.uniform(0.28, 0.5)]))
        region = smoothstep(blob + np.float32(0.12) * mottle, 0.34, 0.68)
        scene.paint(region, rng.uniform(0.7, 0.95), name)

"""The lesions of the phantoms: traits by diagnosis after the ABCD rule, and how they are painted.

Asymmetry, border, colours and dermoscopic structures all follow one hidden degree of atypia, whose
distributions overlap between benign and malignant lesions: an odd nevus and an early melanoma look alike.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Float32
from skimage.color import lab2rgb

from dermdit_kedro.dermoscopy.phantom_drawing import Canvas, Field2D, Planes, paint, smoothstep

ANGLES = 512

# CIELAB on skin of L* = 70; on other skin L* scales with the skin's and chroma shrinks with it.
PIGMENTS = {
    "light brown": (53.0, 15.0, 27.0),
    "dark brown": (34.0, 14.0, 19.0),
    "black": (16.0, 3.0, 3.0),
    "red": (51.0, 33.0, 17.0),
    "pink": (60.0, 22.0, 16.0),
    "blue-grey": (44.0, -2.0, -10.0),
    "white": (76.0, 5.0, 7.0),
    "cream": (74.0, 4.0, 26.0),
}


@dataclass(frozen=True)
class Traits:
    """What one lesion looks like, before it is drawn.

    Attributes:
        atypia: Hidden degree in [0, 1] behind asymmetry, border and colours.
        radius: Mean radius in half picture widths.
        abruptness: Sharpness of the border in [0, 1].
        base: The two pigments of the body.
        patches: Further pigments, each one region.
        structures: Strength in [0, 1] of each dermoscopic structure present.
        streak_angle: Direction, in radians, of the sector of the rim that bears streaks.
    """

    atypia: float
    radius: float
    abruptness: float
    base: tuple[str, str]
    patches: tuple[str, ...] = ()
    structures: dict[str, float] = field(default_factory=dict)
    streak_angle: float = 0.0


def draw_traits(diagnosis: str, rng: np.random.Generator) -> Traits:
    """Draw the traits of a lesion.

    Args:
        diagnosis: One of nevus, benign keratosis, dermatofibroma, melanoma, basal cell carcinoma.
        rng: The lesion's random stream.

    Returns:
        Its traits.

    Raises:
        ValueError: If the diagnosis is not among them.
    """
    makers = {
        "nevus": _nevus,
        "benign keratosis": _seborrheic_keratosis,
        "dermatofibroma": _dermatofibroma,
        "melanoma": _melanoma,
        "basal cell carcinoma": _basal_cell_carcinoma,
    }
    if diagnosis not in makers:
        raise ValueError(f"a phantom's diagnosis must be one of {', '.join(makers)}; got {diagnosis!r}")
    radius = float(np.clip(rng.lognormal(np.log(0.53), 0.24), 0.28, 0.88))
    return makers[diagnosis](radius, rng)


def _browns(rng: np.random.Generator) -> tuple[str, str]:
    return (("light brown", "dark brown"), ("dark brown", "light brown"), ("dark brown", "black"))[
        int(rng.choice(3, p=[0.45, 0.35, 0.20]))
    ]


def _nevus(radius: float, rng: np.random.Generator) -> Traits:
    atypia = float(rng.beta(1.5, 3.6))
    kind = float(rng.random())
    base = ("blue-grey", "blue-grey") if kind < 0.10 else ("pink", "light brown") if kind < 0.26 else _browns(rng)
    pattern = str(rng.choice(["network", "globules", "none"], p=[0.45, 0.30, 0.25]))
    odd = [str(name) for name in rng.permutation(["black", "blue-grey", "red"])[: int(atypia > 0.5)]]
    structures = {pattern: float(rng.uniform(0.5, 0.9))} if pattern != "none" else {}
    return Traits(atypia, radius * 0.97, float(rng.beta(2, 3.2)), base, tuple(odd), structures)


def _seborrheic_keratosis(radius: float, rng: np.random.Generator) -> Traits:
    structures = {"cysts": float(rng.uniform(0.6, 1.0)), "plugs": float(rng.uniform(0.5, 1.0))}
    if rng.random() < 0.5:
        structures["fissures"] = float(rng.uniform(0.4, 0.8))
    kind = float(rng.random())
    base = ("dark brown", "blue-grey") if kind < 0.12 else ("light brown", "pink") if kind < 0.24 else _browns(rng)
    return Traits(float(rng.beta(1.6, 3.6)), radius, float(rng.uniform(0.5, 1.0)), base, (), structures)


def _dermatofibroma(radius: float, rng: np.random.Generator) -> Traits:
    base = ("light brown", "pink") if rng.random() < 0.6 else ("pink", "light brown")
    structures = {"scar": float(rng.uniform(0.6, 0.95)), "network": float(rng.uniform(0.3, 0.6))}
    return Traits(float(rng.beta(1.3, 5)), radius * 0.9, float(rng.uniform(0.0, 0.35)), base, (), structures)


def _melanoma(radius: float, rng: np.random.Generator) -> Traits:
    atypia = float(rng.beta(3.6, 1.8))
    others = [str(name) for name in rng.permutation(["black", "red", "blue-grey", "white"])]
    number = 1 + int(rng.random() < atypia) + int(rng.random() < atypia**2)
    chances = {"irregular network": 0.6, "streaks": 0.55, "dots": 0.6, "veil": 0.5, "regression": 0.35}
    structures = {
        name: float(rng.uniform(0.55, 1.0))
        for name, chance in chances.items()
        if rng.random() < chance * (0.35 + 0.75 * atypia)
    }
    abruptness = float(np.clip(rng.normal(0.35 + 0.45 * atypia, 0.15), 0.05, 1.0))
    angle = float(rng.uniform(0.0, 2.0 * np.pi))
    return Traits(atypia, radius * 1.03, abruptness, _browns(rng), tuple(others[:number]), structures, angle)


def _basal_cell_carcinoma(radius: float, rng: np.random.Generator) -> Traits:
    atypia = float(rng.beta(3.2, 2.2))
    base = ("pink", "red") if rng.random() < 0.55 else ("pink", "light brown")
    structures = {"vessels": float(rng.uniform(0.6, 1.0)), "nests": float(rng.uniform(0.5, 1.0))}
    if rng.random() < 0.35:
        structures["ulcer"] = float(rng.uniform(0.6, 1.0))
    patches = [str(name) for name in rng.permutation(["blue-grey", "white", "dark brown"])[: int(rng.integers(0, 3))]]
    return Traits(atypia, radius * 0.98, float(rng.beta(2.5, 2.5)), base, tuple(patches), structures)


def pigments_on(skin_lab: Float[np.ndarray, " 3"], rng: np.random.Generator) -> dict[str, Float[np.ndarray, " 3"]]:
    """Give each pigment its colour on skin of a given colour.

    Args:
        skin_lab: CIELAB of the skin.
        rng: The lesion's random stream, for small differences between lesions.

    Returns:
        sRGB in [0, 1] by pigment name.
    """
    scale = float(skin_lab[0]) / 70.0
    lab = np.array(list(PIGMENTS.values()), dtype=np.float64)
    lab[:, 0] *= scale * rng.normal(1.0, 0.05) * rng.normal(1.0, 0.03, len(lab))
    lab[:, 1:] *= 0.45 + 0.55 * scale
    lab += rng.normal(0.0, 1.0, lab.shape)
    lab[:, 0] = np.clip(lab[:, 0], 4.0, 96.0)
    return dict(zip(PIGMENTS, lab2rgb(lab[None])[0], strict=True))


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
    return np.clip(traits.radius / np.sqrt(ratio) * ellipse * (1.0 + wobble), 0.12, 1.5).astype(np.float32)


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

"""The traits of the phantoms' lesions: what a diagnosis looks like after the ABCD rule, before it is drawn.

Asymmetry, border and number of colours follow one hidden degree of atypia, whose distributions overlap
between benign and malignant lesions: an odd nevus and an early melanoma look alike.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from skimage.color import lab2rgb

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
    atypia = float(rng.beta(1.4, 4.8))
    kind = float(rng.random())
    base = ("blue-grey", "blue-grey") if kind < 0.08 else ("pink", "light brown") if kind < 0.20 else _browns(rng)
    pattern = str(rng.choice(["network", "globules", "none"], p=[0.45, 0.30, 0.25]))
    odd = [str(name) for name in rng.permutation(["black", "blue-grey", "red"])[: int(atypia > 0.5)]]
    structures = {pattern: float(rng.uniform(0.5, 0.9))} if pattern != "none" else {}
    return Traits(atypia, radius * 0.97, float(rng.beta(2, 3.2)), base, tuple(odd), structures)


def _seborrheic_keratosis(radius: float, rng: np.random.Generator) -> Traits:
    structures = {"cysts": float(rng.uniform(0.6, 1.0)), "plugs": float(rng.uniform(0.5, 1.0))}
    if rng.random() < 0.5:
        structures["fissures"] = float(rng.uniform(0.4, 0.8))
    kind = float(rng.random())
    base = ("dark brown", "blue-grey") if kind < 0.06 else ("light brown", "pink") if kind < 0.16 else _browns(rng)
    return Traits(float(rng.beta(1.5, 4.8)), radius, float(rng.uniform(0.5, 1.0)), base, (), structures)


def _dermatofibroma(radius: float, rng: np.random.Generator) -> Traits:
    base = ("light brown", "pink") if rng.random() < 0.8 else ("pink", "light brown")
    structures = {"scar": float(rng.uniform(0.6, 0.95)), "network": float(rng.uniform(0.3, 0.6))}
    return Traits(float(rng.beta(1.3, 5)), radius * 0.9, float(rng.uniform(0.0, 0.35)), base, (), structures)


def _melanoma(radius: float, rng: np.random.Generator) -> Traits:
    atypia = float(rng.beta(4.6, 1.6))
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
    atypia = float(rng.beta(3.8, 1.8))
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

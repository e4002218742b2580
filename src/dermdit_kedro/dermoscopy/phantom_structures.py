"""Dermoscopic structures of the phantoms: network, globules, streaks, veil, vessels and the like."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from dermdit_kedro.dermoscopy.phantom_drawing import Field2D, smoothstep
from dermdit_kedro.dermoscopy.phantom_lesion import Scene, streak_rays

Painter = Callable[[Scene, float], None]


def paint_structures(scene: Scene) -> None:
    """Paint the structures which a lesion's traits name.

    Args:
        scene: The lesion; its image is changed in place.
    """
    for name, painter in _PAINTERS.items():
        if name in scene.traits.structures:
            painter(scene, scene.traits.structures[name])


def _honeycomb(scene: Scene, period: float, warp: float) -> Field2D:
    tilt = scene.rng.uniform(0.0, np.pi)
    bend = np.float32(warp) * scene.canvas.waves(scene.rng, 0.35, 0.9, 10)
    total = np.zeros_like(scene.body.x)
    for angle in tilt + np.array([0.0, 2.0, 4.0]) * np.pi / 3.0:
        along = scene.body.x * np.float32(np.cos(angle)) + scene.body.y * np.float32(np.sin(angle)) + bend
        total += np.cos(along * np.float32(2.0 * np.pi / (period * 0.866)))
    return total


def _dark(scene: Scene) -> str:
    return "black" if "dark brown" in scene.traits.base or "black" in scene.traits.base else "dark brown"


def _network(scene: Scene, strength: float) -> None:
    mesh = _honeycomb(scene, scene.rng.uniform(0.15, 0.20), 0.012)
    line = 1.0 - smoothstep(mesh, -1.2, 0.3)
    if "scar" in scene.traits.structures:
        line = line * smoothstep(scene.body.depth, 0.55, 0.75)
    scene.paint(line, 0.62 * strength, _dark(scene))


def _irregular_network(scene: Scene, strength: float) -> None:
    mesh = _honeycomb(scene, scene.rng.uniform(0.19, 0.27), 0.05)
    patchy = scene.canvas.waves(scene.rng, 0.35, 0.9, 12)
    line = 1.0 - smoothstep(mesh + 0.35 * patchy, -1.0, 0.35)
    scene.paint(line * smoothstep(patchy, -0.6, 0.5), 0.85 * strength, "black")


def _globules(scene: Scene, strength: float) -> None:
    mesh = _honeycomb(scene, scene.rng.uniform(0.17, 0.22), 0.015)
    dot = smoothstep(mesh, 0.5, 2.0)
    scene.paint(dot, 0.8 * strength, _dark(scene))


def _scatter(scene: Scene, count: int, inner: float, outer: float, sector: float = np.pi) -> Float[np.ndarray, "n 2"]:
    middle = scene.rng.uniform(0.0, 2.0 * np.pi)
    theta = middle + scene.rng.uniform(-sector, sector, count)
    away = scene.traits.radius * np.sqrt(scene.rng.uniform(inner**2, outer**2, count))
    return np.stack([away * np.cos(theta), away * np.sin(theta)], axis=1)


def _dots(scene: Scene, strength: float) -> None:
    count = int(scene.rng.integers(8, 18))
    spots = scene.canvas.spots(_scatter(scene, count, 0.2, 1.0, 1.2), scene.rng.uniform(0.018, 0.05, count))
    scene.paint(smoothstep(spots, 0.25, 0.7), strength, "black")


def _streaks(scene: Scene, strength: float) -> None:
    ray = np.clip(streak_rays(scene.traits.streak_angle), 0.0, 1.0).astype(np.float32)[scene.body.theta]
    rim = smoothstep(scene.body.depth, 0.55, 0.8)
    scene.paint(ray * rim, 0.9 * strength, "black")


def _veil(scene: Scene, strength: float) -> None:
    blob = scene.canvas.spots(_scatter(scene, 2, 0.0, 0.5, 0.7), scene.traits.radius * scene.rng.uniform(0.25, 0.45, 2))
    region = smoothstep(blob + 0.1 * scene.canvas.waves(scene.rng, 0.3, 0.7, 8), 0.35, 0.75)
    veil = 0.75 * scene.colours["blue-grey"] + 0.25 * scene.colours["white"]
    scene.paint(region, 0.45 + 0.4 * strength, veil)


def _regression(scene: Scene, strength: float) -> None:
    centre = _scatter(scene, 1, 0.3, 0.7)
    blob = scene.canvas.spots(centre, np.array([scene.traits.radius * scene.rng.uniform(0.25, 0.4)]))
    region = smoothstep(blob + 0.12 * scene.canvas.waves(scene.rng, 0.25, 0.6, 8), 0.3, 0.8)
    scene.paint(region, 0.45 + 0.4 * strength, "white")
    count = 14
    grains = centre + scene.rng.normal(0.0, 0.3 * scene.traits.radius, (count, 2))
    pepper = scene.canvas.spots(grains, np.full(count, 0.018))
    scene.paint(region * smoothstep(pepper, 0.25, 0.7), strength, "blue-grey")


def _nests(scene: Scene, strength: float) -> None:
    count = int(scene.rng.integers(3, 8))
    radii = scene.rng.uniform(0.035, 0.085, count)
    spots = scene.canvas.spots(_scatter(scene, count, 0.1, 0.9), radii)
    dark = 0.75 * scene.colours["blue-grey"] + 0.25 * scene.colours["black"]
    scene.paint(smoothstep(spots, 0.3, 0.65), 0.3 + 0.65 * strength, dark)


def _ulcer(scene: Scene, strength: float) -> None:
    blob = scene.canvas.spots(_scatter(scene, 2, 0.0, 0.6, 0.5), scene.traits.radius * scene.rng.uniform(0.12, 0.22, 2))
    region = smoothstep(blob + 0.1 * scene.canvas.waves(scene.rng, 0.2, 0.5, 8), 0.4, 0.6)
    crust = 0.6 * scene.colours["red"] + 0.4 * scene.colours["dark brown"]
    scene.paint(region, 0.4 + 0.5 * strength, crust)


def _vessels(scene: Scene, strength: float) -> None:
    rng, radius, place = scene.rng, scene.traits.radius, scene.canvas.to_picture
    paths = []
    for _ in range(int(rng.integers(2, 5))):
        start = _scatter(scene, 1, 0.6, 1.0)[0]
        trunk = _wander(rng, start, np.arctan2(-start[1], -start[0]), radius * 1.1)
        paths.append((place(trunk), 0.034))
        for knot in rng.integers(2, len(trunk) - 1, 3):
            step = trunk[knot] - trunk[knot - 1]
            heading = np.arctan2(step[1], step[0]) + rng.choice([-1, 1]) * rng.uniform(0.5, 1.0)
            paths.append((place(_wander(rng, trunk[knot], heading, radius * 0.5)), 0.02))
    vessel = scene.colours["red"] * np.array([0.80, 0.44, 0.48])
    scene.paint(scene.canvas.lines(paths), 0.5 + 0.45 * strength, vessel)


def _wander(
    rng: np.random.Generator, start: Float[np.ndarray, " 2"], heading: float, length: float
) -> Float[np.ndarray, "n 2"]:
    steps = 9
    turns = heading + np.cumsum(rng.normal(0.0, 0.28, steps))
    stride = np.stack([np.cos(turns), np.sin(turns)], axis=1) * (length / steps)
    return np.concatenate([start[None], start + np.cumsum(stride, axis=0)])


def _cysts(scene: Scene, strength: float) -> None:
    count = int(scene.rng.integers(5, 13))
    spots = scene.canvas.spots(_scatter(scene, count, 0.0, 0.85), scene.rng.uniform(0.018, 0.038, count))
    scene.paint(smoothstep(spots, 0.2, 0.7), 0.85 * strength, "cream")


def _plugs(scene: Scene, strength: float) -> None:
    count = int(scene.rng.integers(4, 11))
    spots = scene.canvas.spots(_scatter(scene, count, 0.0, 0.85), scene.rng.uniform(0.02, 0.045, count))
    scene.paint(smoothstep(spots, 0.25, 0.7), 0.8 * strength, "black")


def _fissures(scene: Scene, strength: float) -> None:
    ridge = np.abs(scene.canvas.waves(scene.rng, 0.35, 0.6, 8))
    line = 1.0 - smoothstep(ridge, 0.05, 0.35)
    scene.paint(line, 0.6 * strength, _dark(scene))


def _scar(scene: Scene, strength: float) -> None:
    wave = scene.canvas.waves(scene.rng, 0.25, 0.6, 8)
    region = 1.0 - smoothstep(scene.body.depth + 0.06 * wave, 0.15, 0.62)
    scene.paint(region, 0.9 * strength, "white")


_PAINTERS: dict[str, Painter] = {
    "network": _network,
    "irregular network": _irregular_network,
    "globules": _globules,
    "fissures": _fissures,
    "scar": _scar,
    "nests": _nests,
    "ulcer": _ulcer,
    "dots": _dots,
    "streaks": _streaks,
    "veil": _veil,
    "regression": _regression,
    "vessels": _vessels,
    "cysts": _cysts,
    "plugs": _plugs,
}

"""Phantoms: procedural dermoscopic images whose skin tone, lesion mask and diagnosis are known.

They are the newcomer's data and the tests' ground truth. Nothing measured on them says anything about patients.
Image `index` depends on (seed, index) alone: any one can be rendered without the others, at any size. Images
of one lesion, and lesions of one patient, are neighbours in the index.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8

from dermdit_kedro.dermoscopy.phantom_artefacts import (
    add_glare,
    add_hair,
    add_ruler,
    add_vignette,
    draw_skin,
    draw_skin_lab,
)
from dermdit_kedro.dermoscopy.phantom_drawing import Canvas, Pose
from dermdit_kedro.dermoscopy.phantom_lesion import Scene, draw_body, paint_body
from dermdit_kedro.dermoscopy.phantom_parameters import TONES, PhantomConfig
from dermdit_kedro.dermoscopy.phantom_structures import paint_structures
from dermdit_kedro.dermoscopy.phantom_traits import draw_traits, pigments_on
from dermdit_kedro.dermoscopy.records import MALIGNANT, Diagnosis

ITA_RANGES = {"light": (41.0, 70.0), "brown": (19.0, 41.0), "dark": (-35.0, 19.0)}
"""Range of the true ITA within each tone group, in degrees."""

LESIONS_PER_PATIENT = 3
_LINK, _PATIENT, _LESION, _IMAGE = range(4)
_BENIGN = ((Diagnosis.NEVUS, 0.62), (Diagnosis.BENIGN_KERATOSIS, 0.24), (Diagnosis.DERMATOFIBROMA, 0.14))
_MALIGNANT = ((Diagnosis.MELANOMA, 0.64), (Diagnosis.BASAL_CELL_CARCINOMA, 0.36))
_SITES = ("head and neck", "trunk", "upper extremity", "lower extremity")
_SITE_SHARES = {
    Diagnosis.BASAL_CELL_CARCINOMA: (0.55, 0.28, 0.09, 0.08),
    Diagnosis.BENIGN_KERATOSIS: (0.3, 0.45, 0.13, 0.12),
}
_OTHER_SITE_SHARES = (0.12, 0.45, 0.19, 0.24)


@dataclass(frozen=True)
class Phantom:
    """A rendered phantom with what is true of it.

    Attributes:
        image: sRGB.
        mask: Whether a pixel lies within the lesion.
        ita_degrees: Individual typology angle of the skin before artefacts.
        record: The metadata a real source would have, as `record` returns them.
    """

    image: UInt8[np.ndarray, "s s 3"]
    mask: Bool[np.ndarray, "s s"]
    ita_degrees: float
    record: dict[str, Any]


@dataclass(frozen=True)
class _Identity:
    lesion: int
    patient: int
    rephotographed: bool


def _stream(config: PhantomConfig, *path: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([config.seed, *path])))


def _wants_link(config: PhantomConfig, index: int) -> tuple[bool, bool]:
    image, lesion = _stream(config, _LINK, index).random(2)
    share = config.rephotographed_share
    return bool(image < share / (1.0 - share)), bool(lesion < 0.35)


def _is_rephotographed(config: PhantomConfig, index: int) -> bool:
    run = 0
    while index - run > 0 and _wants_link(config, index - run)[0]:
        run += 1
    return run % 2 == 1


def _identify(config: PhantomConfig, index: int) -> _Identity:
    """Name lesion and patient by the index of their first image."""
    second = _is_rephotographed(config, index)
    lesion = index - second
    first, run = lesion, [lesion]
    while first > 0 and _wants_link(config, first)[1]:
        first -= 1
        first -= _is_rephotographed(config, first)
        run.append(first)
    return _Identity(lesion, run[(len(run) - 1) % LESIONS_PER_PATIENT], second)


def _choose(rng: np.random.Generator, options: tuple[Any, ...], shares: tuple[float, ...]) -> Any:
    return options[min(int(np.searchsorted(np.cumsum(shares), rng.random(), side="right")), len(options) - 1)]


def record(config: PhantomConfig, index: int) -> dict[str, Any]:
    """Return the metadata of a phantom without rendering it.

    Args:
        config: The phantoms' parameters.
        index: 0 to `num_images` - 1.

    Returns:
        image_id, lesion_id, patient_id, diagnosis, is_malignant, is_melanoma, sex, age_approx (years in bins of
        five), site (each of the last three rarely None) and the truth: tone_group and ita_degrees.

    Raises:
        IndexError: If there is no such image.
    """
    _check_index(config, index)
    return _describe(config, index, _identify(config, index))


def _check_index(config: PhantomConfig, index: int) -> None:
    if not 0 <= index < config.num_images:
        raise IndexError(f"phantom index must lie in [0, {config.num_images}); got {index}")


def _describe(config: PhantomConfig, index: int, identity: _Identity) -> dict[str, Any]:
    patient = _stream(config, _PATIENT, identity.patient)
    tone = _choose(patient, TONES, tuple(config.tone_shares[name] for name in TONES))
    # Towards the open end: 41 degrees is brown, 19 degrees dark.
    low, high = ITA_RANGES[tone]
    ita = high - (high - low) * patient.random()
    share = config.malignant_shares[tone]
    tends = bool(patient.random() < share)
    years = np.clip(patient.normal(66.0 if tends else 47.0, 12.0 if tends else 16.0), 5.0, 85.0)
    sex, age_known, sex_known = _choose(patient, ("male", "female"), (0.5, 0.5)), *(patient.random(2) > 0.02)
    lesion = _stream(config, _LESION, identity.lesion)
    malignant = tends if lesion.random() < 0.8 else bool(lesion.random() < share)
    entities, shares = zip(*(_MALIGNANT if malignant else _BENIGN), strict=True)
    diagnosis = _choose(lesion, entities, shares)
    site = _choose(lesion, _SITES, _SITE_SHARES.get(diagnosis, _OTHER_SITE_SHARES))
    return {
        "image_id": f"PH_{index:07d}",
        "lesion_id": f"PHL_{identity.lesion:07d}",
        "patient_id": f"PHP_{identity.patient:07d}",
        "diagnosis": str(diagnosis),
        "is_malignant": MALIGNANT[diagnosis],
        "is_melanoma": diagnosis is Diagnosis.MELANOMA,
        "sex": sex if sex_known else None,
        "age_approx": float(5 * round(years / 5)) if age_known else None,
        "site": site if lesion.random() > 0.02 else None,
        "tone_group": tone,
        "ita_degrees": float(ita),
    }


def render(config: PhantomConfig, index: int, size: int) -> Phantom:
    """Render a phantom.

    Args:
        config: The phantoms' parameters.
        index: 0 to `num_images` - 1.
        size: Side in pixels, at least 8; the same lesion appears at any size.

    Returns:
        The image with its mask, its true ITA and its record.

    Raises:
        IndexError: If there is no such image.
        ValueError: If the size is below 8.
    """
    _check_index(config, index)
    identity = _identify(config, index)
    truth = _describe(config, index, identity)
    skin_lab = draw_skin_lab(truth["ita_degrees"], _stream(config, _PATIENT, identity.patient, 1))
    lesion = _stream(config, _LESION, identity.lesion, 1)
    taking = _stream(config, _IMAGE, index)
    canvas = Canvas(size, _draw_pose(identity.rephotographed, lesion, taking))
    traits = draw_traits(truth["diagnosis"], lesion)
    colours = pigments_on(skin_lab, lesion)
    body = draw_body(canvas, traits, lesion)
    scene = Scene(draw_skin(canvas, skin_lab, lesion), canvas, traits, body, colours, lesion)
    paint_body(scene)
    paint_structures(scene)
    _add_artefacts(scene.image, canvas, config, float(skin_lab[0]), taking)
    pixels = np.clip(scene.image * 255.0 + 0.5, 0.0, 255.0).astype(np.uint8)
    return Phantom(np.ascontiguousarray(pixels.transpose(1, 2, 0)), body.inside, truth["ita_degrees"], truth)


def _draw_pose(rephotographed: bool, lesion: np.random.Generator, taking: np.random.Generator) -> Pose:
    x, y = lesion.normal(0.0, 0.07, 2)
    turn, zoom, dx, dy = taking.normal(0.0, 1.0, 4) * (0.15, 0.03, 0.05, 0.05)
    if not rephotographed:
        return Pose(shift_x=x, shift_y=y)
    return Pose(float(turn), float(x + dx), float(y + dy), float(np.exp(zoom)))


def _add_artefacts(
    image: np.ndarray, canvas: Canvas, config: PhantomConfig, skin_lightness: float, taking: np.random.Generator
) -> None:
    has = taking.random(4) < (config.hair_share, config.ruler_share, config.glare_share, config.vignette_share)
    image *= np.float32(1.0 + taking.uniform(-0.006, 0.006))
    if has[0]:
        add_hair(image, canvas, skin_lightness, taking)
    if has[1]:
        add_ruler(image, canvas, taking)
    if has[2]:
        add_glare(image, canvas, taking)
    if has[3]:
        add_vignette(image, canvas, taking)
    image += taking.normal(0.0, 0.005, image.shape[1:]).astype(np.float32)

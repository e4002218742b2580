"""Laws of the skin-tone estimate: the analytic angle, monotony, symmetry, and accuracy against known truth."""

from collections import Counter
from math import isnan

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from skimage.color import lab2rgb

from dermdit_kedro.dermoscopy.phantom import render
from dermdit_kedro.dermoscopy.phantom_parameters import PhantomConfig
from dermdit_kedro.dermoscopy.skin_tone import individual_typology_angle, measure_skin_tone, tone_group
from dermdit_kedro.dermoscopy.tone_parameters import SkinToneConfig

CONFIG = SkinToneConfig()
PHANTOMS = PhantomConfig(
    num_images=120,
    seed=11,
    tone_shares={"light": 0.34, "brown": 0.33, "dark": 0.33},
    malignant_shares={"light": 0.5, "brown": 0.5, "dark": 0.5},
    hair_share=0.5,
    vignette_share=0.4,
    ruler_share=0.3,
    glare_share=0.4,
)


def _flat(lab, shape=(48, 64)):
    colour = lab2rgb(np.array(lab, dtype=float)[None, None])
    return np.broadcast_to(np.round(colour * 255).astype(np.uint8), (*shape, 3)).copy()


def test_the_angle_rises_with_lightness_at_fixed_positive_yellowness():
    lightness = np.linspace(0.0, 100.0, 51)
    for yellowness in (0.5, 8.0, 25.0):
        lab = np.stack([lightness, np.zeros(51), np.full(51, yellowness)], axis=1)
        assert (np.diff(individual_typology_angle(lab)) > 0).all()


def test_the_angle_of_known_colours():
    lab = np.array([[60.0, 8.0, 10.0], [50.0, 8.0, 10.0], [40.0, 8.0, 10.0], [60.0, 0.0, -10.0]])
    assert individual_typology_angle(lab) == pytest.approx([45.0, 0.0, -45.0, 135.0])


def test_a_lightness_outside_its_range_is_refused():
    with pytest.raises(ValueError, match=r"\[0, 100\]; row 1 has 101"):
        individual_typology_angle(np.array([[50.0, 0.0, 1.0], [101.0, 0.0, 1.0]]))


@pytest.mark.parametrize("lab", [(75, 9, 16), (60, 11, 18), (45, 11, 18), (36, 10, 19)])
@pytest.mark.parametrize("shape", [(32, 32), (48, 64), (450, 600)])
def test_flat_skin_has_its_analytic_angle(lab, shape):
    tone = measure_skin_tone(_flat(lab, shape), CONFIG)
    assert tone.ita_degrees == pytest.approx(individual_typology_angle(np.array([lab], dtype=float))[0], abs=1.5)
    assert tone.ita_iqr == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 20_000), (20_000, 1)])
def test_a_sliver_is_measured(shape):
    assert not np.isinf(measure_skin_tone(_flat((60, 11, 18), shape), CONFIG).ita_degrees)


@pytest.mark.parametrize("lab", [(70, 5, -8), (2, 0, 0), (99.5, 0, 1), (60, 48, 20)])
def test_what_is_no_skin_is_unknown(lab):
    tone = measure_skin_tone(_flat(lab), CONFIG)
    assert tone.tone_group == "unknown"
    assert isnan(tone.ita_degrees)
    assert isnan(tone.ita_iqr)
    assert tone.num_valid_patches < CONFIG.min_valid_patches


@pytest.mark.parametrize("size", [37, 64])
def test_mirroring_changes_nothing(size):
    for index in range(12):
        image = render(PHANTOMS, index, size).image
        plain, mirrored = measure_skin_tone(image, CONFIG), measure_skin_tone(image[:, ::-1].copy(), CONFIG)
        assert mirrored.ita_degrees == pytest.approx(plain.ita_degrees, abs=0.05, nan_ok=True)
        assert mirrored.tone_group == plain.tone_group


ARTEFACTS = {
    "none": (),
    "hair": ("hair_share",),
    "vignette": ("vignette_share",),
    "glare": ("glare_share",),
    "all": ("hair_share", "vignette_share", "glare_share", "ruler_share"),
}
ALL_SHARES = ARTEFACTS["all"]


def _check_every_tone_group(artefacts, num_images, seed, size, least):
    """Hold the estimate within each tone group to its bounds: error, group, unknown."""
    shares = {name: float(name in ARTEFACTS[artefacts]) for name in ALL_SHARES}
    config = PhantomConfig(**{**PHANTOMS.model_dump(), "num_images": num_images, "seed": seed, **shares})
    phantoms = [render(config, index, size) for index in range(num_images)]
    tones = [measure_skin_tone(phantom.image, CONFIG) for phantom in phantoms]
    for group in ("light", "brown", "dark"):
        pairs = [pair for pair in zip(phantoms, tones, strict=True) if pair[0].record["tone_group"] == group]
        known = [pair for pair in pairs if pair[1].tone_group != "unknown"]
        clear = [
            tone.tone_group == group
            for phantom, tone in known
            if min(abs(phantom.ita_degrees - edge) for edge in (CONFIG.light_above, CONFIG.brown_above)) >= 5.0
        ]
        assert len(pairs) >= least
        assert 1 - len(known) / len(pairs) < 0.05
        assert np.mean([abs(tone.ita_degrees - phantom.ita_degrees) for phantom, tone in known]) <= 4.0
        assert np.mean(clear) >= 0.95


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("artefacts", ARTEFACTS)
def test_phantoms_are_measured_within_bounds_in_every_tone_group(artefacts, size):
    _check_every_tone_group(artefacts, 150, 11, size, 30)


@pytest.mark.slow
@pytest.mark.parametrize("size", [64, 256])
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("artefacts", ARTEFACTS)
def test_many_phantoms_are_measured_within_bounds_in_every_tone_group(artefacts, seed, size):
    _check_every_tone_group(artefacts, 720, seed, size, 200)


@pytest.mark.slow
def test_ham10000_is_light_where_it_can_be_told(real_ham):
    images = [np.asarray(Image.open(file).convert("RGB")) for file in sorted(real_ham.rglob("*.jpg"))]
    counts = Counter(measure_skin_tone(image, CONFIG).tone_group for image in images)
    expected = {"light": 5031, "brown": 37, "dark": 9, "unknown": 4938}
    assert counts == pytest.approx(expected, abs=5)  # decoders differ by a grey level


def test_a_bluish_white_balance_is_no_dark_skin():
    lab = (70, 5, -8)
    wrong = np.degrees(np.arctan((lab[0] - 50) / lab[2]))  # the quadrant is lost, and with it the sign
    assert tone_group(float(wrong), CONFIG) == "dark"
    assert tone_group(float(individual_typology_angle(np.array([lab], dtype=float))[0]), CONFIG) == "light"
    assert measure_skin_tone(_flat(lab), CONFIG).tone_group == "unknown"


@pytest.mark.parametrize(
    ("lab", "group"),
    [((56, 30, 18), "unknown"), ((64, 30, 18), "unknown"), ((72, 30, 18), "light"), ((56, 12, 18), "dark")],
)
def test_redness_is_no_pigment(lab, group):
    assert measure_skin_tone(_flat(lab), CONFIG).tone_group == group


def test_a_lesion_that_fills_the_frame_leaves_the_corners():
    image = _flat((70, 9, 16), (64, 64))
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    image[np.hypot(x, y) < 1.02] = _flat((35, 14, 18), (1, 1))[0, 0]
    assert measure_skin_tone(image, CONFIG).ita_degrees == pytest.approx(51.3, abs=2.0)


@pytest.mark.parametrize("lab", [(75, 9, 16), (38, 10, 17)])
def test_a_vignette_is_not_dark_skin_nor_dark_skin_a_vignette(lab):
    y, x = np.mgrid[-1:1:96j, -1:1:96j]
    light = np.clip(1.0 - (np.hypot(x, y) - 1.0) / 0.3, 0.05, 1.0)
    image = (_flat(lab, (96, 96)) * light[..., None]).astype(np.uint8)
    expected = individual_typology_angle(np.array([lab], dtype=float))[0]
    assert measure_skin_tone(image, CONFIG).ita_degrees == pytest.approx(expected, abs=2.5)


@pytest.mark.parametrize(
    ("ita_degrees", "group"),
    [(41.1, "light"), (41.0, "brown"), (19.1, "brown"), (19.0, "dark"), (-50.0, "dark"), (float("nan"), "unknown")],
)
def test_thresholds_belong_to_the_darker_group(ita_degrees, group):
    assert tone_group(ita_degrees, CONFIG) == group


def test_presets_set_the_thresholds():
    del_bino = SkinToneConfig(preset="del_bino")
    assert (del_bino.light_above, del_bino.brown_above) == (41.0, 10.0)
    assert tone_group(15.0, del_bino) == "brown"
    assert tone_group(20.0, SkinToneConfig(preset="groh")) == "brown"
    custom = SkinToneConfig(preset="custom", light_above=45, brown_above=25)
    assert tone_group(43.0, custom) == "brown"


def test_unusable_parameters_are_refused():
    with pytest.raises(ValidationError, match="light_above must exceed brown_above; got 10"):
        SkinToneConfig(preset="custom", light_above=10, brown_above=20)
    with pytest.raises(ValidationError, match="say preset: custom"):
        SkinToneConfig(light_above=45)
    with pytest.raises(ValueError, match=r"uint8 of shape \(h, w, 3\); got float64"):
        measure_skin_tone(np.zeros((32, 32, 3)), CONFIG)

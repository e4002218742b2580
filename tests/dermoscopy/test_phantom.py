"""Laws of the phantoms: determinism, truth, one lesion at any size, malignant ones known by more than one sign."""

from collections import defaultdict

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from skimage.color import rgb2lab

from dermdit_kedro.dermoscopy.phantom import ITA_RANGES, record, render
from dermdit_kedro.dermoscopy.phantom_artefacts import draw_skin_lab
from dermdit_kedro.dermoscopy.phantom_parameters import PhantomConfig
from dermdit_kedro.dermoscopy.phantom_traits import draw_traits
from dermdit_kedro.dermoscopy.records import SEXES, SITES, Diagnosis
from dermdit_kedro.dermoscopy.skin_tone import individual_typology_angle

EVEN = {"light": 0.34, "brown": 0.33, "dark": 0.33}
CLEAN = {"hair_share": 0.0, "vignette_share": 0.0, "ruler_share": 0.0, "glare_share": 0.0}
CONFIG = PhantomConfig(num_images=400, seed=5, tone_shares=EVEN, rephotographed_share=0.2)


def test_the_same_seed_and_index_give_the_same_image_whatever_was_rendered_before():
    first = render(CONFIG, 7, 64)
    render(CONFIG, 3, 32)
    again = render(CONFIG, 7, 64)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.mask, again.mask)
    assert first.record == again.record == record(CONFIG, 7)


def test_the_number_of_images_does_not_change_an_image():
    more = CONFIG.model_copy(update={"num_images": 900})
    assert np.array_equal(render(CONFIG, 7, 32).image, render(more, 7, 32).image)


def test_another_seed_gives_another_image():
    other = CONFIG.model_copy(update={"seed": 6})
    assert not np.array_equal(render(CONFIG, 7, 32).image, render(other, 7, 32).image)


def test_the_same_lesion_appears_at_any_size():
    config = PhantomConfig(num_images=400, seed=5, **CLEAN)
    for index in range(6):
        small, large = render(config, index, 64), render(config, index, 256)
        shrunk = np.asarray(Image.fromarray(large.image).resize((64, 64), Image.Resampling.BOX), dtype=float)
        assert np.abs(shrunk - small.image).mean() < 4.0
        halves = large.mask.reshape(64, 4, 64, 4).mean(axis=(1, 3)) > 0.5
        assert (halves & small.mask).sum() / (halves | small.mask).sum() > 0.9


@pytest.mark.parametrize("size", [16, 33, 64])
def test_image_and_mask_have_the_size_asked_for(size):
    phantom = render(CONFIG, 0, size)
    assert phantom.image.shape == (size, size, 3)
    assert phantom.image.dtype == np.uint8
    assert phantom.mask.shape == (size, size)
    assert phantom.mask.dtype == bool
    assert 0 < phantom.mask.mean() < 0.9


def test_skin_has_exactly_the_angle_it_is_drawn_for():
    rng = np.random.default_rng(0)
    angles = np.linspace(-35.0, 70.0, 43)
    lab = np.array([draw_skin_lab(angle, rng) for angle in angles])
    assert individual_typology_angle(lab) == pytest.approx(angles)
    assert lab[:, 2].min() >= 12.0
    assert lab[:, 0].max() <= 90.0


def test_pixels_outside_the_lesion_have_the_true_angle():
    config = PhantomConfig(num_images=400, seed=5, tone_shares=EVEN, **CLEAN)
    for index in range(0, 60, 3):
        phantom = render(config, index, 64)
        far = np.ones((64, 64), dtype=bool)
        far[6:-6, 6:-6] = False
        skin = np.median(rgb2lab(phantom.image)[far & ~phantom.mask], axis=0)
        if phantom.mask[far].mean() < 0.05:
            assert individual_typology_angle(skin[None])[0] == pytest.approx(phantom.ita_degrees, abs=2.5)


def test_lesions_stay_visible_on_every_skin():
    config = PhantomConfig(num_images=400, seed=5, tone_shares=EVEN, **CLEAN)
    for index in range(60):
        phantom = render(config, index, 48)
        lab = rgb2lab(phantom.image)
        skin, lesion = np.median(lab[~phantom.mask], axis=0), lab[phantom.mask]
        assert np.median(np.linalg.norm(lesion - skin, axis=1)) > 6.0


def test_records_keep_to_their_vocabulary_and_ranges():
    rows = [record(CONFIG, index) for index in range(400)]
    assert {row["diagnosis"] for row in rows} <= {str(diagnosis) for diagnosis in Diagnosis}
    assert {row["sex"] for row in rows} <= {*SEXES, None}
    assert {row["site"] for row in rows} <= {*SITES, None}
    assert all(row["age_approx"] is None or row["age_approx"] in range(5, 90, 5) for row in rows)
    assert all(row["is_melanoma"] == (row["diagnosis"] == "melanoma") for row in rows)
    assert all(row["is_malignant"] == (row["diagnosis"] in ("melanoma", "basal cell carcinoma")) for row in rows)
    for row in rows:
        low, high = ITA_RANGES[row["tone_group"]]
        assert low < row["ita_degrees"] <= high
    assert len({row["image_id"] for row in rows}) == 400


def test_images_of_a_lesion_and_lesions_of_a_patient_agree():
    lesions, patients = defaultdict(list), defaultdict(list)
    for index in range(400):
        row = record(CONFIG, index)
        lesions[row["lesion_id"]].append(row)
        patients[row["patient_id"]].append(row)
    assert {len(rows) for rows in lesions.values()} == {1, 2}
    assert {len({row["lesion_id"] for row in rows}) for rows in patients.values()} == {1, 2, 3}
    for rows in lesions.values():
        assert len({tuple(value for key, value in row.items() if key != "image_id") for row in rows}) == 1
    for rows in patients.values():
        assert len({(row["sex"], row["age_approx"], row["ita_degrees"]) for row in rows}) == 1


def test_a_second_picture_shows_the_same_lesion_otherwise():
    config = CONFIG.model_copy(update=CLEAN)
    rows = [record(config, index) for index in range(60)]
    second = next(index for index in range(1, 60) if rows[index]["lesion_id"] == rows[index - 1]["lesion_id"])
    one, two = render(config, second - 1, 64), render(config, second, 64)
    assert not np.array_equal(one.image, two.image)
    assert one.mask.sum() == pytest.approx(two.mask.sum(), rel=0.35)
    assert one.image[one.mask].mean(axis=0) == pytest.approx(two.image[two.mask].mean(axis=0), abs=15)


def test_shares_are_met_up_to_chance():
    config = PhantomConfig(num_images=1500, seed=2)
    rows = [record(config, index) for index in range(1500)]
    for tone, share in config.tone_shares.items():
        group = [row for row in rows if row["tone_group"] == tone]
        assert len(group) / 1500 == pytest.approx(share, abs=0.05)
        assert np.mean([row["is_malignant"] for row in group]) == pytest.approx(config.malignant_shares[tone], abs=0.11)
    lesions = len({row["lesion_id"] for row in rows})
    assert 1 - lesions / 1500 == pytest.approx(config.rephotographed_share, abs=0.03)
    ages = {
        label: [r["age_approx"] for r in rows if r["is_malignant"] is label and r["age_approx"]]
        for label in (True, False)
    }
    assert np.mean(ages[True]) > np.mean(ages[False]) + 8


def test_malignant_lesions_differ_by_outline_and_colours_on_the_whole_but_overlap():
    rng = np.random.default_rng(1)
    benign = [
        draw_traits(name, rng).atypia for name in ("nevus", "benign keratosis", "dermatofibroma") for _ in range(200)
    ]
    malignant = [draw_traits(name, rng).atypia for name in ("melanoma", "basal cell carcinoma") for _ in range(200)]
    assert np.mean(malignant) > np.mean(benign) + 0.25
    assert np.quantile(malignant, 0.1) < np.quantile(benign, 0.9)


def test_an_index_outside_the_set_is_refused():
    with pytest.raises(IndexError, match=r"\[0, 400\); got 400"):
        record(CONFIG, 400)
    with pytest.raises(IndexError, match="got -1"):
        render(CONFIG, -1, 32)


def test_unusable_parameters_are_refused():
    with pytest.raises(ValidationError, match=r"must sum to 1; got 1\.2"):
        PhantomConfig(tone_shares={"light": 0.6, "brown": 0.3, "dark": 0.3})
    with pytest.raises(ValidationError, match="exactly the keys light, brown, dark"):
        PhantomConfig(malignant_shares={"light": 0.5})
    with pytest.raises(ValidationError, match=r"malignant_shares\.dark must lie in"):
        PhantomConfig(malignant_shares={"light": 0.5, "brown": 0.5, "dark": 1.5})
    with pytest.raises(ValueError, match="at least 8 pixels; got 4"):
        render(CONFIG, 0, 4)
    with pytest.raises(ValueError, match="got 'acne'"):
        draw_traits("acne", np.random.default_rng(0))

import numpy as np
import pytest

from dermdit_kedro.dermoscopy.phantom import PhantomConfig, render
from dermdit_kedro.prompts.descriptors import COLOURS, find_lesion, measure

SKIN = (220, 180, 160)


def draw(mask: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    image = np.full((*mask.shape, 3), SKIN, dtype=np.uint8)
    image[mask] = colour
    return image


def grid(size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    return np.mgrid[:size, :size] - (size - 1) / 2


@pytest.mark.parametrize("angle", [0, 20, 45, 70])
def test_an_ellipse_is_symmetric_with_a_regular_border_at_any_angle(angle):
    rows, columns = grid()
    sin, cos = np.sin(np.radians(angle)), np.cos(np.radians(angle))
    along, across = rows * cos + columns * sin, columns * cos - rows * sin
    found = measure(draw((along / 16) ** 2 + (across / 12) ** 2 < 1, COLOURS["dark brown"]))
    assert found is not None
    assert found.words() == ["symmetric", "regular border", "dark brown"]


def test_an_l_shape_is_asymmetric_with_an_irregular_border():
    mask = np.zeros((64, 64), dtype=bool)
    mask[18:46, 18:26] = mask[38:46, 18:48] = True
    found = measure(draw(mask, COLOURS["black"]))
    assert found is not None
    assert found.words() == ["asymmetric", "irregular border", "black"]


@pytest.mark.parametrize("name", [name for name in COLOURS if name != "white"])
def test_a_lesion_of_one_colour_is_called_by_its_name(name):
    rows, columns = grid()
    found = measure(draw(rows**2 + columns**2 < 15**2, COLOURS[name]))
    assert found is not None
    assert found.colours == (name,)


def test_colours_are_named_largest_first():
    rows, columns = grid()
    lesion = rows**2 + columns**2 < 15**2
    image = draw(lesion, COLOURS["dark brown"])
    image[lesion & (columns > 5)] = COLOURS["black"]
    found = measure(image)
    assert found is not None
    assert found.words()[-1] == "dark brown and black"


def test_a_blank_image_has_no_lesion():
    assert measure(np.full((64, 64, 3), 200, dtype=np.uint8)) is None


def test_on_phantoms_it_finds_the_lesion_and_malignant_ones_measure_less_regular():
    config = PhantomConfig(num_images=40, malignant_shares={"light": 0.5, "brown": 0.5, "dark": 0.5})
    overlaps, asymmetry = [], {True: [], False: []}
    for index in range(40):
        phantom = render(config, index, 64)
        mask, found = find_lesion(phantom.image), measure(phantom.image)
        assert mask is not None
        assert found is not None
        overlaps.append((mask & phantom.mask).sum() / (mask | phantom.mask).sum())
        asymmetry[phantom.record["is_malignant"]].append(found.asymmetry)
    assert np.median(overlaps) > 0.85
    assert np.mean(asymmetry[True]) > np.mean(asymmetry[False])


def test_a_large_image_measures_as_its_small_self():
    rows, columns = grid(256)
    found = measure(draw(rows**2 + (columns / 1.3) ** 2 < 60**2, COLOURS["red"]))
    assert found is not None
    assert found.words() == ["symmetric", "regular border", "red"]

import numpy as np
import pytest

from dermdit_kedro.augmentation.strategies import balanced, complement, match

CASES = [([30, 80, 5], n) for n in (1, 7, 60, 124, 125, 126, 1000)] + [([7], 5), ([4, 4, 4], 9), ([20, 21], 1)]


@pytest.mark.parametrize(("n_train", "num_images"), CASES)
def test_balanced_differs_by_one_at_most(n_train, num_images):
    counts = balanced(n_train, num_images)
    assert sum(counts) == num_images
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize(("n_train", "num_images"), CASES)
def test_complement_spends_what_it_may_on_the_smallest(n_train, num_images):
    counts = complement(n_train, num_images)
    lacking = sum(max(n_train) - n for n in n_train)
    assert sum(counts) == min(num_images, lacking)
    assert min(counts) >= 0
    after = np.add(n_train, counts)
    assert after.max() == max(n_train)
    grown = after[np.array(counts) > 0]
    assert len(grown) == 0 or grown.max() - grown.min() <= 1, "those that grow end level"
    assert len(grown) == 0 or all(n >= grown.max() - 1 for n, c in zip(n_train, counts, strict=True) if c == 0)


def test_complement_by_hand():
    assert complement([30, 80, 5], 25) == [0, 0, 25]
    assert complement([30, 80, 5], 35) == [5, 0, 30]
    assert complement([30, 80, 5], 10_000) == [50, 0, 75]
    assert complement([10, 10], 4) == [0, 0]


@pytest.mark.parametrize(("n_train", "num_images"), CASES)
def test_match_keeps_the_proportions(n_train, num_images):
    counts = match(n_train, num_images)
    assert sum(counts) == num_images
    assert np.abs(np.array(counts) - num_images * np.array(n_train) / sum(n_train)).max() < 1

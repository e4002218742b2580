"""Arms against the baseline: known differences, planted gains and biases, and the correction for looking often."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from dermdit_kedro.metrics.arm_comparison import compare_arms
from dermdit_kedro.metrics.group_fairness import score_groups
from dermdit_kedro.metrics.parameters import GroupFairnessConfig

LEAN = GroupFairnessConfig(attributes=("tone_group",), intersections=(), num_resamples=100, num_permutations=19)
TONES = ("light", "dark")


def classify(rng, images, arm, seeds=1, gain=0.0, bias=0.0):
    """Return predictions on images whose own difficulty both arms share.

    Called positive at 0; found are then norm.cdf(1.2 + gain) of the positives, of dark ones `bias` (a share) fewer.
    """
    of_image = np.random.default_rng(images.attrs["seed"]).normal(size=len(images)) * np.sqrt(0.5)
    found = norm.cdf(1.2 + gain)
    shift = norm.ppf(found) - norm.ppf(found - bias)
    parts = []
    for seed in range(seeds):
        score = of_image + np.sqrt(0.5) * rng.normal(size=len(images)) - 1.2
        score += (2.4 + gain) * images["label"] - shift * (images["label"] & (images["tone_group"] == "dark"))
        parts.append(images.assign(arm=arm, seed=seed, score=score, called=score >= 0))
    return pd.concat(parts, ignore_index=True)


def draw_images(rng, n, test_set="clinic"):
    images = pd.DataFrame(
        {
            "image_id": [f"{test_set}/{i:05d}" for i in range(n)],
            "test_set": test_set, "split": "test", "label_name": "is_malignant",
            "duplicate_cluster": [f"{test_set}/{i}" for i in range(n)],
            "label": rng.random(n) < 0.5, "tone_group": np.array(TONES)[np.arange(n) % 2],
            "sex": None, "age_approx": np.nan, "site": None,
        }
    )  # fmt: skip
    images.attrs["seed"] = int(rng.integers(2**31))
    return images


def movements(found, test_set="clinic", arm="synthetic"):
    return found["fairness"]["tone_group"][test_set][arm]["groups"]["dark"]


@pytest.fixture(params=[100, pytest.param(1000, marks=pytest.mark.slow)])
def repetitions(request):
    """How many data sets: enough to see a mistake, or enough for a figure."""
    return request.param


def repeat(repetitions, n, seeds=1, **arm):
    """Yield the comparison of an arm with the baseline on new images each time."""
    rng = np.random.default_rng(n)
    for _ in range(repetitions):
        images = draw_images(rng, n)
        base = {"bias": arm.get("base_bias", 0.0)}
        other = {key: value for key, value in arm.items() if key != "base_bias"}
        yield compare_arms(
            {
                "real": classify(rng, images, "real", seeds, **base),
                "synthetic": classify(rng, images, "synthetic", seeds, **other),
            },
            "real",
            LEAN,
        )


@pytest.fixture(scope="module")
def images():
    return draw_images(np.random.default_rng(3), 400)


def test_an_arm_compared_with_its_own_copy_differs_in_nothing(images):
    base = classify(np.random.default_rng(0), images, "real", seeds=2)
    found = compare_arms({"real": base, "copy": base.assign(arm="copy")}, "real", LEAN)
    cell = found["accuracy"]["clinic"]["copy"]["overall"]
    for measure in ("auc", "f1"):
        assert cell[measure]["value"] == 0
        assert (cell[measure]["interval"], cell[measure]["finding"]) == (None, False)
    assert not cell["recall"]["finding"]
    assert not any(m["finding"] for m in movements(found, arm="copy").values())
    json.dumps(found, allow_nan=False)


def test_swapping_arm_and_baseline_turns_the_signs(images):
    rng = np.random.default_rng(0)
    both = {"a": classify(rng, images, "a", 2), "b": classify(rng, images, "b", 2, gain=0.5)}
    there, back = compare_arms(both, "a", LEAN), compare_arms(both, "b", LEAN)
    for measure in ("auc", "recall", "f1"):
        one = there["accuracy"]["clinic"]["b"]["overall"][measure]
        other = back["accuracy"]["clinic"]["a"]["overall"][measure]
        assert one["value"] == pytest.approx(-other["value"])
        assert one["interval"] == pytest.approx([-other["interval"][1], -other["interval"][0]])
    movement, reverse = movements(there, arm="b")["auc"], movements(back, arm="a")["auc"]
    assert movement["change"]["value"] == pytest.approx(-reverse["change"]["value"])
    assert movement["sum"]["value"] == pytest.approx(reverse["sum"]["value"])


def test_change_and_sum_are_those_of_after_and_before(images):
    rng = np.random.default_rng(0)
    arms = {"real": classify(rng, images, "real", bias=0.2), "synthetic": classify(rng, images, "synthetic")}
    for movement in movements(compare_arms(arms, "real", LEAN)).values():
        before, after = (movement[when]["value"] for when in ("before", "after"))
        assert movement["change"]["value"] == pytest.approx(after - before)
        assert movement["sum"]["value"] == pytest.approx(after + before)


def test_arms_tested_on_other_images_are_refused(images):
    base = classify(np.random.default_rng(0), images, "real")
    with pytest.raises(ValueError, match=r"same images with the same labels. 'less' and 'real' differ"):
        compare_arms({"real": base, "less": base.iloc[1:]}, "real", LEAN)
    with pytest.raises(ValueError, match="same images"):
        compare_arms({"real": base, "other": base.assign(label=~base["label"])}, "real", LEAN)
    with pytest.raises(ValueError, match="the baseline must be one of"):
        compare_arms({"synthetic": base}, "real", LEAN)


def test_an_untrained_arm_is_not_judged_and_says_why(images):
    base = classify(np.random.default_rng(0), images, "real", seeds=2)
    untrained = base[base["seed"] == 0].assign(arm="synthetic", score=np.nan, called=False)
    found = compare_arms({"real": base, "synthetic": untrained}, "real", LEAN)
    cell = found["accuracy"]["clinic"]["synthetic"]["overall"]
    assert (cell["judgeable"], cell["auc"]) == (False, None)
    assert "could not be trained" in cell["reason"]
    assert found["fairness"]["tone_group"]["clinic"]["synthetic"]["reference"] is None


def test_the_correction_counts_arms_and_test_sets():
    rng, arms = np.random.default_rng(5), {}
    sets = [draw_images(rng, 300, name) for name in ("a", "b")]
    for arm, gain in (("real", 0.0), ("synthetic", 0.25), ("real_plus_synthetic", 0.0)):
        arms[arm] = pd.concat([classify(rng, images, arm, gain=gain) for images in sets])
    found = compare_arms(arms, "real", LEAN)
    cells = [arm["overall"]["auc"] for by_arm in found["accuracy"].values() for arm in by_arm.values()]
    ordered = sorted(cells, key=lambda cell: cell["p_value"])
    assert len(cells) == 4
    assert ordered[0]["p_adjusted"] == pytest.approx(min(1, 4 * ordered[0]["p_value"]))
    assert ordered[3]["p_adjusted"] >= ordered[2]["p_adjusted"] >= ordered[1]["p_adjusted"]


def test_a_planted_bias_is_found_with_its_sign_and_none_where_none_is(repetitions):
    rng, found, false = np.random.default_rng(1), 0, 0
    for _ in range(repetitions):
        images = draw_images(rng, 600)
        biased, fair = (
            score_groups(classify(rng, images, "real", bias=bias), LEAN, seed=0)["attributes"]["tone_group"]["clinic"]
            for bias in (0.2, 0.0)
        )
        cell = next(iter(biased["differences"].values()))["true_positive_rate"]
        sign = 1 if biased["reference"] == "dark" else -1
        found += cell["finding"] and cell["value"] * sign > 0 and np.prod(cell["interval"]) > 0
        false += any(cell["finding"] for by_group in fair["differences"].values() for cell in by_group.values())
    assert found / repetitions >= 0.9
    assert false / repetitions <= 0.07


@pytest.mark.parametrize(("seeds", "gain"), [(1, 0.5), (3, 0.6)])
def test_a_planted_gain_is_found(repetitions, seeds, gain):
    cells = [
        found["accuracy"]["clinic"]["synthetic"]["overall"]["auc"]
        for found in repeat(repetitions, 600, seeds, gain=gain)
    ]
    assert np.mean([cell["finding"] and cell["value"] > 0 for cell in cells]) >= 0.9


@pytest.mark.parametrize("seeds", [1, 3])
def test_no_gain_is_found_where_none_is(repetitions, seeds):
    results = list(repeat(repetitions, 400, seeds))
    gains = [found["accuracy"]["clinic"]["synthetic"]["overall"]["auc"]["finding"] for found in results]
    moved = [any(m["finding"] for m in movements(found).values()) for found in results]
    assert np.mean(gains) <= 0.07
    assert np.mean(moved) <= 0.07


def test_a_bias_that_an_arm_mends_has_come_nearer_to_zero(repetitions):
    found = [movements(found)["true_positive_rate"] for found in repeat(repetitions, 1200, base_bias=0.25)]
    assert np.mean([movement["outcome"] == "nearer" for movement in found]) >= 0.9
    assert not any(movement["outcome"] == "farther" for movement in found)


def test_a_bias_that_an_arm_brings_has_moved_away_from_zero(repetitions):
    found = [movements(found)["true_positive_rate"] for found in repeat(repetitions, 1200, bias=0.25)]
    assert np.mean([movement["outcome"] == "farther" for movement in found]) >= 0.9


def test_a_bias_turned_round_is_neither_nearer_nor_farther():
    """From 12 points against dark skin to 12 points for it: it moved, but no nearer to zero."""
    rng, outcomes = np.random.default_rng(2), []
    for _ in range(60):
        images = draw_images(rng, 800)
        turned = images.assign(tone_group=images["tone_group"].map({"light": "dark", "dark": "light"}))
        turned.attrs = images.attrs
        after = classify(rng, turned, "synthetic", bias=0.12).assign(tone_group=list(images["tone_group"]))
        found = compare_arms({"real": classify(rng, images, "real", bias=0.12), "synthetic": after}, "real", LEAN)
        outcomes.append(movements(found)["true_positive_rate"])
    assert np.mean([m["change"]["p_value"] < 0.05 for m in outcomes]) > 0.9
    assert np.mean([m["outcome"] is None for m in outcomes]) >= 0.93

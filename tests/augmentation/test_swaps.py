"""Prompt swaps: one word changes, the seeds stay, and the measurements are those of the images."""

import numpy as np
import pandas as pd
import pytest

from dermdit_kedro.augmentation.parameters import SwapConfig
from dermdit_kedro.augmentation.swaps import plan_swaps, score_swaps
from dermdit_kedro.dermoscopy.images import build_image_index, write_png
from dermdit_kedro.handles import ImageFolder
from dermdit_kedro.prompts.parameters import ATTRIBUTES
from dermdit_kedro.report.swap_figure import prompt_swap_figure

CONFIG = SwapConfig(attributes=("tone_group", "is_malignant"), num_seeds=3, shown=2)


@pytest.fixture
def plan(manifest):
    return plan_swaps(manifest, CONFIG, ATTRIBUTES, 20, seed=0)


def test_one_word_changes_and_the_seeds_stay(plan):
    assert plan.groupby("attribute", sort=False)["value"].unique().map(list).to_dict() == {
        "tone_group": ["light", "brown", "dark"], "is_malignant": ["benign", "malignant"],
    }  # fmt: skip
    assert plan["sample_id"].is_unique
    for _, rows in plan.groupby("attribute"):
        seeds = rows.groupby("value")["seed"].apply(list)
        assert all(each == seeds.iloc[0] for each in seeds)
        words = [set(prompt.replace(",", "").split()) for prompt in rows["prompt"].unique()]
        shared = set.intersection(*words)
        assert all(len(each - shared) == 1 for each in words)


def test_what_too_few_training_images_show_is_not_asked_for(manifest):
    plan = plan_swaps(manifest, CONFIG, ATTRIBUTES, 30, seed=0)
    assert set(plan.loc[plan["attribute"] == "tone_group", "value"]) == {"light", "brown"}
    assert plan_swaps(manifest, CONFIG, ATTRIBUTES, 10_000, seed=0).empty


def test_only_what_the_prompts_name_is_swapped(manifest):
    plan = plan_swaps(manifest, CONFIG, ("is_malignant",), 20, seed=0)
    assert set(plan["attribute"]) == {"is_malignant"}
    assert not plan["prompt"].str.contains("tone").any()


@pytest.fixture
def images(tmp_path, plan):
    """Grey images, ten levels darker from value to value of an attribute."""
    levels = {"light": 200, "brown": 190, "dark": 180, "benign": 150, "malignant": 140}
    for row in plan.itertuples():
        write_png(tmp_path / f"{row.sample_id}.png", np.full((8, 8, 3), levels[row.value], np.uint8))
    build_image_index(tmp_path)
    return ImageFolder(tmp_path, "greys")


@pytest.fixture
def scores(plan, images):
    angles = plan["value"].map({"light": 50.0, "brown": 20.0, "dark": -20.0})
    pixels = pd.DataFrame(
        {"contrast": 1.0, "ita_degrees": angles, "tone_group": plan["value"].where(angles.notna(), "unknown")}
    )
    margins = np.where(plan["value"] == "malignant", 0.2, -0.3)
    return score_swaps(plan, images, pixels, margins)


def test_the_measurements_are_those_of_each_value(scores):
    tones = scores["tone_group"]
    assert [tones[value]["median_ita_degrees"] for value in tones] == [50.0, 20.0, -20.0]
    assert [tones[value]["mean_change"] for value in tones] == [0.0, 10.0, 20.0]
    assert tones["dark"]["tones"] == {"dark": 1.0}
    assert "dark skin tone" in tones["dark"]["prompt"]
    labels = scores["is_malignant"]
    assert labels["malignant"]["malignant_share"] == 1.0
    assert labels["benign"]["mean_malignancy_margin"] == pytest.approx(-0.3)
    assert labels["benign"]["median_ita_degrees"] is None
    assert labels["benign"]["n_with_tone"] == 0


def test_the_figure_has_a_row_for_each_value_and_says_what_was_measured(plan, images, scores):
    figure = prompt_swap_figure(plan, images, scores, shown=2, thumbnail_px=8)
    assert len(figure.layout.images) == 2 * 5
    words = [note.text for note in figure.layout.annotations]
    assert "ITA -20°, malignant 0%, moved 20" in words
    assert "ITA unknown, malignant 100%, moved 10" in words
    assert {"light", "brown", "dark", "benign", "malignant"} <= set(words)


def test_a_figure_of_nothing_is_drawn():
    assert prompt_swap_figure(pd.DataFrame(), None, {}, shown=1, thumbnail_px=8).layout.meta["title"]

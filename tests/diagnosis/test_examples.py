"""Which rows an arm learns from."""

import pandas as pd
import pytest

from dermdit_kedro.diagnosis.examples import (
    EXAMPLE_COLUMNS,
    REAL,
    SYNTHETIC,
    arm_examples,
    oversample,
    real_examples,
    refuse_foreign,
    synthetic_examples,
)
from dermdit_kedro.diagnosis.parameters import ArmConfig
from dermdit_kedro.errors import UserError


@pytest.fixture
def real(manifest, images):
    return real_examples(manifest, images, "is_malignant")


@pytest.fixture
def synthetic():
    table = pd.DataFrame(
        {
            "file": [f"s{i}.png" for i in range(20)],
            "kept": [i != 3 for i in range(20)],
            "requested_is_malignant": pd.array([i % 2 == 0 for i in range(20)], "boolean"),
            "requested_tone_group": "dark",
        }
    )
    return synthetic_examples(table)


def take(real, synthetic, /, **arm):
    return arm_examples(real, synthetic, ArmConfig(**arm), "is_malignant", seed=0)


def test_real_examples_are_the_labelled_train_and_val_rows(manifest, images):
    manifest = manifest.copy()
    manifest.loc[:3, "is_malignant"] = pd.NA
    examples = real_examples(manifest, images, "is_malignant")
    assert dict(examples["split"].value_counts()) == {"train": 44, "val": 16}
    assert set(examples["folder"]) == {REAL}
    assert (images.path / examples["file"].iloc[0]).is_file()


def test_one_label_alone_cannot_be_learned(manifest, images):
    benign = manifest[~manifest["is_malignant"].astype(bool)]
    with pytest.raises(UserError, match=r"both values of 'is_malignant'.*False: 24"):
        real_examples(benign, images, "is_malignant")


def test_images_of_a_generator_that_saw_what_is_now_tested_on_are_refused(manifest):
    seen = pd.DataFrame({"nearest_train_image_id": [*manifest.loc[manifest["split"] == "train", "image_id"][:3], None]})
    refuse_foreign(seen, manifest)
    moved = manifest.assign(split=manifest["split"].mask(manifest["image_id"] == seen.iloc[1, 0], "test"))
    with pytest.raises(UserError, match=rf"{seen.iloc[1, 0]}.* is test now"):
        refuse_foreign(seen, moved)
    with pytest.raises(UserError, match="is not in the manifest now"):
        refuse_foreign(seen, manifest[manifest["image_id"] != seen.iloc[0, 0]])


def test_only_kept_synthetic_images_teach_what_was_asked_for(synthetic):
    assert len(synthetic) == 19
    assert "s3.png" not in set(synthetic["file"])
    assert synthetic["label"].sum() == 10
    assert set(synthetic["folder"]) == {SYNTHETIC}


@pytest.mark.parametrize(
    ("arm", "folders"),
    [
        ({"real": True}, {REAL: 48}),
        ({"real": False, "synthetic": True}, {SYNTHETIC: 19}),
        ({"real": True, "synthetic": True}, {REAL: 48, SYNTHETIC: 19}),
        ({"real": True, "synthetic": True, "synthetic_ratio": 0.25}, {REAL: 48, SYNTHETIC: 12}),
    ],
)
def test_every_arm_validates_on_the_real_validation_rows(real, synthetic, arm, folders):
    examples = take(real, synthetic, **arm)
    train = examples[examples["split"] == "train"]
    assert dict(train["folder"].value_counts()) == folders
    validation = examples[examples["split"] == "val"].reset_index(drop=True)
    expected = real.loc[real["split"] == "val", list(EXAMPLE_COLUMNS)].reset_index(drop=True)
    pd.testing.assert_frame_equal(validation, expected)


def test_the_choice_of_synthetic_images_depends_on_the_seed_alone(real, synthetic):
    arm = ArmConfig(real=False, synthetic=True, synthetic_ratio=0.2)
    first, again, other = (arm_examples(real, synthetic, arm, "is_malignant", seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    assert set(first["file"]) != set(other["file"])


def test_too_few_synthetic_images_are_refused_with_the_way_out(real, synthetic):
    with pytest.raises(UserError, match=r"needs 96 synthetic images.*19 passed.*synthesis.num_images"):
        take(real, synthetic, synthetic=True, synthetic_ratio=2.0)
    with pytest.raises(UserError, match="0 passed the screens"):
        take(real, synthetic[:0], synthetic=True)


def test_synthetic_images_cannot_teach_a_label_they_were_not_made_for(real, synthetic):
    with pytest.raises(UserError, match="cannot teach 'is_melanoma'"):
        arm_examples(real, synthetic, ArmConfig(synthetic=True), "is_melanoma", seed=0)


def test_oversampling_makes_the_groups_even_and_keeps_every_row(real, synthetic):
    train = real[real["split"] == "train"]
    even = oversample(train, seed=0)
    counts = even.groupby(["label", "tone_group"]).size()
    assert len(counts) == 5  # nothing is invented: malignant on dark skin has no row and stays empty
    assert counts.nunique() == 1
    assert set(even["file"]) == set(train["file"])
    assert len(take(real, synthetic, oversample=True)) == len(even) + 16


def test_oversampling_keeps_rows_of_unknown_tone_once(real):
    train = real[real["split"] == "train"].reset_index(drop=True)
    train.loc[:4, "tone_group"] = "unknown"
    assert (oversample(train, seed=0)["tone_group"] == "unknown").sum() == 5


def test_oversampling_spreads_the_repeats():
    rows = pd.DataFrame(
        {"label": [True] * 7 + [False] * 3, "tone_group": "light", "file": [f"{i}.png" for i in range(10)]}
    )
    repeats = oversample(rows, seed=0)["file"].value_counts()
    assert repeats.max() - repeats[["7.png", "8.png", "9.png"]].min() <= 1

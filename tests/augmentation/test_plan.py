"""Laws of the synthesis plan: exact numbers, nobody unsupported, rows that do not depend on one another."""

import pandas as pd
import pytest

from dermdit_kedro.augmentation.parameters import SynthesisConfig
from dermdit_kedro.augmentation.plan import (
    PLAN_DTYPES,
    is_unconditional,
    plan_groups,
    plan_unconditional,
    training_records,
)
from dermdit_kedro.augmentation.plan_rows import group_name, groups_of, row_seed
from dermdit_kedro.errors import UserError
from dermdit_kedro.prompts.instructions import describe
from dermdit_kedro.prompts.parameters import ATTRIBUTES

GROUP = ["requested_is_malignant", "requested_tone_group"]


@pytest.fixture
def train(manifest, prompts):
    return training_records(manifest, prompts)


def config(num_images: int = 100, **changes) -> SynthesisConfig:
    return SynthesisConfig(num_images=num_images, **changes)


@pytest.mark.parametrize("num_images", [1, 5, 97, 480])
def test_groups_get_equal_numbers_that_add_up(train, num_images):
    rows = plan_groups(train, config(num_images), ATTRIBUTES, seed=0).rows
    counts = rows.groupby(GROUP).size()
    assert len(rows) == num_images
    assert counts.max() - counts.min() <= 1
    assert len(counts) == min(5, num_images)


def test_small_groups_are_reported_and_never_planned(train):
    plan = plan_groups(train, config(), ATTRIBUTES, seed=0)
    expected = {"group": {"is_malignant": True, "tone_group": "dark"}, "n_train": 3, "min_train_images": 20}
    assert plan.unsupported_groups == [expected]
    asked = plan.rows[GROUP].to_numpy().tolist()
    assert [True, "dark"] not in asked


def test_columns_and_dtypes_are_the_contract(train):
    rows = plan_groups(train, config(), ATTRIBUTES, seed=0).rows
    assert {name: str(dtype) for name, dtype in rows.dtypes.items()} == PLAN_DTYPES
    assert rows["sample_id"].is_unique
    assert rows["sample_id"].str.fullmatch(r"[A-Za-z0-9_.-]+").all()


def test_a_larger_plan_holds_every_row_of_a_smaller_one(train):
    small = plan_groups(train, config(60), ATTRIBUTES, seed=3).rows.set_index("sample_id")
    large = plan_groups(train, config(321), ATTRIBUTES, seed=3).rows.set_index("sample_id")
    pd.testing.assert_frame_equal(small, large.loc[small.index])


def test_the_order_of_the_manifest_does_not_matter(train):
    shuffled = train.sample(frac=1, random_state=5)
    plans = [plan_groups(table, config(), ATTRIBUTES, seed=0).rows for table in (train, shuffled)]
    pd.testing.assert_frame_equal(*plans)


def test_seeds_are_distinct_stable_and_follow_the_seed_of_the_run(train):
    rows = plan_groups(train, config(480), ATTRIBUTES, seed=0).rows
    other = plan_groups(train, config(480), ATTRIBUTES, seed=1).rows
    assert rows["seed"].is_unique
    assert rows["seed"].between(0, 2**63 - 1).all()
    assert not set(rows["seed"]) & set(other["seed"])
    assert row_seed(0, "malignant_dark_00003") == 7149197441552051917


def test_prompts_and_attributes_are_those_of_one_real_training_image(train):
    rows = plan_groups(train, config(200), ATTRIBUTES, seed=0).rows
    captions = train.set_index("prompt")
    for row in rows.itertuples():
        models = captions.loc[[row.prompt]]
        assert (models["tone_group"] == row.requested_tone_group).all()
        assert (models["is_malignant"] == row.requested_is_malignant).all()
        assert models["site"].eq(row.requested_site).all()
        assert models["sex"].isna().all() if pd.isna(row.requested_sex) else models["sex"].eq(row.requested_sex).all()


def test_every_image_of_a_group_is_drawn_once_before_any_is_drawn_twice(manifest):
    group = manifest[(manifest["tone_group"] == "light") & manifest["is_malignant"]]
    prompts = pd.DataFrame({"image_id": group["image_id"], "prompt": group["image_id"]})
    rows = plan_groups(training_records(group, prompts), config(75), ATTRIBUTES, seed=0).rows
    assert rows["prompt"].value_counts().between(2, 3).all()
    assert rows["prompt"].head(30).is_unique


def test_flagged_or_missing_captions_give_way_to_the_grammar(manifest, prompts):
    flagged = prompts.assign(contradicts_metadata=True, is_refusal=False)
    for given in (flagged, prompts.head(0)):
        rows = plan_groups(training_records(manifest, given), config(40), ATTRIBUTES, seed=0).rows
        assert not rows["prompt"].str.startswith("caption").any()
        first = rows.iloc[0]
        record = {a: first[f"requested_{a}"] for a in ATTRIBUTES}
        assert first["prompt"] == describe(record, ATTRIBUTES)


def test_only_what_the_prompts_name_is_asked_for(train):
    rows = plan_groups(train, config(), ("is_malignant", "tone_group"), seed=0).rows
    assert rows[["requested_sex", "requested_age_approx", "requested_site"]].isna().all(axis=None)
    assert rows[GROUP].notna().all(axis=None)


def test_a_group_never_seen_is_planned_from_the_grammar_when_the_user_insists(manifest, prompts):
    train = training_records(manifest[manifest["tone_group"] != "dark"], prompts)
    rows = plan_groups(train, config(60, min_train_images=0), ATTRIBUTES, seed=0).rows
    dark = rows[rows["requested_tone_group"] == "dark"]
    assert len(dark) == 20
    assert set(dark["prompt"]) == {
        "dermoscopic image of a benign lesion, dark skin tone",
        "dermoscopic image of a malignant lesion, dark skin tone",
    }


def test_groups_may_be_of_any_closed_attribute(train):
    rows = plan_groups(train, config(80, attributes=("sex",), min_train_images=1), ATTRIBUTES, seed=0).rows
    assert rows["requested_sex"].value_counts().to_dict() == {"male": 40, "female": 40}
    assert len(groups_of(("is_malignant", "tone_group", "sex"))) == 12
    assert group_name({"is_malignant": True, "site": "lower extremity"}) == "malignant_lower-extremity"


def test_groups_take_turns(train):
    rows = plan_groups(train, config(50), ATTRIBUTES, seed=0).rows
    assert not rows[GROUP].head(5).duplicated().any()


def test_an_unconditional_plan_asks_for_nothing():
    plan = plan_unconditional(7, seed=0)
    assert plan.unsupported_groups == []
    assert is_unconditional(plan.rows)
    assert plan.rows.drop(columns=["sample_id", "prompt", "seed"]).isna().all(axis=None)
    assert len(plan.rows) == plan.rows["seed"].nunique() == 7


def test_errors_name_the_rule_and_the_value(train):
    with pytest.raises(UserError, match=r"min_train_images = 500 training images .*malignant_dark: 3"):
        plan_groups(train, config(min_train_images=500), ATTRIBUTES, seed=0)
    with pytest.raises(UserError, match=r"\['sex'\]"):
        plan_groups(train, config(attributes=("is_malignant", "sex")), ("is_malignant", "tone_group"), seed=0)
    with pytest.raises(ValueError, match="each attribute once"):
        config(attributes=("sex", "sex"))
    with pytest.raises(ValueError, match="'balanced', 'complement', 'match' or 'table'"):
        config(strategy="even")


def test_complement_makes_the_groups_even(train):
    rows = plan_groups(train, config(500, strategy="complement"), ATTRIBUTES, seed=0).rows
    after = train.groupby(["is_malignant", "tone_group"]).size().add(rows.groupby(GROUP).size().rename_axis(
        ["is_malignant", "tone_group"]), fill_value=0)  # fmt: skip
    supported = after.drop([(True, "dark"), (True, "unknown")])
    assert (supported == 40).all()


def test_complement_of_even_groups_is_refused(train):
    even = train[(train["tone_group"] == "light") & train["is_malignant"]]
    with pytest.raises(UserError, match="every group of is_malignant x tone_group has 30 training images"):
        plan_groups(even, config(strategy="complement"), ATTRIBUTES, seed=0)


def test_match_keeps_the_proportions_of_the_training_images(train):
    rows = plan_groups(train, config(137, strategy="match"), ATTRIBUTES, seed=0).rows
    counts = rows.groupby(GROUP).size()
    assert counts[(False, "light")] == 40
    assert counts[(True, "brown")] == 22

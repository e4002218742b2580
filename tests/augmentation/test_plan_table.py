"""A plan that a table asks for: what it says, no more, and faults by row and column."""

import io

import pandas as pd
import pytest

from dermdit_kedro.augmentation.plan import PLAN_DTYPES, training_records
from dermdit_kedro.augmentation.plan_table import plan_table, read_table
from dermdit_kedro.errors import UserError
from dermdit_kedro.prompts.instructions import describe
from dermdit_kedro.prompts.parameters import ATTRIBUTES

HEADER = "count,is_malignant,tone_group,sex,age_approx,site,prompt\n"


@pytest.fixture
def train(manifest, prompts):
    return training_records(manifest, prompts)


def plan(train, lines: str, min_train_images: int = 1, attributes=ATTRIBUTES):
    table = read_table(pd.read_csv(io.StringIO(HEADER + lines)))
    return plan_table(train, table, attributes, min_train_images, seed=0)


def test_counts_and_attributes_are_those_of_the_table(train):
    rows = plan(train, "3,True,dark,,,,\n5,False,,,,trunk,\n2,,light,female,60,,\n").rows
    assert {name: str(dtype) for name, dtype in rows.dtypes.items()} == PLAN_DTYPES
    assert len(rows) == 10
    assert rows["sample_id"].is_unique
    first, second, third = rows.iloc[:3], rows.iloc[3:8], rows.iloc[8:]
    assert first["requested_is_malignant"].all()
    assert set(first["requested_tone_group"]) == {"dark"}
    assert set(second["requested_site"]) == {"trunk"}
    assert not second["requested_is_malignant"].any()
    assert set(third["requested_tone_group"]) == {"light"}
    assert (third["requested_age_approx"] - 60).abs().max() <= 5
    assert rows["prompt"].str.startswith("caption: ").all()


def test_a_group_asked_for_twice_goes_on_counting(train):
    rows = plan(train, "3,True,light,,,,\n2,True,light,,,,\n").rows
    together = plan(train, "5,True,light,,,,\n").rows
    pd.testing.assert_frame_equal(rows, together)


def test_a_prompt_of_ones_own_is_used_as_it_is(train):
    rows = plan(train, '2,True,light,,,,"a melanoma, light skin tone"\n').rows
    assert set(rows["prompt"]) == {"a melanoma, light skin tone"}
    assert rows["requested_is_malignant"].all()
    assert rows["requested_site"].isna().all()
    assert rows["seed"].nunique() == 2


def test_what_too_few_training_images_show_is_left_out_and_reported(train):
    found = plan(train, "3,True,dark,,,,\n1,True,light,,,,\n", min_train_images=20)
    assert len(found.rows) == 1
    assert found.unsupported_groups == [
        {"group": {"is_malignant": True, "tone_group": "dark"}, "n_train": 3, "min_train_images": 20}
    ]
    with pytest.raises(UserError, match="Got 1 rows, 1 of them unsupported"):
        plan(train, "3,True,dark,,,,\n", min_train_images=20)


def test_what_nobody_ever_showed_comes_from_the_grammar_when_the_user_insists(train):
    rows = plan(train[train["tone_group"] != "dark"], "2,True,dark,,,,\n", min_train_images=0).rows
    assert set(rows["prompt"]) == {describe({"is_malignant": True, "tone_group": "dark"})}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("0,True,,,,,\n", "row 1, count"),
        ("1,perhaps,,,,,\n", "row 1, is_malignant"),
        ("1,,light,,,,\n1,,blue,,,,\n", "row 2, tone_group.*'blue'"),
        ("1,,,,-5,,\n", "row 1, age_approx"),
        (",,light,,,,\n", "row 1, count.*no such column|row 1, count"),
    ],
)
def test_faults_name_row_column_and_value(train, lines, message):
    with pytest.raises(UserError, match=message):
        plan(train, lines)


def test_an_unknown_column_is_named():
    with pytest.raises(UserError, match="row 1, colour"):
        read_table(pd.DataFrame({"count": [1], "colour": ["red"]}))


def test_an_empty_table_is_refused(train):
    with pytest.raises(UserError, match="at least one image"):
        plan(train, "")


def test_what_the_prompts_do_not_name_cannot_be_asked_for(train):
    with pytest.raises(UserError, match=r"\['sex'\]"):
        plan(train, "1,,,female,,,\n", attributes=("is_malignant", "tone_group"))


def test_ages_within_five_years_support_an_age(train):
    assert (train["age_approx"].dropna().isin([30.0, 60.0])).all()
    assert len(plan(train, "4,,,,57,,\n", min_train_images=5).rows) == 4
    with pytest.raises(UserError, match="unsupported"):
        plan(train, "4,,,,45,,\n", min_train_images=1)
    assert plan(train, "4,,,,57,,\n").rows["requested_age_approx"].notna().all()

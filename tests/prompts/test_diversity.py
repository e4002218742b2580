import pytest

from dermdit_kedro.prompts.diversity import beyond_facts, score_diversity
from dermdit_kedro.prompts.instructions import describe

RECORD = {"is_malignant": True, "tone_group": "dark", "sex": "male", "age_approx": 60.0, "site": "trunk"}
OTHER = {**RECORD, "sex": "female", "age_approx": 30.0}


def test_what_is_left_of_a_prompt_is_what_it_says_of_the_image():
    assert beyond_facts(describe(RECORD), RECORD) == ""
    assert beyond_facts(f"{describe(RECORD)}, with an irregular Border", RECORD) == "irregular border"


def test_boilerplate_is_seen_through_the_facts():
    ending = ", irregular border with blue streaks"
    found = score_diversity([describe(RECORD) + ending, describe(OTHER) + ending], [RECORD, OTHER])
    assert found["unique_share"] == 1.0
    assert found["same_but_facts_share"] == 1.0
    assert found["says_nothing_share"] == 0.0


def test_templates_say_nothing():
    found = score_diversity([describe(RECORD)] * 3, [RECORD] * 3)
    assert found["unique_share"] == pytest.approx(1 / 3)
    assert found["says_nothing_share"] == 1.0
    assert found["near_identical_share"] == 1.0


def test_distinct_n_grams_by_hand():
    found = score_diversity(["red red blue", "red blue"], [{}, {}])
    assert found["distinct_1"] == pytest.approx(2 / 5)
    assert found["distinct_2"] == pytest.approx(2 / 3)
    assert found["near_identical_share"] == 0.0


def test_near_neighbours_by_hand():
    long = "one two three four five six seven eight nine ten eleven"
    found = score_diversity([long, long + " twelve", "quite another text altogether here"], [{}] * 3)
    assert found["near_identical_share"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("prompts", [[], [""], ["", ""], ["word"]])
def test_nothing_to_compare_is_no_crash(prompts):
    found = score_diversity(prompts, [{}] * len(prompts))
    assert found["n"] == len(prompts)
    assert found.get("near_identical_share") is None

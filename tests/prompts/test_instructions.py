import itertools

import numpy as np
import pandas as pd
import pytest
from tests.prompts.captioning_jobs import DEFAULT

from dermdit_kedro.dermoscopy.records import SEXES, SITES, TONE_GROUPS
from dermdit_kedro.errors import UserError
from dermdit_kedro.prompts.instructions import (
    check_template,
    describe,
    facts,
    instruct,
    instruction_sha256,
    known,
    spoken_age,
    vocabulary,
    write_instructions,
)
from dermdit_kedro.prompts.lexicon import is_contradicted, is_recalled, mentions
from dermdit_kedro.prompts.parameters import ATTRIBUTES


def every_record():
    values = ((True, False), TONE_GROUPS, SEXES, (1.0, 7.0, 45.0, 60.0, 85.0, 120.0), SITES)
    return [dict(zip(ATTRIBUTES, row, strict=True)) for row in itertools.product(*values)]


SUBSETS = [subset for size in range(1, 6) for subset in itertools.combinations(ATTRIBUTES, size)]


@pytest.mark.parametrize("attributes", SUBSETS, ids="+".join)
def test_every_attribute_asked_for_is_recalled_and_none_contradicted(attributes):
    for record in every_record()[:: 1 if attributes == ATTRIBUTES else 7]:
        said = mentions(describe(record, attributes))
        assert all(is_recalled(a, said, record[a]) for a in attributes)
        assert not any(is_contradicted(a, said, record[a]) for a in ATTRIBUTES)
        assert not any(said[a] for a in ATTRIBUTES if a not in attributes)


@pytest.mark.parametrize("missing", ATTRIBUTES)
@pytest.mark.parametrize("null", [None, np.nan, pd.NA, "unknown"])
def test_an_unknown_attribute_is_left_out_and_never_called_unknown(missing, null):
    record = {"is_malignant": True, "tone_group": "dark", "sex": "female", "age_approx": 60.0, "site": "trunk"}
    prompt = describe({**record, missing: null})
    assert not mentions(prompt)[missing]
    assert "unknown" not in prompt
    assert "nan" not in prompt.lower().replace("malignant", "")
    assert all(mentions(prompt)[a] for a in ATTRIBUTES if a != missing)


def test_the_wording_the_paper_needs():
    record = {
        "is_malignant": True,
        "tone_group": "dark",
        "sex": "female",
        "age_approx": 58.0,
        "site": "lower extremity",
    }
    assert (
        describe(record) == "dermoscopic image of a malignant lesion, dark skin tone, female, age 60, lower extremity"
    )
    assert describe(record, ("is_malignant", "tone_group")) == "dermoscopic image of a malignant lesion, dark skin tone"
    assert describe({}) == "dermoscopic image of a lesion"
    assert describe({"modality": "clinical", "is_malignant": False}) == "clinical image of a benign lesion"
    assert facts(record, ("site",)) == ["lower extremity"]


@pytest.mark.parametrize("age", np.arange(1, 130, 0.5))
def test_a_spoken_age_is_never_more_than_five_years_off(age):
    assert abs(spoken_age(age) - age) <= 5


@pytest.mark.parametrize("age", [0, -1, 131])
def test_an_impossible_age_is_refused(age):
    with pytest.raises(ValueError, match="age_approx"):
        spoken_age(age)


def test_numpy_and_pandas_booleans_count_as_labels():
    assert describe({"is_malignant": np.False_}) == describe({"is_malignant": False})
    assert known(np.False_)
    assert not known("")


def test_the_instruction_holds_the_facts_and_its_hash_follows_it():
    record = {"is_malignant": False, "tone_group": "light", "age_approx": 30.0}
    text = instruct(record, ATTRIBUTES, DEFAULT, 45)
    assert describe(record) in text
    assert "at most 45 words" in text
    assert instruction_sha256(text) != instruction_sha256(instruct({}, ATTRIBUTES, DEFAULT, 45))
    assert len(instruction_sha256(text)) == 64


def test_instructions_keep_the_order_of_the_manifest():
    manifest = pd.DataFrame({"image_id": ["b", "a"], "is_malignant": pd.array([True, None], dtype="boolean")})
    table = write_instructions(manifest, ("is_malignant",), DEFAULT, 45)
    assert table["image_id"].tolist() == ["b", "a"]
    assert "malignant" in table["instruction"][0]
    assert "a lesion" in table["instruction"][1]


def test_the_vocabulary_holds_every_word_of_the_grammar():
    words = set(" ".join(vocabulary()).replace(",", " ").split())
    said = {word for record in every_record() for word in describe(record).replace(",", " ").split()}
    assert said <= words


@pytest.mark.parametrize("text", ["Describe the image.", "{facts} {label}", "{facts", "{facts} {0}", "{}"])
def test_an_instruction_that_cannot_be_filled_in_is_refused(text):
    with pytest.raises(UserError, match="'mine'"):
        check_template("mine", text)


def test_a_good_instruction_passes():
    assert check_template("mine", " {facts} of a {view}, {words} words, no {{braces}}\n").startswith("{facts}")

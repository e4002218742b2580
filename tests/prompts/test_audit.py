import pandas as pd
import pytest

from dermdit_kedro.prompts.audit import FLAGS, audit_prompts
from dermdit_kedro.prompts.captioning import CONTROL_COLUMNS
from dermdit_kedro.prompts.clip import prompt_limit
from dermdit_kedro.prompts.faults import find_faults, is_refusal, is_repetitive
from dermdit_kedro.prompts.instructions import vocabulary
from dermdit_kedro.prompts.parameters import ATTRIBUTES, TextEncoderConfig
from dermdit_kedro.prompts.tokenizer import train_tokenizer

ROWS = [
    # prompt, omits, contradicts, refusal, repetitive, truncated
    (
        "dermoscopic image of a malignant lesion, dark skin tone, female, age 60, trunk",
        False,
        False,
        False,
        False,
        False,
    ),
    ("a melanoma on the back of a 62-year-old woman with dark skin", False, False, False, False, False),
    ("a malignant lesion of a woman", True, False, False, False, False),
    ("a benign lesion, dark skin tone, female, age 60, trunk", True, True, False, False, False),
    ("no malignancy, dark skin tone, female, age 60, trunk", True, True, False, False, False),
    ("a malignant lesion, dark skin tone, female, age 30, trunk", True, True, False, False, False),
    ("I'm sorry, I cannot provide a diagnosis.", True, False, True, False, False),
    ("", True, False, True, False, False),
    ("lesion lesion lesion lesion lesion", True, False, False, True, False),
    ("a malignant lesion, dark skin tone, female, age 60, trunk" + ", with dots" * 9, False, False, False, True, True),
]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([*vocabulary(), *(row[0] for row in ROWS)], TextEncoderConfig())


NO_CONTROLS = pd.DataFrame(columns=list(CONTROL_COLUMNS))


def as_drafts(prompts, ids, **columns) -> pd.DataFrame:
    drafts = pd.DataFrame({"image_id": ids, "prompt": prompts, "prompt_source": "by hand", "instruction_sha256": "0"})
    return drafts.assign(
        **{"answer": prompts, "answer_is_cut": False, "attempts": 1, "repair": "", "repair_reason": "", **columns}
    )


@pytest.fixture(scope="module")
def audited(tokenizer):
    ids = [f"s/{i}" for i in range(len(ROWS))]
    drafts = as_drafts([row[0] for row in ROWS], ids)
    manifest = pd.DataFrame({"image_id": ids[::-1], "is_malignant": pd.array([True] * len(ids), dtype="boolean")})
    manifest = manifest.assign(tone_group="dark", sex="female", age_approx=60.0, site="trunk", modality="dermoscopic")
    manifest.loc[manifest["image_id"] == "s/2", ["tone_group", "site"]] = ["unknown", None]
    return audit_prompts(drafts, NO_CONTROLS, manifest, tokenizer, prompt_limit(tokenizer), ATTRIBUTES)


@pytest.mark.parametrize("row", range(len(ROWS)), ids=[row[0][:40] or "empty" for row in ROWS])
def test_each_prompt_is_found_for_what_it_is(audited, row):
    found = audited[0].iloc[row]
    expected = dict(zip([*FLAGS, "truncated"], ROWS[row][1:], strict=True))
    assert {name: bool(found[name]) for name in expected} == expected


def test_the_columns_are_the_contract(audited):
    assert list(audited[0].columns) == [
        "image_id", "prompt", "prompt_source", "instruction_sha256", "answer", "answer_is_cut", "attempts", "repair",
        "repair_reason", "token_count", "truncated", *FLAGS
    ]  # fmt: skip
    assert str(audited[0]["token_count"].dtype) == "Int64"
    assert all(audited[0][flag].dtype == bool for flag in (*FLAGS, "truncated"))


def test_shares_count_only_rows_in_which_the_attribute_is_known(audited):
    report = audited[1]
    assert report["n"] == len(ROWS)
    assert report["n_known"]["site"] == len(ROWS) - 1
    assert report["attribute_recall"]["is_malignant"] == pytest.approx(5 / 10)
    assert report["attribute_recall"]["site"] == pytest.approx(6 / 9)
    assert report["contradictions"]["is_malignant"] == pytest.approx(2 / 10)
    assert report["refusals"] == 2
    assert report["repetitive"] == 2
    assert report["token_count"]["limit"] == 32
    assert report["prompt_source"] == {"by hand": len(ROWS)}


def test_the_groups_add_up(audited):
    groups = audited[1]["by_tone_group"]
    assert {name: group["n"] for name, group in groups.items()} == {"dark": 9, "unknown": 1}
    assert groups["unknown"]["attribute_recall"]["tone_group"] is None


def test_recall_is_asked_of_the_sets_own_attributes_but_contradictions_of_all(tokenizer):
    drafts = as_drafts(["a malignant lesion, dark skin tone, age 20"], ["a"])
    manifest = pd.DataFrame({"image_id": ["a"], "is_malignant": [True], "tone_group": ["dark"], "sex": ["male"]})
    manifest = manifest.assign(age_approx=70.0, site=None, modality="dermoscopic")
    prompts, report = audit_prompts(drafts, NO_CONTROLS, manifest, tokenizer, 32, ATTRIBUTES[:2])
    assert report["attribute_recall"] == {"is_malignant": 1.0, "tone_group": 1.0}
    assert report["contradictions"]["age_approx"] == 1.0
    assert report["contradictions"]["site"] is None
    assert not prompts["omits_attribute"][0]
    assert prompts["contradicts_metadata"][0]


REFUSALS = [
    "As an AI language model, I can't.", "I am unable to view images.", "Please consult a qualified dermatologist.",
    "This is not medical advice.", "  ", "...", "The type cannot be determined",
]  # fmt: skip


@pytest.mark.parametrize("text", REFUSALS)
def test_refusals(text):
    assert is_refusal(text)


@pytest.mark.parametrize("text", ["A malignant lesion.", "The border cannot hide its irregular colour", "dark"])
def test_descriptions_are_no_refusals(text):
    assert not is_refusal(text)


def test_repetition():
    assert is_repetitive("the lesion is brown and " * 5)
    assert not is_repetitive("dermoscopic image of a malignant lesion, dark skin tone, female, age 60, lower extremity")
    assert not is_repetitive("brown and brown")


def test_answers_are_told_apart_from_what_was_made_of_them(tokenizer):
    good, bad = "a malignant lesion, dark skin tone", "a benign lesion"
    reasons = [
        "contradicts whether it is malignant or benign; leaves out the skin tone",
        "",
        "no answer: HTTP 500 a; b",
    ]
    drafts = as_drafts(
        [good] * 3,
        ["a", "b", "c"],
        answer=[bad, good, ""],
        answer_is_cut=[True, False, False],
        repair=["retry", "", "template"],
        repair_reason=reasons,
    )
    manifest = pd.DataFrame(
        {"image_id": ["a", "b", "c"], "is_malignant": True, "tone_group": ["dark", "dark", "light"]}
    )
    manifest = manifest.assign(sex=None, age_approx=None, site=None, modality="dermoscopic")
    _, report = audit_prompts(drafts, NO_CONTROLS, manifest, tokenizer, 32, ATTRIBUTES[:2])
    assert report["attribute_recall"]["is_malignant"] == 1.0
    assert report["answers"]["attribute_recall"]["is_malignant"] == pytest.approx(1 / 3)
    assert report["answers"]["contradictions"]["is_malignant"] == pytest.approx(1 / 3)
    assert report["answers"]["empty"] == 1
    assert report["answers"]["cut"] == 1
    assert report["repairs"] == {
        "retry": 1, "template": 1,
        "reasons": {"contradicts whether it is malignant or benign": 1, "leaves out the skin tone": 1, "no answer": 1},
    }  # fmt: skip
    assert report["by_tone_group"]["light"]["answers"]["empty"] == 1
    assert report["by_tone_group"]["dark"]["repairs"]["template"] == 0


def test_what_stands_behind_the_cut_is_counted_by_attribute(tokenizer):
    prompts = [
        "a malignant lesion" + ", with dots and streaks" * 9 + ", dark skin tone",
        "a malignant lesion, dark skin",
    ]
    manifest = pd.DataFrame({"image_id": ["a", "b"], "is_malignant": True, "tone_group": "dark", "sex": None})
    manifest = manifest.assign(age_approx=None, site=None, modality="dermoscopic")
    _, report = audit_prompts(as_drafts(prompts, ["a", "b"]), NO_CONTROLS, manifest, tokenizer, 32, ATTRIBUTES[:2])
    assert report["cut_attributes"] == {"is_malignant": 0, "tone_group": 1}
    assert report["truncated_share"] == 0.5
    aged = ["a malignant lesion, age 60" + ", with dots and streaks" * 9, "malignant"]
    known = manifest.assign(age_approx=60.0)
    _, report = audit_prompts(as_drafts(aged, ["a", "b"]), NO_CONTROLS, known, tokenizer, 32, ("age_approx",))
    assert report["cut_attributes"] == {"age_approx": 0}, "a number is not taken apart with its tokens"
    _, report = audit_prompts(as_drafts(prompts, ["a", "b"]), NO_CONTROLS, manifest, tokenizer, 92, ATTRIBUTES[:2])
    assert report["cut_attributes"] == {"is_malignant": 0, "tone_group": 0}


def test_faults_are_said_in_words():
    record = {"is_malignant": True, "tone_group": "dark", "sex": "male"}
    assert find_faults("a malignant lesion, dark skin tone, male", record) == []
    assert find_faults("", record) == ["is empty"]
    assert find_faults("a benign lesion of a man", record, ("tone_group",)) == [
        "leaves out the skin tone", "contradicts whether it is malignant or benign"
    ]  # fmt: skip
    assert "is a refusal" in find_faults("I'm sorry, I cannot help with that", record)
    assert "repeats itself" in find_faults("malignant, dark skin tone, male male male male", record)

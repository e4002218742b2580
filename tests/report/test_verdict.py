"""The verdict's rules, each by a case one can check by hand."""

import copy
import re
from typing import Any

import pytest

from dermdit_kedro.report.answers import answers
from dermdit_kedro.report.paragraphs import SAME_SCORES
from dermdit_kedro.report.verdict import accuracy_outcome, fairness_outcome, find_biases, write_verdict
from dermdit_kedro.report.wording import signed

ARMS = ("real", "synthetic", "real_plus_synthetic", "real_oversampled")


def cell(value: float, *, finding: bool, **more: Any) -> dict[str, Any]:
    auc = {"value": value, "interval": [value - 0.05, value + 0.05], "p_value": 0.01, "p_adjusted": 0.02}
    counts = {"n": 100, "n_positive": 40, "n_negative": 60, "label_name": "is_melanoma"}
    return {**counts, "judgeable": True, "reason": None, "auc": {**auc, "finding": finding}, **more}


def movement(outcome: str | None, before: float = -0.2, after: float = -0.05) -> dict[str, Any]:
    return {"before": {"value": before}, "after": {"value": after}, "outcome": outcome, "p_adjusted": 0.01}


def moved(
    *outcomes: str | None, worst: tuple[float, float] = (0.7, 0.8), reference: str | None = "light"
) -> dict[str, Any]:
    measures = ("auc", "true_positive_rate", "false_positive_rate")
    groups = {"dark": {m: movement(o) for m, o in zip(measures, outcomes, strict=False)}}
    return {
        "reference": reference, "judged": ["light", "dark"] if reference else ["light"], "groups": groups,
        "worst_group_auc": {"before": worst[0], "after": worst[1], "before_group": "dark", "after_group": "dark"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "finding", "outcome"),
    [(0.1, True, "better"), (-0.1, True, "worse"), (0.1, False, "cannot tell"), (-0.1, False, "cannot tell")],
)
def test_a_finding_decides_by_its_sign(value: float, finding: bool, outcome: str) -> None:
    found, evidence = accuracy_outcome(cell(value, finding=finding))
    assert found == outcome
    assert f"{value:+.3f}" in evidence
    assert "40 melanoma of 100 images" in evidence


def test_too_few_images_cannot_be_told_and_say_why() -> None:
    small = cell(0.4, finding=True, judgeable=False, reason="too small: 3 positive images, fewer than 10")
    assert accuracy_outcome(small) == (
        "cannot tell", "too small: 3 positive images, fewer than 10 (40 melanoma of 100 images)",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "outcome", "words"),
    [
        (moved("nearer", None, None), "better", "the worst group's AUC went from 0.700 to 0.800"),
        (moved(None, None, "farther"), "worse", "farther from zero"),
        (moved(None, None, None), "cannot tell", "no difference from light is shown to have moved"),
        (moved("nearer", "farther"), "cannot tell", "contradict each other"),
        (moved("nearer", worst=(0.7, 0.6)), "cannot tell", "levelled down"),
        (moved("farther", worst=(0.7, 0.9)), "worse", "dark against light, AUC -0.200 before, -0.050 after"),
        (moved(reference=None), "cannot tell", "fewer than two groups are large enough to judge (light)"),
    ],
    ids=["nearer", "farther", "neither", "both", "levelled down", "farther though better", "too small"],
)
def test_rules_of_fairness(found: dict[str, Any], outcome: str, words: str) -> None:
    answer, evidence = fairness_outcome(found, "tone_group")
    assert answer == outcome
    assert words in evidence


@pytest.fixture
def verdict(parts: dict[str, Any]) -> dict[str, Any]:
    return dict(parts["verdict"])


def test_there_is_an_answer_for_every_arm_test_set_and_attribute(verdict: dict[str, Any]) -> None:
    keys = {(v["question"], v["attribute"], v["test_set"], v["arm"]) for v in verdict["verdicts"]}
    assert len(keys) == len(verdict["verdicts"]) == 2 * 3 * (1 + 2)
    assert [paragraph["test_set"] for paragraph in verdict["paragraphs"]] == ["held_out", "phantom_even"]


def test_the_paragraph_says_what_the_rules_found(verdict: dict[str, Any]) -> None:
    """The miniature's later arms score better, and every arm serves dark skin less well."""
    text = verdict["paragraphs"][1]["text"]
    told = [v for v in verdict["verdicts"] if v["test_set"] == "phantom_even" and v["outcome"] != "cannot tell"]
    assert any(v["question"] == "accuracy" and v["outcome"] == "better" for v in told)
    assert all(v["evidence"] in text for v in told)
    assert "dark against light: AUC -0." in text
    assert "calling every lesion malignant has" in text


def test_groups_too_small_to_judge_are_named(verdict: dict[str, Any]) -> None:
    small = {(group["test_set"], group["attribute"], group["group"]) for group in verdict["unjudged"]}
    assert ("held_out", "tone_group", "dark") in small
    first, even = (paragraph["text"] for paragraph in verdict["paragraphs"])
    assert re.search(
        r"Too few images to judge, so nothing here is said of them: by estimated tone dark \(\d+ mal", first
    )
    assert "Too few images to judge" not in even
    assert "Too few images to judge: dark on held out (" in "".join(answers(verdict, "real").values())


def test_equal_scores_are_no_comparison(verdict: dict[str, Any]) -> None:
    question = "Is diagnosis better?"
    before = answers(verdict, "real")[question]
    same = {**verdict["verdicts"][0], "arm": "thresholds", "outcome": "cannot tell", "evidence": SAME_SCORES}
    assert answers({**verdict, "verdicts": [*verdict["verdicts"], same]}, "real")[question] == before


def test_arms_of_which_nothing_can_be_told_are_named(verdict: dict[str, Any]) -> None:
    found = {"question": "accuracy", "attribute": "", "baseline": "real", "evidence": ""}
    cells = [("synthetic", "worse"), ("real_plus_synthetic", "cannot tell"), ("real_oversampled", "cannot tell")]
    verdicts = [{**found, "arm": arm, "outcome": outcome, "test_set": t} for t in "ab" for arm, outcome in cells]
    verdicts[0]["outcome"] = "cannot tell"
    assert answers({**verdict, "verdicts": verdicts}, "real")["Is diagnosis better?"] == (
        "Worse with synthetic alone (on b); cannot tell with synthetic alone (1 of 2 comparisons), real + synthetic "
        "(2 of 2 comparisons), real oversampled (2 of 2 comparisons); all against real."
    )


def test_a_bias_that_other_arms_share_is_said_of_them(verdict: dict[str, Any]) -> None:
    bias = {
        "test_set": "held_out", "attribute": "sex", "group": "female", "reference": "male", "measure": "auc",
        "sentence": "female against male: AUC -0.200",
    }  # fmt: skip
    biases = [{**bias, "arm": "real", "value": -0.2}, {**bias, "arm": "real_plus_synthetic", "value": -0.1}]
    told = answers({**verdict, "biases": biases, "unjudged": []}, "real")
    assert told["Are all groups served alike by what is trained on real?"] == (
        "No: on held out, female against male: AUC -0.200 (shown of real + synthetic (-0.100) too)."
    )


def test_what_did_not_move_is_told_with_its_numbers() -> None:
    still = moved(None, None, None)
    change = {"value": 0.048, "interval": [-0.031, 0.125], "p_value": 0.2}
    still["groups"]["dark"]["true_positive_rate"]["change"] = change
    _, evidence = fairness_outcome(still, "tone_group")
    assert evidence.endswith(
        "(change of the difference in true positive rate: dark +0.048 [-0.031, +0.125], corrected p 0.01)"
    )


def test_biases_are_the_findings_and_no_more(parts: dict[str, Any]) -> None:
    fairness = {"real": copy.deepcopy(parts["real.group_fairness"])}
    found = list(find_biases(fairness))
    assert {"dark"} <= {bias["group"] for bias in found if bias["attribute"] == "tone_group"}
    for tests in fairness["real"]["attributes"].values():
        for part in tests.values():
            for measures in part["differences"].values():
                for difference in measures.values():
                    difference["finding"] = False
    assert list(find_biases(fairness)) == []


def test_the_level_in_the_rules_is_the_one_in_use(parts: dict[str, Any]) -> None:
    diagnosis, fairness = (
        {arm: parts[f"{arm}.{kind}"] for arm in ARMS} for kind in ("diagnosis_metrics", "group_fairness")
    )
    rules = write_verdict({**parts["arm_comparison"], "confidence": 0.9}, diagnosis, fairness)["rules"]
    assert "below 0.1." in rules[0]


def test_an_arm_with_the_baselines_scores_is_said_to_have_them() -> None:
    same = cell(0.0, finding=False)
    same["auc"] |= {"interval": None, "p_value": None, "p_adjusted": None}
    assert accuracy_outcome(same) == ("cannot tell", "the same scores; only the decisions differ")


def test_a_difference_without_an_interval_says_so() -> None:
    assert signed({"value": 0.2, "interval": None}) == "+0.200 without an interval, since nothing varies"
    assert signed({"value": None}) == "not measured"
    assert signed({"value": -0.1, "interval": [-0.2, 0.0], "p_value": 0.05}) == "-0.100 [-0.200, +0.000], p 0.05"


def test_what_cannot_be_told_is_said_with_the_reason(parts: dict[str, Any]) -> None:
    comparison = copy.deepcopy(parts["arm_comparison"])
    for arm in comparison["accuracy"]["held_out"].values():
        arm["overall"]["auc"]["finding"] = False
    for found in comparison["fairness"]["tone_group"]["held_out"].values():
        found |= {"reference": None, "judged": ["light"], "groups": {}}
    diagnosis, fairness = (
        {arm: parts[f"{arm}.{kind}"] for arm in ARMS} for kind in ("diagnosis_metrics", "group_fairness")
    )
    text = write_verdict(comparison, diagnosis, fairness)["paragraphs"][0]["text"]
    assert "Whether synthetic alone (AUC +0." in text
    assert "is better or worse in diagnosis cannot be told." in text
    assert text.count("fewer than two groups are large enough to judge (light): nothing can be told") == 1

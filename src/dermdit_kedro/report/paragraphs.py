"""What can be said of one test set, in sentences made of the verdicts and their evidence."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dermdit_kedro.report.wording import arm_word, label_word, readable

Outcome = Literal["better", "worse", "cannot tell"]
SAME_SCORES = "the same scores; only the decisions differ"
TOO_FEW_GROUPS = "fewer than two groups are large enough to judge"
OUTCOMES: tuple[Outcome, ...] = ("better", "worse", "cannot tell")


@dataclass(frozen=True)
class Verdict:
    """One finding about one arm on one test set.

    Attributes:
        question: What was asked.
        attribute: By what people are grouped; empty for accuracy.
        test_set: Where it was asked.
        arm: The arm that is judged.
        baseline: The arm it is compared with.
        outcome: The answer.
        evidence: The numbers that gave it, as a sentence.
    """

    question: Literal["accuracy", "fairness"]
    attribute: str
    test_set: str
    arm: str
    baseline: str
    outcome: Outcome
    evidence: str


def paragraph(
    test_set: str,
    comparison: Mapping[str, Any],
    verdicts: list[Verdict],
    biases: list[dict[str, Any]],
    unjudged: list[dict[str, Any]],
    diagnosis: Mapping[str, Mapping[str, Any]],
) -> str:
    """Return what can be said of one test set.

    Args:
        test_set: Its name.
        comparison: The content of `arm_comparison.json`.
        verdicts: Of all test sets.
        biases: Of all arms and test sets.
        unjudged: Of all test sets.
        diagnosis: `diagnosis_metrics` by arm.

    Returns:
        Sentences in one line.
    """
    baseline = comparison["baseline"]
    base = diagnosis[baseline]["test_sets"][test_set]["overall"]
    sentences = [_opening(test_set, baseline, diagnosis[baseline])]
    for question, intro in (("accuracy", "diagnosis"), ("fairness", "fairness")):
        here = [v for v in verdicts if v.test_set == test_set and v.question == question]
        for outcome in ("better", "worse"):
            sentences += [
                f"In {intro}, {arm_word(v.arm)} is {outcome} than {arm_word(baseline)}: {v.evidence}."
                for v in here if v.outcome == outcome
            ]  # fmt: skip
        sentences += _untold(here, baseline, question)
    own = [
        b["sentence"]
        for b in biases
        if (b["arm"], b["test_set"]) == (baseline, test_set) and " x " not in b["attribute"]
    ]
    if base["judgeable"]:
        told = (
            f"groups differ: {'; '.join(own)}" if own else "no group is shown to be served otherwise than its reference"
        )
        sentences.append(f"Trained on {arm_word(baseline)}, {told}.")
        sentences += _left_out([group for group in unjudged if group["test_set"] == test_set])
    return " ".join(sentences)


def _left_out(unjudged: list[dict[str, Any]]) -> list[str]:
    """Name the groups that no word about fairness includes."""
    by: dict[str, list[str]] = {}
    for group in unjudged:
        said = f"{group['group']} ({group['n_positive']:,} {group['label']} of {group['n']:,})"
        by.setdefault(readable(group["attribute"]), []).append(said)
    told = "; ".join(f"by {attribute} {', '.join(groups)}" for attribute, groups in by.items())
    return [f"Too few images to judge, so nothing here is said of them: {told}."] if told else []


def _untold(verdicts: list[Verdict], baseline: str, question: str) -> list[str]:
    """Say what cannot be told of a test set, and why."""
    unsure = [v for v in verdicts if v.outcome == "cannot tell" and v.evidence != SAME_SCORES]
    if question == "accuracy":
        cells = [f"{arm_word(v.arm)} ({v.evidence.partition(' (')[0]})" for v in unsure]
        return [f"Whether {' or '.join(cells)} is better or worse in diagnosis cannot be told."] if cells else []
    small: dict[str, list[str]] = {}
    for v in unsure:
        if TOO_FEW_GROUPS in v.evidence:
            by = readable(v.attribute)
            attributes = small.setdefault(v.evidence.removeprefix(f"by {by}, "), [])
            attributes += [] if by in attributes else [by]
    rest = [v for v in verdicts if TOO_FEW_GROUPS not in v.evidence]
    sentences = [f"Fairness by {', '.join(by)}: {evidence}: nothing can be told." for evidence, by in small.items()]
    if rest and all(v.outcome == "cannot tell" for v in rest):
        by = ", ".join(dict.fromkeys(readable(v.attribute) for v in rest))
        sentences.append(f"In fairness by {by}, no arm is shown to differ from {arm_word(baseline)}.")
    return sentences


def _opening(test_set: str, baseline: str, metrics: Mapping[str, Any]) -> str:
    part = metrics["test_sets"][test_set]
    cell = part["overall"]
    counts = f"{cell['n_positive']:,} {label_word(part['label_name'])} of {cell['n']:,} images"
    if not cell["judgeable"]:
        return f"On {readable(test_set)} ({counts}), nothing can be told: {cell['reason']}."
    interval = cell["auc"]["interval"]
    spread = f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
    trainings = len(metrics["seeds"])
    how_often = f"{trainings} trainings" if trainings > 1 else "one training, so chance in training is in no interval"
    return (
        f"On {readable(test_set)} ({counts}; {how_often}), trained on {arm_word(baseline)}, the AUC is "
        f"{cell['auc']['value']:.3f}{spread} and F1 {cell['f1']['value']:.3f}, where calling every "
        f"lesion {label_word(part['label_name'])} has {cell['all_positive_f1']:.3f}."
    )

"""Better, worse or cannot tell: rules a reader can check against the printed numbers."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from dermdit_kedro.report.wording import label_word, measure_word, readable, signed

Outcome = Literal["better", "worse", "cannot tell"]
SAME_SCORES = "the same scores; only the decisions differ"
OUTCOMES: tuple[Outcome, ...] = ("better", "worse", "cannot tell")

RULES = (
    "Accuracy is the area under the ROC curve over all images of a test set. An arm is better (worse) than the "
    "baseline where the paired difference is above (below) zero and its p-value, corrected for all arms and "
    "test sets, is below {level}.",
    "Fairness is asked of one attribute at a time. A group's difference from the reference group, in AUC, true or "
    "false positive rate, has come nearer to zero (moved away from it) where both its change and the sum of before "
    "and after differ from zero with opposite (equal) signs; the p-value, corrected for all arms, test sets, groups "
    "and measures, is below {level}.",
    "One difference that came nearer makes the arm fairer (better), one that moved away less fair (worse); both at "
    "once cannot tell.",
    "A smaller difference is no gain when the worst group's AUC fell: levelled down, cannot tell.",
    "Where a test set or all groups but one have too few images, nothing can be told. Everything else is cannot "
    "tell too.",
)
"""The rules, as the report prints them."""


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


def write_verdict(
    comparison: Mapping[str, Any], diagnosis: Mapping[str, Mapping[str, Any]], fairness: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Judge every arm against the baseline, and say whom each arm serves less well.

    Args:
        comparison: The content of `arm_comparison.json`.
        diagnosis: `diagnosis_metrics` by arm.
        fairness: `group_fairness` by arm.

    Returns:
        `rules`, `verdicts` (see `Verdict`), `biases` (a sentence for each found difference of two groups within an
        arm) and `paragraphs` (one a test set, made of these).
    """
    level = f"{1 - comparison['confidence']:.2g}"
    verdicts = [*_judge_accuracy(comparison), *_judge_fairness(comparison)]
    biases = list(find_biases(fairness))
    paragraphs = [
        {"test_set": test_set, "text": _paragraph(test_set, comparison, verdicts, biases, diagnosis)}
        for test_set in comparison["accuracy"]
    ]
    return {
        "rules": [rule.format(level=level) for rule in RULES],
        "verdicts": [asdict(verdict) for verdict in verdicts],
        "biases": biases,
        "paragraphs": paragraphs,
    }


def _judge_accuracy(comparison: Mapping[str, Any]) -> Iterator[Verdict]:
    for test_set, arms in comparison["accuracy"].items():
        for arm, groups in arms.items():
            cell = groups["overall"]
            outcome, evidence = accuracy_outcome(cell)
            yield Verdict("accuracy", "", test_set, arm, comparison["baseline"], outcome, evidence)


def accuracy_outcome(cell: Mapping[str, Any]) -> tuple[Outcome, str]:
    """Apply the rule of accuracy to the differences over all images.

    Args:
        cell: `overall` of an arm in `arm_comparison.json`.

    Returns:
        The outcome and its evidence.
    """
    counts = f"{cell['n_positive']:,} {label_word(cell['label_name'])} of {cell['n']:,} images"
    if not cell["judgeable"]:
        return "cannot tell", f"{cell['reason']} ({counts})"
    difference = cell["auc"]
    if difference["value"] == 0 and difference["interval"] is None:
        return "cannot tell", SAME_SCORES
    evidence = f"AUC {signed(difference)} ({counts})"
    if not difference.get("finding"):
        return "cannot tell", evidence
    return ("better" if difference["value"] > 0 else "worse"), evidence


def _judge_fairness(comparison: Mapping[str, Any]) -> Iterator[Verdict]:
    for attribute, test_sets in comparison["fairness"].items():
        for test_set, arms in test_sets.items():
            for arm, found in arms.items():
                outcome, evidence = fairness_outcome(found, attribute)
                yield Verdict("fairness", attribute, test_set, arm, comparison["baseline"], outcome, evidence)


def fairness_outcome(found: Mapping[str, Any], attribute: str) -> tuple[Outcome, str]:
    """Apply the rules of fairness to how the groups' differences changed.

    Args:
        found: An arm's entry on a test set in `arm_comparison.json`.
        attribute: By what people are grouped.

    Returns:
        The outcome and its evidence.
    """
    if found["reference"] is None:
        judged = ", ".join(found["judged"]) or "none"
        return "cannot tell", f"by {readable(attribute)}, fewer than two groups are large enough to judge ({judged})"
    moved = [
        (group, measure, movement)
        for group, measures in found["groups"].items()
        for measure, movement in measures.items()
        if movement["outcome"]
    ]
    if not moved:
        return (
            "cannot tell",
            f"by {readable(attribute)}, no difference from {found['reference']} is shown to have moved",
        )
    evidence = "; ".join(_moved(group, found["reference"], *rest) for group, *rest in moved)
    outcomes = {movement["outcome"] for *_, movement in moved}
    if outcomes == {"farther"}:
        return "worse", evidence
    if len(outcomes) == 2:
        return "cannot tell", f"{evidence}: these contradict each other"
    worst = found["worst_group_auc"]
    areas = f"the worst group's AUC went from {worst['before']:.3f} to {worst['after']:.3f}"
    if worst["after"] < worst["before"]:
        return "cannot tell", f"{evidence}; but {areas}: levelled down"
    return "better", f"{evidence}; {areas}"


def find_biases(fairness: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the differences between two groups of people that are findings.

    Args:
        fairness: `group_fairness` by arm.

    Yields:
        arm, test_set, attribute, group, reference, measure, value and the sentence.
    """
    for arm, metrics in fairness.items():
        for attribute, test_sets in metrics["attributes"].items():
            for test_set, found in test_sets.items():
                for group, measures in found["differences"].items():
                    for measure, cell in measures.items():
                        if cell["finding"]:
                            against = f"{group} against {found['reference']}"
                            yield {
                                "arm": arm, "test_set": test_set, "attribute": attribute, "group": group,
                                "reference": found["reference"], "measure": measure, "value": cell["value"],
                                "sentence": f"{against}: {measure_word(measure)} {signed(cell)}",
                            }  # fmt: skip


def _moved(group: str, reference: str, measure: str, movement: Mapping[str, Any]) -> str:
    before, after = (f"{movement[when]['value']:+.3f}" for when in ("before", "after"))
    return (
        f"{group} against {reference}, {measure_word(measure)} {before} before, {after} after: {movement['outcome']} "
        f"zero, corrected p {movement['p_adjusted']:.2g}".replace("nearer zero", "nearer to zero").replace(
            "farther zero", "farther from zero"
        )
    )


def _paragraph(
    test_set: str,
    comparison: Mapping[str, Any],
    verdicts: list[Verdict],
    biases: list[dict[str, Any]],
    diagnosis: Mapping[str, Mapping[str, Any]],
) -> str:
    """Return what can be said of one test set."""
    baseline = comparison["baseline"]
    base = diagnosis[baseline]["test_sets"][test_set]["overall"]
    sentences = [_opening(test_set, baseline, diagnosis[baseline])]
    for question, intro in (("accuracy", "diagnosis"), ("fairness", "fairness")):
        here = [v for v in verdicts if v.test_set == test_set and v.question == question]
        for outcome in ("better", "worse"):
            sentences += [
                f"In {intro}, {readable(v.arm)} is {outcome} than {readable(baseline)}: {v.evidence}."
                for v in here if v.outcome == outcome
            ]  # fmt: skip
        open_ones = [readable(v.arm) for v in here if v.outcome == "cannot tell" and v.evidence != SAME_SCORES]
        if open_ones and question == "accuracy":
            told = f"whether {' or '.join(open_ones)} is better or worse than {readable(baseline)} cannot be told"
            sentences.append(f"In {intro}, {told}.")
        elif question == "fairness" and all(v.outcome == "cannot tell" for v in here):
            sentences.append(f"In {intro}, no arm is shown to differ from {readable(baseline)}.")
    own = [
        b["sentence"]
        for b in biases
        if (b["arm"], b["test_set"]) == (baseline, test_set) and " x " not in b["attribute"]
    ]
    if base["judgeable"]:
        told = (
            f"groups differ: {'; '.join(own)}" if own else "no group is shown to be served otherwise than its reference"
        )
        sentences.append(f"Trained on {readable(baseline)}, {told}.")
    return " ".join(sentences)


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
        f"On {readable(test_set)} ({counts}; {how_often}), trained on {readable(baseline)}, the AUC is "
        f"{cell['auc']['value']:.3f}{spread} and F1 {cell['f1']['value']:.3f}, where calling every "
        f"lesion {label_word(part['label_name'])} has {cell['all_positive_f1']:.3f}."
    )

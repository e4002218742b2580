"""Better, worse or cannot tell: rules a reader can check against the printed numbers."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from dermdit_kedro.report.paragraphs import SAME_SCORES, TOO_FEW_GROUPS, Outcome, Verdict, paragraph
from dermdit_kedro.report.wording import label_word, measure_word, readable, signed

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
        arm), `unjudged` (the groups with too few images to judge) and `paragraphs` (one a test set, made of these).
    """
    level = f"{1 - comparison['confidence']:.2g}"
    verdicts = [*_judge_accuracy(comparison), *_judge_fairness(comparison)]
    biases = list(find_biases(fairness))
    unjudged = list(find_unjudged(fairness[comparison["baseline"]]))
    paragraphs = [
        {"test_set": test_set, "text": paragraph(test_set, comparison, verdicts, biases, unjudged, diagnosis)}
        for test_set in comparison["accuracy"]
    ]
    return {
        "rules": [rule.format(level=level) for rule in RULES],
        "verdicts": [asdict(verdict) for verdict in verdicts],
        "biases": biases,
        "unjudged": unjudged,
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
        return "cannot tell", f"by {readable(attribute)}, {TOO_FEW_GROUPS} ({judged})"
    moved = [
        (group, measure, movement)
        for group, measures in found["groups"].items()
        for measure, movement in measures.items()
        if movement["outcome"]
    ]
    if not moved:
        none = f"by {readable(attribute)}, no difference from {found['reference']} is shown to have moved"
        return "cannot tell", none + _changes(found["groups"])
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


def _changes(groups: Mapping[str, Mapping[str, Any]]) -> str:
    """Say how the groups' true positive rates moved, found or not."""
    measure = "true_positive_rate"
    cells = {name: moves[measure] for name, moves in groups.items() if "change" in moves.get(measure, {})}
    told = [
        f"{name} {signed({**cell['change'], 'p_adjusted': cell.get('p_adjusted')})}" for name, cell in cells.items()
    ]
    return f" (change of the difference in {measure_word(measure)}: {'; '.join(told)})" if told else ""


def find_unjudged(fairness: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the groups of people that have images, but too few to judge.

    Args:
        fairness: `group_fairness` of the baseline; the images are the same for every arm.

    Yields:
        test_set, attribute, group, n, n_positive and the label's word.
    """
    for attribute, test_sets in fairness["attributes"].items():
        for test_set, found in test_sets.items():
            for group, cell in found["groups"].items():
                if cell["n"] and not cell["judgeable"] and " x " not in attribute:
                    yield {
                        "test_set": test_set, "attribute": attribute, "group": group, "n": cell["n"],
                        "n_positive": cell["n_positive"], "label": label_word(found["label_name"]),
                    }  # fmt: skip


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

"""Better, worse or cannot tell: rules a reader can check against the printed numbers.

1. Where the paired difference of two arms and its interval were measured, the interval decides: wholly on one
   side of zero is a finding, anything else is "cannot tell".
2. Where they were not, the two 95 % intervals decide: apart is a finding, overlapping is "cannot tell". This is
   stricter than a test at 5 %, so it errs towards "cannot tell".
3. Accuracy is the area under the ROC curve (AUC) over all images of the test set. Fairness is the gap in AUC
   between groups and the equalized odds difference: smaller is fairer. One finding suffices; two that
   contradict each other are "cannot tell".
4. A smaller gap is no gain when the worst group's AUC fell: that is "cannot tell", and the evidence says so.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Outcome = Literal["better", "worse", "cannot tell"]
FAIRNESS_MEASURES = {"auc_gap": "AUC gap", "equalized_odds_difference": "Equalized odds difference"}


@dataclass(frozen=True)
class Verdict:
    """One finding about one arm on one test set.

    Attributes:
        question: What was asked.
        test_set: Where it was asked.
        arm: The arm that is judged.
        baseline: The arm it is compared with.
        outcome: The answer.
        evidence: The numbers that gave it, as a sentence.
    """

    question: Literal["accuracy", "fairness"]
    test_set: str
    arm: str
    baseline: str
    outcome: Outcome
    evidence: str

    def as_dict(self) -> dict[str, str]:
        """Return the fields as a plain dictionary."""
        return asdict(self)


def estimate(entry: Any) -> tuple[float, float, float] | None:
    """Read a value and its interval from a metrics entry.

    Args:
        entry: `{"value": v, "interval": [low, high]}`, or nothing.

    Returns:
        (value, low, high), or None where one of the three was not measured.
    """
    if not isinstance(entry, Mapping) or entry.get("value") is None or not entry.get("interval"):
        return None
    low, high = entry["interval"]
    numbers = (entry["value"], low, high)
    if any(number is None or math.isnan(number) for number in numbers):
        return None
    return float(entry["value"]), float(low), float(high)


def compare(arm: Any, baseline: Any, *, what: str, larger_is_better: bool, paired: Any = None) -> tuple[Outcome, str]:
    """Compare one measure of two arms by rules 1 and 2.

    Args:
        arm: The judged arm's entry, with `value` and `interval`.
        baseline: The baseline's entry.
        what: The name of the measure, for the sentence.
        larger_is_better: Whether a larger value is the better one.
        paired: Entry of the difference arm minus baseline, where it was measured.

    Returns:
        The outcome and the sentence of its evidence.
    """
    difference = estimate(paired)
    if difference is not None:
        value, low, high = difference
        sentence = f"{what}: paired difference {value:+.3f} [{low:+.3f}, {high:+.3f}]"
        if low <= 0 <= high:
            return "cannot tell", f"{sentence}, the interval holds zero."
        return _outcome((low > 0) == larger_is_better), f"{sentence}, the interval excludes zero."
    ours, theirs = estimate(arm), estimate(baseline)
    if ours is None or theirs is None:
        missing = "the arm" if ours is None else "the baseline"
        return "cannot tell", f"{what}: not measured with an interval for {missing}."
    sentence = f"{what} {_printed(ours)} against {_printed(theirs)}"
    if ours[1] <= theirs[2] and theirs[1] <= ours[2]:
        return "cannot tell", f"{sentence}, the intervals overlap."
    return _outcome((ours[1] > theirs[2]) == larger_is_better), f"{sentence}, the intervals are apart."


def judge_accuracy(arm: Mapping[str, Any], baseline: Mapping[str, Any], test_set: str) -> Verdict:
    """Judge whether an arm diagnoses better than the baseline on one test set.

    Args:
        arm: The arm's `diagnosis_metrics`.
        baseline: The baseline's `diagnosis_metrics`.
        test_set: A test set of both.

    Returns:
        The verdict, with its evidence.
    """
    ours = arm.get("test_sets", {}).get(test_set, {}).get("overall", {})
    theirs = baseline.get("test_sets", {}).get(test_set, {}).get("overall", {})
    reasons = [str(part["reason"]) for part in (ours, theirs) if part.get("judgeable") is False and part.get("reason")]
    if reasons:
        outcome, evidence = _cannot_tell(f"AUC: {reasons[0]}.")
    else:
        outcome, evidence = compare(
            ours.get("auc"), theirs.get("auc"), what="AUC", larger_is_better=True, paired=ours.get("auc_difference")
        )
    counts = f" ({ours.get('n_positive', '?')} positive and {ours.get('n_negative', '?')} negative images)"
    return Verdict("accuracy", test_set, _name(arm), _name(baseline), outcome, evidence.rstrip(".") + counts + ".")


def judge_fairness(
    arm: Mapping[str, Any], baseline: Mapping[str, Any], test_set: str, attribute: str = "tone_group"
) -> Verdict:
    """Judge whether an arm treats the groups more alike than the baseline does.

    Args:
        arm: The arm's `group_fairness`.
        baseline: The baseline's `group_fairness`.
        test_set: A test set of both.
        attribute: The sensitive attribute.

    Returns:
        The verdict, with its evidence.
    """
    ours = arm.get("attributes", {}).get(attribute, {}).get(test_set, {})
    theirs = baseline.get("attributes", {}).get(attribute, {}).get(test_set, {})
    judgeable = [name for name, group in ours.get("groups", {}).items() if group.get("judgeable")]
    if len(judgeable) < 2:
        outcome, evidence = _cannot_tell("Fewer than two groups are large enough to judge.")
        return Verdict("fairness", test_set, _name(arm), _name(baseline), outcome, evidence)
    our_gaps, their_gaps = ours.get("gaps", {}), theirs.get("gaps", {})
    findings = [
        compare(
            our_gaps.get(measure),
            their_gaps.get(measure),
            what=label,
            larger_is_better=False,
            paired=(our_gaps.get(measure) or {}).get("difference"),
        )
        for measure, label in FAIRNESS_MEASURES.items()
    ]
    outcome, remark = _combine([finding for finding, _ in findings], our_gaps, their_gaps)
    evidence = " ".join([sentence for _, sentence in findings] + remark)
    return Verdict("fairness", test_set, _name(arm), _name(baseline), outcome, evidence)


def judge(
    diagnosis: Mapping[str, Mapping[str, Any]], fairness: Mapping[str, Mapping[str, Any]], baseline: str = "real"
) -> list[Verdict]:
    """Judge every arm against the baseline on every test set.

    Args:
        diagnosis: `diagnosis_metrics` by arm.
        fairness: `group_fairness` by arm.
        baseline: The arm the others are compared with.

    Returns:
        Two verdicts per test set and arm, accuracy before fairness; none without the baseline.
    """
    if baseline not in diagnosis:
        return []
    verdicts = []
    for test_set in diagnosis[baseline].get("test_sets", {}):
        for arm in diagnosis:
            if arm == baseline:
                continue
            ours, theirs = ({"arm": arm, **diagnosis[arm]}, {"arm": baseline, **diagnosis[baseline]})
            verdicts.append(judge_accuracy(ours, theirs, test_set))
            ours, theirs = ({"arm": arm, **fairness.get(arm, {})}, {"arm": baseline, **fairness.get(baseline, {})})
            verdicts.append(judge_fairness(ours, theirs, test_set))
    return verdicts


def _combine(outcomes: list[Outcome], ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> tuple[Outcome, list[str]]:
    """Apply rules 3 and 4 to the findings of the single measures."""
    if "better" in outcomes and "worse" in outcomes:
        return "cannot tell", ["The two measures contradict each other."]
    if "worse" in outcomes:
        return "worse", []
    if "better" not in outcomes:
        return "cannot tell", []
    after, before = [(gaps.get("worst_group_auc") or {}).get("value") for gaps in (ours, theirs)]
    if after is None or before is None:
        return "cannot tell", ["The worst group's AUC was not measured, so levelling down cannot be ruled out."]
    if after < before:
        return "cannot tell", [f"But the worst group's AUC fell from {before:.3f} to {after:.3f}: levelled down."]
    return "better", [f"The worst group's AUC did not fall ({before:.3f} to {after:.3f})."]


def _cannot_tell(sentence: str) -> tuple[Outcome, str]:
    return "cannot tell", sentence


def _outcome(is_better: bool) -> Outcome:
    return "better" if is_better else "worse"


def _printed(numbers: tuple[float, float, float]) -> str:
    return f"{numbers[0]:.3f} [{numbers[1]:.3f}, {numbers[2]:.3f}]"


def _name(metrics: Mapping[str, Any]) -> str:
    return str(metrics.get("arm", "unnamed"))

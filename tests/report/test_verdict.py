"""The verdict's rules, each by a case one can check by hand."""

from typing import Any

import pytest

from dermdit_kedro.report.verdict import compare, estimate, judge, judge_accuracy, judge_fairness


def entry(value: float, low: float, high: float, **more: Any) -> dict[str, Any]:
    return {"value": value, "interval": [low, high], **more}


def accuracy(arm: str, auc: Any, **more: Any) -> dict[str, Any]:
    cell = {"n_positive": 40, "n_negative": 60, "judgeable": True, "auc": auc, **more}
    return {"arm": arm, "test_sets": {"held_out": {"overall": cell}}}


def fairness(arm: str, gap: Any, odds: Any, worst: float | None = 0.8, judgeable: int = 2) -> dict[str, Any]:
    groups = {f"g{k}": {"judgeable": k < judgeable} for k in range(3)}
    gaps = {"auc_gap": gap, "equalized_odds_difference": odds, "worst_group_auc": {"value": worst}}
    return {"arm": arm, "attributes": {"tone_group": {"held_out": {"groups": groups, "gaps": gaps}}}}


WIDE, NARROW, MIDDLE = entry(0.3, 0.25, 0.35), entry(0.1, 0.05, 0.15), entry(0.2, 0.1, 0.3)


@pytest.mark.parametrize("larger_is_better", [True, False])
@pytest.mark.parametrize(
    ("ours", "theirs", "larger"),
    [(WIDE, NARROW, True), (NARROW, WIDE, False), (MIDDLE, WIDE, None), (WIDE, WIDE, None)],
)
def test_intervals_apart_are_a_finding(
    ours: dict[str, Any], theirs: dict[str, Any], larger: bool | None, larger_is_better: bool
) -> None:
    outcome, sentence = compare(ours, theirs, what="AUC", larger_is_better=larger_is_better)
    expected = "cannot tell" if larger is None else "better" if larger == larger_is_better else "worse"
    assert outcome == expected
    assert f"{ours['value']:.3f}" in sentence


def test_swapping_the_arms_swaps_the_outcome() -> None:
    swapped = {"better": "worse", "worse": "better", "cannot tell": "cannot tell"}
    for ours, theirs in [(WIDE, NARROW), (NARROW, MIDDLE), (MIDDLE, MIDDLE)]:
        there, _ = compare(ours, theirs, what="x", larger_is_better=True)
        back, _ = compare(theirs, ours, what="x", larger_is_better=True)
        assert back == swapped[there]


@pytest.mark.parametrize(
    ("interval", "outcome"),
    [((0.01, 0.1), "better"), ((-0.1, -0.01), "worse"), ((-0.01, 0.1), "cannot tell"), ((0.0, 0.1), "cannot tell")],
)
def test_a_paired_difference_decides_before_the_intervals(interval: tuple[float, float], outcome: str) -> None:
    paired = entry(sum(interval) / 2, *interval)
    assert compare(MIDDLE, MIDDLE, what="AUC", larger_is_better=True, paired=paired)[0] == outcome


@pytest.mark.parametrize(
    "missing",
    [None, {}, {"value": None, "interval": None}, {"value": 0.5, "interval": None}, entry(0.5, float("nan"), 1)],
)
def test_what_was_not_measured_cannot_be_told(missing: Any) -> None:
    assert estimate(missing) is None
    outcome, sentence = compare(missing, WIDE, what="AUC", larger_is_better=True)
    assert outcome == "cannot tell"
    assert "not measured" in sentence


def test_too_few_images_cannot_be_told_and_say_why() -> None:
    small = accuracy("synthetic", None, judgeable=False, reason="3 positive images")
    verdict = judge_accuracy(small, accuracy("real", NARROW), "held_out")
    assert verdict.outcome == "cannot tell"
    assert "3 positive images" in verdict.evidence


def test_accuracy_names_its_counts() -> None:
    verdict = judge_accuracy(accuracy("synthetic", WIDE), accuracy("real", NARROW), "held_out")
    assert verdict.outcome == "better"
    assert verdict.evidence.endswith("(40 positive and 60 negative images).")


@pytest.mark.parametrize(
    ("gap", "odds", "worst", "outcome"),
    [
        (NARROW, MIDDLE, 0.8, "better"),
        (MIDDLE, NARROW, 0.8, "better"),
        (MIDDLE, MIDDLE, 0.8, "cannot tell"),
        (NARROW, NARROW, 0.7, "cannot tell"),
        (NARROW, NARROW, None, "cannot tell"),
        (NARROW, entry(0.6, 0.5, 0.7), 0.8, "cannot tell"),
        (entry(0.6, 0.5, 0.7), MIDDLE, 0.9, "worse"),
    ],
    ids=["gap", "odds", "neither", "levelled down", "worst unknown", "contradiction", "wider"],
)
def test_fairness_rules(gap: Any, odds: Any, worst: float | None, outcome: str) -> None:
    real = fairness("real", WIDE, WIDE, worst=0.75)
    assert judge_fairness(fairness("synthetic", gap, odds, worst), real, "held_out").outcome == outcome


def test_fairness_needs_two_groups() -> None:
    verdict = judge_fairness(fairness("a", NARROW, NARROW, judgeable=1), fairness("b", WIDE, WIDE), "held_out")
    assert verdict.outcome == "cannot tell"
    assert "two groups" in verdict.evidence


def test_every_arm_is_judged_on_every_test_set(parts: dict[str, Any]) -> None:
    owned = {kind: {} for kind in ("diagnosis_metrics", "group_fairness")}
    for name, part in parts.items():
        owner, _, kind = name.rpartition(".")
        if kind in owned:
            owned[kind][owner] = part
    verdicts = judge(owned["diagnosis_metrics"], owned["group_fairness"])
    assert len(verdicts) == 3 * 2 * 2
    assert {verdict.arm for verdict in verdicts} == {"synthetic", "real_plus_synthetic", "real_oversampled"}
    assert all(verdict.evidence for verdict in verdicts)
    assert judge({"synthetic": owned["diagnosis_metrics"]["synthetic"]}, {}) == []


def test_an_arm_equal_to_the_baseline_cannot_be_told(parts: dict[str, Any]) -> None:
    real = parts["real.diagnosis_metrics"]
    verdicts = judge(
        {"real": real, "again": real}, {"real": parts["real.group_fairness"], "again": parts["real.group_fairness"]}
    )
    assert {verdict.outcome for verdict in verdicts} == {"cannot tell"}

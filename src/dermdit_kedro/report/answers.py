"""The first screen: what came out, in plain words, and what it was made on."""

from collections.abc import Mapping
from typing import Any, Final

from dermdit_kedro.report.tables import distinct, items
from dermdit_kedro.report.wording import readable

_QUESTIONS: Final = {
    "accuracy": ("Is diagnosis better?", ("better", "worse")),
    "fairness": ("Is it fairer?", ("fairer", "less fair")),
}
_SHOWN = 3


def answers(verdict: Any, baseline: str) -> dict[str, str]:
    """Answer each question of the verdict in one sentence, and say which groups the baseline serves otherwise.

    Args:
        verdict: The summary's verdict, or the words that there is none.
        baseline: The arm the others are compared with.

    Returns:
        A sentence by question; empty where there is no verdict.
    """
    if not isinstance(verdict, Mapping):
        return {}
    told = {}
    for kind, (question, words) in _QUESTIONS.items():
        found = [one for one in verdict["verdicts"] if one["question"] == kind]
        if found:
            told[question] = _answer(found, words, readable(baseline))
    told[f"Does {readable(baseline)} serve all groups alike?"] = _biases(verdict["biases"], baseline)
    return told


def _biases(biases: list[Mapping[str, Any]], baseline: str) -> str:
    own = [
        f"on {readable(one['test_set'])}, {one['sentence']}"
        for one in biases
        if one["arm"] == baseline and " x " not in one["attribute"]
    ]
    more = f"; and {len(own) - _SHOWN} more" if len(own) > _SHOWN else ""
    return f"No: {'; '.join(own[:_SHOWN])}{more}." if own else "No difference between groups is shown."


def _answer(found: list[Mapping[str, Any]], words: tuple[str, str], baseline: str) -> str:
    told = [
        f"{word} with {_arms(found, outcome)}"
        for outcome, word in zip(("better", "worse"), words, strict=True)
        if any(one["outcome"] == outcome for one in found)
    ]
    unsure = sum(one["outcome"] == "cannot tell" for one in found)
    if not told:
        return f"Cannot tell: none of {len(found)} comparisons with {baseline} shows a difference."
    rest = f"; cannot tell in {unsure} of {len(found)} comparisons" if unsure else ""
    sentence = "; ".join(told)
    return f"{sentence[0].upper()}{sentence[1:]}{rest}, all against {baseline}."


def _arms(found: list[Mapping[str, Any]], outcome: str) -> str:
    """Name the arms of an outcome with their test sets and attributes."""
    cells: dict[str, list[str]] = {}
    for one in found:
        if one["outcome"] == outcome:
            by = f" by {readable(one['attribute'])}" if one["attribute"] else ""
            cells.setdefault(readable(one["arm"]), []).append(f"on {readable(one['test_set'])}{by}")
    return ", ".join(f"{arm} ({', '.join(distinct(places))})" for arm, places in cells.items())


def headline(summary: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Count what the report was made on.

    Args:
        summary: The summary.

    Returns:
        Words and number, of what is known: images to train on and to test on, synthetic images, trainings.
    """
    splits = summary["data"].get("by_split_and_tone")
    found = {}
    for split, words in (("train", "real training images"), ("test", "real test images")):
        if isinstance(splits, Mapping) and isinstance(splits.get(split), Mapping):
            found[words] = sum(splits[split].values())
    excluded = summary["data"].get("leak_guard")
    if isinstance(excluded, Mapping) and "excluded" in excluded:
        found["kept out by the leak guard"] = excluded["excluded"]
    kept = {variant: part["n_kept"] for variant, part in items(summary["screening"]) if "n_kept" in part}
    found |= {f"synthetic images of {readable(variant)} kept": count for variant, count in kept.items()}
    trainings = max((len(part.get("seeds", ())) for _, part in items(summary["diagnosis"])), default=0)
    if trainings:
        found["trainings of each classifier"] = trainings
    return list(found.items())

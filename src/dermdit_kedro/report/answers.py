"""The first screen: what came out, in plain words, and what it was made on."""

from collections.abc import Mapping
from typing import Any, Final

from dermdit_kedro.report.paragraphs import SAME_SCORES
from dermdit_kedro.report.tables import distinct, entries, items
from dermdit_kedro.report.wording import arm_word, readable

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
        found = [one for one in verdict["verdicts"] if one["question"] == kind and one["evidence"] != SAME_SCORES]
        if found:
            told[question] = _answer(found, words, arm_word(baseline))
    question = f"Are all groups served alike by what is trained on {arm_word(baseline)}?"
    told[question] = _biases(verdict["biases"], baseline) + _unjudged(verdict.get("unjudged", []))
    return told


def _biases(biases: list[Mapping[str, Any]], baseline: str) -> str:
    own = [one for one in biases if one["arm"] == baseline and " x " not in one["attribute"]]
    cells = [f"on {readable(one['test_set'])}, {one['sentence']}{_shared(one, biases)}" for one in own]
    more = f"; and {len(own) - _SHOWN} more" if len(own) > _SHOWN else ""
    return f"No: {'; '.join(cells[:_SHOWN])}{more}." if own else "No difference between groups is shown."


def _shared(bias: Mapping[str, Any], biases: list[Mapping[str, Any]]) -> str:
    """Name the other arms in which the same difference is a finding."""
    same = ("test_set", "attribute", "group", "reference", "measure")
    others = [
        f"{arm_word(one['arm'])} ({one['value']:+.3f})"
        for one in biases
        if one["arm"] != bias["arm"] and all(one[key] == bias[key] for key in same)
    ]
    return f" (shown of {', '.join(others)} too)" if others else ""


def _unjudged(groups: list[Mapping[str, Any]]) -> str:
    """Name the tone groups that could not be judged."""
    cells = [
        f"{one['group']} on {readable(one['test_set'])} ({one['n_positive']:,} {one['label']} of {one['n']:,} images)"
        for one in groups
        if one["attribute"] == "tone_group"
    ]
    return f" Too few images to judge: {', '.join(cells)}." if cells else ""


def image_answer(summary: Mapping[str, Any]) -> dict[str, str]:
    """Answer in one sentence whether generated images are like real ones: how far, how varied, copies or not.

    Args:
        summary: The summary.

    Returns:
        The sentence by its question, of the first variant that was measured; empty where none was.
    """
    for variant, found in items(summary["image_metrics"]):
        told = [*_distance(found), *_variety(found.get("ms_ssim"))]
        screened = summary["screening"].get(variant) if isinstance(summary["screening"], Mapping) else None
        told += _copies(screened.get("memorisation") if isinstance(screened, Mapping) else None)
        if told:
            return {f"Are the images of {readable(variant)} like real ones?": f"{'; '.join(told)}."}
    return {}


def _distance(found: Mapping[str, Any]) -> list[str]:
    held_out = [entry for entry in entries(found.get("frechet_distance")) if entry["reference"] == "held_out"]
    if not held_out:
        return []
    first = held_out[0]
    redrawn = entries((found.get("autoencoder") or {}).get("frechet_distance"))
    through = [f"{e['value']:,.0f} after the autoencoder alone" for e in redrawn if e["name"] == first["name"]]
    real = " and ".join([f"{first['floor']:,.0f}", *through])
    return [f"Fréchet distance to held-out images {first['value']:,.0f} ({first['name']}), of other real ones {real}"]


def _variety(found: Any) -> list[str]:
    sides = [found.get(kind) for kind in ("synthetic", "real")] if isinstance(found, Mapping) else []
    if not all(isinstance(side, Mapping) and isinstance(side.get("value"), float) for side in sides) or not sides:
        return []
    values = [f"{side['value']:.2f}" for side in sides if side]
    return [f"two of them are as like as MS-SSIM {values[0]}, two real ones {values[1]}"]


def _copies(found: Any) -> list[str]:
    if not isinstance(found, Mapping) or found.get("n_accused") is None:
        return []
    return [f"{found['n_accused']:,} of {found['n']:,} look like copies of training images"]


def _answer(found: list[Mapping[str, Any]], words: tuple[str, str], baseline: str) -> str:
    told = [
        f"{word} with {_arms(found, outcome)}"
        for outcome, word in zip(("better", "worse"), words, strict=True)
        if any(one["outcome"] == outcome for one in found)
    ]
    if not told:
        return f"Cannot tell: none of {len(found)} comparisons with {baseline} shows a difference."
    sentence = "; ".join([*told, *_unsure(found)])
    return f"{sentence[0].upper()}{sentence[1:]}; all against {baseline}."


def _unsure(found: list[Mapping[str, Any]]) -> list[str]:
    """Name the arms of which something cannot be told, and of how many comparisons."""
    cells = []
    for arm in distinct(one["arm"] for one in found):
        outcomes = [one["outcome"] for one in found if one["arm"] == arm]
        if "cannot tell" in outcomes:
            cells.append(f"{arm_word(arm)} ({outcomes.count('cannot tell')} of {len(outcomes)} comparisons)")
    return [f"cannot tell with {', '.join(cells)}"] if cells else []


def _arms(found: list[Mapping[str, Any]], outcome: str) -> str:
    """Name the arms of an outcome with their test sets and attributes."""
    cells: dict[str, list[str]] = {}
    for one in found:
        if one["outcome"] == outcome:
            by = f" by {readable(one['attribute'])}" if one["attribute"] else ""
            cells.setdefault(arm_word(one["arm"]), []).append(f"on {readable(one['test_set'])}{by}")
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

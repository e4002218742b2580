"""How often the audit is right: precision and recall on prompts that were labelled by hand.

The prompts were written and labelled by somebody who had not seen the lexicon, and dealt out into two halves. One
was open while
the lexicon was mended; the other was scored once, at the end. `uv run python tests/prompts/labelled_prompts.py` prints
both.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dermdit_kedro.prompts.faults import contradicts, is_refusal, is_repetitive, recalls
from dermdit_kedro.prompts.instructions import known
from dermdit_kedro.prompts.parameters import ATTRIBUTES

FOLDER = Path(__file__).parent / "labelled"
HALVES = ("opened", "sealed")


def read(half: str) -> list[dict[str, Any]]:
    """Return the rows of one half: text, record, recalled, contradicted, is_refusal, is_repetitive, class."""
    return [json.loads(line) for line in (FOLDER / f"{half}.jsonl").read_text().splitlines()]


def found(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the audit says of a row, in the fields of the labels."""
    text, record = row["text"], row["record"]
    return {
        "recalled": {a for a in ATTRIBUTES if recalls(text, record, a)},
        "contradicted": {a for a in ATTRIBUTES if contradicts(text, record, a)},
        "is_refusal": is_refusal(text),
        "is_repetitive": is_repetitive(text),
    }


def statements(row: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, set[str]]:
    """Return for each class what is said of a row: attributes left out, contradicted, and so on."""
    told = {a for a in ATTRIBUTES if known(row["record"].get(a))}
    missing, contradicted = told - set(said["recalled"]), set(said["contradicted"])
    is_bad = bool(missing or contradicted or said["is_refusal"] or said["is_repetitive"])
    read_off = {f"recalled {a}" for a in said["recalled"]} | {f"contradicted {a}" for a in contradicted}
    return {
        "right": set() if is_bad else {"right"},
        "missing": missing,
        "contradicting": contradicted,
        "negated": read_off if row["class"] == "negated" else set(),
        "refused": {"refused"} if said["is_refusal"] else set(),
        "repeated": {"repeated"} if said["is_repetitive"] else set(),
    }


def score(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return precision, recall and the number of labels of each class."""
    pairs = [(statements(row, found(row)), statements(row, row)) for row in rows]
    return {name: _score(name, pairs) for name in pairs[0][0]}


def mistakes(rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, Any]]:
    """Return the texts that the audit reads otherwise, with (found, labelled) by class; for the open half."""
    wrong = []
    for row in rows:
        said, truth = statements(row, found(row)), statements(row, row)
        other = {name: (said[name], truth[name]) for name in said if said[name] != truth[name]}
        wrong += [(row["text"], other)] if other else []
    return wrong


def _score(name: str, pairs: Sequence[tuple[Mapping[str, set[str]], Mapping[str, set[str]]]]) -> dict[str, float]:
    hits = sum(len(said[name] & truth[name]) for said, truth in pairs)
    count: Callable[[int], int] = lambda side: sum(len(pair[side][name]) for pair in pairs)  # noqa: E731
    return {"precision": hits / max(count(0), 1), "recall": hits / max(count(1), 1), "n": count(1)}


if __name__ == "__main__":
    for half in HALVES:
        rows = read(half)
        print(f"{half}: {len(rows)} prompts")  # noqa: T201
        for name, figures in score(rows).items():
            print(f"  {name:14} precision {figures['precision']:.3f}, recall {figures['recall']:.3f}, n {figures['n']}")  # noqa: T201

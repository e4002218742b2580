"""What the prompts are worth: do they name what they were told, contradict it, refuse, repeat, or get cut?"""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from dermdit_kedro.dermoscopy.records import TONE_GROUPS, UNKNOWN_TONE
from dermdit_kedro.prompts.clip import count_tokens, token_limit
from dermdit_kedro.prompts.instructions import known
from dermdit_kedro.prompts.lexicon import clean, is_contradicted, is_recalled, mentions
from dermdit_kedro.prompts.parameters import ATTRIBUTES, Attribute

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

FLAGS = ("omits_attribute", "contradicts_metadata", "is_refusal", "is_repetitive")
"""Boolean columns the audit adds to the prompts, beside token_count and truncated."""

_REFUSAL = re.compile(
    r"\b(?:(?:i'm|i am|we are) (?:sorry|unable|not able)|i (?:cannot|can't|can not|won't|am not able)|as an ai|"
    r"unable to (?:determine|provide|describe|assess|analy[sz]e|view|see|make)|(?:cannot|can't) be determined|"
    r"(?:please )?(?:consult|see|seek|contact) (?:a|an|your|with a|with your) (?:\w+ )?"
    r"(?:dermatologist|doctor|physician|professional|specialist|provider)|"
    r"not (?:possible|appropriate) to (?:determine|diagnose|provide|describe)|medical advice)\b"
)
_SHORTEST_JUDGED = 12
_LEAST_DISTINCT = 0.6


def is_refusal(prompt: str) -> bool:
    """Whether a prompt is empty, declines to describe, or sends the reader to a doctor.

    Args:
        prompt: The text.

    Returns:
        True for a refusal.
    """
    text = clean(prompt)
    return not re.search(r"\w", text) or bool(_REFUSAL.search(text))


def is_repetitive(prompt: str) -> bool:
    """Whether a prompt says the same again and again.

    Args:
        prompt: The text.

    Returns:
        True where a word follows itself three times, or where of 12 words or more under 60 % of the word
        triples are distinct.
    """
    words = re.findall(r"\w+", clean(prompt))
    runs = zip(words, words[1:], words[2:], words[3:], strict=False)
    if any(len(set(run)) == 1 for run in runs):
        return True
    triples = list(zip(words, words[1:], words[2:], strict=False))
    return len(words) >= _SHORTEST_JUDGED and len(set(triples)) < _LEAST_DISTINCT * len(triples)


def audit_prompts(
    drafts: pd.DataFrame, manifest: pd.DataFrame, tokenizer: "CLIPTokenizer", attributes: Sequence[Attribute]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Check every prompt against the manifest and the text encoder's real token limit.

    Recall is asked of `attributes`; a contradiction counts for all five, for a prompt of two attributes may
    invent an age. Both are shares of the rows in which the attribute is known, null where there is none.

    Args:
        drafts: image_id, prompt, prompt_source, instruction_sha256.
        manifest: image_id and the attributes.
        tokenizer: The text encoder's.
        attributes: What the prompts were told to name.

    Returns:
        The drafts with token_count, truncated and `FLAGS`; and the audit, overall and by tone group.
    """
    truth = manifest.set_index("image_id").loc[drafts["image_id"], list(ATTRIBUTES)].reset_index(drop=True)
    rows = _check_rows(drafts["prompt"].tolist(), truth)
    limit = token_limit(tokenizer)
    counts = _once(drafts["prompt"].tolist(), lambda unique: count_tokens(tokenizer, unique))
    omitted = (rows[[f"recalled_{a}" for a in attributes]] == False).any(axis=1)  # noqa: E712 (null is not False)
    contradicted = (rows[[f"contradicted_{a}" for a in ATTRIBUTES]] == True).any(axis=1)  # noqa: E712
    prompts = drafts.reset_index(drop=True).assign(
        token_count=pd.array(counts, dtype="Int64"),
        truncated=[count > limit for count in counts],
        omits_attribute=omitted.to_numpy(dtype=bool),
        contradicts_metadata=contradicted.to_numpy(dtype=bool),
        is_refusal=_once(drafts["prompt"].tolist(), lambda unique: [is_refusal(p) for p in unique]),
        is_repetitive=_once(drafts["prompt"].tolist(), lambda unique: [is_repetitive(p) for p in unique]),
    )
    table = prompts.join(rows).assign(tone_group=truth["tone_group"])
    report = _summarise(table, attributes)
    report["token_count"]["limit"] = limit
    report["by_tone_group"] = {
        tone: _summarise(table[table["tone_group"] == tone], attributes)
        for tone in (*TONE_GROUPS, UNKNOWN_TONE)
        if (table["tone_group"] == tone).any()
    }
    return prompts, report


def _check_rows(prompts: list[str], truth: pd.DataFrame) -> pd.DataFrame:
    """Return recalled_<attribute> and contradicted_<attribute>, null where the attribute is unknown."""
    asserted = {prompt: mentions(prompt) for prompt in set(prompts)}
    columns: dict[str, Any] = {}
    for attribute in ATTRIBUTES:
        pairs = [(asserted[p], t if known(t) else None) for p, t in zip(prompts, truth[attribute], strict=True)]
        for name, check in (("recalled", is_recalled), ("contradicted", is_contradicted)):
            values = [None if t is None else check(attribute, said, t) for said, t in pairs]
            columns[f"{name}_{attribute}"] = pd.array(values, dtype="boolean")
    return pd.DataFrame(columns)


def _once(prompts: list[str], judge: Any) -> list[Any]:
    """Judge each unique prompt once and return one verdict a row."""
    unique = list(dict.fromkeys(prompts))
    verdicts: Mapping[str, Any] = dict(zip(unique, judge(unique), strict=True))
    return [verdicts[prompt] for prompt in prompts]


def _summarise(table: pd.DataFrame, attributes: Sequence[Attribute]) -> dict[str, Any]:
    return {
        "n": len(table),
        "unique_prompts": int(table["prompt"].nunique()),
        "attribute_recall": {a: _share(table[f"recalled_{a}"]) for a in attributes},
        "contradictions": {a: _share(table[f"contradicted_{a}"]) for a in ATTRIBUTES},
        "n_known": {a: int(table[f"contradicted_{a}"].notna().sum()) for a in ATTRIBUTES},
        "truncated_share": float(table["truncated"].mean()),
        "token_count": {"mean": float(table["token_count"].mean()), "max": int(table["token_count"].max())},
        "refusals": int(table["is_refusal"].sum()),
        "repetitive": int(table["is_repetitive"].sum()),
        "prompt_source": {str(k): int(v) for k, v in table["prompt_source"].value_counts().items()},
    }


def _share(column: "pd.Series[Any]") -> float | None:
    return None if column.isna().all() else float(column.mean())

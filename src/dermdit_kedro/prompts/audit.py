"""What the prompts are worth: do they name what they were told, contradict it, refuse, repeat, or get cut?"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from dermdit_kedro.dermoscopy.records import TONE_GROUPS, UNKNOWN_TONE
from dermdit_kedro.prompts.clip import count_tokens, cut_text
from dermdit_kedro.prompts.controls import score_controls
from dermdit_kedro.prompts.diversity import score_diversity
from dermdit_kedro.prompts.faults import contradicts, is_refusal, is_repetitive, recalls, split_reasons
from dermdit_kedro.prompts.instructions import records
from dermdit_kedro.prompts.parameters import ATTRIBUTES, Attribute

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

FLAGS = ("omits_attribute", "contradicts_metadata", "is_refusal", "is_repetitive")
"""Boolean columns the audit adds to the prompts, beside token_count and truncated."""


def audit_prompts(
    drafts: pd.DataFrame,
    controls: pd.DataFrame,
    manifest: pd.DataFrame,
    tokenizer: "CLIPTokenizer",
    limit: int,
    attributes: Sequence[Attribute],
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Check every prompt against the manifest and the text encoder's real token limit.

    Recall is asked of `attributes`; a contradiction counts for all five, for a prompt of two attributes may
    invent an age. Both are shares of the rows in which the attribute is known, null where there is none.

    Args:
        drafts: image_id, prompt, prompt_source, instruction_sha256, answer, answer_is_cut, attempts, repair,
            repair_reason.
        controls: image_id, control, answer, control_answer.
        manifest: image_id and the attributes.
        tokenizer: The text encoder's.
        limit: Tokens a prompt may have, its two marks included.
        attributes: What the prompts were told to name.

    Returns:
        The drafts with token_count, truncated and `FLAGS`; and the audit: of the prompts, overall and by tone group;
        of the answers as they came (`answers`), null where the template wrote all; what was repaired and why
        (`repairs`); whether the captioner looks at the image (`controls`).
    """
    truth = manifest.set_index("image_id").loc[drafts["image_id"], [*ATTRIBUTES, "modality"]].reset_index(drop=True)
    drafts = drafts.reset_index(drop=True)
    texts = drafts["prompt"].tolist()
    counts = _once(texts, lambda unique: count_tokens(tokenizer, unique))
    checked = _check(texts, truth, attributes)
    prompts = drafts.assign(
        token_count=pd.array(counts, dtype="Int64"),
        truncated=[count > limit for count in counts],
        **{flag: checked[flag].to_numpy(dtype=bool) for flag in FLAGS},
    )
    table = prompts.drop(columns=list(FLAGS)).join(checked)
    answers = None
    if not drafts["answer"].equals(drafts["prompt"]):
        answers = drafts.drop(columns="prompt").join(_check(drafts["answer"].tolist(), truth, attributes))
    report = {
        **_report(table, truth, attributes),
        **_of_tokens(table),
        "cut_attributes": _count_cut(table, truth, tokenizer, limit, attributes),
        "repairs": _count_repairs(drafts),
        "answers": None if answers is None else _report_answers(answers, truth, attributes),
        "controls": score_controls(controls),
        "by_tone_group": {},
    }
    report["token_count"]["limit"] = limit
    for tone in (*TONE_GROUPS, UNKNOWN_TONE):
        of_group = truth["tone_group"] == tone
        if of_group.any():
            group = {**_report(table[of_group], truth[of_group], attributes), **_of_tokens(table[of_group])}
            group["repairs"] = _count_repairs(drafts[of_group])
            group["answers"] = None
            if answers is not None:
                group["answers"] = _report_answers(answers[of_group], truth[of_group], attributes)
            report["by_tone_group"][tone] = group
    return prompts, report


def _check(texts: Sequence[str], truth: pd.DataFrame, attributes: Sequence[Attribute]) -> pd.DataFrame:
    """Return text, recalled_<attribute>, contradicted_<attribute> (null where it is unknown) and `FLAGS`."""
    rows = list(zip(texts, records(truth), strict=True))
    names = [f"{name}_{attribute}" for name in ("recalled", "contradicted") for attribute in ATTRIBUTES]
    found = [[check(t, r, a) for check in (recalls, contradicts) for a in ATTRIBUTES] for t, r in rows]
    table = pd.DataFrame(found, columns=names).astype("boolean").assign(text=list(texts))
    omitted = ~table[[f"recalled_{a}" for a in attributes]].fillna(True)
    return table.assign(
        omits_attribute=omitted.any(axis=1),
        contradicts_metadata=table[[f"contradicted_{a}" for a in ATTRIBUTES]].fillna(False).any(axis=1),
        is_refusal=_once(texts, lambda unique: [is_refusal(text) for text in unique]),
        is_repetitive=_once(texts, lambda unique: [is_repetitive(text) for text in unique]),
    )


def _once(texts: Sequence[str], judge: Callable[[list[str]], Sequence[Any]]) -> list[Any]:
    """Judge each unique text once and return one verdict a row."""
    unique = list(dict.fromkeys(texts))
    verdicts: Mapping[str, Any] = dict(zip(unique, judge(unique), strict=True))
    return [verdicts[text] for text in texts]


def _report(table: pd.DataFrame, truth: pd.DataFrame, attributes: Sequence[Attribute]) -> dict[str, Any]:
    texts = table["text"].tolist()
    return {
        "n": len(table),
        "unique_prompts": len(set(texts)),
        "attribute_recall": {a: _share(table[f"recalled_{a}"]) for a in attributes},
        "contradictions": {a: _share(table[f"contradicted_{a}"]) for a in ATTRIBUTES},
        "n_known": {a: int(table[f"contradicted_{a}"].notna().sum()) for a in ATTRIBUTES},
        "names_all_share": float((~table["omits_attribute"]).mean()),
        "contradicting_share": float(table["contradicts_metadata"].mean()),
        "empty": sum(not text.strip() for text in texts),
        "refusals": int(table["is_refusal"].sum()),
        "repetitive": int(table["is_repetitive"].sum()),
        "diversity": score_diversity(texts, list(records(truth))),
    }


def _report_answers(answers: pd.DataFrame, truth: pd.DataFrame, attributes: Sequence[Attribute]) -> dict[str, Any]:
    return {**_report(answers, truth, attributes), "cut": int(answers["answer_is_cut"].sum())}


def _of_tokens(table: pd.DataFrame) -> dict[str, Any]:
    return {
        "truncated_share": float(table["truncated"].mean()),
        "token_count": {"mean": float(table["token_count"].mean()), "max": int(table["token_count"].max())},
        "prompt_source": {str(k): int(v) for k, v in table["prompt_source"].value_counts().items()},
    }


def _count_cut(
    table: pd.DataFrame, truth: pd.DataFrame, tokenizer: "CLIPTokenizer", limit: int, attributes: Sequence[Attribute]
) -> dict[str, int]:
    """Count the prompts that name an attribute only behind the cut."""
    cut = table.index[table["truncated"]]
    whole = table.loc[cut, "prompt"].astype(str).tolist()
    rows = [(text, cut_text(tokenizer, text, limit), r) for text, r in zip(whole, records(truth.loc[cut]), strict=True)]
    return {
        a: sum(recalls(text, record, a) is True and recalls(kept, record, a) is False for text, kept, record in rows)
        for a in attributes
    }


def _count_repairs(drafts: pd.DataFrame) -> dict[str, Any]:
    reasons = Counter(reason for text in drafts["repair_reason"] for reason in split_reasons(text))
    by_way = drafts["repair"].value_counts()
    return {
        "retry": int(by_way.get("retry", 0)),
        "template": int(by_way.get("template", 0)),
        "reasons": dict(reasons.most_common()),
    }


def _share(column: "pd.Series[Any]") -> float | None:
    return None if column.isna().all() else float(column.mean())

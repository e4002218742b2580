"""What is wrong with one prompt: no answer, a refusal, a loop, a fact left out, a fact contradicted."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from dermdit_kedro.prompts.instructions import known
from dermdit_kedro.prompts.lexicon import clean, is_contradicted, is_recalled, mentions
from dermdit_kedro.prompts.parameters import ATTRIBUTES, Attribute

_EXPERT = r"(?:gp|doctor|dermatologist|physician|specialist|clinician|professional|(?:care )?provider|expert)s?"
_REFUSAL = re.compile(
    r"\b(?:"
    r"(?:i'm|i am|we are|i was) (?:sorry|afraid|unable|not able|not (?:a|your) |not (?:qualified|allowed|"
    r"permitted|trained|equipped))|"
    r"i (?:cannot|can't|can not|won't|am not able|could not|couldn't|apologi[sz]e|regret|must decline|decline)|"
    r"as an? (?:ai|language model|assistant)|sorry,? (?:but )?|unfortunately,? i|"
    r"unable to (?:determine|provide|describe|assess|analy[sz]e|view|see|make|help|assist|answer|comply)|"
    r"(?:cannot|can't|can not) (?:be determined|help|assist|comply|answer|diagnose|examine you)|"
    r"(?:not|isn't) (?:possible|appropriate|able|safe)(?: for me)? to (?:determine|diagnose|provide|describe|"
    r"answer|say|comment)|"
    r"(?:beyond|outside) (?:my|what i)|my apologies|(?:no|without an) image (?:was |is |has been )?(?:provided|"
    r"attached|uploaded|given)|"
    r"i (?:do not|don't) have (?:the (?:ability|capability)|access)|i have no way|i refuse|i(?:'d| would) rather not|"
    r"(?:against|violates?) (?:my|our|the) (?:guidelines|polic(?:y|ies))|not comfortable|(?:no|"
    r"not a) substitute for|medical advice|"
    rf"(?:consult|see|seek|contact|visit|ask|talk to|speak (?:to|with)|turn to|refer to|show (?:it|this|"
    rf"them) to|shown to|"
    rf"(?:looked at|checked|examined|assessed|evaluated|seen|reviewed) by) (?:(?:an?|your|with|the|"
    rf"out) )*(?:[\w-]+ )?{_EXPERT}|"
    r"seek (?:medical|professional) (?:advice|help|attention|care)"
    r")\b"
)
_SHORTEST_JUDGED = 12
_LEAST_DISTINCT = 0.6

EMPTY, REFUSED, REPEATED = "is empty", "is a refusal", "repeats itself"
OMITS, CONTRADICTS, NO_ANSWER = "leaves out", "contradicts", "no answer"
REASONS = "; "
"""What stands between the faults of one prompt in a table."""

WORDS: dict[Attribute, str] = {
    "is_malignant": "whether it is malignant or benign",
    "tone_group": "the skin tone",
    "sex": "the sex",
    "age_approx": "the age",
    "site": "the body site",
}
"""How a fault names each attribute."""


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


@lru_cache(maxsize=4096)
def asserted_by(prompt: str) -> dict[Attribute, frozenset[Any]]:
    """Return what a prompt asserts, as `lexicon.mentions`; equal prompts are read once."""
    return mentions(prompt)


def recalls(prompt: str, record: Mapping[str, Any], attribute: Attribute) -> bool | None:
    """Whether a prompt names an attribute's recorded value; None where that is unknown."""
    truth = record.get(attribute)
    return is_recalled(attribute, asserted_by(prompt), truth) if known(truth) else None


def contradicts(prompt: str, record: Mapping[str, Any], attribute: Attribute) -> bool | None:
    """Whether a prompt asserts another value than the recorded one; None where that is unknown."""
    truth = record.get(attribute)
    return is_contradicted(attribute, asserted_by(prompt), truth) if known(truth) else None


def find_faults(prompt: str, record: Mapping[str, Any], attributes: Sequence[Attribute] = ATTRIBUTES) -> list[str]:
    """Say what is wrong with a prompt.

    Args:
        prompt: The text.
        record: Columns of the manifest; missing keys count as unknown.
        attributes: What the prompt was told to name. A contradiction counts for all five, for a prompt of two
            attributes may invent an age.

    Returns:
        Such as ["leaves out the sex", "contradicts the age"]; empty for a good prompt.
    """
    if not re.search(r"\w", prompt):
        return [EMPTY]
    faults = [REFUSED] if is_refusal(prompt) else []
    faults += [REPEATED] if is_repetitive(prompt) else []
    faults += [f"{OMITS} {WORDS[a]}" for a in attributes if recalls(prompt, record, a) is False]
    return faults + [f"{CONTRADICTS} {WORDS[a]}" for a in ATTRIBUTES if contradicts(prompt, record, a)]


def split_reasons(reasons: str) -> list[str]:
    """Return the faults of one prompt, as a table has them; why a server gave no answer is left to the table."""
    if reasons.startswith(NO_ANSWER):
        return [NO_ANSWER]
    return reasons.split(REASONS) if reasons else []

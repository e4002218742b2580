"""Whether words in a sentence are denied: a small rule set in the manner of NegEx (Chapman et al., 2001)."""

import re

_TRIGGER = re.compile(
    r"\b(?:no|not|non|without|never|neither|nor|lacks?|lacking|absence of|free of|negative for|rather than|"
    r"rules? out|ruling out|excludes?|excluding|unlikely(?: to be)?|isn't|aren't|wasn't|doesn't|don't|instead of|"
    r"nothing to suggest|against|unlike|anything but|far from|by no means|devoid of|free from|clear of|as opposed to|"
    r"other than|mistaken for|mimic(?:s|king)?|misread as|misdiagnosed as|(?:first|initially) (?:thought|taken|"
    r"suspected))\b"
)
_END = re.compile(r"[.;:,()]|\b(?:but|however|although|though|yet|except|which|whereas)\b")
_SENTENCE_END = re.compile(r"[.;]|\b(?:but|however)\b")
_LISTED = re.compile(r"\bn?or (?:\w+ )?$")
_ELSEWHERE = re.compile(r"\w+ (?<!located )(?<!found )(?<!situated )(?:in|on|from|at) (?:an?|the|his|her)\b")
_VERDICT_AFTER = re.compile(
    r" (?:(?:hypothesis|diagnosis|suspicion|option) )?"
    r"(?:(?:is|are|was|were|has been|have been|can be|could be|may be|appears|seems) )?"
    r"(?:not (?:present|seen|suspected|likely|evident|noted|found)|ruled out|excluded|unlikely|absent|rejected|"
    r"dismissed|"
    r"discarded|discounted|dropped|refuted|disproved|(?:considered|suspected|feared),? (?:but|and|"
    r"then)(?: then)? \w+)\b"
)
_REACH = 6


def is_negated(text: str, start: int, end: int) -> bool:
    """Whether the words at [start, end) stand under a negation.

    A negation reaches six words ahead within its clause, and past a comma only in a list that ends in "or" or
    "nor"; it does not reach into a following "in a ...", "on the ...". A verdict right after the words ("is
    ruled out") denies them too.

    Args:
        text: Lower-case text with single spaces.
        start: First character of the words.
        end: One past the last.

    Returns:
        True where the words are denied.
    """
    if _VERDICT_AFTER.match(text, end):
        return True
    before = text[:start]
    is_listed = bool(_LISTED.search(before))
    clause = _last_part(before, _SENTENCE_END if is_listed else _END)
    triggers = list(_TRIGGER.finditer(clause))
    if not triggers:
        return False
    between = clause[triggers[-1].end() :].lstrip(" -")
    reach = 2 * _REACH if is_listed else _REACH
    return len(between.split()) <= reach and not _ELSEWHERE.search(between)


def _last_part(text: str, boundary: re.Pattern[str]) -> str:
    ends = [match.end() for match in boundary.finditer(text)]
    return text[ends[-1] :] if ends else text

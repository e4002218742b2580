"""What a prompt says: attributes read off free text by a lexicon, with negation.

`mentions` finds the attribute values a text asserts; `agrees` compares one with the manifest. Both know more
words than the grammar of `instructions` says, because vision-language models write as they please.
"""

import re
from collections.abc import Iterator
from typing import Any

from dermdit_kedro.prompts.negation import is_negated
from dermdit_kedro.prompts.parameters import Attribute

AGE_TOLERANCE = 5.0
"""Years by which a stated age may miss the recorded one: ages are recorded and spoken rounded."""

_LABELS = {
    True: re.compile(
        r"\b(?<!pre-)(?:malignan(?:t|cy|cies)|cancer(?:ous)?|melanomas?|lentigo maligna|carcinomas?|bcc|scc)\b"
    ),
    False: re.compile(
        r"\b(?:benign|harmless|innocuous|non-?cancerous|non-?malignant|na?ev(?:us|i)|moles?|"
        r"seborrho?eic keratos[ie]s|dermatofibromas?|(?:ha?em)?angiomas?)\b"
    ),
}
_SEXES = {
    "female": re.compile(r"\b(?:females?|woman|women|girl|lady|she|her|hers)\b"),
    "male": re.compile(r"\b(?:males?|man|men|boy|gentleman|he|him|his)\b"),
}

_SKIN = r"(?:complexion|skin(?:ned)?(?:[- ](?:tone|colou?r|type))?|tone)"
_SHADES = {
    "light": r"(?:light(?:er)?|fair|pale|white|ivory)",
    "brown": r"(?:(?:light|medium|moderate)[- ]brown|(?<!dark )(?<!dark-)brown|olive|tan(?:ned)?|medium|intermediate)",
    "dark": r"(?:dark[- ]brown|dark(?:er)?|black|deep(?:ly pigmented)?|ebony)",
}
_TONES = {
    tone: re.compile(
        rf"\b{shade}[- ](?:colou?red |pigmented )?{_SKIN}\b"
        rf"|\b(?:skin(?: tone| colou?r)?|complexion|tone)(?: is| appears|:) (?:very )?{shade}\b(?!-| brown)"
    )
    for tone, shade in _SHADES.items()
}
_FITZPATRICK = re.compile(
    r"\b(?:fitzpatrick|fst|phototype)(?:[ -](?:skin|photo|type|scale))*[ :-]*([1-6]|iv|vi?|i{1,3})\b"
)
_FITZPATRICK_TYPES = {
    "1": 0,
    "i": 0,
    "2": 0,
    "ii": 0,
    "3": 1,
    "iii": 1,
    "4": 1,
    "iv": 1,
    "5": 2,
    "v": 2,
    "6": 2,
    "vi": 2,
}

_ABOUT = r"(?:is|was|of|:|about|around|approximately|approx\.?|roughly|nearly|~)"
_TENS = ("twent", "thirt", "fort", "fift", "sixt", "sevent", "eight", "ninet")
_WORD = "|".join(_TENS)
_IN_THE = r"\bin (?:his|her|their|the)(?: (?:early|mid|late))?[- ]"
_YEARS = (
    re.compile(rf"\baged?(?: ?{_ABOUT})* ?(\d{{1,3}})\b"),
    re.compile(r"\b(\d{1,3})[- ]?(?:years?[- ]?old|years? of age|y/?o|yr[- ]old)\b"),
    re.compile(rf"\b({_WORD})y[- ]years?[- ]old\b"),
    re.compile(rf"\baged? ({_WORD})y\b"),
)
_DECADES = (re.compile(rf"(?:{_IN_THE}|\baged? )(\d0)'?s\b"), re.compile(rf"{_IN_THE}({_WORD})ies\b"))

_SITES = {
    ("head and neck",): r"head(?:[ /](?:and |or )?neck)?|neck|face|facial|scalp|ears?|nose|cheeks?|foreheads?|eyelids?|"
    r"temples?|chin",
    ("head and neck", "oral or genital"): r"lips?",
    ("trunk",): r"trunk|torso|chest|abdom(?:en|inal)|belly|back|flanks?|thorax",
    ("trunk", "upper extremity"): r"shoulders?",
    ("trunk", "lower extremity"): r"buttocks?|hips?",
    ("upper extremity",): r"upper (?:extremit(?:y|ies)|limbs?)|(?:fore|upper )?arms?|elbows?|wrists?",
    ("lower extremity",): r"lower (?:extremit(?:y|ies)|limbs?|legs?)|legs?|thighs?|knees?|cal(?:f|ves)|shins?|ankles?",
    ("upper extremity", "palms and soles"): r"(?<!other )(?<!left-)(?<!right-)hands?(?! side)|fingers?",
    ("lower extremity", "palms and soles"): r"foot|feet|toes?|heels?",
    ("palms and soles",): r"palms?(?:[ /](?:and |or )?soles?)?|soles?|palmar|plantar",
    ("palms and soles", "upper extremity", "lower extremity"): r"acral|nails?",
    (
        "oral or genital",
    ): r"oral(?:[ /](?:or |and )?genitals?)?|genital(?:s|ia)?|mouth|mucosal?|penis|vulva|scrotum|groin",
}
_SITE_PATTERNS = {sites: re.compile(rf"\b(?:{words})\b") for sites, words in _SITES.items()}


def mentions(text: str) -> dict[Attribute, frozenset[Any]]:
    """Read off a text what it asserts about the five attributes.

    Args:
        text: A prompt.

    Returns:
        Asserted values by attribute, empty where the text says nothing: is_malignant as bool ("no sign of
        malignancy" asserts False); tone_group and sex as in the manifest; age_approx as (lowest, highest) in
        years; site as the tuple of sites that the word may mean ("hand" is an upper extremity or a palm).
    """
    text = clean(text)
    return {
        "is_malignant": frozenset(_labels(text)),
        "tone_group": frozenset(_tones(text)),
        "sex": frozenset(sex for sex, pattern in _SEXES.items() if any(_denials(pattern, text, False))),
        "age_approx": frozenset(_ages(text)),
        "site": frozenset(sites for sites, pattern in _SITE_PATTERNS.items() if any(_denials(pattern, text, False))),
    }


def agrees(attribute: Attribute, value: Any, truth: Any) -> bool:
    """Whether one asserted value fits the recorded one.

    Args:
        attribute: Whose value.
        value: One element of `mentions(...)[attribute]`.
        truth: The manifest's value; known.

    Returns:
        Equality; for ages, up to `AGE_TOLERANCE`; for sites, membership.
    """
    if attribute == "age_approx":
        return bool(value[0] - AGE_TOLERANCE <= float(truth) <= value[1] + AGE_TOLERANCE)
    if attribute == "site":
        return truth in value
    return bool(value == (bool(truth) if attribute == "is_malignant" else truth))


def is_recalled(attribute: Attribute, asserted: dict[Attribute, frozenset[Any]], truth: Any) -> bool:
    """Whether a text names the recorded value.

    Args:
        attribute: Whose value.
        asserted: What `mentions` read.
        truth: The manifest's value; known.

    Returns:
        True where at least one asserted value agrees.
    """
    return any(agrees(attribute, value, truth) for value in asserted[attribute])


def is_contradicted(attribute: Attribute, asserted: dict[Attribute, frozenset[Any]], truth: Any) -> bool:
    """Whether a text asserts a value other than the recorded one.

    Args:
        attribute: Whose value.
        asserted: What `mentions` read.
        truth: The manifest's value; known.

    Returns:
        True where at least one asserted value disagrees, be there another that agrees.
    """
    return any(not agrees(attribute, value, truth) for value in asserted[attribute])


def clean(text: str) -> str:
    """Lower a text's case and make its spaces, dashes and apostrophes plain.

    Args:
        text: Any text.

    Returns:
        The text that the patterns of this module read.
    """
    text = re.sub(r"[\u2010-\u2015]", "-", text.lower()).replace("\u2019", "'")
    return re.sub(r"\s+", " ", text).strip()


def _denials(pattern: re.Pattern[str], text: str, denied: bool) -> Iterator[bool]:
    """Yield True for each match of the pattern that is denied (or asserted, where `denied` is False)."""
    return (True for m in pattern.finditer(text) if is_negated(text, m.start(), m.end()) is denied)


def _labels(text: str) -> set[bool]:
    asserted = {label for label, pattern in _LABELS.items() if any(_denials(pattern, text, False))}
    if asserted:
        return asserted
    denied = {label for label, pattern in _LABELS.items() if any(_denials(pattern, text, True))}
    return {not label for label in denied} if len(denied) == 1 else set()


def _tones(text: str) -> set[str]:
    tones = {tone for tone, pattern in _TONES.items() if any(_denials(pattern, text, False))}
    types = {_FITZPATRICK_TYPES[match[1]] for match in _FITZPATRICK.finditer(text)}
    return tones | {tuple(_TONES)[index] for index in types}


def _ages(text: str) -> set[tuple[float, float]]:
    years = {_number(match[1]) for pattern in _YEARS for match in pattern.finditer(text)}
    decades = {_number(match[1]) for pattern in _DECADES for match in pattern.finditer(text)}
    return {(year, year) for year in years} | {(decade, decade + 9) for decade in decades}


def _number(word: str) -> float:
    return 20.0 + 10.0 * _TENS.index(word) if word in _TENS else float(word)

"""What a prompt says: attributes read off free text by a lexicon, with negation.

`mentions` finds the attribute values a text asserts; `agrees` compares one with the manifest. Both know more
words than the grammar of `instructions` says, because vision-language models write as they please.
"""

import re
from collections.abc import Iterator
from typing import Any

from dermdit_kedro.prompts.ages import read_ages, spell_in_figures
from dermdit_kedro.prompts.negation import is_negated
from dermdit_kedro.prompts.parameters import Attribute
from dermdit_kedro.prompts.sites import read_sites
from dermdit_kedro.prompts.tones import read_tones

AGE_TOLERANCE = 5.0
"""Years by which a stated age may miss the recorded one: ages are recorded and spoken rounded."""

_LABELS = {
    True: re.compile(
        r"\b(?<!pre-)(?:malignan(?:t|cy|cies)|cancer(?:s|ous)?|melanomas?|lentigo maligna|carcin\w{0,2}mas?|"
        r"bccs?|sccs?|"
        r"sarcomas?|metasta(?:sis|ses|tic)|bowen's disease|merkel cell)\b"
    ),
    False: re.compile(
        r"\b(?:benign|harmless|innocuous|innocent|non-?cancerous|non-?malignant|na?ev(?:us|i)|moles?|"
        r"(?:seborrho?eic|benign|lichenoid|lichen[- ]planus[- ]like) keratos[ie]s|dermatofibromas?|"
        r"(?:ha?em)?angio(?:kerato)?mas?|(?:solar|senile) lentig(?:o|ines)|lentigo simplex|warts?|verrucas?|freckles?|"
        r"birthmarks?|sebaceous hyperplasia|pyogenic granulomas?|lipomas?|skin tags?)\b"
    ),
}
_SEXES = {
    "female": re.compile(
        r"\b(?:females?|wom[ae]n|girl|lady|ladies|gal|lass|mrs|ms|she|her|hers|herself)\b|\b\d{1,3} ?f\b|"
        r"\bf ?/? ?\d{2}\b"
    ),
    "male": re.compile(
        r"\b(?:males?|m[ae]n|boy|gentlem[ae]n|gent|guy|bloke|chap|fellow|lad|mr|he|him|his|himself)\b|"
        r"\b\d{1,3} ?m\b|\bm ?/? ?\d{2}\b"
    ),
}
_OF_OTHERS = re.compile(
    r"\b(?:(?:mother|father|sister|brother|husband|wife|aunt|uncle|parent|son|daughter|cousin|relative|"
    r"grandmother|grandfather)"
    r"(?:'s?)?(?: \w+){0,4}|family history of(?: \w+){0,3}) $"
)


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
    figures = spell_in_figures(text)
    return {
        "is_malignant": frozenset(_labels(text)),
        "tone_group": frozenset(read_tones(figures)),
        "sex": frozenset(sex for sex, pattern in _SEXES.items() if any(_denials(pattern, figures, False))),
        "age_approx": frozenset(read_ages(figures)),
        "site": frozenset(read_sites(text)),
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
    text = re.sub(r"[\u2010-\u2015]", "-", text.lower())
    text = re.sub(r"[\u2018\u2019]", "'", re.sub(r"[\u201c\u201d]", '"', text))
    return re.sub(r"\s+", " ", text).strip()


def _denials(pattern: re.Pattern[str], text: str, denied: bool) -> Iterator[bool]:
    """Yield True for each match of the pattern that is denied (or asserted, where `denied` is False)."""
    return (True for m in pattern.finditer(text) if is_negated(text, m.start(), m.end()) is denied)


def _labels(text: str) -> set[bool]:
    own = {
        label: [match for match in pattern.finditer(text) if not _OF_OTHERS.search(text[: match.start()])]
        for label, pattern in _LABELS.items()
    }
    denials = {label: [is_negated(text, m.start(), m.end()) for m in matches] for label, matches in own.items()}
    asserted = {label for label, denied in denials.items() if not all(denied)}
    if asserted:
        return asserted
    denied = {label for label, found in denials.items() if found}
    return {not label for label in denied} if len(denied) == 1 else set()

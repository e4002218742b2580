"""The ages a text asserts: figures, words, decades, and the way clinicians write them."""

import re

from dermdit_kedro.prompts.negation import is_negated

_ONES = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = (
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twent", "thirt", "fort", "fift", "sixt", "sevent", "eight", "ninet")
_NUMBERS = {word: i for i, word in enumerate((*_ONES, *_TEENS), start=1)}
_WORDS = re.compile(
    rf"\b(?:({'|'.join(_TENS)})y(?:[- ]({'|'.join(_ONES)}))?|({'|'.join((*_TEENS, *_ONES))}))\b(?!-fold)"
)

PERSON = (
    r"(?:females?|males?|wom[ae]n|m[ae]n|lady|ladies|gal|girl|boy|gentlem[ae]n|gent|guy|bloke|chap|fellow|lad|"
    r"patients?|"
    r"person|individual|adult|teenager|pensioner|retiree|[mf])"
)
"""Words for somebody, whose age may stand right beside."""

_AGE = r"(\d{1,3})(?![\d.,]*\d)"
_UNITLESS = (
    r"(?! ?(?:mm|cm|x\b|%|/|o'clock|dots?|globules?|clods?|colou?rs?|streaks?|vessels?|spots?|structures?|times|-?fold|"
    r"days?|weeks?|months?|hours?|pixels?))"
)
_ABOUT = (
    r"(?:(?:is|was|of|at|aged?|about|around|approximately|approx\.?|roughly|nearly|almost|circa|only|now|"
    r"just|some|a|~|:) ?)"
)
_YEARS = r"(?:[- ]?(?:years?|yrs?|y)\b\.?)"
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\baged?\b:?\*{{0,2}} ?{_ABOUT}*{_AGE}{_UNITLESS}",
        rf"\b{_AGE}{_YEARS}(?:[- ]old| of age|/?o\b)?(?! (?:ago|later|earlier|before|after|history|duration|"
        rf"apart|back))",
        rf"\b{_AGE}[- ]?(?:y\.?/?o|yr-old)\b",
        rf"\b{_AGE}[- /]?[mf]\b(?! ?/)",
        rf"\b[mf][ /]?{_AGE}\b{_UNITLESS}",
        rf"\b{PERSON}\)?(?:,|\.|;|:| \(| -)? ?{_ABOUT}*{_AGE}\b{_UNITLESS}",
        rf"\b(?:she|he|patient|who|they)(?:'s| is| was| are|) {_ABOUT}*{_AGE}\b{_UNITLESS}",
        rf"\b{_AGE},? (?:and )?(?:[a-z]+[- ]?(?:skinned|year-old)?,? )?{PERSON}\b",
        rf"\b(?:pushing|turned|turning|nearing|approaching) {_AGE}\b{_UNITLESS}",
        rf"\bat {_AGE}\b{_UNITLESS}",
        rf"\bnot \d{{1,3}},? but (?:rather )?{_AGE}\b{_UNITLESS}",
    )
)
_DECADES = re.compile(
    rf"\b(?:(early|mid|middle|late)[- ]+)?(?:(\d0)'?s|({'|'.join(_TENS)})ies)\b|\b(\d{{2}})[- ]?(?:ish|something)\b"
)
_DECADE_CONTEXT = re.compile(
    r"\b(?:in|of|her|his|their|the|aged?|early|mid|middle|late|an?|about|around)[ -]+$|^|[,;.:(] ?$"
)
_PARTS = {"early": (0, 4), "mid": (4, 6), "middle": (4, 6), "late": (5, 9), None: (0, 9)}
_SPOKEN = {
    r"octogenarian": (80, 89),
    r"septuagenarian": (70, 79),
    r"sexagenarian": (60, 69),
    r"quinquagenarian": (50, 59),
    r"nonagenarian": (90, 99),
    r"elderly": (65, 120),
    r"middle[- ]aged": (40, 60),
    r"teenage(?:r|d)?|adolescent": (11, 19),
    r"toddler": (1, 4),
    r"(?:new-?born|infant|baby)": (0, 2),
    r"child|kid|schoolchild": (0, 12),
    r"school(?:girl|boy)|pupil": (6, 18),
    r"in (?:his|her|their) (?:early |mid[- ]|late )?teens": (11, 19),
    r"young (?:woman|man|lady|adult|gentleman|male|female|patient|person)": (0, 45),
    r"(?<!year )(?<!years )(?<!year-)(?<!yr )(?<!yrs )(?<!yr-)old (?:woman|man|lady|gentleman)": (60, 120),
    r"(?:third|3rd) decade": (20, 29),
    r"(?:fourth|4th) decade": (30, 39),
    r"(?:fifth|5th) decade": (40, 49),
    r"(?:sixth|6th) decade": (50, 59),
    r"(?:seventh|7th) decade": (60, 69),
    r"(?:eighth|8th) decade": (70, 79),
    r"(?:ninth|9th) decade": (80, 89),
}
_SPOKEN_PATTERNS = {re.compile(rf"\b(?:{word})\b"): span for word, span in _SPOKEN.items()}
_NO_AGE = re.compile(
    r"(?:\b(?:in|for|over|within|past|last|since|every|after|before|least|than) |\b(?:scale|zoom|looks) )$"
)


def spell_in_figures(text: str) -> str:
    """Write the number words of a text up to ninety-nine as figures.

    Args:
        text: Lower-case text.

    Returns:
        Such as "a 41-year-old, skin type 3"; decades ("forties") stay words.
    """

    def figure(match: re.Match[str]) -> str:
        tens, ones, other = match.groups()
        if other == "one" and not text[: match.start()].endswith("type "):
            return "one"  # "one notes", "one of them"
        if tens is None:
            return str(_NUMBERS[other])
        return str(20 + 10 * _TENS.index(tens) + (_NUMBERS[ones] if ones else 0))

    return _WORDS.sub(figure, text)


def read_ages(text: str) -> set[tuple[float, float]]:
    """Return the ages a text asserts.

    Args:
        text: As `lexicon.clean` and `spell_in_figures` leave it.

    Returns:
        (lowest, highest) in years; denied ages ("not 36 but 63") are left out.
    """
    found: dict[int, tuple[float, float]] = {}
    for pattern in _PATTERNS:
        for match in pattern.finditer(text):
            start, age = match.start(1), float(match[1])
            is_age = 0 < age <= 120 and not _NO_AGE.search(text[:start])
            if is_age and not is_negated(text, start, match.end(1)):
                found[start] = (age, age)
    exact = set(found.values())
    spans = {*_decades(text), *_spoken(text)}
    # "in the septuagenarian (70, ...)": the figure says it better
    return exact | {span for span in spans if not any(span[0] <= age <= span[1] for age, _ in exact)}


def _decades(text: str) -> set[tuple[float, float]]:
    spans = set()
    for match in _DECADES.finditer(text):
        part, figure, word, ish = match.groups()
        if is_negated(text, match.start(), match.end()) or not _DECADE_CONTEXT.search(text[: match.start()]):
            continue
        decade = 20.0 + 10 * _TENS.index(word) if word else float(figure or ish)
        low, high = (-3, 3) if ish else _PARTS[part]
        spans.add((decade + low, decade + high))
    return spans


def _spoken(text: str) -> set[tuple[float, float]]:
    return {
        (float(span[0]), float(span[1]))
        for pattern, span in _SPOKEN_PATTERNS.items()
        for match in pattern.finditer(text)
        if not is_negated(text, match.start(), match.end())
    }

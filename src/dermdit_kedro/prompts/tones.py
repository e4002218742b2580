"""The skin tones a text asserts: shades of skin and of people, and Fitzpatrick types."""

import re

from dermdit_kedro.prompts.ages import PERSON
from dermdit_kedro.prompts.negation import is_negated

_SHADES = {
    "light": r"(?:light(?:er|ly)?(?![- ](?:to )?(?:medium|brown))|fair(?:er)?|pale|white|ivory|alabaster|porcelain|"
    r"creamy|milky|caucasian)",
    "brown": r"(?:(?:light(?:ly)?|medium|mid|moderate(?:ly)?|warm)[- ](?:mid-?)?brown|mid-?brown|"
    r"(?<!dark[ -])(?<!deep[ -])brown|"
    r"olive|tan(?:ned)?|medium|intermediate|caramel|bronzed?|honey|"
    r"moderately pigmented|mediterranean|swarthy)",
    "dark": r"(?:(?:very )?(?:dark|deep)(?:er|ly)?(?:[- ]brown)?|black|ebony|mahogany|chocolate|(?:deep|dark|"
    r"rich|heavi)ly pigmented)",
}
_SKIN = r"(?:complexion(?:ed)?|skinn?(?:ned|ed)?(?![- ]colou?red)(?:[- ](?:tone|colou?r|type))?|phototype|tone)"
_JOINED = r"(?:[- ]toned|[- ]colou?red|[- ]pigmented|,? (?:even|smooth|healthy))?"
_HEDGES = (
    r"(?:on|is|are|was|appears?|looks|of|around it is|sort of|kind of|rather|quite|very|fairly|an?|the|"
    r"with|warm|not [\w-]+(?: \w+)? but)"
)
_LOOSE = r"(?:very |rather |quite )?(?:fair|pale)"
_PATTERNS = {
    tone: (
        re.compile(rf"\b{shade}{_JOINED}[- ]{_SKIN}\b"),
        re.compile(
            rf"\b(?:skin(?: tone| colou?r)?|complexion|tone)(?: (?:around|of) (?:it|the (?:lesion|patient)))?"
            rf"(?::?\*{{0,2}}:? ?{_HEDGES})*:?\*{{0,2}} {shade}\b(?![- ]colou?red|[- ](?:lines?|dots?|areas?|spots?))"
        ),
    )
    for tone, shade in _SHADES.items()
}
_PEOPLE = {
    "light": re.compile(
        rf"\b(?:{_LOOSE}|white|caucasian) {PERSON}\b(?!/)|\b{PERSON},? {_LOOSE}(?=[,;.]|$)|[,;] ?{_LOOSE}(?=[,;.]|$)"
    ),
    "brown": re.compile(r"\b(?:brown|olive|tan(?:ned)?) (?:wom[ae]n|m[ae]n|lady|gentleman)\b"),
    "dark": re.compile(r"\b(?:dark|black) (?:wom[ae]n|m[ae]n|lady|gentleman|male|female)\b"),
}
_TYPE = r"([1-6]|vi|iv|v|i{1,3})\b"
_TYPES = (
    re.compile(
        r"\b(?:fitzpatrick|fitz|fst|(?:skin[- ])?photo-?type|skin[- ]type)"
        rf"[\s:,*(-]*(?:(?:skin|photo|type|scale|grade|is|of|phototype)[\s:(-]+)*{_TYPE}"
    ),
    re.compile(rf"\btype {_TYPE}(?= (?:skin|complexion|or [1-6iv]+ skin))"),
)
_BARE_TYPE = re.compile(rf"\btype {_TYPE}")
_NEAR = re.compile(r"\b(?:skin|fitzpatrick|phototype|complexion)\b[^.;:]{0,28}$")
_NUMERALS = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5, "vi": 6}


def read_tones(text: str) -> set[str]:
    """Return the tone groups a text asserts.

    Args:
        text: As `lexicon.clean` and `ages.spell_in_figures` leave it.

    Returns:
        Of `TONE_GROUPS`; denied ones are left out. Colours of the lesion are none.
    """
    tones = {
        tone
        for tone in _SHADES
        for pattern in (*_PATTERNS[tone], _PEOPLE[tone])
        for match in pattern.finditer(text)
        if not is_negated(text, match.start(), match.end())
    }
    if "dark" in tones and "brown" in tones and not re.search(r"(?<!dark)(?<!deep)[- ]brown", f" {text}"):
        tones.discard("brown")
    return tones | {tone for start, end, tone in _types(text) if not is_negated(text, start, end)}


def _types(text: str) -> list[tuple[int, int, str]]:
    matches = [match for pattern in _TYPES for match in pattern.finditer(text)]
    matches += [match for match in _BARE_TYPE.finditer(text) if _NEAR.search(text[: match.start()])]
    return [(match.start(), match.end(), _group(match[1])) for match in matches]


def _group(numeral: str) -> str:
    number = _NUMERALS.get(numeral) or int(numeral)
    return ("light", "brown", "dark")[(number - 1) // 2]

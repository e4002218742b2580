"""The body sites a text asserts: parts of the body, and not the words that only sound like them."""

import re

from dermdit_kedro.prompts.ages import PERSON
from dermdit_kedro.prompts.negation import is_negated

_PARTS: dict[tuple[str, ...], str] = {
    (
        "head and neck",
    ): r"head(?:[ /](?:and |or )?neck)?|neck|nape|face|facial|scalp|ears?|earlobe|nose|nasal|nostrils?|cheeks?|"
    r"foreheads?|hairline|tragus|helix|auricle|pinna|eyelids?|eyebrows?|temples?|chin|jaw(?:line)?|occiput|"
    r"occipital|periorbital|preauricular",
    ("head and neck", "oral or genital"): r"lips?",
    ("trunk",): r"trunk|truncal|torso|chest|breasts?|stern(?:um|al)|ribs?|abdom(?:en|inal)|belly|tummy|navel|"
    r"umbilic(?:us|al)|back|"
    r"flanks?|thorax|thoracic|loins?|midriff|clavicle|collarbone|lumbar|waist|scapular?",
    ("trunk", "upper extremity"): r"shoulders?|axillae?|armpits?",
    ("trunk", "lower extremity"): r"buttocks?|hips?|gluteal",
    (
        "upper extremity",
    ): r"upper (?:extremit(?:y|ies)|limbs?)|(?:fore|upper )?arms?|elbows?|wrists?|biceps|triceps|deltoid|antecubital",
    (
        "lower extremity",
    ): r"lower (?:extremit(?:y|ies)|limbs?|legs?)|legs?|thighs?|knee(?:cap)?s?|hamstring|cal(?:f|ves)|shins?|"
    r"ankles?|popliteal|"
    r"pretibial",
    ("upper extremity", "palms and soles"): r"hands?|(?<!fat )fingers?|thumbs?|knuckles?",
    ("lower extremity", "palms and soles"): r"foot|feet|toes?|heels?|instep",
    ("palms and soles",): r"palms?(?:[ /](?:and |or )?soles?)?|soles?|palmar|plantar",
    (
        "palms and soles",
        "upper extremity",
        "lower extremity",
    ): r"acral (?:skin|site|surface|area|location|distribution)s?|nails?|toenails?",
    (
        "oral or genital",
    ): r"oral(?:[ /](?:or |and )?genitals?)?|genital(?:s|ia)?|mouth|tongue|palate|gums?|buccal|mucosal?|"
    r"penis|penile|glans|foreskin|vulvar?|labi(?:a|um|al)|scrot(?:um|al)|groin|perianal|anogenital|vaginal?",
}
_PATTERNS = {sites: re.compile(rf"\b(?:{words})\b") for sites, words in _PARTS.items()}
_THING_OF = re.compile(
    r" of (?:the |this |its |an? |each )?(?:\w+[- ]){0,2}?(?:lesion|image|picture|photo(?:graph)?|frame|page|"
    r"field|view|plaque|nodule|"
    r"macule|patch|papule|naevus|nevus|mole|melanoma|cross|scale|ruler|mark|papillae|network|mesh|streaks?|"
    r"pseudopods?|clock)\b"
)
_OF_BODY = re.compile(
    r" of (?:(?:the|his|her|their|this|a|an|one|both|either)(?: (?:left|right|upper|lower))? )(?:[\w']+[- ]){0,3}?"
    r"(?:neck|head|ear|scalp|hands?|arms?|forearm|wrist|elbow|legs?|knees?|thigh|calf|foot|feet|heel|shoulder)\b"
)
_OF_PERSON = re.compile(rf" of (?:an?|the|this|his|her) (?:[\w-]+[ ,]+){{0,4}}?{PERSON}\b")
_LESIONS_OWN = re.compile(r"\b(?:its|(?:at|towards?|to|near|along) the|the lesion's|the image's) (?:very )?$")
_NOT_A_HAND = re.compile(r"(?:\b(?:left|right|other|one|first|second|at|on|by|to|near)[- ])$")
_SIDE = re.compile(r"[- ]?(?:side|edge|corner|half|margin|border|part|portion|third|quadrant|pole|lens|held)\b")
_ADJECTIVE = re.compile(r"-(?:like|looking|shaped|on|type|sized|to)\b")


def read_sites(text: str) -> set[tuple[str, ...]]:
    """Return the body sites a text asserts.

    Args:
        text: As `lexicon.clean` leaves it.

    Returns:
        For each the tuple of sites that the word may mean ("hand" is an upper extremity or a palm); denied ones,
        and the back, foot, arm or hand of something that is no body, are left out.
    """
    return {
        sites
        for sites, pattern in _PATTERNS.items()
        for match in pattern.finditer(text)
        if _is_body(text, match) and not is_negated(text, match.start(), match.end())
    }


def _is_body(text: str, match: re.Match[str]) -> bool:
    before, after = text[: match.start()], text[match.end() :]
    if _ADJECTIVE.match(after) or _THING_OF.match(after):
        return False
    if match[0] in ("hand", "hands"):
        is_idiom = _NOT_A_HAND.search(before) and not re.search(
            r"\b(?:her|his|the|a|patient's) (?:left|right) $", before
        )
        return not is_idiom and not _SIDE.match(after)
    if match[0] == "back":
        is_of_person = _OF_PERSON.match(after) and not _OF_BODY.match(after)
        return bool(is_of_person) or not (after.startswith(" of ") or _LESIONS_OWN.search(before))
    if match[0] in ("head", "heads", "foot", "arms", "legs", "neck", "face", "nose"):
        return not _LESIONS_OWN.search(before) or match[0] in ("neck", "nose", "face")
    return True

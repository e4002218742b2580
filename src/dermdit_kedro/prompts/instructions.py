"""The grammar of prompts: a record of the manifest in words, and the instruction a captioner is given.

Facts come first, because CLIP attends to early tokens most and cuts the end; what is unknown is left out
and never called unknown.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from string import Formatter
from typing import Any

import pandas as pd

from dermdit_kedro.dermoscopy.records import SEXES, SITES, TONE_GROUPS, UNKNOWN_TONE
from dermdit_kedro.errors import UserError
from dermdit_kedro.prompts.parameters import ATTRIBUTES, Attribute

GRAMMAR_VERSION = 1
"""Goes up when a wording changes, so that prompts of two wordings are told apart by their sha256."""

VIEWS = {"dermoscopic": "dermoscopic image", "clinical": "clinical image"}
"""How a prompt calls each modality; any other is called dermoscopic."""

FIELDS = ("facts", "view", "words")
"""What an instruction's text may leave to be filled in; `facts` it must."""


def known(value: Any) -> bool:
    """Whether an attribute has a value: not null, NaN or `unknown`.

    Args:
        value: A scalar of the manifest.

    Returns:
        False for None, NaN, pandas' NA, "" and "unknown".
    """
    return not (value is None or bool(pd.isna(value)) or value in ("", UNKNOWN_TONE))


def spoken_age(age_approx: float) -> int:
    """Round an age to what a prompt says, so that a model meets each wording often.

    Args:
        age_approx: Age in years, in (0, 130].

    Returns:
        The nearest decade, halves up; 5 below the age of 10. Never more than 5 years from `age_approx`.

    Raises:
        ValueError: If the age is out of range (0 is a missing value in ISIC-family sources).
    """
    if not 0 < age_approx <= 130:
        raise ValueError(f"age_approx must lie in (0, 130], with unknown as null. Got {age_approx}")
    return 5 if age_approx < 10 else int(age_approx / 10 + 0.5) * 10


def facts(record: Mapping[str, Any], attributes: Sequence[Attribute] = ATTRIBUTES) -> list[str]:
    """Word the known attributes of a record, except the malignancy, which `describe` puts on the noun.

    Args:
        record: Columns of the manifest; missing keys count as unknown.
        attributes: Which attributes to name.

    Returns:
        Phrases in the order of `ATTRIBUTES`, such as ["dark skin tone", "female", "age 60", "back"].
    """
    wordings: dict[Attribute, Callable[[Any], str]] = {
        "tone_group": lambda tone: f"{tone} skin tone",
        "sex": str,
        "age_approx": lambda age: f"age {spoken_age(float(age))}",
        "site": str,
    }
    return [wordings[a](record[a]) for a in wordings if a in attributes and known(record.get(a))]


def describe(record: Mapping[str, Any], attributes: Sequence[Attribute] = ATTRIBUTES) -> str:
    """Write the template prompt of a record.

    Args:
        record: Columns of the manifest; missing keys count as unknown.
        attributes: Which attributes to name.

    Returns:
        Such as "dermoscopic image of a malignant lesion, dark skin tone, female, age 60, lower extremity".
    """
    view = VIEWS.get(str(record.get("modality")), VIEWS["dermoscopic"])
    label = ""
    if "is_malignant" in attributes and known(record.get("is_malignant")):
        label = "malignant " if record["is_malignant"] else "benign "
    return ", ".join([f"{view} of a {label}lesion", *facts(record, attributes)])


def check_template(name: str, template: str) -> str:
    """Refuse an instruction's text that could not be filled in.

    Args:
        name: What it is called.
        template: The text; `{facts}` stands for the facts of an image, `{view}` for what kind of image it is,
            `{words}` for the word budget.

    Returns:
        The text without the space around it.

    Raises:
        UserError: If `{facts}` is missing, or another field is there.
    """
    try:
        fields = {field for _, field, _, _ in Formatter().parse(template) if field is not None}
    except ValueError as error:
        raise UserError(f"instruction {name!r} must have its braces in pairs: {error}") from error
    if "facts" not in fields or fields - set(FIELDS):
        raise UserError(
            f"instruction {name!r} must hold {{facts}}, and besides it only {{view}} and {{words}}. "
            f"Got {', '.join(sorted(fields)) or 'no field'}"
        )
    return template.strip()


def instruct(record: Mapping[str, Any], attributes: Sequence[Attribute], template: str, max_words: int) -> str:
    """Write the instruction a vision-language model is given with the image (the paper's I, section 2.1).

    Args:
        record: Columns of the manifest; missing keys count as unknown.
        attributes: Which attributes the prompt must name.
        template: A text that `check_template` let pass.
        max_words: Words the answer may have.

    Returns:
        The text with its fields filled in.
    """
    view = VIEWS.get(str(record.get("modality")), VIEWS["dermoscopic"])
    return template.format(facts=describe(record, attributes), view=view, words=max_words)


def instruct_again(instruction: str, faults: Sequence[str], num_answers: int) -> str:
    """Write the instruction for an answer that had faults: another text, for a model answers the same to the same.

    Args:
        instruction: What it was told.
        faults: What was wrong with its last answer, as `faults.find_faults` says it.
        num_answers: How many answers it has given.

    Returns:
        The instruction with the faults named.
    """
    which = "Your last answer was" if num_answers == 1 else f"Your last {num_answers} answers were"
    return f"{instruction} {which} of no use, for it {', '.join(faults)}. Answer again, facts first."


def instruction_sha256(instruction: str) -> str:
    """Hash an instruction together with the version of the grammar.

    Args:
        instruction: The text.

    Returns:
        64 hexadecimal digits.
    """
    return hashlib.sha256(f"{GRAMMAR_VERSION}\n{instruction}".encode()).hexdigest()


def write_instructions(
    manifest: pd.DataFrame, attributes: Sequence[Attribute], template: str, max_words: int
) -> pd.DataFrame:
    """Write the instruction of every image.

    Args:
        manifest: Rows with image_id and the attributes.
        attributes: Which attributes to name.
        template: A text that `check_template` let pass.
        max_words: Words the answer may have.

    Returns:
        image_id, instruction, instruction_sha256; one row an image, in the order of the manifest.
    """
    texts = [instruct(record, attributes, template, max_words) for record in records(manifest)]
    table = pd.DataFrame({"image_id": manifest["image_id"].to_numpy(), "instruction": texts}).astype("str")
    return table.assign(instruction_sha256=[instruction_sha256(text) for text in texts]).astype("str")


def records(manifest: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table as mappings from column to value.

    Args:
        manifest: Any table.

    Yields:
        One mapping a row.
    """
    columns = list(manifest.columns)
    for row in manifest.itertuples(index=False, name=None):
        yield dict(zip(columns, row, strict=True))


def vocabulary() -> list[str]:
    """List prompts that together hold every word the grammar can say.

    Returns:
        Prompts for a tokenizer to learn from, so that a word no training row has is still one token.
    """
    attributes: dict[str, tuple[Any, ...]] = {
        "modality": tuple(VIEWS),
        "is_malignant": (True, False),
        "tone_group": TONE_GROUPS,
        "sex": SEXES,
        "age_approx": (5, *range(10, 131, 10)),
        "site": SITES,
    }
    return [describe({name: value}) for name, values in attributes.items() for value in values]

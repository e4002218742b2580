"""Rows of a plan: a group's name, its training images, and what each of its rows asks for."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd

from dermdit_kedro.dermoscopy.records import SEXES, SITES, TONE_GROUPS
from dermdit_kedro.errors import UserError
from dermdit_kedro.prompts.instructions import describe, known, records
from dermdit_kedro.prompts.lexicon import AGE_TOLERANCE
from dermdit_kedro.prompts.parameters import ATTRIBUTES, Attribute
from dermdit_kedro.seeds import stable_seed

GROUP_VALUES: Final[dict[str, tuple[Any, ...]]] = {
    "is_malignant": (False, True),
    "tone_group": TONE_GROUPS,
    "sex": SEXES,
    "site": SITES,
}
"""The values over which a plan can be balanced."""


def row_seed(seed: int, sample_id: str) -> int:
    """Derive the seed of one image from the seed of the run and the image's identity.

    Args:
        seed: The seed of the run.
        sample_id: The id of the row.

    Returns:
        An integer in [0, 2**63), as torch's generators take.
    """
    return stable_seed(seed, sample_id)


def groups_of(attributes: Sequence[str]) -> list[dict[str, Any]]:
    """List every combination of the attributes' values.

    Args:
        attributes: Keys of `GROUP_VALUES`.

    Returns:
        One mapping from attribute to value a group, in a fixed order.
    """
    combinations = itertools.product(*(GROUP_VALUES[name] for name in attributes))
    return [dict(zip(attributes, values, strict=True)) for values in combinations]


def group_name(group: Mapping[str, Any]) -> str:
    """Name a group as sample ids do.

    Args:
        group: Attribute to value.

    Returns:
        Such as `malignant_dark` or `benign_light_female_lower-extremity`.
    """
    words = {True: "malignant", False: "benign"}
    spoken = [
        words[bool(value)] if name == "is_malignant" else f"{value:g}" if name == "age_approx" else str(value)
        for name, value in group.items()
    ]
    return "_".join(word.replace(" ", "-") for word in spoken) or "any"


def require_named(group_attributes: Sequence[str], attributes: Sequence[str]) -> None:
    """Refuse to ask for what the prompts do not name.

    Args:
        group_attributes: What a plan asks for.
        attributes: What the prompts of the generator name.

    Raises:
        UserError: With what is not named.
    """
    unnamed = [name for name in group_attributes if name not in attributes]
    if unnamed:
        raise UserError(
            f"synthesis.attributes may hold only what the prompts name ({', '.join(attributes)}). Got {unnamed}"
        )


def _in_group(train: pd.DataFrame, group: Mapping[str, Any]) -> "pd.Series[bool]":
    inside = pd.Series(True, index=train.index)
    for name, value in group.items():
        same = (train[name] - value).abs() <= AGE_TOLERANCE if name == "age_approx" else train[name] == value
        inside &= same.fillna(False).astype(bool)
    return inside


def split_supported(
    train: pd.DataFrame, groups: Sequence[dict[str, Any]], min_train_images: int
) -> tuple[list[tuple[dict[str, Any], pd.DataFrame]], list[dict[str, Any]]]:
    """Tell the groups that enough training images show from the others.

    Args:
        train: Training records.
        groups: Attribute to value.
        min_train_images: How many are enough.

    Returns:
        The groups with their training records; and `group`, `n_train` and `min_train_images` of each of the others.
    """
    supported: list[tuple[dict[str, Any], pd.DataFrame]] = []
    unsupported: list[dict[str, Any]] = []
    for group in groups:
        members = train.loc[_in_group(train, group)]
        if len(members) >= min_train_images:
            supported.append((group, members))
        else:
            unsupported.append({"group": group, "n_train": len(members), "min_train_images": min_train_images})
    return supported, unsupported


def rows_of_group(
    group: Mapping[str, Any],
    members: pd.DataFrame,
    numbers: range,
    attributes: Sequence[Attribute],
    seed: int,
    prompt: str | None = None,
) -> list[dict[str, Any]]:
    """Write rows of one group.

    Args:
        group: What is asked for.
        members: Training records of the group, each a model for some rows.
        numbers: Numbers of the rows within the group.
        attributes: The attributes the prompts of this generator name.
        seed: The seed of the run.
        prompt: The prompt of all rows; null for the caption of each row's model, or the grammar.

    Returns:
        sample_id, prompt, what is requested, and seed.
    """
    name = group_name(group)
    models = sorted(records(members), key=lambda r: (stable_seed(seed, name, r["image_id"]), r["image_id"]))
    rows = []
    for number in numbers:
        model = dict(group) if prompt or not models else models[number % len(models)]
        asked: dict[str, Any] = {a: model[a] for a in ATTRIBUTES if a in attributes and known(model.get(a))}
        caption = prompt or model.get("prompt")
        text = str(caption) if known(caption) else describe({**model, **asked}, attributes)
        sample_id = f"{name}_{number:05d}"
        requested = {f"requested_{attribute}": value for attribute, value in asked.items()}
        rows.append({"sample_id": sample_id, "prompt": text, **requested, "seed": row_seed(seed, sample_id)})
    return rows

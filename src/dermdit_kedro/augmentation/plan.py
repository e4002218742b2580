"""The synthesis plan: one row an image to make, with what is asked for, its prompt and its seed.

A row depends on the seed, its group and its number within the group alone, so a larger plan holds every
row of a smaller one, and neither the order of the manifest nor the number of processes moves an image.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from dermdit_kedro.augmentation.parameters import SynthesisConfig
from dermdit_kedro.dermoscopy.records import SEXES, SITES, TONE_GROUPS, conform
from dermdit_kedro.errors import UserError
from dermdit_kedro.prompts.audit import FLAGS
from dermdit_kedro.prompts.instructions import describe, known, records
from dermdit_kedro.prompts.parameters import ATTRIBUTES, Attribute
from dermdit_kedro.seeds import stable_seed

ASKED_DTYPES: Final[dict[str, str]] = {
    "prompt": "str",
    "requested_is_malignant": "boolean",
    "requested_tone_group": "str",
    "requested_sex": "str",
    "requested_age_approx": "float64",
    "requested_site": "str",
    "seed": "Int64",
}
"""Columns and dtypes of what is asked for, in their order."""

PLAN_DTYPES: Final[dict[str, str]] = {"sample_id": "str", **ASKED_DTYPES}
"""Columns and dtypes of the plan, in their order; what is not asked for is null."""

GROUP_VALUES: Final[dict[str, tuple[Any, ...]]] = {
    "is_malignant": (False, True),
    "tone_group": TONE_GROUPS,
    "sex": SEXES,
    "site": SITES,
}
"""The values over which a plan can be balanced."""


@dataclass(frozen=True)
class SynthesisPlan:
    """What to make, and whom the generator cannot show.

    Attributes:
        rows: One row an image, with the columns of `PLAN_DTYPES`; groups take turns.
        unsupported_groups: `group` (attribute to value), `n_train` and `min_train_images` of each group left out.
    """

    rows: pd.DataFrame
    unsupported_groups: list[dict[str, Any]]


def row_seed(seed: int, sample_id: str) -> int:
    """Derive the seed of one image from the seed of the run and the image's identity.

    Args:
        seed: The seed of the run.
        sample_id: The id of the row.

    Returns:
        An integer in [0, 2**63), as torch's generators take.
    """
    return stable_seed(seed, sample_id)


def training_records(manifest: pd.DataFrame, prompts: pd.DataFrame | None) -> pd.DataFrame:
    """Join the training rows of the manifest with their captions.

    Args:
        manifest: The manifest; rows of other splits are not looked at.
        prompts: image_id, prompt and the audit's flags; null for none.

    Returns:
        The training rows with `prompt`, null where there is no caption or the audit flagged it: a prompt
        that leaves an attribute out, contradicts it or refuses does not ask for what the plan says.
    """
    train = manifest.loc[manifest["split"] == "train"].reset_index(drop=True)
    if prompts is None:
        return train.assign(prompt=pd.Series(pd.NA, index=train.index, dtype="str"))
    flagged = prompts[[flag for flag in FLAGS if flag in prompts]].astype(bool).any(axis=1)
    captions = prompts.loc[~flagged].set_index("image_id")["prompt"]
    return train.assign(prompt=train["image_id"].map(captions).astype("str"))


def plan_balanced(
    train: pd.DataFrame, synthesis: SynthesisConfig, attributes: Sequence[Attribute], seed: int
) -> SynthesisPlan:
    """Plan equal numbers of every group the training images support (paper, section 2.3).

    The groups are all combinations of `synthesis.attributes`; numbers differ by at most one and add up to
    `num_images`. A row takes its prompt and its other attributes from a real training image of its group, each
    image once before any comes twice; without a caption the prompt comes from the grammar.

    Args:
        train: Training records, from `training_records`.
        synthesis: The parameters.
        attributes: The attributes the prompts of this generator name; others are not asked for.
        seed: The seed of the run.

    Returns:
        The plan.

    Raises:
        UserError: If a group attribute is none the prompts name, or if no group has enough training images.
    """
    _require_named(synthesis.attributes, attributes)
    supported: list[tuple[dict[str, Any], pd.DataFrame]] = []
    unsupported: list[dict[str, Any]] = []
    for group in groups_of(synthesis.attributes):
        members = train.loc[_in_group(train, group)]
        if len(members) >= synthesis.min_train_images:
            supported.append((group, members))
        else:
            reported = {"group": group, "n_train": len(members), "min_train_images": synthesis.min_train_images}
            unsupported.append(reported)
    if not supported:
        counts = "; ".join(f"{group_name(u['group'])}: {u['n_train']}" for u in unsupported)
        raise UserError(
            f"no group of {' x '.join(synthesis.attributes)} has synthesis.min_train_images = "
            f"{synthesis.min_train_images} training images ({counts}). Lower it, choose other "
            "synthesis.attributes, or add images"
        )
    shares = _shares(synthesis.num_images, len(supported))
    turns = [
        _rows_of_group(group, members, count, attributes, seed)
        for (group, members), count in zip(supported, shares, strict=True)
    ]
    rows = [row for turn in itertools.zip_longest(*turns) for row in turn if row is not None]
    return SynthesisPlan(conform(pd.DataFrame(rows), PLAN_DTYPES), unsupported)


def plan_unconditional(num_images: int, seed: int) -> SynthesisPlan:
    """Plan images without attributes, for a generator that reads no prompt.

    Args:
        num_images: Images in all.
        seed: The seed of the run.

    Returns:
        A plan with empty prompts and nothing asked for.
    """
    ids = [f"unconditional_{number:05d}" for number in range(num_images)]
    table = pd.DataFrame({"sample_id": ids, "prompt": "", "seed": [row_seed(seed, i) for i in ids]})
    return SynthesisPlan(conform(table, PLAN_DTYPES), [])


def is_unconditional(plan: pd.DataFrame) -> bool:
    """Whether a plan is for a generator that reads no prompt.

    Args:
        plan: A plan.

    Returns:
        True where every prompt is empty.
    """
    return bool((plan["prompt"] == "").all())


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
    values = (words[value] if isinstance(value, bool) else str(value) for value in group.values())
    return "_".join(value.replace(" ", "-") for value in values)


def _require_named(group_attributes: Sequence[str], attributes: Sequence[str]) -> None:
    unnamed = [name for name in group_attributes if name not in attributes]
    if unnamed:
        raise UserError(
            f"synthesis.attributes may hold only what the prompts name ({', '.join(attributes)}). Got {unnamed}"
        )


def _in_group(train: pd.DataFrame, group: Mapping[str, Any]) -> "pd.Series[bool]":
    inside = pd.Series(True, index=train.index)
    for name, value in group.items():
        inside &= (train[name] == value).fillna(False).astype(bool)
    return inside


def _shares(total: int, parts: int) -> list[int]:
    """Split `total` into `parts` whole numbers that differ by at most one, the larger first."""
    return [total // parts + (part < total % parts) for part in range(parts)]


def _rows_of_group(
    group: Mapping[str, Any], members: pd.DataFrame, count: int, attributes: Sequence[Attribute], seed: int
) -> list[dict[str, Any]]:
    name = group_name(group)
    models = sorted(records(members), key=lambda r: (stable_seed(seed, name, r["image_id"]), r["image_id"]))
    rows = []
    for number in range(count):
        model = models[number % len(models)] if models else dict(group)
        asked: dict[str, Any] = {a: model[a] for a in ATTRIBUTES if a in attributes and known(model.get(a))}
        caption = model.get("prompt")
        prompt = str(caption) if known(caption) else describe({**model, **asked}, attributes)
        sample_id = f"{name}_{number:05d}"
        requested = {f"requested_{attribute}": value for attribute, value in asked.items()}
        rows.append({"sample_id": sample_id, "prompt": prompt, **requested, "seed": row_seed(seed, sample_id)})
    return rows

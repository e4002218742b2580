"""The synthesis plan: one row an image to make, with what is asked for, its prompt and its seed.

A row depends on the seed, its group and its number within the group alone, so a larger plan holds every
row of a smaller one, and neither the order of the manifest nor the number of processes moves an image.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from dermdit_kedro.augmentation.parameters import SynthesisConfig
from dermdit_kedro.augmentation.plan_rows import (
    group_name,
    groups_of,
    require_named,
    row_seed,
    rows_of_group,
    split_supported,
)
from dermdit_kedro.augmentation.strategies import STRATEGIES
from dermdit_kedro.dermoscopy.records import conform
from dermdit_kedro.errors import UserError
from dermdit_kedro.prompts.audit import FLAGS
from dermdit_kedro.prompts.parameters import Attribute

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


@dataclass(frozen=True)
class SynthesisPlan:
    """What to make, and whom the generator cannot show.

    Attributes:
        rows: One row an image, with the columns of `PLAN_DTYPES`; groups take turns.
        unsupported_groups: `group` (attribute to value), `n_train` and `min_train_images` of each group left out.
    """

    rows: pd.DataFrame
    unsupported_groups: list[dict[str, Any]]


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


def plan_groups(
    train: pd.DataFrame, synthesis: SynthesisConfig, attributes: Sequence[Attribute], seed: int
) -> SynthesisPlan:
    """Plan images of every group the training images support (paper, section 2.3).

    The groups are all combinations of `synthesis.attributes`, their numbers those of `synthesis.strategy`. A row takes
    its prompt and its other attributes from a real training image of its group, each image once before any comes
    twice; without a caption the prompt comes from the grammar.

    Args:
        train: Training records, from `training_records`.
        synthesis: The parameters.
        attributes: The attributes the prompts of this generator name; others are not asked for.
        seed: The seed of the run.

    Returns:
        The plan.

    Raises:
        UserError: If a group attribute is none the prompts name, no group has enough training images, or the groups
            are even and `complement` has nothing to ask for.
    """
    require_named(synthesis.attributes, attributes)
    supported, unsupported = split_supported(train, groups_of(synthesis.attributes), synthesis.min_train_images)
    if not supported:
        counts = "; ".join(f"{group_name(u['group'])}: {u['n_train']}" for u in unsupported)
        raise UserError(
            f"no group of {' x '.join(synthesis.attributes)} has synthesis.min_train_images = "
            f"{synthesis.min_train_images} training images ({counts}). Lower it, choose other "
            "synthesis.attributes, or add images"
        )
    sizes = [len(members) for _, members in supported]
    counts_of = STRATEGIES[synthesis.strategy](sizes, synthesis.num_images)
    if not sum(counts_of):
        raise UserError(
            f"synthesis.strategy {synthesis.strategy} has nothing to ask for: every group of "
            f"{' x '.join(synthesis.attributes)} has {max(sizes)} training images. Choose `balanced` or `match`"
        )
    turns = [
        rows_of_group(group, members, range(count), attributes, seed)
        for (group, members), count in zip(supported, counts_of, strict=True)
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

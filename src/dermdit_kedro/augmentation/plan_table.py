"""A plan that a table asks for."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from pydantic import ValidationError

from dermdit_kedro.augmentation.parameters import TableRow
from dermdit_kedro.augmentation.plan import PLAN_DTYPES, SynthesisPlan
from dermdit_kedro.augmentation.plan_rows import group_name, require_named, rows_of_group, split_supported
from dermdit_kedro.dermoscopy.records import conform
from dermdit_kedro.errors import UserError
from dermdit_kedro.prompts.instructions import records
from dermdit_kedro.prompts.parameters import ATTRIBUTES, Attribute


def read_table(table: pd.DataFrame) -> list[TableRow]:
    """Check a synthesis table.

    Args:
        table: Columns of `TableRow`, all but count may be missing; empty cells are unknown.

    Returns:
        Its rows.

    Raises:
        UserError: With one line a fault: row, column, value and rule.
    """
    rows = []
    faults: list[str] = []
    for number, record in enumerate(records(table), start=1):
        try:
            rows.append(TableRow.model_validate({name: v for name, v in record.items() if not pd.isna(v)}))
        except ValidationError as error:
            faults += [
                f"synthesis_table, row {number}, {'.'.join(map(str, fault['loc']))}: {fault['msg']}. "
                f"Got {fault['input'] if fault['loc'][-1] in record else 'no such column'!r}"
                for fault in error.errors()
            ]
    if faults:
        raise UserError("\n".join(faults))
    return rows


def plan_table(
    train: pd.DataFrame,
    table: Sequence[TableRow],
    attributes: Sequence[Attribute],
    min_train_images: int,
    seed: int,
) -> SynthesisPlan:
    """Plan what a table asks for.

    Args:
        train: Training records, from `training_records`.
        table: What to ask for; what a row leaves open is that of real training images of its group.
        attributes: The attributes the prompts of this generator name.
        min_train_images: A row whose attributes fewer training images have is left out and reported.
        seed: The seed of the run.

    Returns:
        The plan, in the order of the table.

    Raises:
        UserError: If the table asks for what the prompts do not name, or nothing is left of it.
    """
    require_named([name for name in ATTRIBUTES if any(getattr(row, name) is not None for row in table)], attributes)
    rows: list[dict[str, Any]] = []
    unsupported: list[dict[str, Any]] = []
    numbers: dict[str, int] = {}
    for row in table:
        group: dict[str, Any] = {name: value for name in ATTRIBUTES if (value := getattr(row, name)) is not None}
        found, missing = split_supported(train, [group], min_train_images)
        unsupported += missing
        for _, members in found:
            name = group_name(group)
            start = numbers.get(name, 0)
            numbers[name] = start + row.count
            rows += rows_of_group(group, members, range(start, start + row.count), attributes, seed, row.prompt)
    if not rows:
        raise UserError(
            "the synthesis table must ask for at least one image that synthesis.min_train_images = "
            f"{min_train_images} training images support. Got {len(table)} rows, {len(unsupported)} of them unsupported"
        )
    return SynthesisPlan(conform(pd.DataFrame(rows), PLAN_DTYPES), unsupported)

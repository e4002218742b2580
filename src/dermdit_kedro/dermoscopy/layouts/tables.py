"""Tables of the archives: read by the names of their columns, their words translated into ours."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dermdit_kedro.errors import UserError


def read_table(path: Path, columns: Sequence[str], origin: str, header: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table by the names of its columns.

    Args:
        path: The file; commas, semicolons or tabs, whichever its first line has most of.
        columns: The columns it must have.
        origin: Where the file comes from, for messages.
        header: Names of the columns of a table that has none.

    Returns:
        The table, every column text, stripped; an empty cell is null.

    Raises:
        UserError: If it lacks a column.
    """
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        first = file.readline()
    separator = max(",\t;", key=first.count)
    names: dict[str, Any] = {"header": None, "names": list(header)} if header else {}
    table = pd.read_csv(
        path,
        sep=separator,
        dtype="str",
        encoding="utf-8-sig",
        keep_default_na=False,
        encoding_errors="replace",
        **names,
    )
    table.columns = [str(column).strip() for column in table.columns]
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise UserError(
            f"{path} lacks the column {', '.join(missing)}; it has {', '.join(table.columns)}. See {origin}"
        )
    table = table.apply(lambda column: column.str.strip())
    return table.mask(table == "")


def translate(
    values: pd.Series, words: Mapping[str, Any], where: str, *, unknown: Sequence[str] = ("unknown",)
) -> pd.Series:
    """Translate an archive's words; case does not matter, null stays null.

    Args:
        values: The archive's words.
        words: Word in lower case -> ours.
        where: Column and file, for messages.
        unknown: Words in lower case that say that nothing is known.

    Returns:
        Our words, null where nothing is known.

    Raises:
        UserError: If a word is neither known nor said to be unknown.
    """
    lower = values.str.lower()
    odd = lower[lower.notna() & ~lower.isin([*words, *unknown])]
    if len(odd):
        raise UserError(f"{where} must be one of {', '.join([*words, *unknown])}. Got {values[odd.index[0]]!r}")
    return lower.map(dict(words))


def one_hot(table: pd.DataFrame, classes: Sequence[str], where: str) -> pd.Series:
    """Return the class of each row of a one-hot table.

    Args:
        table: Columns of text numbers.
        classes: The columns of the classes.
        where: The file, for messages.

    Returns:
        The name of the column that holds 1.

    Raises:
        UserError: If a row has not exactly one.
    """
    flags = table[list(classes)].apply(pd.to_numeric, errors="coerce").fillna(0) >= 0.5
    odd = table[flags.sum(axis=1) != 1]
    if len(odd):
        raise UserError(f"a row of {where} must have 1 in one of {', '.join(classes)}. Got {dict(odd.iloc[0])}")
    return flags.idxmax(axis=1)

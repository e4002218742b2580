"""Tables of the archives: read by the names of their columns, their words translated into ours."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd

from dermdit_kedro.dermoscopy.layouts.places import TableFile
from dermdit_kedro.errors import UserError


def read_table(
    path: TableFile, columns: Sequence[str], origin: str, header: Sequence[str] | None = None
) -> pd.DataFrame:
    """Read a table by the names of its columns.

    Args:
        path: The file; commas, semicolons or tabs, whichever its first line has most of.
        columns: The columns it must have.
        origin: Where the file comes from, for messages.
        header: Names of the columns of a table that has none.

    Returns:
        The table, every column text, stripped; an empty cell is null.

    Raises:
        UserError: If it lacks a column or every row, or is no table.
    """
    table = _read(path, header)
    table.columns = [str(column).strip() for column in table.columns]
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise UserError(
            f"{path} lacks the column {', '.join(missing)}; it has {', '.join(table.columns)}. See {origin}"
        )
    if table.empty:
        raise UserError(f"{path} has no row. See {origin}")
    table = table.apply(lambda column: column.str.strip())
    return table.mask(table == "").astype("str")


def _read(path: TableFile, header: Sequence[str] | None) -> pd.DataFrame:
    """Read every cell as text; a row of another width than the header is refused, not shifted."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")  # what spreadsheets write
    separator = max(",\t;", key=text.partition("\n")[0].count)
    _refuse_other_widths(path, text, separator, header)
    names: dict[str, Any] = {"header": None, "names": list(header)} if header else {}
    try:
        return pd.read_csv(
            io.StringIO(text), sep=separator, dtype="str", keep_default_na=False, index_col=False, **names
        )
    except (pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise UserError(f"{path} is no table with {separator!r} between its cells: {error}") from error


def _refuse_other_widths(path: TableFile, text: str, separator: str, header: Sequence[str] | None) -> None:
    """Refuse a row with more or fewer cells than the header, such as the last one of a file that was cut off."""
    try:
        rows = csv.reader(io.StringIO(text), delimiter=separator)
        first = list(header) if header else [name.strip() for name in next(rows, [])]
        wrong = next((number for number, row in enumerate(rows, 1) if row and len(row) != len(first)), None)
    except csv.Error as error:
        raise UserError(f"{path} is no table with {separator!r} between its cells: {error}") from error
    if wrong is not None:
        raise UserError(f"{path}: every row must have {len(first)} cells, as the header has. Row {wrong} has not")
    twice = [name for number, name in enumerate(first) if name and name in first[:number]]
    if twice:
        raise UserError(f"{path} has the column {twice[0]!r} twice")


def image_names(values: pd.Series, where: str) -> pd.Series:
    """Return the names of images; every row must have one.

    Args:
        values: A column of a table.
        where: Column and file, for messages.

    Returns:
        The names.

    Raises:
        UserError: If a row has none.
    """
    empty = values[values.isna()]
    if len(empty):
        raise UserError(f"{where} must name an image in every row. Row {int(empty.index[0]) + 1} has none")
    return values


FLAGS: Final = {
    **dict.fromkeys(("0", "0.0", "false", "no"), False), **dict.fromkeys(("1", "1.0", "true", "yes"), True)
}  # fmt: skip
"""How tables write yes and no."""

SKIN_TYPES: Final = {
    word: number for number, roman in enumerate(("i", "ii", "iii", "iv", "v", "vi"), 1) for word in (roman, str(number))
}
"""How tables write Fitzpatrick skin types."""


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

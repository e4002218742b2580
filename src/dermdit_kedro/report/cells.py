"""How one number is printed in a table of the report."""

from collections.abc import Mapping
from typing import Any

from dermdit_kedro.report.summary import NOT_MEASURED


def number(value: Any, digits: int = 3) -> str:
    """Print a number, or say that it was not measured.

    Args:
        value: A number, or None or text where there is none.
        digits: Decimals of a float.

    Returns:
        Text for a table cell.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NOT_MEASURED if value is None else str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}"


def spread(entry: Any, digits: int = 3) -> str:
    """Print the interval of an entry, or nothing where it has none."""
    interval = entry.get("interval") if isinstance(entry, Mapping) else None
    if not interval or None in interval:
        return ""
    return f"{interval[0]:.{digits}f}\u2013{interval[1]:.{digits}f}"


def rate(entry: Any) -> str:
    """Print a share as a percentage, given as a number or as an entry with a value."""
    value = entry.get("value") if isinstance(entry, Mapping) else entry
    return f"{value:.1%}" if isinstance(value, int | float) else NOT_MEASURED

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
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:z,.{digits}f}".replace("-", "\u2212")


def spread(entry: Any, digits: int = 3) -> str:
    """Print the interval of an entry, or nothing where it has none."""
    interval = entry.get("interval") if isinstance(entry, Mapping) else None
    if not interval or None in interval:
        return ""
    dash = "\u2013" if min(interval) >= 0 else " to "
    return f"{interval[0]:z.{digits}f}{dash}{interval[1]:z.{digits}f}".replace("-", "\u2212")


def signed_number(value: Any, digits: int = 3) -> str:
    """Print a difference with its sign, or say that it was not measured."""
    return f"{value:+.{digits}f}".replace("-", "\u2212") if isinstance(value, int | float) else NOT_MEASURED


def rate(entry: Any) -> str:
    """Print a share as a percentage, given as a number or as an entry with a value."""
    value = entry.get("value") if isinstance(entry, Mapping) else entry
    return f"{value:.1%}" if isinstance(value, int | float) else NOT_MEASURED


def percent(part: float, whole: float) -> str:
    """Print a share of a count in whole percent; a little is never rounded to none, nor almost all to all.

    Args:
        part: How many.
        whole: Of how many.

    Returns:
        Text such as `46 %`, `0.3 %`, `under 0.1 %` or `over 99 %`, its space not to be broken; 0 % of nothing.
    """
    share = 100 * part / whole if whole else 0.0
    if 0 < share < 0.1:
        return "under 0.1\u00a0%"
    if 0 < share < 9.5:
        return f"{share:.1f}\u00a0%"
    return "over 99\u00a0%" if part < whole and share > 99 else f"{share:.0f}\u00a0%"

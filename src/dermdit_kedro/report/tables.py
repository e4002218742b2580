"""The rows of the report's table of screens, made of the summary alone, and how tables read a summary."""

from collections.abc import Iterable, Mapping
from typing import Any

Rows = list[dict[str, Any]]


def screening_rows(screening: Any) -> Rows:
    """List the screening of every variant.

    Args:
        screening: The summary's screening by variant, or the words that there is none.

    Returns:
        Rows with the counts, the reasons, the groups and what is unsupported.
    """
    rows = []
    for variant, result in items(screening):
        groups = [_unsupported(entry) for entry in entries(result.get("unsupported_groups"))]
        rows.append({"variant": variant, **result, "unsupported": groups})
    return rows


def _unsupported(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Spell a group that is too small to learn from."""
    group = entry.get("group")
    asked = group if isinstance(group, Mapping) else {k: v for k, v in entry.items() if k != "n_train"}
    words = [
        {True: "malignant", False: "benign"}.get(v, str(v)) if k == "is_malignant" else str(v) for k, v in asked.items()
    ]
    return {"words": ", ".join(words), "n_train": entry.get("n_train")}


def items(part: Any) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Return what was measured of a part of the summary."""
    return [(k, v) for k, v in part.items() if isinstance(v, Mapping)] if isinstance(part, Mapping) else []


def entries(part: Any) -> list[dict[str, Any]]:
    """Return the entries of a list of the summary, none where it was not measured."""
    return list(part) if isinstance(part, list) else []


def distinct(names: Iterable[str]) -> list[str]:
    """Return each name once, in the order met."""
    return list(dict.fromkeys(names))

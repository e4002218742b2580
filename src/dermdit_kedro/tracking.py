"""From the results of a run to what MLflow stores: flat numbers, curves, plain parameters."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel

TABLES = frozenset({"counts", "edges", "histogram", "seeds"})
"""Keys of lists which the artifact holds; as metrics they would bury the others."""


class Measurement(NamedTuple):
    """One number of a metric.

    Attributes:
        name: Dotted name, such as `dermdit.image_metrics.kid.fd_inception.value`.
        value: A finite number.
        step: Training step, 0 for what is no curve.
    """

    name: str
    value: float
    step: int = 0


def plain_parameters(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the parameters among a node's inputs, typed ones as nested dictionaries.

    Args:
        inputs: The node's inputs by data set name.

    Returns:
        The inputs named `params:...`, ready to be logged field by field.
    """
    return {
        name: value.model_dump(mode="json") if isinstance(value, BaseModel) else value
        for name, value in inputs.items()
        if name.startswith("params:")
    }


def measurements(name: str, content: Any) -> Iterator[Measurement]:
    """Flatten a JSON document into numbers.

    Nested keys are joined by dots; an item of a list is named by its own words (`name`, `reference`,
    groups) or its position; `steps` beside lists of the same length, and items with a `step`, are curves;
    null, text, numbers that are not finite and the lists named in `TABLES` are left out.

    Args:
        name: Name of the data set: the prefix of every metric.
        content: The document, or a part of it.

    Yields:
        The numbers, in the order of the document.
    """
    if isinstance(content, bool) or content is None or isinstance(content, str):
        return
    if isinstance(content, int | float):
        if math.isfinite(content):
            yield Measurement(_clean(name), float(content))
    elif isinstance(content, Mapping):
        yield from _from_mapping(name, content)
    elif isinstance(content, Sequence):
        yield from _from_list(name, content)


def _from_mapping(name: str, content: Mapping[str, Any]) -> Iterator[Measurement]:
    steps = content.get("steps")
    for key, value in content.items():
        if (key == "steps" or key in TABLES) and isinstance(value, Sequence):
            continue
        if isinstance(steps, Sequence) and _is_numbers(value) and len(value) == len(steps):
            yield from _curve(f"{name}.{key}", steps, value)
        else:
            yield from measurements(f"{name}.{key}", value)


def _from_list(name: str, content: Sequence[Any]) -> Iterator[Measurement]:
    if _is_numbers(content) and len(content) == 2 and name.endswith("interval"):
        yield from measurements(f"{name}.low", content[0])
        yield from measurements(f"{name}.high", content[1])
        return
    for position, item in enumerate(content):
        if isinstance(item, Mapping) and isinstance(item.get("step"), int):
            for key, value in item.items():
                if key != "step" and _is_numbers([value]):
                    yield from _curve(f"{name}.{key}", [item["step"]], [value])
        else:
            yield from measurements(f"{name}.{_label(item) or position}", item)


def _curve(name: str, steps: Sequence[Any], values: Sequence[Any]) -> Iterator[Measurement]:
    for step, value in zip(steps, values, strict=True):
        if math.isfinite(value):
            yield Measurement(_clean(name), float(value), int(step))


def _is_numbers(values: Any) -> bool:
    return isinstance(values, Sequence) and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in values
    )


def _label(item: Any) -> str:
    """Name an item of a list by its words and its yes-or-no attributes."""
    if not isinstance(item, Mapping):
        return ""
    words = [value for value in item.values() if isinstance(value, str) and len(value) <= 40]
    flags = [f"{key}_{value}".lower() for key, value in item.items() if isinstance(value, bool)]
    return ".".join(words + flags)


def _clean(name: str) -> str:
    """Replace what MLflow does not take in a metric's name."""
    return re.sub(r"[^/\w.\- ]", "_", name)

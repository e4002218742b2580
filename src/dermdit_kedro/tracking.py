"""From a run to what MLflow stores: its name and tags, flat numbers, curves, plain parameters."""

import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

TABLES = frozenset({"counts", "edges", "histogram", "seeds", "groups", "differences"})
"""Keys of lists and tables which the artifact holds; as metrics they would bury the others."""
DETAILS = frozenset({"seed_std", "p_value", "p_adjusted"})
"""Keys beside a value that the artifact holds."""
METRICS_PER_CALL = 1000
COMPARISONS = frozenset({"arm_comparison", "summary"})
"""Data sets whose numbers are not logged one by one: thousands of differences, and what others have logged."""


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


def run_name(run_params: Mapping[str, Any], now: datetime) -> str:
    """Name a run by what it is, such as `test · synthesis · sampler.guidance_scale=3 · 2026-11-28 14:55`.

    Args:
        run_params: Kedro's: `env`, `pipeline_names`, `tags`, `runtime_params`.
        now: Its start.

    Returns:
        Environment, pipeline, tags of its nodes, what `--params` changed, and when.
    """
    changed = [f"{name}={value}" for name, value in _leaves(run_params.get("runtime_params") or {})]
    tags = [f"tags {'+'.join(run_params['tags'])}"] if run_params.get("tags") else []
    parts = [run_params.get("env") or "base", _pipelines(run_params), *tags, *changed[:3]]
    parts += ["..."] * (len(changed) > 3)
    return " · ".join([*parts, f"{now:%Y-%m-%d %H:%M}"])


def run_tags(run_params: Mapping[str, Any], layouts: Iterable[str]) -> dict[str, str]:
    """Say what runs can be told apart and found by.

    Args:
        run_params: Kedro's: `env`, `pipeline_names`, `project_path`.
        layouts: Those of the sources that are read; none where a run reads no source.

    Returns:
        `environment`, `pipeline`, `data` (phantoms, patients or both) and, within a git repository, its commit.
    """
    from mlflow.utils.git_utils import get_git_commit
    from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT

    kinds = sorted({"phantoms" if layout == "phantom" else "patients" for layout in layouts})
    commit = get_git_commit(str(run_params.get("project_path") or Path.cwd()))
    tags = {
        "environment": run_params.get("env") or "base",
        "pipeline": _pipelines(run_params),
        "data": " and ".join(kinds),
        MLFLOW_GIT_COMMIT: commit,
    }
    return {name: tag for name, tag in tags.items() if tag}


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
    null, text, numbers that are not finite and what `TABLES` and `DETAILS` name are left out.

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
        if key in DETAILS or ((key == "steps" or key in TABLES) and isinstance(value, Sequence | Mapping)):
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


def log_metrics(run_id: str, measured: Iterable[Measurement]) -> None:
    """Write numbers to an MLflow run.

    Args:
        run_id: The run.
        measured: The numbers.
    """
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

    now = int(time.time() * 1000)
    metrics = [Metric(number.name, number.value, now, number.step) for number in measured]
    for start in range(0, len(metrics), METRICS_PER_CALL):
        MlflowClient().log_batch(run_id, metrics=metrics[start : start + METRICS_PER_CALL])


def log_tags(run_id: str, tags: Mapping[str, str]) -> None:
    """Write tags to an MLflow run.

    Args:
        run_id: The run.
        tags: Name -> value.
    """
    from mlflow.entities import RunTag
    from mlflow.tracking import MlflowClient

    MlflowClient().log_batch(run_id, tags=[RunTag(name, tag) for name, tag in tags.items()])


def _pipelines(run_params: Mapping[str, Any]) -> str:
    names = run_params.get("pipeline_names") or ["__default__"]
    return "+".join("all pipelines" if name == "__default__" else name for name in names)


def _leaves(parameters: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in parameters.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _clean(name: str) -> str:
    """Replace what MLflow does not take in a metric's name."""
    return re.sub(r"[^/\w.\- ]", "_", name)

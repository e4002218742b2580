"""How long each node took, on what work: written while a run goes on, for the plan of the next."""

import hashlib
import json
import os
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from dermdit_kedro import __version__
from dermdit_kedro.atomic import atomic_file

FILE: Final = "durations.json"
"""Lies in 02_intermediate; deleting it costs an estimate, never a result."""

COUNTED: Final = frozenset(
    {
        "max_train_steps", "epochs", "num_seeds", "num_images", "num_unconditional_images", "max_images",
        "num_inference_steps", "guidance_scale", "guidance_interval", "gradient_accumulation_steps",
    }
)  # fmt: skip
"""Parameters that say how much work there is, not of what kind."""
WITHOUT_EFFECT: Final = frozenset(
    {
        "seed", "learning_rate", "weight_decay", "lr_warmup_steps", "lr_scheduler", "max_grad_norm", "ema_decay",
        "checkpointing_steps", "keep_last", "log_steps", "validation_steps", "num_validations", "use_best",
        "timeout_s", "grace_s", "main_process_ip", "main_process_port", "negative_prompt",
    }
)  # fmt: skip
"""Parameters that a node's duration does not depend on, or hardly."""


class Duration(NamedTuple):
    """What one node took.

    Attributes:
        seconds: How long.
        amount: How much work it was; null where it is not counted.
        kind: Hash of what kind of work it was; a duration tells of its like alone.
        machine: On what.
        day: When, as an ISO date.
    """

    seconds: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
    amount: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None
    kind: str
    machine: str
    day: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")]

    def scaled(self, amount: float | None, kind: str) -> float | None:
        """Return the seconds that another amount of the same kind of work would take on this machine, or null."""
        if (kind, machine()) != (self.kind, self.machine) or (amount is None) != (self.amount is None):
            return None
        return self.seconds * amount / self.amount if amount is not None and self.amount else self.seconds


class Record(NamedTuple):
    """What is known of a node from earlier runs.

    Attributes:
        anew: It did all its work.
        again: It found work that was done before.
        settings: Hash of all its parameters, as it ran last.
    """

    anew: Duration | None = None
    again: Duration | None = None
    settings: str = ""


_RECORDS = TypeAdapter(dict[str, Record])


def records_file(catalog: Any) -> Path | None:
    """Return where durations are kept: beside the work folders; null in a project without them."""
    work_dir = catalog.get("work_dir") if "work_dir" in catalog else None
    return Path(work_dir._describe()["filepath"]).parent / FILE if work_dir is not None else None


def read_records(file: Path | None) -> dict[str, Record]:
    """Read what earlier runs left.

    Args:
        file: The file; null, missing or damaged is nothing known.

    Returns:
        Records by name of the node.
    """
    if file is None:
        return {}
    try:
        return _RECORDS.validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return {}


def write_records(file: Path, records: Mapping[str, Record]) -> None:
    """Replace the file, whole or not at all.

    Args:
        file: The file.
        records: Records by name of the node.
    """
    content = json.dumps({name: to_jsonable_python(records[name]) for name in sorted(records)}, indent=1)
    with atomic_file(file, durable=False) as aside:
        aside.write_text(content + "\n")


def note(record: Record, duration: Duration, settings: str, *, is_anew: bool) -> Record:
    """Return a record with one duration more.

    Args:
        record: What was known.
        duration: What a node took now.
        settings: Hash of its parameters.
        is_anew: Whether it did all its work.

    Returns:
        The new record.
    """
    return record._replace(**{"anew" if is_anew else "again": duration}, settings=settings)


def kind_of_work(parameters: Mapping[str, Any]) -> str:
    """Hash what tells one kind of work from another: parameters without amounts, and without what time ignores.

    Args:
        parameters: A node's parameters by argument.

    Returns:
        16 hexadecimal digits.
    """
    return _digest(_without(to_jsonable_python(dict(parameters)), COUNTED | WITHOUT_EFFECT))


def settings_of(parameters: Mapping[str, Any], *others: Any) -> str:
    """Hash everything a node is set to.

    Args:
        parameters: Its parameters by argument.
        *others: What else it reads that is configuration.

    Returns:
        16 hexadecimal digits.
    """
    return _digest([__version__, to_jsonable_python(dict(parameters)), to_jsonable_python(others)])


def machine() -> str:
    """Return what this machine computes with, as far as it can be told without loading anything."""
    gpus = len(list(Path("/proc/driver/nvidia/gpus").glob("*")))
    return f"{os.cpu_count()} cores" + (f", {gpus} GPUs" if gpus else "")


def today() -> str:
    """Return the day, as a record has it."""
    return date.today().isoformat()


def _without(value: Any, names: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {name: _without(item, names) for name, item in value.items() if name not in names}
    return [_without(item, names) for item in value] if isinstance(value, list) else value


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

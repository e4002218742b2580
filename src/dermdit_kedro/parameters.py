"""The base class of every typed parameter block."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Parameters(BaseModel):
    """A frozen block of parameters that refuses unknown keys.

    Each domain package declares its own blocks in its `parameters.py`; Kedro validates them
    against `conf/` before the first node runs.

    Attributes:
        speed_fields: Names of the fields that change speed alone; they stay out of the keys of jobs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())
    speed_fields: ClassVar[frozenset[str]] = frozenset()

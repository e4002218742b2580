"""The base class of every typed parameter block."""

from pydantic import BaseModel, ConfigDict


class Parameters(BaseModel):
    """A frozen block of parameters that refuses unknown keys.

    Each domain package declares its own blocks in its `parameters.py`; Kedro validates them
    against `conf/` before the first node runs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    @property
    def speed_fields(self) -> frozenset[str]:
        """Names of the fields that change speed alone; they stay out of the keys of jobs."""
        return frozenset()

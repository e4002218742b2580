"""How heavy jobs are run."""

from typing import Literal, Self

from pydantic import Field, model_validator

from dermdit_kedro.parameters import Parameters


class LaunchConfig(Parameters):
    """How a heavy job is run; it changes the speed, never the result.

    Attributes:
        launcher: `in_process` runs one process, this one; `accelerate` runs `num_processes` others.
        num_processes: Processes on this machine, one a GPU, or sharing the cores.
        device: `cuda` insists on GPUs, `cpu` leaves them alone, `auto` takes them if there are any.
        grace_s: Seconds that children get to end themselves before they are killed.
    """

    launcher: Literal["in_process", "accelerate"] = "in_process"
    num_processes: int = Field(default=1, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    grace_s: float = Field(default=10.0, ge=0)

    @model_validator(mode="after")
    def _check_launcher(self) -> Self:
        if self.launcher == "in_process" and self.num_processes > 1:
            raise ValueError(
                f"launcher in_process runs 1 process, got num_processes={self.num_processes}; "
                "for several set launcher to accelerate"
            )
        return self

    def alone(self) -> Self:
        """Return the same device in one process, this one: for work that more would not speed up, or would change."""
        return self.model_copy(update={"launcher": "in_process", "num_processes": 1})

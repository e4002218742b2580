"""How heavy jobs are run."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from dermdit_kedro.parameters import Parameters


class LaunchConfig(Parameters):
    """How a heavy job is run; it changes the speed, never the result.

    Attributes:
        launcher: `in_process` runs one process, this one; `accelerate` runs `num_processes` others.
        num_processes: Processes on each machine, one a GPU, or sharing the cores; several need `accelerate`.
        device: `cuda` insists on GPUs, `cpu` leaves them alone, `auto` takes them if there are any.
        num_machines: Machines that share a job; the project and its data lie at the same path on each. Those that
            `command_prefix` does not reach run `python -m dermdit_kedro.joining`.
        main_process_ip: Address of the first machine, as the others reach it; needed where there are others.
        main_process_port: Port of the first machine; 0 for one that is free on this machine.
        command_prefix: A command that runs what follows it once on each machine, such as `[srun, --ntasks-per-node=1]`;
            tried with a stand-in for `srun`, not tested with Slurm itself.
        accelerate_config: File of `accelerate config`, for what has no name here, such as FSDP. Not tested, and states
            are saved as if every process held all weights. The numbers of processes and machines stay those given here.
        timeout_s: Seconds that processes wait for one another: at the start, in a step, while the first writes a
            state or validates. Longer means that one of them hangs, and ends the job; torch kills that one 30 s later.
        grace_s: Seconds that children get to end themselves before they are killed.
    """

    launcher: Literal["in_process", "accelerate"] = "in_process"
    num_processes: int = Field(default=1, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    num_machines: int = Field(default=1, ge=1)
    main_process_ip: str | None = None
    main_process_port: int = Field(default=0, ge=0, lt=65536)
    command_prefix: tuple[str, ...] = ()
    accelerate_config: Path | None = None
    timeout_s: float = Field(default=600.0, gt=0)
    grace_s: float = Field(default=10.0, ge=0)

    @property
    def world_size(self) -> int:
        """Processes on all machines."""
        return self.num_processes * self.num_machines

    @model_validator(mode="after")
    def _check_launcher(self) -> Self:
        if self.launcher == "in_process" and self.world_size > 1:
            several = "num_machines" if self.num_machines > 1 else "num_processes"
            given = f"{several}={getattr(self, several)}"
            raise ValueError(
                f"launcher in_process runs 1 process, got {given}; for several set both, as in "
                f"--params launch.launcher=accelerate,launch.{given}"
            )
        return self

    @model_validator(mode="after")
    def _several_machines_meet_somewhere(self) -> Self:
        if self.num_machines > 1 and self.main_process_ip is None:
            raise ValueError(
                f"main_process_ip must be the address of the first machine where num_machines is {self.num_machines}. "
                "Got null"
            )
        return self

    def alone(self) -> Self:
        """Return the same device in one process, this one: for work that more would not speed up, or would change."""
        return self.model_copy(
            update={"launcher": "in_process", "num_processes": 1, "num_machines": 1, "command_prefix": ()}
        )

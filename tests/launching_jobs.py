"""Little jobs for `test_launching.py`: real child modules, one behaviour each, named by `config["behaviour"]`."""

import logging
import os
import signal
import time

from dermdit_kedro.atomic import write_json
from dermdit_kedro.errors import UserError
from dermdit_kedro.jobs import Job
from dermdit_kedro.launching import run_child, world

logger = logging.getLogger(__name__)


def main(job: Job) -> None:
    """Do what the job's configuration names."""
    rank, _ = world()
    (job.folder / f"started.{rank}").write_text(str(os.getpid()))
    BEHAVIOURS[job.config("behaviour", str)](job)


def add_squares(job: Job) -> None:
    """Add the squares of 0 to 99 without any library."""
    logger.info("squares: 100 of 100 numbers [all]")
    logger.warning("[blue]none is odd[/blue]")
    finish(job, total=sum(i * i for i in range(100)))


def add_tensors(job: Job) -> None:
    """Add the squares of 0 to 99 with a real collective of accelerate's."""
    import torch
    from accelerate import PartialState
    from accelerate.utils import reduce

    logger.info("tensors: 100 of 100 numbers")
    state = PartialState()
    numbers = torch.arange(state.process_index, 100, state.num_processes, device=state.device)
    total = int(reduce((numbers**2).sum(), "sum"))
    if job.config("then_fail", bool):
        if state.process_index == 1:
            raise ValueError("row 7 is not an image")
        reduce(torch.ones(1, device=state.device), "sum")  # fails too, for want of the other rank
    if state.is_main_process:
        finish(job, total=total)


def hang(_job: Job) -> None:
    """Meet the other ranks, and then never answer them again."""
    import torch
    from accelerate import PartialState
    from accelerate.utils import reduce

    state = PartialState()
    reduce(torch.ones(1, device=state.device), "sum")
    if state.process_index == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    reduce(torch.ones(1, device=state.device), "sum")


def fail(_job: Job) -> None:
    """Fail with something that is nobody's fault."""
    raise ValueError("row 7 is not an image")


def fail_user(_job: Job) -> None:
    """Fail with something a user can mend."""
    raise UserError("column lesion_id is missing from manifest")


def die(_job: Job) -> None:
    """Die as if memory had run out."""
    os.kill(os.getpid(), signal.SIGKILL)


def wait(job: Job) -> None:
    """Wait for a file that lets the job go on, having half a file open; finish from the step that was reached."""
    from dermdit_kedro.atomic import atomic_file

    rank, _ = world()
    if not (job.folder / "go_on").is_file():
        with atomic_file(job.result / f"half.{rank}") as aside:
            aside.write_text("half")
            (job.folder / f"waiting.{rank}").touch()
            time.sleep(120)
    if rank == 0:
        finish(job, total=0)


def wait_deaf(job: Job) -> None:
    """Wait, and do not listen to SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    wait(job)


def tell_environment(job: Job) -> None:
    """Write what the process was told."""
    names = ("MLFLOW_RUN_ID", "ACCELERATE_USE_CPU", "OMP_NUM_THREADS", "RANK", "WORLD_SIZE", "MASTER_PORT")
    finish(job, environment={name: os.environ.get(name) for name in names})


def leave_unfinished(_job: Job) -> None:
    """Return without a result."""


def finish(job: Job, **content: object) -> None:
    """Write the result and mark it."""
    write_json(job.result / "result.json", content)
    job.complete()


BEHAVIOURS = {
    function.__name__: function
    for function in (add_squares, add_tensors, hang, fail, fail_user, die, wait, wait_deaf, tell_environment)
} | {"leave_unfinished": leave_unfinished}

if __name__ == "__main__":
    run_child(main)

"""The child's side of `launching`: what a heavy module does when it runs as a process of its own.

`run_child(main)` is the `__main__` of every heavy module, so that anybody can repeat a job without Kedro:
`python -m dermdit_kedro.diffusion.train <work folder>`. No process outlives the one that started it, even if that one
is killed (Linux; elsewhere a kill, unlike an interrupt, may leave workers).
"""

import ctypes
import logging
import os
import re
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from dermdit_kedro.errors import UserError

if TYPE_CHECKING:
    from dermdit_kedro.jobs import Job

WORLD_SIZE = "DERMDIT_WORLD_SIZE"
"""Environment variable: how many processes the parent asked for."""
TIMEOUT = "DERMDIT_TIMEOUT_S"
"""Environment variable: seconds that processes wait for one another."""
FOREMAN = "DERMDIT_FOREMAN_PID"
"""Environment variable: the process that the workers end with."""
ERROR_FILE = "TORCHELASTIC_ERROR_FILE"
"""Environment variable of torch elastic: where a failing process writes its exception."""
PLAN = "plan.json"
"""What the foremen of a launch are told, see `launch_plan`."""
LINE_FORMAT = "%(levelname)s %(name)s: %(message)s"
"""How a child writes a log record; the parent reads it back."""

_PR_SET_PDEATHSIG = 1
_TIMED_OUT = re.compile("timed out|timeout", re.IGNORECASE)


def world() -> tuple[int, int]:
    """Return (rank, number of processes) of this process, without importing torch."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def run_child(main: "Callable[[Job], None]") -> None:
    """Run `main` on the job named on the command line; the `__main__` of a heavy module.

    The exception of a failing process is kept for the parent; a finished job is not run again.

    Args:
        main: The work.

    Raises:
        SystemExit: If the user can mend the failure: its message, without a traceback, and status 1.
    """
    try:
        if FOREMAN in os.environ:
            end_with(int(os.environ[FOREMAN]))
        signal.signal(signal.SIGTERM, exit_on_signal)
        job = _job_from(sys.argv)
        log_to_stderr()
        _join_world()
        compute_repeatably()
        if not job.is_complete:
            main(job)
        _leave_process_group()
    except Exception as error:
        cause = _unanswered(error) or error
        _record(cause)
        if isinstance(cause, UserError):
            sys.exit(str(cause))
        raise


def _unanswered(error: Exception) -> UserError | None:
    """Return what to tell the user of a process that waited for another in vain."""
    is_of_torch = isinstance(error, RuntimeError) and _TIMED_OUT.search(str(error)) is not None
    if not is_of_torch or world()[1] == 1 or TIMEOUT not in os.environ:
        return None
    return UserError(
        f"a process did not answer within {float(os.environ[TIMEOUT]):g} s: it hangs, or launch.timeout_s is less than "
        "a step, a validation or a checkpoint takes"
    )


def _job_from(arguments: list[str]) -> "Job":
    from dermdit_kedro.jobs import Job

    if len(arguments) != 2:
        raise UserError(f"usage: python -m {_module_name()} <work folder or job.json>; got {arguments[1:]}")
    path = Path(arguments[1])
    folder = path.parent if path.name == "job.json" else path
    if not (folder / "job.json").is_file():
        raise UserError(f"a work folder holds job.json; there is none in {folder}")
    return Job(folder)


def _module_name() -> str:
    """Return the name this process was started by, which is `__main__` to itself."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name if spec else "__main__"


class _Formatter(logging.Formatter):
    """Names the module that runs as `__main__`, and every rank but the first."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record as a line that the parent can read back."""
        rank, _ = world()
        if record.name == "__main__":
            record.name = _module_name()
        if rank > 0:
            record.msg, record.args = f"[rank {rank}] {record.getMessage()}", ()
        return super().format(record)


def log_to_stderr() -> None:
    """Log to stderr: the first rank its progress, the others their warnings alone."""
    rank, _ = world()
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter(LINE_FORMAT))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("dermdit_kedro", "__main__"):
        logging.getLogger(name).setLevel(logging.INFO if rank == 0 else logging.WARNING)
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").setLevel(logging.WARNING if rank == 0 else logging.ERROR)


def stay_on_cpu() -> None:
    """Have accelerate leave the GPUs alone, for as long as this process lives.

    On CPUs a bare `PartialState()` would take itself for alone, and its answer is kept for all that ask later.
    """
    from accelerate import PartialState

    os.environ["ACCELERATE_USE_CPU"] = "true"
    PartialState(cpu=True, **_patience())


def compute_repeatably() -> None:
    """Have GPUs take the algorithms that give the same bits every time, where there are such; CPUs need no telling.

    Law: none is promised on GPUs, on which it could not be tested; what has no such algorithm warns.
    """
    import torch

    if torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the first product is computed
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.benchmark = False


def _patience() -> dict[str, timedelta]:
    """Return how long this process waits for another, where it is not alone."""
    return {"timeout": timedelta(seconds=float(os.environ[TIMEOUT]))} if TIMEOUT in os.environ else {}


def _join_world() -> None:
    """Meet the other ranks; refuse to be fewer than asked for."""
    _, size = world()
    asked = int(os.environ.get(WORLD_SIZE, size))
    if size > 1:
        import torch
        from accelerate import PartialState

        if os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true" or not torch.cuda.is_available():
            stay_on_cpu()
        size = PartialState(**_patience()).num_processes
    elif os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true":
        stay_on_cpu()
    if size != asked:
        raise UserError(f"a job runs in as many processes as were asked for: asked for {asked}, got {size}")


def _leave_process_group() -> None:
    """Take leave of the other ranks, which torch asks for at the end of a program."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _record(error: Exception) -> None:
    """Write the exception where torch elastic, or the parent, looks for it."""
    if ERROR_FILE in os.environ:
        from torch.distributed.elastic.multiprocessing.errors import get_error_handler

        get_error_handler().record_exception(error)


def exit_on_signal(number: int, _frame: FrameType | None) -> NoReturn:
    """Unwind the stack on SIGTERM, so that half-written files are taken away.

    Args:
        number: The signal.
        _frame: Where it came.

    Raises:
        SystemExit: Always, with the status that shells give a signal.
    """
    sys.exit(128 + number)


def end_with(parent: int, number: int = signal.SIGKILL) -> None:
    """Have the kernel send this process a signal when its parent ends, however the parent ends.

    Args:
        parent: The parent's process id.
        number: The signal.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))
    if os.getppid() != parent:  # it ended before the kernel was told
        os._exit(128 + signal.SIGKILL)

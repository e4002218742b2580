"""The child's side of `launching`: what a heavy module does when it runs as a process of its own.

`run_child(main)` is the `__main__` of every heavy module, so that anybody can repeat a job without Kedro:
`python -m dermdit_kedro.diffusion.train <work folder>`. This module, run by `launching`, is the foreman
between the parent and the workers: it runs `accelerate launch` in its own process. No process outlives the one
that started it, even if that one is killed (Linux; elsewhere a kill, unlike an interrupt, may leave workers).
"""

import ctypes
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from dermdit_kedro.errors import UserError

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

    from dermdit_kedro.jobs import Job

WORLD_SIZE = "DERMDIT_WORLD_SIZE"
"""Environment variable: how many processes the parent asked for."""
FOREMAN = "DERMDIT_FOREMAN_PID"
"""Environment variable: the process that the workers end with."""
ERROR_FILE = "TORCHELASTIC_ERROR_FILE"
"""Environment variable of torch elastic: where a failing process writes its exception."""
LINE_FORMAT = "%(levelname)s %(name)s: %(message)s"
"""How a child writes a log record; the parent reads it back."""

_PR_SET_PDEATHSIG = 1
_TERMINATED = 128 + signal.SIGTERM


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
            _end_with(int(os.environ[FOREMAN]))
        signal.signal(signal.SIGTERM, _exit_on_signal)
        job = _job_from(sys.argv)
        _set_up_logging()
        _join_world()
        if not job.is_complete:
            main(job)
        _leave_process_group()
    except Exception as error:
        _record(error)
        if isinstance(error, UserError):
            sys.exit(str(error))
        raise


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


def _set_up_logging() -> None:
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
    PartialState(cpu=True)


def _join_world() -> None:
    """Meet the other ranks; refuse to be fewer than asked for."""
    _, size = world()
    asked = int(os.environ.get(WORLD_SIZE, size))
    if size > 1:
        import torch
        from accelerate import PartialState

        if os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true" or not torch.cuda.is_available():
            stay_on_cpu()
        size = PartialState().num_processes
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


def _exit_on_signal(number: int, _frame: FrameType | None) -> NoReturn:
    """Unwind the stack on SIGTERM, so that half-written files are taken away."""
    sys.exit(128 + number)


def _end_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, however the parent ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the kernel was told
        os._exit(128 + signal.SIGKILL)


def _run_foreman(parent: int, arguments: list[str]) -> None:
    """Run `accelerate launch` until its workers end, and keep the cause of the first failure."""
    _end_with(parent)
    signal.signal(signal.SIGTERM, _exit_on_signal)
    os.environ[FOREMAN] = str(os.getpid())
    from accelerate.commands.launch import launch_command, launch_command_parser
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    try:
        launch_command(launch_command_parser().parse_args(arguments))
    except ChildFailedError as error:
        rank, first = min(error.failures.items(), key=lambda item: _order_of(item[1]))
        _keep_cause(first.exitcode, Path(first.error_file), rank)
        sys.exit(1)
    except subprocess.CalledProcessError as error:  # a single worker, which writes its own error file
        _keep_cause(error.returncode, Path(os.environ[ERROR_FILE]))
        sys.exit(1)
    except SystemExit as error:
        if error.code == _TERMINATED:
            _wait_for_workers()
        raise


def _order_of(failure: "ProcessFailure") -> tuple[bool, float]:
    """Return a key that puts causes before victims.

    Those that were asked to end, because another had failed, come last. Torch orders by whole seconds, too
    coarse to tell a rank that failed from one that lost its connection to it; the error file's time is finer.
    """
    file = Path(failure.error_file)
    time = file.stat().st_mtime_ns / 1e9 if file.is_file() else float(failure.timestamp)
    return failure.exitcode in (_TERMINATED, -signal.SIGTERM), time


def _keep_cause(status: int, error_file: Path, rank: int | None = None) -> None:
    """Write the failure for the parent; one that left no error file, and was not killed, is in the log alone."""
    content: dict[str, Any] = {"rank": rank}
    if error_file.is_file():
        content["message"] = json.loads(error_file.read_text())["message"]
    elif status < 0:
        hint = ", as the kernel does when memory runs out" if status == -signal.SIGKILL else ""
        content["message"] = {"message": f"ended by signal {-status} ({signal.Signals(-status).name}){hint}"}
    else:
        return
    Path(os.environ[ERROR_FILE]).write_text(json.dumps(content))


def _wait_for_workers() -> None:
    """Wait for the workers that the same signal is ending; the parent kills us all when it has waited enough."""
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


if __name__ == "__main__":
    _run_foreman(int(sys.argv[1]), sys.argv[2:])

"""The foreman of one machine: stands between `launching` and the workers, and keeps the cause of the first failure.

Run by `launching` or `joining`, or by a command such as `srun` on every machine; it runs `accelerate launch` in its own
process and ends with its parent.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from dermdit_kedro.atomic import write_json
from dermdit_kedro.child_process import ERROR_FILE, FOREMAN, end_with, exit_on_signal
from dermdit_kedro.errors import UserError

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

FAILURE = "failure.json"
"""Where a foreman keeps the cause of a failure, in the folder of its machine."""

_TERMINATED = 128 + signal.SIGTERM
_WORLD_VARIABLES = re.compile(r"(LOCAL_|GROUP_|ROLE_)?(RANK|WORLD_SIZE)|MASTER_(ADDR|PORT)|TORCHELASTIC_.*")
_RANK_VARIABLES = ("SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK")
_LOST = re.compile("connection (closed|reset|refused)|broken pipe", re.IGNORECASE)


def _run_foreman(parent: int, plan_file: Path, machine_rank: int | None) -> None:
    """Run `accelerate launch` until its workers end, and keep the cause of the first failure."""
    end_with(parent or os.getppid())
    signal.signal(signal.SIGTERM, exit_on_signal)
    plan = json.loads(plan_file.read_text())
    if machine_rank is None:
        machine_rank = _machine_rank(plan["num_machines"])
    folder = plan_file.parent / f"machine_{machine_rank}"
    folder.mkdir(exist_ok=True)
    for name in filter(_WORLD_VARIABLES.fullmatch, list(os.environ)):
        del os.environ[name]  # a world that the parent may itself be part of
    os.environ |= {**plan["environment"], FOREMAN: str(os.getpid()), ERROR_FILE: str(folder / "error.json")}
    from accelerate.commands.launch import launch_command, launch_command_parser
    from torch.distributed import DistError
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    machine = ["--machine_rank", str(machine_rank), "--log_dir", str(folder)]
    arguments = launch_command_parser().parse_args([*plan["options"], *machine, *plan["command"]])
    try:
        launch_command(arguments)
    except ChildFailedError as error:
        rank, first = min(error.failures.items(), key=lambda item: _order_of(item[1]))
        _keep_cause(folder, first.exitcode, Path(first.error_file), _order_of(first), rank)
        sys.exit(1)
    except subprocess.CalledProcessError as error:  # a single worker, which writes its own error file
        _keep_cause(folder, error.returncode, folder / "error.json", (False, 0.0))
        sys.exit(1)
    except DistError as error:
        many = f"{plan['num_machines']} machines did not meet at {arguments.main_process_ip}:"
        text = f"{many}{arguments.main_process_port} within {plan['timeout_s']:g} s ({str(error).splitlines()[0]})"
        _write_failure(folder, f"UserError: {text}", (True, time.time()))
        sys.exit(1)
    except SystemExit as error:
        if error.code == _TERMINATED:
            _wait_for_workers()
        raise


def _machine_rank(num_machines: int) -> int:
    """Return which machine this is, as the command says that was put before the foreman."""
    if num_machines == 1:
        return 0
    for name in _RANK_VARIABLES:
        if name in os.environ:
            return int(os.environ[name])
    raise UserError(
        f"launch.command_prefix must set one of {', '.join(_RANK_VARIABLES)} on each of {num_machines} machines. "
        "None is set"
    )


def _order_of(failure: "ProcessFailure") -> tuple[bool, float]:
    """Return a key that puts causes before victims.

    Those that were asked to end, because another had failed, and those that lost their connection to another come
    last. Torch orders by whole seconds, too coarse for the rest; the error file's time is finer.
    """
    file = Path(failure.error_file)
    has_ended_itself = failure.exitcode not in (_TERMINATED, -signal.SIGTERM)
    if not file.is_file():
        return not has_ended_itself, float(failure.timestamp)
    is_victim = _LOST.search(_message_in(file)) is not None
    return is_victim or not has_ended_itself, file.stat().st_mtime_ns / 1e9


def _message_in(error_file: Path) -> str:
    return str(json.loads(error_file.read_text())["message"]["message"])


def _keep_cause(
    folder: Path, status: int, error_file: Path, order: tuple[bool, float], rank: int | None = None
) -> None:
    """Write the failure for the parent; one that left no error file, and was not killed, is in the log alone."""
    if error_file.is_file():
        message = _message_in(error_file)
    elif status < 0:
        hint = ", as the kernel does when memory runs out" if status == -signal.SIGKILL else ""
        message = f"ended by signal {-status} ({signal.Signals(-status).name}){hint}"
    else:
        return
    _write_failure(folder, message, order, rank)


def _write_failure(folder: Path, message: str, order: tuple[bool, float], rank: int | None = None) -> None:
    write_json(folder / FAILURE, {"message": message, "order": order, "rank": rank})


def _wait_for_workers() -> None:
    """Wait for the workers that the same signal is ending; the parent kills us all when it has waited enough."""
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


def _become(parent: int, command: list[str]) -> NoReturn:
    """Turn into a command that starts the foremen, such as `srun`, and that is asked to end when the parent does."""
    end_with(parent, signal.SIGTERM)
    os.execvp(command[0], command)  # noqa: S606


if __name__ == "__main__":
    _, _parent, *_rest = sys.argv
    if _rest[0] == "--":
        _become(int(_parent), _rest[1:])
    try:
        _run_foreman(int(_parent), Path(_rest[0]), int(_rest[1]) if _rest[1:] else None)
    except UserError as _error:
        sys.exit(str(_error))

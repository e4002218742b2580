"""The only module that starts processes: one job, here or in as many processes as asked for.

`in_process` calls `main(job)` of the job's module; `accelerate` runs the same module under `accelerate launch`.
Both give the same result. However a launch ends (failure, Ctrl-C, SIGTERM, even a kill of this process), no
child is left behind, what the job had finished is kept, and the next launch goes on from there.
"""

import fcntl
import importlib
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from dermdit_kedro.atomic import mend, write_json
from dermdit_kedro.child_output import first_cause, follow
from dermdit_kedro.child_process import ERROR_FILE, WORLD_SIZE, run_child, stay_on_cpu, world
from dermdit_kedro.errors import UserError
from dermdit_kedro.jobs import Job
from dermdit_kedro.launch_config import LaunchConfig

__all__ = ["LaunchConfig", "LaunchError", "LaunchInterrupted", "launch", "run_child", "world"]

logger = logging.getLogger(__name__)

_WORLD_VARIABLES = re.compile(r"(LOCAL_|GROUP_|ROLE_)?(RANK|WORLD_SIZE)|MASTER_(ADDR|PORT)|TORCHELASTIC_.*")


class LaunchError(UserError):
    """A job that failed, or could not be started."""


class LaunchInterrupted(RuntimeError):  # noqa: N818  an interrupt, not an error of the job
    """A job ended by Ctrl-C or a signal; an `Exception`, so that the run's hooks hear of it."""


def launch(job: Job, config: LaunchConfig) -> None:
    """Run a job to its end; return at once if it is complete.

    Args:
        job: The job; its `module` has `main(job)`.
        config: How to run it.

    Raises:
        LaunchError: If the processes failed, the device is not there, or another process is at work on the job.
        LaunchInterrupted: If Ctrl-C or SIGTERM ended it.
    """
    if job.is_complete:
        return
    try:
        with sole_owner(job), _signals_as_interrupt():
            mend(job.folder)
            use_cpu = _uses_cpu(config)
            if config.launcher == "in_process":
                _run_here(job, use_cpu)
            else:
                _run_processes(job, config, use_cpu)
    except KeyboardInterrupt as interrupt:
        cause = str(interrupt) or "SIGINT"
        raise LaunchInterrupted(
            f"{_name(job)} was interrupted ({cause}); what it had finished is kept, run again to go on"
        ) from interrupt
    if not job.is_complete:
        raise LaunchError(f"{_name(job)} ended without finishing its result in {job.result}")


def _name(job: Job) -> str:
    return str(job.spec["name"])


@contextmanager
def sole_owner(job: Job) -> Iterator[None]:
    """Keep other processes off the job; the kernel lets go of the lock when this process ends.

    Args:
        job: The job.

    Yields:
        Nothing.

    Raises:
        LaunchError: If another process is at work on it.
    """
    with (job.folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LaunchError(f"{_name(job)}: another process is at work in {job.folder}; wait for it") from error
        except OSError as error:
            logger.warning("cannot lock %s (%s): make sure that nothing else runs this job", job.folder, error)
        yield


@contextmanager
def _signals_as_interrupt() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into KeyboardInterrupt, where Python allows it: in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt(signal.Signals(number).name)

    ignored = {number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_IGN}
    before = {number: signal.signal(number, interrupt) for number in {signal.SIGTERM, signal.SIGHUP} - ignored}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def _uses_cpu(config: LaunchConfig) -> bool:
    """Whether GPUs are to be left alone; refuses GPUs that are not there."""
    if config.device == "cpu" or (config.device == "auto" and config.launcher == "in_process"):
        return config.device == "cpu"
    import torch

    devices = torch.cuda.device_count()
    if devices < config.num_processes and (devices > 0 or config.device == "cuda"):
        raise LaunchError(
            f"a process needs a GPU of its own: asked for {config.num_processes}, found {devices}; "
            "set launch.num_processes lower, or launch.device to cpu"
        )
    return devices == 0 and config.num_processes > 1


def _run_here(job: Job, use_cpu: bool) -> None:
    if use_cpu:
        stay_on_cpu()
    importlib.import_module(job.spec["module"]).main(job)


def _run_processes(job: Job, config: LaunchConfig, use_cpu: bool) -> None:
    scratch = job.folder / "launch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    log = job.folder / "launch.log"
    environment = _environment(config, use_cpu, scratch)
    with log.open("ab") as out:
        start = out.tell()
        process = subprocess.Popen(
            _command(job, config, use_cpu, scratch),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        follow(process, log, start)
        if process.returncode != 0:
            where, cause = first_cause(scratch / "failure.json", log, start)
            status = f"status {process.returncode}; everything it printed is in {log}"
            raise LaunchError(f"{_name(job)} failed{where}: {cause}\n({status})")
    finally:
        _end(process, config.grace_s)
        shutil.rmtree(scratch, ignore_errors=True)


def _command(job: Job, config: LaunchConfig, use_cpu: bool, scratch: Path) -> list[str]:
    """Return the command; every choice is made here, none by the user's own accelerate configuration."""
    several = config.num_processes > 1
    kind = "MULTI_GPU" if several else "NO"
    choices = {"distributed_type": kind, "num_processes": config.num_processes, "use_cpu": use_cpu, "debug": False}
    write_json(scratch / "accelerate.json", {"compute_environment": "LOCAL_MACHINE", **choices})
    options = {
        "--config_file": scratch / "accelerate.json",
        "--num_processes": config.num_processes,
        "--num_machines": 1,
        "--mixed_precision": "no",
        "--dynamo_backend": "no",
        "--num_cpu_threads_per_process": _threads(config),
        "--main_process_port": 0,
        "--log_dir": scratch,
    }
    # `accelerate launch --cpu` runs one process whatever it is asked for; --multi_gpu with
    # ACCELERATE_USE_CPU runs several, over gloo.
    switches = ["--multi_gpu"] if several else ["--cpu"] if use_cpu else []
    pairs = [str(part) for pair in options.items() for part in pair]
    foreman = [sys.executable, "-m", "dermdit_kedro.child_process", str(os.getpid())]
    return [*foreman, *pairs, *switches, "-m", job.spec["module"], str(job.folder.resolve() / "job.json")]


def _environment(config: LaunchConfig, use_cpu: bool, scratch: Path) -> dict[str, str]:
    """Return this environment, MLflow's run included, without a world that this process may itself be part of."""
    environment = {name: value for name, value in os.environ.items() if not _WORLD_VARIABLES.fullmatch(name)}
    environment |= {
        WORLD_SIZE: str(config.num_processes),
        ERROR_FILE: str(scratch.resolve() / "failure.json"),
        "OMP_NUM_THREADS": str(_threads(config)),
        "PYTHONUNBUFFERED": "1",
    }
    if use_cpu:
        environment["ACCELERATE_USE_CPU"] = "true"
    return environment


def _threads(config: LaunchConfig) -> int:
    """Return the threads of one process: its share of OMP_NUM_THREADS, or of the cores this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, (int(allowed) if allowed.isdigit() else cores) // config.num_processes)


def _end(process: "subprocess.Popen[bytes]", grace_s: float) -> None:
    """Ask the children to end, wait, kill. A second interrupt while waiting kills at once."""
    if process.poll() == 0:
        return
    try:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=grace_s)
    except subprocess.TimeoutExpired:
        logger.warning("the processes did not end within %s s of being asked to and are killed", grace_s)
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # nobody is left
        process.wait()

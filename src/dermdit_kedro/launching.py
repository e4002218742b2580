"""The only module that starts processes: one job, here or in as many processes and machines as asked for.

`in_process` calls `main(job)` of the job's module; `accelerate` runs the same module under `accelerate launch`.
Both give the same result. However a launch ends (failure, Ctrl-C, SIGTERM, even a kill of this process), no
child is left behind, what the job had finished is kept, and the next launch goes on from there.
"""

import errno
import fcntl
import gc
import importlib
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dermdit_kedro.atomic import mend
from dermdit_kedro.child_output import first_cause, follow
from dermdit_kedro.child_process import PLAN, compute_repeatably, run_child, stay_on_cpu, world
from dermdit_kedro.errors import UserError
from dermdit_kedro.foreman import FAILURE
from dermdit_kedro.interrupts import signals_as_interrupt
from dermdit_kedro.jobs import Job
from dermdit_kedro.launch_config import LaunchConfig
from dermdit_kedro.launch_plan import write_plan

__all__ = ["LaunchConfig", "LaunchError", "LaunchInterrupted", "launch", "run_child", "world"]

logger = logging.getLogger(__name__)

_DISK = re.compile("|".join(os.strerror(n) for n in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)))
"""What a disk says that takes no more; by its words, since libraries in other languages keep no number."""


class LaunchError(UserError):
    """A job that failed, or could not be started."""


class LaunchInterrupted(RuntimeError):  # noqa: N818  an interrupt, not an error of the job
    """A job ended by Ctrl-C or a signal; an `Exception`, so that the run's hooks hear of it."""


def launch(job: Job, config: LaunchConfig) -> None:
    """Run a job to its end, and log whether that is anew, from where it was left, or not at all if it is complete.

    Args:
        job: The job; its `module` has `main(job)`.
        config: How to run it.

    Raises:
        LaunchError: If the processes failed, the device is not there, or another process is at work on the job.
        LaunchInterrupted: If Ctrl-C or SIGTERM ended it.
    """
    if job.is_complete:
        logger.info("%s: already complete, reused", _name(job))
        return
    try:
        with sole_owner(job), signals_as_interrupt():
            mend(job.folder)
            processes = "1 process" if config.world_size == 1 else f"{config.world_size} processes"
            logger.info("%s: %s, in %s", _name(job), beginning(job), processes)
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


def beginning(job: Job) -> str:
    """Say what an earlier run of the job left: a training's state, or images and prompts."""
    steps = [int(state.name.removeprefix("step_")) for state in job.checkpoints.glob("step_*")]
    if steps:
        return f"continued from step {max(steps):,}"
    parts = [*job.result.glob("*.png"), *job.folder.glob("captions.*.jsonl")]
    return "continued with what was finished" if parts else "begun anew"


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
    compute_repeatably()
    try:
        importlib.import_module(job.spec["module"]).main(job)
    except Exception as error:
        if isinstance(error, UserError) or not _DISK.search(str(error)):
            raise
        raise LaunchError(
            f"{_name(job)} could not write: {error}. What it had finished is kept; run it again when the disk lets it"
        ) from error
    finally:
        _leave_gpu()


def _leave_gpu() -> None:
    """Give back the GPU memory that a job in this process no longer uses: the next may run in processes of its own."""
    import torch

    gc.collect()
    torch.cuda.empty_cache()  # does nothing where no GPU was used


def _run_processes(job: Job, config: LaunchConfig, use_cpu: bool) -> None:
    scratch, log = job.folder / "launch", job.folder / "launch.log"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        write_plan(job, config, use_cpu, scratch)
        machine_rank = None if config.command_prefix else 0
        status, start = run_foreman(
            scratch, log, config.grace_s, prefix=config.command_prefix, machine_rank=machine_rank
        )
        if status != 0:
            _wait_for_causes(scratch, config.grace_s)
            where, cause = first_cause(scratch, log, start)
            raise LaunchError(
                f"{_name(job)} failed{where}: {cause}\n(status {status}; everything it printed is in {log})"
            )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def run_foreman(
    scratch: Path,
    log: Path,
    grace_s: float,
    *,
    prefix: Sequence[str] = (),
    machine_rank: int | None,
    is_wanted: Callable[[], bool] = lambda: True,
) -> tuple[int, int]:
    """Run this machine's part of a launch, or by a prefix that of all machines, until it ends or is not wanted.

    Args:
        scratch: The folder of the launch, with its plan.
        log: Takes what the processes print.
        grace_s: Seconds they get to end themselves, if they must.
        prefix: A command that runs the foreman once on each machine.
        machine_rank: Which machine this is; null where the prefix says so.
        is_wanted: Asked several times a second.

    Returns:
        The exit status, and the byte of the log it began at.
    """
    foreman = [sys.executable, "-m", "dermdit_kedro.foreman"]
    command = [*foreman, str(os.getpid()), "--", *prefix, *foreman, "0"] if prefix else [*foreman, str(os.getpid())]
    command += [str(scratch.resolve() / PLAN), *([] if machine_rank is None else [str(machine_rank)])]
    with log.open("ab") as out:
        start = out.tell()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        follow(process, log, start, is_wanted)
    finally:
        _end(process, grace_s)
    return process.returncode, start


def _wait_for_causes(scratch: Path, grace_s: float) -> None:
    """Let the other machines that came say why they failed: this one may only have lost its connection to them."""
    end = time.monotonic() + grace_s
    while time.monotonic() < end and not all(
        (machine / FAILURE).is_file() for machine in scratch.glob("machine_*") if machine.name != "machine_0"
    ):
        time.sleep(0.1)


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

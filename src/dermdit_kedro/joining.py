"""One command a machine: lend this machine to the jobs that another one launches.

On the first machine a run goes on as ever, told that there are two:

    kedro run --params "launch.launcher=accelerate,launch.num_machines=2,launch.main_process_ip=10.0.0.1"

On the second, where project and data lie at the same path (a shared disk), this waits for its jobs until it is
interrupted:

    python -m dermdit_kedro.joining data/02_intermediate/work 1

The first machine alone runs the pipeline, owns the job and writes. This one runs no node: it watches the work folders
for the plan of a launch (`launch_plan`), and runs its part of it. One run at a time: the newest plan counts.
"""

import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

from dermdit_kedro.child_process import PLAN, log_to_stderr
from dermdit_kedro.errors import UserError
from dermdit_kedro.interrupts import signals_as_interrupt
from dermdit_kedro.launching import run_foreman

logger = logging.getLogger(__name__)


def join(work_dir: Path, machine_rank: int) -> None:
    """Run this machine's part of every launch below a folder, until interrupted.

    Args:
        work_dir: The folder of all work folders, as the first machine sees it.
        machine_rank: Which machine this is, from 1.

    Raises:
        UserError: If the folder is not there or the rank is that of the first machine.
    """
    if not work_dir.is_dir():
        raise UserError(
            f"the folder of all work folders must be there, at the same path on each machine. Got {work_dir}"
        )
    if machine_rank < 1:
        raise UserError(f"the rank of a machine that joins must be 1 or more; the first runs Kedro. Got {machine_rank}")
    logger.info("machine %d waits for jobs in %s", machine_rank, work_dir)
    served = ""
    while True:
        file, plan = _newest_plan(work_dir)
        if file is None or plan["attempt"] == served or machine_rank >= plan["num_machines"]:
            time.sleep(0.2)
            continue
        served = plan["attempt"]
        job = file.parents[1]
        logger.info("machine %d joins %s", machine_rank, job.name)
        status, _ = run_foreman(
            file.parent,
            job / f"launch.machine_{machine_rank}.log",
            plan["grace_s"],
            machine_rank=machine_rank,
            is_wanted=lambda: _newest_plan(work_dir)[1].get("attempt") == served,  # noqa: B023  asked in this round
        )
        logger.info("machine %d has left %s (status %d)", machine_rank, job.name, status)


def _newest_plan(work_dir: Path) -> tuple[Path | None, dict[str, Any]]:
    """Return the newest plan that other machines are to join, and where it lies; nothing when there is none."""
    found: list[tuple[int, Path, dict[str, Any]]] = []
    for file in work_dir.glob(f"*/launch/{PLAN}"):
        try:
            plan = json.loads(file.read_text())
            if plan["joined_by_hand"]:
                found.append((file.stat().st_mtime_ns, file, plan))
        except OSError:  # its launch has just ended
            continue
    return max(found)[1:] if found else (None, {})


if __name__ == "__main__":
    log_to_stderr()
    try:
        if len(sys.argv) != 3 or not sys.argv[2].isdigit():
            raise UserError(f"usage: python -m dermdit_kedro.joining <work folders> <machine rank>; got {sys.argv[1:]}")
        with signals_as_interrupt():
            join(Path(sys.argv[1]), int(sys.argv[2]))
    except UserError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("this machine is no longer at the disposal of others")

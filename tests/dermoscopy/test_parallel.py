"""Work over many items: in order, by processes, and never orphaned."""

import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from dermdit_kedro.dermoscopy.parallel import FEW, work_through
from dermdit_kedro.errors import UserError


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("total", [0, 3, 2 * FEW])
def test_results_come_in_the_order_of_the_items(workers: int, total: int) -> None:
    assert list(work_through(math.isqrt, range(total), total, "root", workers)) == [math.isqrt(n) for n in range(total)]


@pytest.mark.parametrize("total", [3, FEW])
def test_the_first_exception_ends_the_work(total: int) -> None:
    numbers = [*range(total - 1), -1]
    with pytest.raises(ValueError, match="nonnegative"):
        list(work_through(math.isqrt, numbers, total, "root", 2))


def test_many_items_are_shared_by_processes() -> None:
    def worker(_: int) -> int:
        return os.getpid()

    workers = set(work_through(worker, range(8 * FEW), 8 * FEW, "work", 2))
    assert os.getpid() not in workers
    assert 1 <= len(workers) <= 2
    assert set(work_through(worker, range(3), 3, "work", 2)) == {os.getpid()}


def test_a_worker_that_is_killed_is_an_error_a_user_can_mend() -> None:
    def die(number: int) -> None:
        if number == FEW:
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(UserError, match=r"work: one of 2 worker processes was ended.*num_workers"):
        list(work_through(die, range(2 * FEW), 2 * FEW, "work", 2))


def test_workers_end_when_their_process_is_killed(tmp_path: Path) -> None:
    script = (
        "import time\n"
        "from dermdit_kedro.dermoscopy.parallel import work_through\n"
        f"for _ in work_through(time.sleep, [0.05] * {100 * FEW}, {100 * FEW}, 'sleep', 2):\n"
        "    print('at work', flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    workers = psutil.Process(child.pid).children(recursive=True)
    assert len(workers) >= 2
    child.send_signal(signal.SIGKILL)
    child.wait()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert alive == []

"""Work through many images on every core, in order, with bounded memory."""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import TypeVar

from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError

from dermdit_kedro.errors import UserError
from dermdit_kedro.progress import track

Item = TypeVar("Item")
Result = TypeVar("Result")

FEW = 128
"""Fewer items than this are not worth starting processes for: threads work through them."""

IDLE_S = 10
"""Seconds after which a process without work ends."""


def count_workers(num_workers: int) -> int:
    """Return the number of processes: `num_workers`, or one for each core this process may use where it is 0."""
    if num_workers:
        return num_workers
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def work_through(
    function: Callable[[Item], Result], items: Iterable[Item], total: int, what: str, num_workers: int = 0
) -> Iterator[Result]:
    """Yield `function(item)` for each item, in order, computed by worker processes, with progress.

    Processes, because what is done to an image of a few hundred pixels is mostly Python, and threads take turns at
    that. Only a few items a worker are in flight: memory does not grow with the number of items.

    Args:
        function: What to do with one item, a function of a module (or a `partial` of one); its first exception ends
            the work.
        items: What to work through.
        total: How many items there are.
        what: The work, in the words of the node.
        num_workers: Processes; 0 uses every core.

    Yields:
        The results, in the order of the items.

    Raises:
        UserError: If a worker was ended from outside, as the kernel does when memory runs out.
    """
    workers = count_workers(num_workers)
    if workers == 1:
        results: Iterable[Result] = map(function, items)
    elif total < FEW:
        results = Parallel(workers, backend="threading", return_as="generator")(delayed(function)(i) for i in items)
    else:
        pool = Parallel(
            workers, backend="loky", return_as="generator", pre_dispatch="4 * n_jobs",
            max_nbytes=None, idle_worker_timeout=IDLE_S,
        )  # fmt: skip
        parent = os.getpid()
        results = pool(delayed(_call)(parent, function, item) for item in items)
    try:
        yield from track(results, what, total)
    except TerminatedWorkerError as error:
        raise UserError(
            f"{what}: one of {workers} worker processes was ended, as the kernel does when memory runs out. "
            "Ask for fewer by data_engineering.num_workers"
        ) from error


def _call(parent: int, function: Callable[[Item], Result], item: Item) -> Result:
    _end_with(parent)
    return function(item)


@cache
def _end_with(parent: int) -> None:
    """End this worker soon after the process it works for is gone, however that ended."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()

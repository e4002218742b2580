"""Work through many images on every core, in order, with bounded memory."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from dermdit_kedro.progress import track

Item = TypeVar("Item")
Result = TypeVar("Result")

WINDOW = 8
"""Items in flight per thread: memory does not grow with the number of items."""


def count_workers(num_workers: int) -> int:
    """Return the number of threads: `num_workers`, or one for each core this process may use where it is 0."""
    if num_workers:
        return num_workers
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def work_through(
    function: Callable[[Item], Result], items: Iterable[Item], total: int, what: str, num_workers: int = 0
) -> Iterator[Result]:
    """Yield `function(item)` for each item, in order, computed by threads, with progress.

    Threads serve because Pillow, hashlib and NumPy release the interpreter lock while they decode, hash and compute.

    Args:
        function: What to do with one item; its first exception ends the work.
        items: What to work through.
        total: How many items there are.
        what: The work, in the words of the node.
        num_workers: Threads; 0 uses every core.

    Yields:
        The results, in the order of the items.
    """
    workers = count_workers(num_workers)
    yield from track(_in_order(function, items, workers), what, total)


def _in_order(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    executor = ThreadPoolExecutor(workers)
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(executor.submit(function, item))
            if len(waiting) >= workers * WINDOW:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        executor.shutdown(cancel_futures=True)

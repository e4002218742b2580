"""How much memory a run needs at most."""

import threading
from types import TracebackType
from typing import Self

import psutil


class PeakMemory:
    """The most memory that a process and those below it have at once, and `before`, in bytes; shared pages count once.

    Args:
        pid: The process; by default this one.
    """

    def __init__(self, pid: int | None = None) -> None:
        self.peak = self.before = 0
        self._process = psutil.Process(pid)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self.before = sum(map(_memory, self._family()))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(0.02):
            self.peak = max(self.peak, sum(map(_memory, self._family())))

    def _family(self) -> list[psutil.Process]:
        try:
            return [self._process, *self._process.children(recursive=True)]
        except psutil.Error:  # it has just ended
            return []


def _memory(process: psutil.Process) -> int:
    try:
        found = process.memory_full_info()
    except psutil.Error:  # it has just ended
        return 0
    return int(getattr(found, "pss", found.uss))

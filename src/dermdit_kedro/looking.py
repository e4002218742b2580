"""Whether work is done already, asked of the code that would do it: jobs are looked for, and none is made."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

JOB = "job.json"
"""The file that makes a folder a job's."""

_LOOKS: ContextVar[bool] = ContextVar("looks", default=False)
begun_before: list[Path] = []
"""Work folders that an earlier run, or an earlier node, had begun when they were asked for; whoever measures empties
it first."""


class WorkLeftError(Exception):
    """A job that is not finished, where jobs are only looked for.

    Args:
        folder: Its work folder, if an earlier run began it.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder.name} is not finished")
        self.folder = folder


@contextmanager
def only_looking() -> Iterator[None]:
    """Have `jobs.create_job` return finished jobs and write nothing; one that is not finished ends the look.

    Yields:
        Nothing.
    """
    token = _LOOKS.set(True)
    try:
        yield
    finally:
        _LOOKS.reset(token)


def ask_for(folder: Path, *, is_complete: bool) -> bool:
    """Note that a job is asked for.

    Args:
        folder: Its work folder.
        is_complete: Whether it is finished.

    Returns:
        Whether that is all: nothing is to be written.

    Raises:
        WorkLeftError: If it is only looked for, and not finished.
    """
    if not _LOOKS.get():
        if (folder / JOB).is_file():
            begun_before.append(folder)
        return False
    if not is_complete:
        raise WorkLeftError(folder)
    return True

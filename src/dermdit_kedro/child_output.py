"""What the parent reads of its children: their log lines as they come, and the first cause of a failure."""

import json
import logging
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from dermdit_kedro.foreman import FAILURE

logger = logging.getLogger(__name__)

_LOG_LINE = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL) ([\w.]+): (.*)")
_EXCEPTION_LINE = re.compile(r"(?:\[rank\d+\]: )?([\w.]*(?:Error|Exception)\b.*)")
_TORCH_LINE = re.compile(r"[IWE]\d{4} [\d:.]+ ")


def follow(
    process: "subprocess.Popen[bytes]", log: Path, start: int, is_wanted: Callable[[], bool] = lambda: True
) -> None:
    """Log the lines that a process writes to its log file as they come, until it ends or is not wanted any more.

    Reading a file, not a pipe, a process left over by a crash can neither block nor be blocked.

    Args:
        process: The process, writing to `log`.
        log: Its log file.
        start: The byte of the file it began at.
        is_wanted: Asked several times a second.
    """
    with log.open("rb") as file:
        file.seek(start)
        rest = b""
        ended = False
        while not ended and is_wanted():
            try:
                process.wait(timeout=0.2)
                ended = True
            except subprocess.TimeoutExpired:
                pass
            *lines, rest = (rest + file.read()).split(b"\n")
            for line in lines:
                relay(line.decode(errors="replace"))


def relay(line: str) -> None:
    """Log what a child logged as it meant it; whatever else it printed is detail, kept in its log file.

    Args:
        line: A line of `child_process.LINE_FORMAT`, or any other.
    """
    match = _LOG_LINE.fullmatch(line)
    if match:
        level, name, message = match.groups()
        logging.getLogger(name).log(logging.getLevelNamesMapping()[level], "%s", message, extra={"markup": False})
    elif line.strip():
        logger.debug("%s", line, extra={"markup": False})


def first_cause(scratch: Path, log: Path, start: int) -> tuple[str, str]:
    """Return where and why the first process failed.

    Args:
        scratch: The folder of the launch; each machine's foreman keeps its cause there, if there is one.
        log: The log file, whose last exception, or last line, is the cause otherwise.
        start: The byte of the log file to begin at.

    Returns:
        ` in rank 1` or nothing; the exception's type and message, the type left out if the user can mend it.
    """
    failures = [json.loads(file.read_text()) for file in scratch.glob(f"machine_*/{FAILURE}")]
    if failures:
        first = min(failures, key=lambda failure: failure["order"])
        where = f" in rank {first['rank']}" if first["rank"] is not None else ""
        return where, first["message"].removeprefix("UserError: ")
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").splitlines()
    lines = [line for line in lines if line.strip() and not _TORCH_LINE.match(line)]
    causes = [match.group(1) for line in lines if (match := _EXCEPTION_LINE.fullmatch(line))]
    return "", (causes or lines or ["it printed nothing"])[-1]

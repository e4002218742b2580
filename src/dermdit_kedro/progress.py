"""Progress a person can follow: what, how many of how many, time left; one log line every few seconds."""

import logging
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

logger = logging.getLogger(__name__)
Item = TypeVar("Item")


class Progress:
    """Log lines such as `encode latents: 640 of 2,400 images, 12 s left`.

    Args:
        what: The work, in the words of the node.
        total: How many units there are in all.
        unit: The plural of one unit.
        done: How many were finished before (a resumed job).
        every_s: Seconds between two lines.
    """

    def __init__(self, what: str, total: int, unit: str = "images", done: int = 0, every_s: float = 5.0) -> None:
        self.what, self.total, self.unit, self.done, self.every_s = what, total, unit, done, every_s
        self._resumed_at = done
        self._start = self._last = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether the next `advance` may write a line."""
        return time.monotonic() - self._last >= self.every_s

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count finished units and log when it is time.

        Args:
            count: Units finished since the last call.
            note: What else to say, such as the loss.
        """
        self.done += count
        now = time.monotonic()
        if now - self._last < self.every_s and self.done < self.total:
            return
        if self.done >= self.total and now - self._start < self.every_s:
            return
        self._last = now
        rate = (self.done - self._resumed_at) / max(now - self._start, 1e-9)
        left = duration((self.total - self.done) / rate) if rate > 0 else "unknown time"
        ending = f"{duration(now - self._start)} in all" if self.done >= self.total else f"{left} left"
        tail = f" ({note})" if note else ""
        logger.info("%s: %s of %s %s, %s%s", self.what, f"{self.done:,}", f"{self.total:,}", self.unit, ending, tail)


def track(items: Iterable[Item], what: str, total: int, unit: str = "images") -> Iterator[Item]:
    """Yield the items and log progress between them.

    Args:
        items: What is worked through.
        what: The work, in the words of the node.
        total: How many items there are.
        unit: The plural of one item.

    Yields:
        The items, unchanged.
    """
    progress = Progress(what, total, unit)
    for item in items:
        yield item
        progress.advance()


def duration(seconds: float) -> str:
    """Write a number of seconds for a person, such as `3 min 20 s`; from a day on in days and hours."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 24:
        return f"{hours // 24:,} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"

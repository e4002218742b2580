"""From what is known of each node to time, memory and disk, each with where it comes from."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from dermdit_kedro.durations import machine, records_file
from dermdit_kedro.outlook import Look, Outlook
from dermdit_kedro.work import Counts, Work

if TYPE_CHECKING:
    from dermdit_kedro.training.footprint import Footprint, Workload

TIMED, COUNTED = "timed now", "by its operations"
"""Where seconds come from that no run has measured."""
MEASURING_S: Final = 20.0
"""Seconds in which steps may be begun to be timed, in all."""
STEP_S: Final = 3.0
"""Seconds in which the steps of one network may be begun."""
MEMORY_SHARE: Final = 0.5
"""Share of the free memory that a timed step may take."""


@dataclass(frozen=True)
class Row:
    """What a plan says of one node.

    Attributes:
        outlook: What is known of it.
        seconds: How long it takes; null where nothing says so.
        origin: What says so.
        is_bound: Whether it takes at least that long.
        num_parameters: Weights of its network; null where there is none or its sizes are not known.
        memory_bytes: What its network holds at most at once, in each process; null likewise.
        disk_bytes: What it leaves on disk; null where that is not known.
    """

    outlook: Outlook
    seconds: float | None
    origin: str
    is_bound: bool = False
    num_parameters: int | None = None
    memory_bytes: int | None = None
    disk_bytes: int | None = None


@dataclass(frozen=True)
class Plan:
    """What a run would do.

    Attributes:
        rows: One a node, in the order they run in.
        counts: How many images there are.
        disk_free: Bytes free where the data go.
        machine: What it computes with.
    """

    rows: tuple[Row, ...]
    counts: Counts
    disk_free: int | None
    machine: str

    @property
    def disk_bytes(self) -> int:
        """What all nodes leave on disk, as far as it is known."""
        return sum(row.disk_bytes or 0 for row in self.rows)


def plan_nodes(pipeline: Pipeline, catalog: DataCatalog, registered: Mapping[str, Pipeline], *, measures: bool) -> Plan:
    """Plan a pipeline; writes nothing.

    Args:
        pipeline: What would run.
        catalog: Where everything lies.
        registered: All registered pipelines.
        measures: Whether a few steps of what no run has measured are timed.

    Returns:
        The plan.
    """
    look = Look(catalog, registered)
    outlooks = look(pipeline)
    ruler = Ruler(measures=measures, device=str(getattr(look.shared.get("launch"), "device", "auto")))
    largest_first = sorted(outlooks, key=ruler.operations, reverse=True)  # the time to measure in may not do for all
    rows = {outlook.node: _row(outlook, ruler) for outlook in largest_first}
    file = records_file(catalog)
    return Plan(
        tuple(rows[outlook.node] for outlook in outlooks),
        look.counts,
        _disk_free(file.parent) if file else None,
        machine(),
    )


def _row(outlook: Outlook, ruler: "Ruler") -> Row:
    work = outlook.work
    if outlook.share_left == 0:
        return Row(outlook, outlook.seconds, "", disk_bytes=0)
    size = ruler.size(outlook)
    seconds, origin, is_bound = outlook.seconds, "", False
    if outlook.measured is not None:
        origin = f"as on {outlook.measured.day}"
    elif size is not None:
        seconds, origin, is_bound = ruler.seconds(outlook)
    disk = size.disk_bytes if size and work.trains else (work.disk_bytes() if work.disk_bytes else None)
    return Row(
        outlook, seconds, origin, is_bound,
        size.footprint.num_parameters if size else None, size.memory_bytes if size else None, disk,
    )  # fmt: skip


@dataclass(frozen=True)
class Size:
    """How large a network in use is.

    Attributes:
        workload: Its steps.
        footprint: What one step holds and computes.
        memory_bytes: What it holds at once.
        disk_bytes: What its training leaves on disk.
    """

    workload: "Workload"
    footprint: "Footprint"
    memory_bytes: int
    disk_bytes: int


class Ruler:
    """Counts and times the steps of networks; of several alike one.

    Args:
        measures: Whether steps are timed.
        device: `launch.device`.
    """

    def __init__(self, *, measures: bool, device: str) -> None:
        self._measures, self._asked_device = measures, device
        self._sizes: dict[tuple[str, str], Size | None] = {}
        self._timed: dict[tuple[str, str], tuple[float, str, bool]] = {}
        self._spent, self._rate = 0.0, 0.0

    def size(self, outlook: Outlook) -> Size | None:
        """Count the network of a node.

        Args:
            outlook: The node.

        Returns:
            Its size; null where it has none, or what it is built by is not known here.
        """
        key = _network(outlook)
        if key not in self._sizes:
            self._sizes[key] = _count(outlook.work)
        return self._sizes[key]

    def operations(self, outlook: Outlook) -> float:
        """Count the operations that a node has left, so that the largest are timed first.

        Args:
            outlook: The node.

        Returns:
            Floating-point operations; 0 where nothing is left or its network is not known.
        """
        size = self.size(outlook) if outlook.share_left else None
        return size.footprint.flops * outlook.work.steps * outlook.share_left if size is not None else 0.0

    def seconds(self, outlook: Outlook) -> tuple[float | None, str, bool]:
        """Time the steps of a node's network, or say how long they take at least.

        Args:
            outlook: The node; its network has a size.

        Returns:
            Seconds for what is left of its work, where they come from, and whether it takes at least that long.
        """
        size = self.size(outlook)
        if not self._measures or size is None:
            return None, "", False
        key = _network(outlook)
        if key not in self._timed:
            self._timed[key] = self._time(size, outlook.work)
        a_step, origin, is_bound = self._timed[key]
        return a_step * outlook.work.steps * outlook.share_left, origin, is_bound

    def _time(self, size: Size, work: Work) -> tuple[float, str, bool]:
        """Return the seconds of a step: timed where that is soon done, else from its operations."""
        from dermdit_kedro.training import timing

        start, device = time.monotonic(), timing.find_device(self._asked_device)
        self._rate = self._rate or timing.operations_per_second(device)
        flops = size.footprint.flops if work.trains else size.footprint.flops / 3  # a pass forward is a third of a step
        least = flops / self._rate
        fits = size.memory_bytes < MEMORY_SHARE * timing.memory_free(device)
        if self._spent >= MEASURING_S or least > STEP_S / 2 or not fits:
            return least, COUNTED, True
        timed = timing.time_step if work.trains else timing.time_pass
        seconds = timed(size.workload, device, STEP_S)
        self._spent += time.monotonic() - start
        return seconds, TIMED, False


def _network(outlook: Outlook) -> tuple[str, str]:
    """Return what tells one network, at one batch, from another."""
    arguments = outlook.work.does if outlook.work.trains else ""
    return outlook.node.rpartition(".")[2] + arguments, outlook.kind if outlook.work.copies == 1 else ""


def _count(work: Work) -> Size | None:
    workload = work.workload() if work.workload else None
    if workload is None:
        return None
    from dermdit_kedro.training import footprint

    counted = footprint.measure_footprint(workload)
    memory = footprint.memory_bytes(counted, workload.training)
    disk = footprint.disk_bytes(counted, workload.training, validates=work.validates)
    if not work.trains:
        memory = footprint.FLOAT_BYTES * counted.num_parameters
    return Size(workload, counted, memory, disk * work.copies)


def _disk_free(folder: Path) -> int:
    place: Path = next(path for path in (folder, *folder.parents) if path.is_dir())
    return shutil.disk_usage(place).free

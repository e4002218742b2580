"""A plan as a person reads it."""

import os
from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.table import Table

from dermdit_kedro.planning import COUNTED, TIMED, Plan, Row
from dermdit_kedro.progress import duration

_NOTHING = "-"
_BYTES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def print_plan(plan: Plan, *, left_out: int = 0, console: Console | None = None) -> None:
    """Print what a run would do, a line a node, and what it needs in all.

    Args:
        plan: The plan.
        left_out: Nodes that were asked for and have their outputs.
        console: Where to print; standard output if not given.
    """
    if console is None:
        console = Console()
        console = console if console.is_terminal else Console(width=max(console.width, 132))
    if left_out:
        console.print(f"{left_out} nodes have their outputs and are left out; whether parameters changed is not asked.")
    if not plan.rows:
        console.print("nothing to do")
        return
    table = Table(title=f"What would run: {len(plan.rows)} nodes", title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("", "node", "what it does"):
        table.add_column(column, overflow="fold")
    for column in ("time", "memory", "disk"):
        table.add_column(column, justify="right")
    for position, row in enumerate(plan.rows, start=1):
        memory, disk = size(row.memory_bytes), size(row.disk_bytes)
        table.add_row(str(position), row.outlook.node, does(row), seconds(row), memory, disk)
    console.print(table)
    for line in totals(plan):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def does(row: Row) -> str:
    """Say what a node does, and what of it was found done.

    Args:
        row: Its row.

    Returns:
        A few words.
    """
    outlook = row.outlook
    if outlook.found == "finished":
        return f"reuse: {outlook.work.does}"
    weights = f"; {row.num_parameters / 1e6:,.1f} M parameters" if row.num_parameters else ""
    found = f"; {outlook.found}" if outlook.found and outlook.found != "as before" else ""
    return f"{outlook.work.does}{weights}{found}"


def seconds(row: Row) -> str:
    """Say how long a node takes, and what says so.

    Args:
        row: Its row.

    Returns:
        A time with its origin, or that it is not known.
    """
    if row.seconds is None:
        return "not measured"
    if row.outlook.share_left == 0 and row.seconds == 0:
        return _NOTHING
    return f"{'at least ' if row.is_bound else ''}{duration(row.seconds)}{f' ({row.origin})' if row.origin else ''}"


def size(count: int | None) -> str:
    """Write bytes for a person, such as `1.5 GB`."""
    if not count:
        return _NOTHING
    for unit, name in _BYTES:
        if count >= unit:
            return f"{count / unit:.{0 if count >= 100 * unit else 1}f} {name}"
    return f"{count} B"


def totals(plan: Plan) -> Iterator[str]:
    """Say what the whole run needs, and how far that can be trusted.

    Args:
        plan: The plan.

    Yields:
        Lines.
    """
    yield _total_time(plan)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    cores = os.cpu_count() or 1
    if load > cores and any(row.origin in (TIMED, COUNTED) for row in plan.rows):
        yield f"This machine is busy (load {load:.0f} on {cores} cores): what was timed now is for one that is not."
    networks = [row for row in plan.rows if row.memory_bytes]
    if networks:
        largest = max(networks, key=lambda row: row.memory_bytes or 0)
        yield (
            f"Memory: {size(largest.memory_bytes)} in {largest.outlook.node}, in each process: weights, gradients, "
            "optimizer, average, activations. Python and the libraries come on top, about 1 GB on a CPU."
        )
    needed, free = plan.disk_bytes, plan.disk_free
    large = f"about {size(needed)} for images, latents, training states and weights" if needed else "nothing large"
    yield f"Disk: {large}, of {size(free)} free; tables, features, figures and a generator's folder come on top."
    if free is not None and needed > free:
        yield (
            f"WARNING: {size(needed - free)} are missing. Make room, or lower keep_last of the training, image_size or "
            "synthesis.num_images."
        )
    if not plan.counts.is_exact:
        known = plan.counts.images is not None
        yield (
            "Numbers of images come from the tables of the sources, as if every file were whole."
            if known
            else "How many images there are is not known: the sources cannot be read."
        )


def _total_time(plan: Plan) -> str:
    known = [row for row in plan.rows if row.seconds is not None]
    total = sum(row.seconds or 0 for row in known)
    missing = len(plan.rows) - len(known)
    if missing and not total:
        return "Time: nothing was measured yet. A run writes down what each node takes, for the next plan."
    is_bound = missing > 0 or any(row.is_bound for row in known)
    origins = sorted({row.origin for row in known if row.origin})
    by = f" ({', '.join(origins)})" if origins else ""
    left = f"; {missing} of {len(plan.rows)} nodes are not measured: a run writes down what each takes"
    words = "at least" if is_bound else "about"
    return f"Time: {words} {duration(total)} on {plan.machine}{by}{left if missing else ''}."

"""How many images of each group a plan asks for."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np


def balanced(n_train: Sequence[int], num_images: int) -> list[int]:
    """Ask for equal numbers of every group (paper, section 2.3).

    Args:
        n_train: Real training images of each group.
        num_images: Images in all.

    Returns:
        Numbers that differ by at most one and add up to `num_images`, the larger first.
    """
    parts = len(n_train)
    return [num_images // parts + (part < num_images % parts) for part in range(parts)]


def complement(n_train: Sequence[int], num_images: int) -> list[int]:
    """Ask for what the real images lack until the groups are even.

    Args:
        n_train: Real training images of each group.
        num_images: The most there may be; spent on the smallest groups first, which grow together.

    Returns:
        Numbers that, added to `n_train`, are as even as `num_images` allows and never exceed the largest group.
    """
    levels = np.array(n_train)
    spent = min(num_images, int((levels.max() - levels).sum()))
    order = np.argsort(levels, kind="stable")
    raised = levels[order].copy()
    for size in range(1, len(raised) + 1):
        following = raised[size] if size < len(raised) else raised[:size].max()
        room = int((following - raised[:size]).sum())
        if room >= spent or size == len(raised):
            total = int(raised[:size].sum()) + spent
            raised[:size] = [total // size + (part < total % size) for part in range(size)]
            break
        spent -= room
        raised[:size] = following
    counts = np.empty_like(levels)
    counts[order] = raised
    return [int(count) for count in counts - levels]


def match(n_train: Sequence[int], num_images: int) -> list[int]:
    """Ask for the distribution of the real images.

    Args:
        n_train: Real training images of each group.
        num_images: Images in all.

    Returns:
        Numbers in proportion to `n_train` that add up to `num_images`, rounded by largest remainders.
    """
    weights = np.array(n_train, dtype=float)
    exact = num_images * weights / weights.sum()
    counts = np.floor(exact).astype(int)
    missing = num_images - int(counts.sum())
    counts[np.argsort(counts - exact, kind="stable")[:missing]] += 1
    return [int(count) for count in counts]


STRATEGIES: Final[dict[str, Callable[[Sequence[int], int], list[int]]]] = {
    "balanced": balanced,
    "complement": complement,
    "match": match,
}
"""By the names that `synthesis.strategy` knows; `table` takes its numbers from the table."""

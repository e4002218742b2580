"""Which hashes lie near one another, exactly, for a million hashes in minutes and bounded memory.

Two hashes that differ in at most d bits, cut into d // 2 + 1 bands, differ in at most one bit of some band. So hashes
are sorted once for every bit of every band by that band without that bit, and only those that then agree are compared.
What is asked for is who belongs together: hashes already joined are not compared again, which keeps a great heap of
images that are nearly alike (blank ones, say) as cheap as any other.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, UInt8, UInt64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

KEY_BITS = 32
CHUNK = 1 << 21
"""Pairs compared at once: some 150 MB."""
MANY = 1 << 24
"""Pairs under one key above which pairs drawn at random are joined first."""
WORTH_ANOTHER = 0.02
"""Share of the pairs drawn that must be joined for a further draw."""

Positions = Int[np.ndarray, " k"]


def connect_near(hashes: UInt8[np.ndarray, "n bytes"], max_distance: int) -> Int[np.ndarray, "m 2"]:
    """Join the hashes that differ in few bits.

    Args:
        hashes: Different hashes, packed.
        max_distance: Largest number of bits in which two near hashes differ, at least 1.

    Returns:
        Positions of near hashes, fewer pairs than hashes: any two near hashes are connected through them.
    """
    forest = _Forest(hashes, max_distance)
    rng = np.random.default_rng(0)
    for key in _keys(hashes, max_distance):
        plan = _Plan(key, forest)
        while plan.num_pairs > MANY:
            drawn = plan.draw(rng)
            if plan.join(*drawn) < WORTH_ANOTHER * len(drawn[0]):
                break
            plan = _Plan(key, forest)
        for left, right in plan.chunks():
            plan.join(left, right)
    return np.concatenate(forest.edges)


def _keys(hashes: UInt8[np.ndarray, "n bytes"], max_distance: int) -> Iterator[UInt64[np.ndarray, " n"]]:
    """Yield each band without each of its bits; neighbouring bits are alike, so a band takes bits from all over."""
    num_bits = 8 * hashes.shape[1]
    num_bands = min(max_distance // 2 + 1, num_bits)
    for first in range(num_bands):
        bits = range(first, num_bits, num_bands)[:KEY_BITS]
        band = np.zeros(len(hashes), np.uint64)
        for place, bit in enumerate(bits):
            band |= (hashes[:, bit // 8] >> np.uint8(7 - bit % 8) & np.uint8(1)).astype(np.uint64) << np.uint64(place)
        for place in range(len(bits)):
            yield band & ~(np.uint64(1) << np.uint64(place))


class _Forest:
    """Hashes joined so far: a group for each, and the pairs that join them."""

    def __init__(self, hashes: UInt8[np.ndarray, "n bytes"], max_distance: int) -> None:
        padded = np.pad(hashes, [(0, 0), (0, -hashes.shape[1] % 8)])
        self.words = np.ascontiguousarray(np.ascontiguousarray(padded).view(np.uint64).T)
        self.max_distance = max_distance
        self.edges: list[np.ndarray[Any, np.dtype[np.int64]]] = [np.empty((0, 2), dtype=np.int64)]
        self.group = np.arange(len(hashes), dtype=np.int32)
        self._by_group: Positions | None = None

    @property
    def by_group(self) -> Positions:
        """All positions, those of one group side by side."""
        if self._by_group is None:
            self._by_group = np.argsort(self.group, kind="stable")
        return self._by_group

    def join(self, left: Positions, right: Positions) -> None:
        """Join the groups of near hashes; of the pairs, a spanning forest is kept."""
        apart = self.group[left] != self.group[right]
        left, right = left[apart], right[apart]
        if len(left) == 0:
            return
        touched, ends = np.unique(self.group[np.concatenate([left, right])], return_inverse=True)
        ends = np.sort(ends.reshape(2, -1), axis=0)
        _, once = np.unique(ends[0] * len(touched) + ends[1], return_index=True)
        shape = (len(touched), len(touched))
        graph = coo_array((once + 1.0, (ends[0, once], ends[1, once])), shape=shape).tocsr()
        kept = minimum_spanning_tree(graph).data.astype(np.int64) - 1
        self.edges.append(np.column_stack([left[kept], right[kept]]))
        labels = connected_components(graph, directed=False)[1]
        renamed = np.arange(len(self.group), dtype=np.int32)
        renamed[touched] = touched[np.unique(labels, return_index=True)[1]][labels]
        self.group, self._by_group = renamed[self.group], None


class _Plan:
    """The pairs that agree in a key and are not joined yet: sorted so that the partners of each hash are a range."""

    def __init__(self, key: UInt64[np.ndarray, " n"], forest: _Forest) -> None:
        both = np.sort(key[forest.by_group] << np.uint64(32) | np.arange(len(key), dtype=np.uint64))
        self._forest = forest
        self._order = forest.by_group[both & np.uint64(0xFFFFFFFF)]
        self._first_word = forest.words[0][self._order]
        key_changes = both[1:] >> np.uint64(32) != both[:-1] >> np.uint64(32)
        group = forest.group[self._order]
        self._start = _ends(key_changes | (group[1:] != group[:-1]))
        self._length = _ends(key_changes) - self._start
        self.num_pairs = int(self._length.sum())

    def draw(self, rng: np.random.Generator) -> tuple[Positions, Positions]:
        """Pair each hash that has a partner with one of them, at random."""
        left = np.flatnonzero(self._length)
        return left, self._start[left] + (rng.random(len(left)) * self._length[left]).astype(np.int64)

    def chunks(self) -> Iterator[tuple[Positions, Positions]]:
        """Yield all pairs, so many at a time."""
        left = np.flatnonzero(self._length)
        length, start = self._length[left], self._start[left]
        before = np.cumsum(length) - length
        cuts = np.searchsorted(before, np.arange(0, self.num_pairs, CHUNK))
        for low, high in pairwise([*cuts, len(left)]):
            count = length[low:high]
            offset = np.repeat(start[low:high] - before[low:high], count) + before[low : low + 1]
            yield np.repeat(left[low:high], count), offset + np.arange(len(offset))

    def join(self, left: Positions, right: Positions) -> int:
        """Join the near ones among pairs and return how many there are."""
        distance = np.bitwise_count(self._first_word[left] ^ self._first_word[right]).astype(np.uint16)
        near = distance <= self._forest.max_distance
        left, right, distance = self._order[left[near]], self._order[right[near]], distance[near]
        for word in self._forest.words[1:]:
            distance += np.bitwise_count(word[left] ^ word[right])
            near = distance <= self._forest.max_distance
            left, right, distance = left[near], right[near], distance[near]
        self._forest.join(left, right)
        return len(left)


def _ends(is_change: Bool[np.ndarray, " k"]) -> Int[np.ndarray, " k+1"]:
    """Return for each position where its run ends: one past its last."""
    ends = np.append(np.flatnonzero(is_change) + 1, len(is_change) + 1)
    return np.repeat(ends, np.diff(ends, prepend=0))

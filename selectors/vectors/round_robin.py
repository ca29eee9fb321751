"""Queries take turns: each takes the best that nobody has taken yet.

Not all cosines of queries and candidates are kept, but each query's best few. When one query has
none left, all of them look for their best again, among what is still there, and for twice as many.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from siftline.selectors.vectors.units import DECIMALS, Floats, Ints

# Candidates of a query at first, and of all queries together at most (8 bytes each).
FIRST = 64
MOST_HELD = 2**25
QUERY_ROWS = 64
BLOCK_ROWS = 2**16


class Taken(NamedTuple):
    """The result of :func:`round_robin`.

    Attributes:
        order: [taken] numbers of the candidates, in order.
        taker: [taken] number of the query that took each.
        similarity: [taken] cosine of the two, or the taker's score.
    """

    order: Ints
    taker: Ints
    similarity: npt.NDArray[np.float64]


def round_robin(queries: Floats, candidates: Floats, unit: Ints, count: int) -> Taken:
    """Let queries take candidates in turns.

    Cosines are compared on a grid of 1e-6; among equals the first in order is taken.

    Args:
        queries: [queries, dimensions] float32 of length one, in the order of their turns.
        candidates: [rows, dimensions] float32 of length one.
        unit: [rows] number of the unit of each: when one row is taken, its unit is.
        count: How many units to take, at most as many as there are.
    """
    free = np.ones(int(unit.max(initial=-1)) + 1, dtype=bool)
    lists = _Lists(queries, candidates)
    order: list[int] = []
    takers: list[int] = []
    while len(order) < count:
        query = len(order) % len(queries)
        row = lists.next_of(query, unit, free)
        if row is None:
            lists.refill(np.flatnonzero(free[unit]))
            continue
        free[unit[row]] = False
        order.append(row)
        takers.append(query)
    rows, by = np.array(order, dtype=np.int64), np.array(takers, dtype=np.int64)
    cosine = np.einsum("ij,ij->i", candidates[rows], queries[by], dtype=np.float64)
    return Taken(rows, by, cosine)


def turns_by_score(scores: Floats, unit: Ints, count: int) -> Taken:
    """Let takers take candidates in turns, each by scores of its own that are all known.

    Args:
        scores: [takers, rows] higher first; among equals the first in order is taken.
        unit: [rows] as for :func:`round_robin`.
        count: Likewise.
    """
    free = np.ones(int(unit.max(initial=-1)) + 1, dtype=bool)
    lists = [iter(np.argsort(-each, kind="stable").tolist()) for each in scores]
    order: list[int] = []
    takers: list[int] = []
    while len(order) < count:
        taker = len(order) % len(lists)
        row = next(row for row in lists[taker] if free[unit[row]])
        free[unit[row]] = False
        order.append(row)
        takers.append(taker)
    rows, by = np.array(order, dtype=np.int64), np.array(takers, dtype=np.int64)
    return Taken(rows, by, scores[by, rows].astype(np.float64))


class _Lists:
    """The best candidates of each query, among those that were free when it looked."""

    def __init__(self, queries: Floats, candidates: Floats) -> None:
        self._queries = queries
        self._candidates = candidates
        self._rows = np.empty((len(queries), 0), dtype=np.int64)
        self._next = [0] * len(queries)
        self._size = FIRST

    def next_of(self, query: int, unit: Ints, free: npt.NDArray[np.bool_]) -> int | None:
        """Return a query's best free candidate; None when its list is used up."""
        rows = self._rows[query]
        place = self._next[query]
        while place < len(rows) and not free[unit[rows[place]]]:
            place += 1
        self._next[query] = place
        return int(rows[place]) if place < len(rows) else None

    def refill(self, free: Ints) -> None:
        """List each query's best among some candidates, twice as many as the time before."""
        size = min(self._size, len(free))
        self._rows = np.concatenate(
            [
                _best(self._queries[start : start + QUERY_ROWS], self._candidates, free, size)
                for start in range(0, len(self._queries), QUERY_ROWS)
            ]
        )
        self._next = [0] * len(self._queries)
        most = max(FIRST, MOST_HELD // len(self._queries))
        self._size = min(2 * self._size, most)


def _best(queries: Floats, candidates: Floats, rows: Ints, size: int) -> Ints:
    """Return [queries, size] the nearest of some candidates, the nearest first."""
    held = np.empty((len(queries), 0), dtype=np.int64)
    for start in range(0, len(rows), BLOCK_ROWS):
        block = rows[start : start + BLOCK_ROWS]
        cosine = np.round(queries @ candidates[block].T, DECIMALS)
        # One number to sort by: the distance first, then the place, which also tells the row.
        distance = np.rint((2 - cosine.astype(np.float64)) * 10**DECIMALS).astype(np.int64)
        held = np.concatenate([held, (distance << 32) + block], axis=1)
        if held.shape[1] > size:
            held = np.partition(held, size - 1, axis=1)[:, :size]
    return np.sort(held, axis=1) & 0xFFFFFFFF

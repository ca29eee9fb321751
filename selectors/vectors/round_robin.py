"""Queries take turns: each takes the best that nobody has taken yet.

Not all cosines of queries and candidates are kept, but each query's best few. When one query has
none left, all of them look for their best again, among what is still there, and for twice as many.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from siftline.selectors.arrays import Bools, Float32s, Float64s, Ints
from siftline.selectors.vectors.units import DECIMALS

# Candidates of a query at first, and of all queries together at most (8 bytes each).
FIRST = 64
MOST_HELD = 2**25
QUERY_ROWS = 64
BLOCK_ROWS = 2**16


class TakenInTurns(NamedTuple):
    """The result of :func:`round_robin` and of :func:`turns_by_score`.

    Attributes:
        order: [taken] Numbers of the candidates, in order.
        taker: [taken] Number of the query, or taker, that took each.
        similarity: [taken] Cosine of candidate and query, or the taker's score of it.
    """

    order: Ints
    taker: Ints
    similarity: Float64s


def round_robin(queries: Float32s, candidates: Float32s, unit: Ints, count: int) -> TakenInTurns:
    """Let queries take candidates in turns.

    Cosines are compared on a grid of 1e-6; among equals the first in order is taken.

    Args:
        queries: [queries, dimensions] float32 of length one, in the order of their turns.
        candidates: [rows, dimensions] float32 of length one.
        unit: [rows] Number of the unit of each: when one row is taken, its unit is.
        count: How many units to take, at most as many as there are.
    """
    lists = _Lists(queries, candidates, unit)
    rows, by = _take_turns(len(queries), unit, count, lists.best_of)
    cosine = np.einsum("ij,ij->i", candidates[rows], queries[by], dtype=np.float64)
    return TakenInTurns(rows, by, cosine)


def turns_by_score(scores: Float32s, unit: Ints, count: int) -> TakenInTurns:
    """Let takers take candidates in turns, each by scores of its own that are all known.

    Args:
        scores: [takers, rows] The higher the better; among equals the first in order is taken.
        unit: [rows] Number of the unit of each: when one row is taken, its unit is.
        count: How many units to take, at most as many as there are.
    """
    lists = [iter(np.argsort(-each, kind="stable").tolist()) for each in scores]

    def best_of(taker: int, free: Bools) -> int:
        best: int = next(row for row in lists[taker] if free[unit[row]])
        return best

    rows, by = _take_turns(len(scores), unit, count, best_of)
    return TakenInTurns(rows, by, scores[by, rows].astype(np.float64))


def _take_turns(
    takers: int, unit: Ints, count: int, best_of: Callable[[int, Bools], int]
) -> tuple[Ints, Ints]:
    """Return the rows that takers take in turns, in order, and the taker of each.

    Args:
        takers: Number of takers.
        unit: [rows] Number of the unit of each: when one row is taken, its unit is.
        count: How many units to take.
        best_of: Returns a taker's best row, given [units] whether each is still free.
    """
    free = np.ones(int(unit.max(initial=-1)) + 1, dtype=bool)
    taker = np.arange(count) % takers
    order = np.empty(count, dtype=np.int64)
    for turn in range(count):
        order[turn] = best_of(int(taker[turn]), free)
        free[unit[order[turn]]] = False
    return order, taker


class _Lists:
    """The best candidates of each query, among those that were free when it looked."""

    def __init__(self, queries: Float32s, candidates: Float32s, unit: Ints) -> None:
        self._queries = queries
        self._candidates = candidates
        self._unit = unit
        self._rows = np.empty((len(queries), 0), dtype=np.int64)
        self._next = [0] * len(queries)
        self._size = FIRST

    def best_of(self, query: int, free: Bools) -> int:
        """Return a query's best free candidate.

        Args:
            query: Its number.
            free: [units] True for those that nobody has taken; at least one.
        """
        while (row := self._next_of(query, free)) is None:
            self._refill(np.flatnonzero(free[self._unit]))
        return row

    def _next_of(self, query: int, free: Bools) -> int | None:
        """Return the next free candidate in a query's list; None when its list is used up."""
        rows = self._rows[query]
        place = self._next[query]
        while place < len(rows) and not free[self._unit[rows[place]]]:
            place += 1
        self._next[query] = place
        return int(rows[place]) if place < len(rows) else None

    def _refill(self, free: Ints) -> None:
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


def _best(queries: Float32s, candidates: Float32s, rows: Ints, size: int) -> Ints:
    """Return [queries, size] the nearest of some candidates, the nearest first."""
    held = np.empty((len(queries), 0), dtype=np.int64)
    for start in range(0, len(rows), BLOCK_ROWS):
        block = rows[start : start + BLOCK_ROWS]
        cosine = np.round(queries @ candidates[block].T, DECIMALS)
        # One number to sort by: the distance first, then the place, which is the row's number.
        distance = np.rint((2 - cosine.astype(np.float64)) * 10**DECIMALS).astype(np.int64)
        held = np.concatenate([held, (distance << 32) + block], axis=1)
        if held.shape[1] > size:
            held = np.partition(held, size - 1, axis=1)[:, :size]
    return np.sort(held, axis=1) & 0xFFFFFFFF

"""Lazy greedy for facility location: the choice that adds most, without a matrix of all pairs.

The objective is f(S) = sum_i w_i max(0, max_{j in S} cos(i, j)). It is submodular: what a candidate
would add only shrinks while others are chosen. So its gain of some choices ago is an upper bound
of its gain now (Minoux 1978), and only candidates whose bound is above the best known gain are
looked at again. The choices are those of the plain greedy algorithm, whose f is at least 1 - 1/e of
the best. Cosines are computed again, block by block, whenever they are needed.

In a large pool the sum is estimated on a random sample that grows with the number of choices, and
each choice is made better on a larger one (siftline.selectors.vectors.refinement). All vectors
remain candidates. The samples for a choice do not depend on how many follow, so a larger budget
extends a smaller one. With stochastic greedy (arXiv 1409.7938), whose samples are of
candidates and depend on the budget, it would not. A vector of the sample does not count for itself:
it would stand for many others that a candidate outside the sample is not credited with, and the
choice would be made among the sample.
"""

import heapq
import math
from typing import NamedTuple

import numpy as np

from siftline.selectors.arrays import Float32s, Float64s, Ints
from siftline.selectors.vectors.refinement import Refinement

# The sample's size: for each choice, and at least. Of 100,000 vectors, 1,000 chosen, it costs one
# percent of the objective; at a million more (docs/decisions.md).
PER_CHOICE, FEWEST = 10, 4096
# Candidates whose gains are computed together: few when a choice begins, more while it stays open.
NARROW, WIDE = 16, 512
# Cosines in one block: 8 MiB, which caches hold better than more.
BLOCK_CELLS = 2**21
# Gains are compared on this grid; in float32 equal vectors may differ in the last bits.
DECIMALS = 6


class GreedyChoices(NamedTuple):
    """The result of :func:`lazy_greedy`.

    Attributes:
        order: [chosen] Numbers of the vectors, in order of choice.
        gain: [chosen] What each has added to the objective, estimated where it is sampled. It
            falls from choice to choice where the sample is everything; else it may rise a little.
        sampled: Size of the largest sample.
        evaluated: How many gains were computed.
    """

    order: Ints
    gain: Float64s
    sampled: int
    evaluated: int


def lazy_greedy(
    vectors: Float32s,
    count: int,
    weight: Float32s,
    chosen: Ints,
    *,
    per_choice: int = PER_CHOICE,
    fewest: int = FEWEST,
) -> GreedyChoices:
    """Choose vectors that cover all of them best; among equals the first in order.

    Memory beyond the vectors is a copy of the sample, at most one of the larger sample of
    131,072, 100 bytes a candidate, and one block of cosines.

    Args:
        vectors: [rows, dimensions] float32 of length one, in random order: the first ones are the
            sample.
        count: How many to choose, at most the number of those that are not chosen.
        weight: [rows] Weight of each vector in the objective, above 0.
        chosen: Numbers of the vectors that are chosen already.
        per_choice: Vectors of the sample for each choice, those chosen already included.
        fewest: Smallest size of the sample. From the number of rows on, all is exact.
    """
    order: list[int] = []
    gains: list[float] = []
    size = evaluated = 0
    refinement = None
    while len(order) < count:
        size = sample_size(len(chosen) + len(order), len(vectors), per_choice, fewest)
        enough_until = count if size == len(vectors) else size // per_choice - len(chosen)
        taken = np.concatenate([chosen, np.array(order, dtype=np.int64)])
        if size < len(vectors):
            refinement = refinement or Refinement(vectors, weight, chosen)
        else:
            refinement = None
        search = _Search(vectors, weight[:size], taken, refinement)
        for row, gain in search.choose(min(count, enough_until) - len(order)):
            order.append(row)
            gains.append(gain)
        evaluated += search.evaluated
    return GreedyChoices(np.array(order, dtype=np.int64), np.array(gains), size, evaluated)


def sample_size(chosen: int, rows: int, per_choice: int = PER_CHOICE, fewest: int = FEWEST) -> int:
    """Return the sample's size for the choice after so many: doubled until it is enough."""
    doublings = math.ceil(math.log2(max(1.0, per_choice * (chosen + 1) / fewest)))
    return min(rows, fewest << max(0, doublings))


class _Search:
    """The candidates with upper bounds of their gains, on one sample.

    Attributes:
        evaluated: How many gains were computed.
    """

    def __init__(
        self, vectors: Float32s, weight: Float32s, taken: Ints, refinement: Refinement | None
    ) -> None:
        self._refinement = refinement
        self._taken = np.zeros(len(vectors), dtype=bool)
        self._coverage = Coverage(vectors, weight)
        self._coverage.add(taken)
        free = np.setdiff1d(np.arange(len(vectors)), taken)
        self._heap: list[tuple[float, int]] = []  # negative bounds: the smallest comes first
        for start in range(0, len(free), WIDE):
            block = free[start : start + WIDE]
            bounds = (-self._coverage.gains(block)).tolist()
            self._heap += zip(bounds, block.tolist(), strict=True)
        heapq.heapify(self._heap)
        self._turn = np.zeros(len(vectors), dtype=np.int64)  # in which a bound was the gain itself
        self.evaluated = len(free)

    def choose(self, count: int) -> list[tuple[int, float]]:
        """Return the next choices with their gains."""
        choices: list[tuple[int, float]] = []
        width = NARROW
        while len(choices) < count:
            bound, best = self._heap[0]
            if self._taken[best]:  # in exchange for another
                heapq.heappop(self._heap)
            elif self._turn[best] == len(choices):
                choices.append(self._take(best, -bound))
                width = NARROW
            else:
                self._look_again(len(choices), width)
                width = min(2 * width, WIDE)
        return choices

    def _take(self, best: int, gain: float) -> tuple[int, float]:
        """Choose the best candidate of the sample, or what a larger sample has in its place."""
        row = best
        if self._refinement is not None:
            row, gain = self._refinement.choose(best)
        if row == best:
            heapq.heappop(self._heap)
        self._taken[row] = True
        self._coverage.add(np.array([row]))
        return row, gain

    def _look_again(self, turn: int, width: int) -> None:
        """Replace the highest bounds that are not of this turn by gains."""
        stale: list[tuple[float, int]] = []
        while self._heap and len(stale) < width and self._turn[self._heap[0][1]] < turn:
            stale.append(heapq.heappop(self._heap))
        rows = np.array([row for _, row in stale])
        for (bound, row), gain in zip(stale, self._coverage.gains(rows).tolist(), strict=True):
            heapq.heappush(self._heap, (max(bound, -gain), row))  # rounding must not raise it
        self._turn[rows] = turn
        self.evaluated += len(stale)


class Coverage:
    """How well a sample, the first vectors, is covered by what is chosen so far.

    Attributes:
        value: [sample] Weight times the largest cosine to something chosen, at least 0.
    """

    def __init__(self, vectors: Float32s, weight: Float32s) -> None:
        self._vectors = vectors
        # A weight above 0 may be drawn into the cosine: w max(0, c - v) = max(0, wc - wv).
        self._sample = vectors[: len(weight)] * weight[:, None]
        self._weight = weight
        self.value = np.zeros(len(weight), dtype=np.float32)

    def gains(self, rows: Ints) -> Float64s:
        """Return [rows] what each would add to the objective on the sample.

        Where not all vectors are in the sample, those that are do not count for themselves.
        """
        candidates = self._vectors[rows]
        total = np.zeros(len(rows))
        size = max(1, BLOCK_CELLS // max(1, len(rows)))
        for start in range(0, len(self.value), size):
            block = slice(start, start + size)
            above = candidates @ self._sample[block].T
            above -= self.value[block]
            np.maximum(above, 0, out=above)
            total += above.sum(axis=1)
        if len(self.value) < len(self._vectors):
            sampled = rows < len(self.value)
            own = self._weight[rows[sampled]] - self.value[rows[sampled]]
            total[sampled] = np.maximum(total[sampled] - np.maximum(own, 0), 0)
        return np.round(total, DECIMALS)

    def add(self, rows: Ints) -> None:
        """Count vectors as chosen."""
        for start in range(0, len(rows), WIDE):
            chosen = self._vectors[rows[start : start + WIDE]]
            for first in range(0, len(self.value), BLOCK_CELLS // WIDE):
                block = slice(first, first + BLOCK_CELLS // WIDE)
                nearest = (self._sample[block] @ chosen.T).max(axis=1)
                np.maximum(self.value[block], nearest, out=self.value[block])

"""Farthest first: each choice is what lies farthest from all that is chosen already.

Gonzalez's greedy algorithm (1985): the largest distance of any vector to its nearest centre is at
most twice the smallest possible one. Done plainly, each choice reads all vectors. Here most of them
wait: only the farthest few thousand are kept up to date, and when none of these is farther than the
others may still be, the centres that have been added since are compared with all in one product of
matrices. The choices are the same.
"""

from typing import NamedTuple

import numpy as np

from siftline.selectors.arrays import Float32s, Ints
from siftline.selectors.vectors.units import DECIMALS, nearest_similarity

# Vectors that are kept up to date with every choice: 12 MiB of 384 dimensions.
ACTIVE = 8192


class Centres(NamedTuple):
    """The result of :func:`farthest_first`.

    Attributes:
        order: [chosen] Numbers of the vectors, in order of choice.
        similarity: [rows] Largest cosine to a centre: for a centre, to those chosen before it (NaN
            for the first); for the others, to all centres.
    """

    order: Ints
    similarity: Float32s


def farthest_first(vectors: Float32s, count: int, active: int = ACTIVE) -> Centres:
    """Choose vectors, the first being the one nearest to the mean of all.

    Cosines are compared on a grid of 1e-6; among equals the first in order is taken. Memory beyond
    the vectors is that of the active ones, the new centres, and one block of cosines.

    Args:
        vectors: [rows, dimensions] float32 of length one.
        count: How many to choose, at most the number of rows.
        active: How many vectors are kept up to date.
    """
    mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    order = [int(np.round(vectors @ mean, DECIMALS).argmax())]
    before = np.full(count, np.nan, dtype=np.float32)
    nearest = np.full(len(vectors), -1, dtype=np.float32)
    known = 0  # centres that all vectors have been compared with
    while len(order) < count:
        _compare(vectors, nearest, order[known:])
        known = len(order)
        _choose_active(vectors, nearest, order, before, min(active, len(vectors)))
    _compare(vectors, nearest, order[known:])
    nearest[order] = before
    return Centres(np.array(order, dtype=np.int64), nearest)


def _compare(vectors: Float32s, nearest: Float32s, centres: list[int]) -> None:
    """Bring the largest cosines up to date, in place; a centre itself gets infinity."""
    similarity = nearest_similarity(vectors, vectors[centres])
    np.maximum(nearest, np.round(similarity, DECIMALS), out=nearest)
    nearest[centres] = np.inf


def _choose_active(
    vectors: Float32s, nearest: Float32s, order: list[int], before: Float32s, active: int
) -> None:
    """Choose among the farthest vectors while none of the others can be farther, in place.

    Args:
        vectors: [rows, dimensions].
        nearest: [rows] Largest cosine to a centre, up to date.
        order: The centres so far, to which the new ones are added.
        before: [count] Largest cosine of each centre to those before it.
        active: How many of the farthest vectors to choose among.
    """
    farthest = np.argpartition(nearest, active - 1)[:active]
    others = np.ones(len(vectors), dtype=bool)
    others[farthest] = False
    # Equal ones are not parted by number, so what stands at the edge counts as if outside.
    edge = nearest[others].min(initial=np.inf)
    farthest = np.sort(farthest)
    candidates, similarity = vectors[farthest], nearest[farthest]
    if nearest.min() >= 1:  # nothing but copies of centres, which move no distance
        _take_copies(nearest, order, before)
        return
    if np.isfinite(edge) and similarity.min() >= edge:  # nothing but equals: take the first of all
        _take(int(nearest.argmin()), float(nearest.min()), order, before)
        return
    while len(order) < len(before):
        best = int(similarity.argmin())
        if similarity[best] >= edge:
            return
        _take(int(farthest[best]), float(similarity[best]), order, before)
        np.maximum(similarity, np.round(candidates @ candidates[best], DECIMALS), out=similarity)
        similarity[best] = np.inf


def _take_copies(nearest: Float32s, order: list[int], before: Float32s) -> None:
    """Choose the first of what is left, in place."""
    rows = np.argsort(nearest, kind="stable")[: len(before) - len(order)]
    for row in rows.tolist():
        _take(row, float(nearest[row]), order, before)


def _take(row: int, similarity: float, order: list[int], before: Float32s) -> None:
    before[len(order)] = similarity
    order.append(row)

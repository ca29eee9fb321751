"""Go through vectors in order and keep what is unlike all that was kept before.

A vector is compared with kept ones only: what was itself turned away bars nobody. So each vector
that is turned away has a kept one that it is alike.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from siftline.selectors.vectors.units import DECIMALS, Floats, Ints

BLOCK_ROWS = 1024
KEPT_ROWS = 4096


class Novel(NamedTuple):
    """The result of :func:`novel`.

    Attributes:
        kept: Numbers of the kept vectors, in order.
        similarity: [seen] largest cosine of each candidate to those kept before it; -1 for none.
        seen: How many candidates were looked at until the limit was reached.
    """

    kept: Ints
    similarity: Floats
    seen: int


def novel(
    vectors: Floats,
    order: Ints,
    threshold: float,
    limit: int | None = None,
    groups: Ints | None = None,
) -> Novel:
    """Keep each vector whose largest cosine to those kept before it is at most the threshold.

    Cosines are compared on a grid of 1e-6. Memory beyond the vectors is one block of cosines.

    Args:
        vectors: [rows, dimensions] float32 of length one.
        order: [candidates] numbers of the vectors, in the order of preference.
        threshold: A cosine.
        limit: Stop when so many are kept.
        groups: [rows] vectors of one group are not compared with one another.
    """
    limit = len(order) if limit is None else min(limit, len(order))
    kept = np.empty(limit, dtype=np.int64)
    count = seen = 0
    found = [np.empty(0, dtype=np.float32)]
    while seen < len(order) and count < limit:
        block = order[seen : seen + BLOCK_ROWS]
        similarity = _to_kept(vectors, block, kept[:count], groups)
        among = _cosines(vectors, block, block, groups)
        mine, looked_at = _go_through(similarity, among, threshold, limit - count)
        kept[count : count + len(mine)] = block[mine]
        count += len(mine)
        seen += looked_at
        found.append(similarity[:looked_at])
    return Novel(kept[:count], np.concatenate(found), seen)


def _go_through(
    similarity: Floats, among: Floats, threshold: float, room: int
) -> tuple[list[int], int]:
    """Keep what is novel in a block, and bring the largest cosines up to date, in place.

    Args:
        similarity: [rows] largest cosine to what was kept before the block.
        among: [rows, rows] cosines inside the block.
        threshold: A cosine.
        room: How many may be kept, at least one.

    Returns:
        The places of those that are kept, and how many rows were looked at.
    """
    kept: list[int] = []
    for row in range(len(similarity)):
        if len(kept) == room:
            return kept, row
        if similarity[row] <= threshold:
            kept.append(row)
            later = similarity[row + 1 :]
            np.maximum(later, among[row, row + 1 :], out=later)
    return kept, len(similarity)


def _to_kept(vectors: Floats, rows: Ints, kept: Ints, groups: Ints | None) -> Floats:
    """Return [rows] the largest cosine of each to something kept."""
    found = np.full(len(rows), -1, dtype=np.float32)
    for start in range(0, len(kept), KEPT_ROWS):
        cosine = _cosines(vectors, rows, kept[start : start + KEPT_ROWS], groups)
        np.maximum(found, cosine.max(axis=1), out=found)
    return found


def _cosines(vectors: Floats, rows: Ints, others: Ints, groups: Ints | None) -> Floats:
    """Return [rows, others] cosines, -1 between vectors of one group."""
    cosine: npt.NDArray[np.float32] = np.round(vectors[rows] @ vectors[others].T, DECIMALS)
    if groups is not None:
        cosine[groups[rows][:, None] == groups[others]] = -1
    return cosine

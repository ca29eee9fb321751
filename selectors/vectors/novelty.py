"""Go through vectors in order and keep what is unlike all that was kept before.

A vector is compared with kept ones only: one that was turned away turns away no other. So each
vector that is turned away is like one that was kept.
"""

from typing import NamedTuple

import numpy as np

from siftline.selectors.arrays import Bools, Float32s, Ints
from siftline.selectors.vectors.units import DECIMALS

BLOCK_ROWS = 1024
KEPT_ROWS = 4096


class Novel(NamedTuple):
    """The result of :func:`novel`.

    Attributes:
        kept: Numbers of the kept vectors, in order.
        similarity: [seen] Largest cosine of each candidate to those kept before it; -1 for none.
        seen: How many candidates were looked at until the limit was reached.
    """

    kept: Ints
    similarity: Float32s
    seen: int


class NovelInCells(NamedTuple):
    """The result of :func:`novel_in_cells`.

    Attributes:
        keep: [rows] True for the vectors that are kept.
        similarity: [rows] Largest cosine to those of the cell that were kept before; -1 for none.
    """

    keep: Bools
    similarity: Float32s


def novel(
    vectors: Float32s,
    order: Ints,
    threshold: float,
    limit: int | None = None,
    groups: Ints | None = None,
) -> Novel:
    """Keep each vector whose largest cosine to those kept before it is at most the threshold.

    Cosines are compared on a grid of 1e-6. Memory beyond the vectors is one block of cosines.

    Args:
        vectors: [rows, dimensions] float32 of length one.
        order: [candidates] Numbers of the vectors, in the order of preference.
        threshold: Largest cosine that is still novel.
        limit: Stop when so many are kept.
        groups: [rows] Number of each one's group; vectors of one group are not compared with one
            another.
    """
    limit = len(order) if limit is None else min(limit, len(order))
    kept = np.empty(limit, dtype=np.int64)
    count = seen = 0
    similarities = [np.empty(0, dtype=np.float32)]
    while seen < len(order) and count < limit:
        block = order[seen : seen + BLOCK_ROWS]
        similarity = _to_kept(vectors, block, kept[:count], groups)
        among = _cosines(vectors, block, block, groups)
        places, looked_at = _go_through(similarity, among, threshold, limit - count)
        kept[count : count + len(places)] = block[places]
        count += len(places)
        seen += looked_at
        similarities.append(similarity[:looked_at])
    return Novel(kept[:count], np.concatenate(similarities), seen)


def novel_in_cells(
    vectors: Float32s, cells: Ints, order: Ints, threshold: float, groups: Ints | None = None
) -> NovelInCells:
    """Keep what is novel in each cell by itself; see :func:`novel`.

    Args:
        vectors: [rows, dimensions] float32 of length one.
        cells: [rows] Number of each one's cell, within which vectors are compared.
        order: [rows] Numbers of all vectors, in the order of preference.
        threshold: Largest cosine that is still novel.
        groups: [rows] Number of each one's group; vectors of one group are not compared with one
            another.
    """
    keep = np.zeros(len(vectors), dtype=bool)
    similarity = np.empty(len(vectors), dtype=np.float32)
    by_cell = order[np.argsort(cells[order], kind="stable")]
    ends = np.flatnonzero(np.diff(cells[by_cell])) + 1
    for members in np.split(by_cell, ends):
        novel_members = novel(vectors, members, threshold, groups=groups)
        keep[novel_members.kept] = True
        similarity[members] = novel_members.similarity
    return NovelInCells(keep, similarity)


def _go_through(
    similarity: Float32s, among: Float32s, threshold: float, room: int
) -> tuple[list[int], int]:
    """Keep what is novel in a block, and bring the largest cosines up to date, in place.

    Args:
        similarity: [rows] Largest cosine to what was kept before the block.
        among: [rows, rows] Cosines inside the block.
        threshold: Largest cosine that is still novel.
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


def _to_kept(vectors: Float32s, rows: Ints, kept: Ints, groups: Ints | None) -> Float32s:
    """Return [rows] the largest cosine of each to something kept."""
    similarity = np.full(len(rows), -1, dtype=np.float32)
    for start in range(0, len(kept), KEPT_ROWS):
        cosine = _cosines(vectors, rows, kept[start : start + KEPT_ROWS], groups)
        np.maximum(similarity, cosine.max(axis=1), out=similarity)
    return similarity


def _cosines(vectors: Float32s, rows: Ints, others: Ints, groups: Ints | None) -> Float32s:
    """Return [rows, others] cosines, -1 between vectors of one group."""
    cosine: Float32s = np.round(vectors[rows] @ vectors[others].T, DECIMALS)
    if groups is not None:
        cosine[groups[rows][:, None] == groups[others]] = -1
    return cosine

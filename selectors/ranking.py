"""Places in an order, and ranks from 1: among all, or within groups."""

import numpy as np

from siftline.selectors.arrays import Ints


def places(order: Ints) -> Ints:
    """Return [members] the place of each in an order, from 0.

    Args:
        order: [members] The numbers of all members, the first one first.
    """
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return place


def rank_in(order: Ints, size: int) -> Ints:
    """Return [size] the rank of each, from 1, in an order of some; 0 for those that are not in it.

    Args:
        order: Numbers of the ranked members, the first one first.
        size: How many members there are.
    """
    rank = np.zeros(size, dtype=np.int64)
    rank[order] = np.arange(1, len(order) + 1)
    return rank


def rank_within(groups: Ints, place: Ints) -> Ints:
    """Return [members] the rank of each, from 1, among the members of its group.

    Args:
        groups: [members] Number of each one's group, from 0.
        place: [members] Place of each in the order of all members.
    """
    order = np.lexsort((place, groups))
    sizes = np.bincount(groups)
    starts = np.cumsum(sizes) - sizes
    rank = np.empty(len(groups), dtype=np.int64)
    rank[order] = np.arange(1, len(groups) + 1) - starts[groups[order]]
    return rank


def ranks_by_row(rank: Ints) -> dict[int, int]:
    """Return the rank by row number of the rows whose rank is not 0, as verdicts take it."""
    return {int(row): int(rank[row]) for row in np.flatnonzero(rank)}

"""Clusters of rows that are alike, and which row of each stays.

Rows are numbered by preference, so the smallest number of a cluster stands for it. What is joined
through a chain of others may be unlike it: a row is given up for the one that stays only where the
two of them are alike, and the others go on to the next one.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from siftline.selectors.arrays import Bools, Float64s, Ints
from siftline.selectors.duplicates.banding import (
    Keys,
    buckets,
    pair_codes,
    pair_rows,
    star_pairs,
    without_joined,
)

# How often a bucket is gone through. Copies meet in most of their bands, so those of them that a
# large bucket of other rows hides are found in another one.
ROUNDS = 16
# How many rows of a cluster are compared with all others; of a longer chain, neighbours are enough.
REPRESENTATIVES = 64

Similarities = Callable[[Ints, Ints], Float64s]
"""Of pairs of rows, two arrays of their numbers, how alike they are."""


class Clustered(NamedTuple):
    """What becomes of each row.

    Attributes:
        stays: [rows] Number of the row that stays for it; its own where it stays itself.
        similarity: [rows] To that row; NaN where it stays itself.
        compared: [rows] With how many others it was compared.
        alike: [rows] How many of these are at least as similar as the threshold.
        given_up: [rows] True where a bucket of the row was left before all of it was compared.
    """

    stays: Ints
    similarity: Float64s
    compared: Ints
    alike: Ints
    given_up: Bools


class _Pairs:
    """The pairs that have been compared, each once."""

    def __init__(self, similarities: Similarities) -> None:
        self._measure = similarities
        self.codes: Keys = np.empty(0, dtype=np.uint64)
        self.values: Float64s = np.empty(0)

    def look_up(self, codes: Keys) -> Float64s:
        """Return [pairs] the similarity of each, measured where it is new.

        Args:
            codes: Each once, in order.
        """
        new = codes[~np.isin(codes, self.codes, assume_unique=True)]
        if len(new):
            codes_now = np.concatenate([self.codes, new])
            values = np.concatenate([self.values, self._measure(*pair_rows(new))])
            order = np.argsort(codes_now, kind="stable")
            self.codes, self.values = codes_now[order], values[order]
        return self.values[np.searchsorted(self.codes, codes)]


def cluster_rows(
    bands: npt.NDArray[np.uint32], similarities: Similarities, threshold: float
) -> Clustered:
    """Compare rows that share a band, and choose those that stay.

    Args:
        bands: [rows, bands] In the order of preference.
        similarities: Compares pairs.
        threshold: Least similarity of two rows of which one goes.
    """
    pairs = _Pairs(similarities)
    cluster, given_up = _joined(bands, pairs, threshold)
    stays, similarity = _choose(cluster, pairs, threshold)
    first, second = pair_rows(pairs.codes)
    alike = pairs.values >= threshold
    rows = len(bands)
    return Clustered(
        stays,
        similarity,
        np.bincount(first, minlength=rows) + np.bincount(second, minlength=rows),
        np.bincount(first[alike], minlength=rows) + np.bincount(second[alike], minlength=rows),
        given_up,
    )


def _joined(bands: npt.NDArray[np.uint32], pairs: _Pairs, threshold: float) -> tuple[Ints, Bools]:
    """Return [rows] the cluster of each, and whether pairs of it were left out."""
    left = buckets(bands)
    cluster = np.arange(len(bands))
    for _ in range(ROUNDS):
        codes = star_pairs(left)
        if not len(codes):
            break
        alike = codes[pairs.look_up(codes) >= threshold]
        cluster = join(cluster, *pair_rows(alike))
        left = [without_joined(keys, cluster) for keys in left]
    given_up = np.zeros(len(bands), dtype=bool)
    given_up[pair_rows(np.concatenate([*left, np.empty(0, np.uint64)]))[1]] = True
    return cluster, given_up


def join(cluster: Ints, first: Ints, second: Ints) -> Ints:
    """Return [rows] the clusters after some pairs are joined: each the number of its first row.

    All of the union-find goes in columns: every round hooks the root of each pair's later side to
    that of the earlier one, and then lets each row point to the root of its root.

    Args:
        cluster: [rows] So far.
        first: [pairs] A row of each pair.
        second: [pairs] The other one.
    """
    roots = cluster.copy()
    while True:
        one, other = roots[first], roots[second]
        apart = one != other
        if not apart.any():
            return roots
        low, high = np.minimum(one, other)[apart], np.maximum(one, other)[apart]
        np.minimum.at(roots, high, low)
        while (deeper := roots[roots] != roots).any():
            roots[deeper] = roots[roots[deeper]]


def _choose(cluster: Ints, pairs: _Pairs, threshold: float) -> tuple[Ints, Float64s]:
    """Return [rows] which row stays for each, and how alike they are; see :class:`Clustered`."""
    rows = np.arange(len(cluster))
    stays, similarity = rows.copy(), np.full(len(rows), np.nan)
    several = np.bincount(cluster, minlength=len(rows))[cluster] > 1
    open_rows = rows[several]
    for _ in range(REPRESENTATIVES):
        if not len(open_rows):
            return stays, similarity
        _, place, which = np.unique(cluster[open_rows], return_index=True, return_inverse=True)
        leader = open_rows[place][which]
        others, leader = open_rows[leader != open_rows], leader[leader != open_rows]
        found = pairs.look_up(codes := np.sort(pair_codes(leader, others)))
        leader, others = pair_rows(codes)
        goes = found >= threshold
        stays[others[goes]], similarity[others[goes]] = leader[goes], found[goes]
        open_rows = np.sort(others[~goes])
    _choose_by_neighbours(open_rows, pairs, threshold, stays, similarity)
    return stays, similarity


def _choose_by_neighbours(
    open_rows: Ints, pairs: _Pairs, threshold: float, stays: Ints, similarity: Float64s
) -> None:
    """Let each row go, in order, for the first one that stays of those it was found alike."""
    first, second = pair_rows(pairs.codes)
    is_open = np.zeros(len(stays), dtype=bool)
    is_open[open_rows] = True
    chosen = (pairs.values >= threshold) & is_open[first] & is_open[second]
    order = np.flatnonzero(chosen)[np.lexsort([first[chosen], second[chosen]])]
    for pair in order.tolist():
        low, high = first[pair], second[pair]
        if stays[high] == high and stays[low] == low:
            stays[high], similarity[high] = low, pairs.values[pair]

"""Buckets of rows that share a band, and the stars by which their pairs are looked at.

All pairs of a bucket would be the square of its rows. So a bucket is gone through in rounds: in
each, all of its rows are compared with the first; those that are joined to it leave with it, and
the others go on. A bucket of copies is done after one round, one of rows that have only a beginning
in common after as many as it has rows; what is left of it after some rounds is given up.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from siftline.scorers.shingle_sets import distinct
from siftline.selectors.arrays import Bools, Ints

Keys = npt.NDArray[np.uint64]

_SHIFT = np.uint64(32)
_ROW = np.uint64((1 << 32) - 1)


def shares_a_band(bands: npt.NDArray[np.uint32]) -> Bools:
    """Return [rows] true for the rows that have a band in common with another.

    Args:
        bands: [rows, bands].
    """
    found = np.zeros(len(bands), dtype=bool)
    for number in range(bands.shape[1]):
        found[_rows(_keys(bands[:, number]))] = True
    return found


def buckets(bands: npt.NDArray[np.uint32]) -> list[Keys]:
    """Return for each band its buckets of two rows and more: keys of bucket and row, in order.

    Args:
        bands: [rows, bands].
    """
    return [_keys(bands[:, number]) for number in range(bands.shape[1])]


def star_pairs(keys: Sequence[Keys]) -> Keys:
    """Return the pairs of each bucket's first row and its others: codes, each once, in order."""
    pairs = np.empty(0, dtype=np.uint64)
    for each in keys:
        first = _first(each)
        rows = each & _ROW
        of_band = (rows[first] << _SHIFT | rows)[first != np.arange(len(first))]
        pairs = distinct(np.concatenate([pairs, of_band]))
    return pairs


def without_joined(keys: Keys, cluster: Ints) -> Keys:
    """Return buckets without their first rows and what is in one cluster with them.

    Args:
        keys: Of one band.
        cluster: [rows] Number of the cluster of each row.
    """
    first = _first(keys)
    of_row = cluster[_rows(keys)]
    return _several(keys[of_row != of_row[first]])


def pair_codes(first: Ints, second: Ints) -> Keys:
    """Return [pairs] one number for each pair of rows."""
    return first.astype(np.uint64) << _SHIFT | second.astype(np.uint64)


def pair_rows(codes: Keys) -> tuple[Ints, Ints]:
    """Return [pairs] the two rows of each pair."""
    return (codes >> _SHIFT).astype(np.int64), _rows(codes)


def _keys(band: npt.NDArray[np.uint32]) -> Keys:
    keys = band.astype(np.uint64) << _SHIFT | np.arange(len(band), dtype=np.uint64)
    keys.sort()
    return _several(keys)


def _several(keys: Keys) -> Keys:
    """Return the keys of those buckets that have two rows or more."""
    bucket = keys >> _SHIFT
    same = np.zeros(len(keys) + 1, dtype=bool)  # as the one before it; nothing stands at the ends
    same[1:-1] = bucket[1:] == bucket[:-1]
    return keys[same[1:] | same[:-1]]


def _first(keys: Keys) -> Ints:
    """Return [keys] the place of the first key of each one's bucket."""
    starts = np.flatnonzero(np.diff(keys >> _SHIFT, prepend=np.uint64(1) << _SHIFT))
    return np.repeat(starts, np.diff(np.append(starts, len(keys))))


def _rows(keys: Keys) -> Ints:
    return (keys & _ROW).astype(np.int64)

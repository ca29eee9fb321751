"""Sets of shingles, and how much of them two have in common.

Shingles are known by 48 bits here. That two of them are the same by chance moves the similarity of
one pair of texts of a thousand words in a hundred million, by a thousandth.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from siftline.scorers.shingles import Hashes, Ints, Shingles

_PAIRS_AT_ONCE = 1 << 14
SHINGLES_AT_ONCE = 1 << 21

_BITS = np.uint64(16)  # of a key, for the number of a text or of a pair among those at once
_KEPT = np.uint64(48)


class Sets(NamedTuple):
    """Sets of shingles, one after another, each in order and without repetition.

    Attributes:
        hashes: [elements] 48 bits each.
        offsets: [texts + 1] Where those of each text begin, and where the last one's end.
    """

    hashes: Hashes
    offsets: Ints


def sets_of(shingles: Shingles) -> Sets:
    """Return the sets of some texts."""
    made = []
    texts = len(shingles.offsets) - 1
    at_once = 1 << int(_BITS)
    for start in range(0, texts, at_once):
        offsets = shingles.offsets[start : start + at_once + 1]
        number = np.repeat(np.arange(len(offsets) - 1, dtype=np.uint64), np.diff(offsets))
        keys = number << _KEPT | shingles.hashes[offsets[0] : offsets[-1]] >> _BITS
        keys = distinct(keys)
        counts = np.bincount((keys >> _KEPT).astype(np.int64), minlength=len(offsets) - 1)
        made.append((keys & np.uint64((1 << 48) - 1), counts))
    counts = np.concatenate([each for _, each in made] or [np.empty(0, np.int64)])
    hashes = np.concatenate([each for each, _ in made] or [np.empty(0, np.uint64)])
    return Sets(hashes, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))


def jaccard(one: Sets, first: Ints, other: Sets, second: Ints) -> npt.NDArray[np.float64]:
    """Return [pairs] the size of the intersection over that of the union.

    Args:
        one: Sets, none of those that are compared empty.
        first: [pairs] Which of them.
        other: Sets, which may be the same.
        second: [pairs] Which of those.
    """
    sizes = np.diff(one.offsets)[first], np.diff(other.offsets)[second]
    common = np.zeros(len(first), dtype=np.int64)
    ends = np.cumsum(sizes[0] + sizes[1])
    start = 0
    while start < len(first):
        before = ends[start - 1] if start else 0
        end = int(np.searchsorted(ends, before + SHINGLES_AT_ONCE, side="right"))
        end = min(max(end, start + 1), start + _PAIRS_AT_ONCE)
        common[start:end] = _common(one, first[start:end], other, second[start:end])
        start = end
    return common / (sizes[0] + sizes[1] - common)


def _common(one: Sets, first: Ints, other: Sets, second: Ints) -> Ints:
    """Return [pairs] how many elements both sets of each have."""
    keys = np.concatenate([_keyed(one, first), _keyed(other, second)])
    keys.sort(kind="stable")  # two runs that are in order are merged
    twice = keys[1:][keys[1:] == keys[:-1]]
    return np.bincount((twice >> _KEPT).astype(np.int64), minlength=len(first))


def _keyed(sets: Sets, chosen: Ints) -> Hashes:
    """Return the elements of some sets, each with the place of its set before it, in order."""
    found = taken(sets, chosen)
    place = np.repeat(np.arange(len(chosen), dtype=np.uint64), np.diff(found.offsets))
    return found.hashes | place << _KEPT


def taken(sets: Sets, chosen: Ints) -> Sets:
    """Return some sets, in the order in which they are named."""
    sizes = np.diff(sets.offsets)[chosen]
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    places = np.arange(offsets[-1]) + np.repeat(sets.offsets[chosen] - offsets[:-1], sizes)
    return Sets(sets.hashes[places], offsets)


def distinct(numbers: Hashes) -> Hashes:
    """Return each of some numbers once, in order; NumPy's `unique` is many times slower here."""
    numbers = np.sort(numbers)
    new = np.ones(len(numbers), dtype=bool)
    new[1:] = numbers[1:] != numbers[:-1]
    return numbers[new]

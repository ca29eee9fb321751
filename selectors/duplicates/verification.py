"""How alike pairs of rows are, exactly: the Jaccard similarity of the sets of their shingles.

Shingles are known by 48 bits here. That two of them are the same by chance moves the similarity of
one pair of texts of a thousand words in a hundred million, by a thousandth.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from siftline.contracts.corpus import Corpus
from siftline.scorers.shingles import Hashes, Over, Shingles, row_shingles
from siftline.selectors.arrays import Float64s, Ints
from siftline.selectors.duplicates.banding import distinct

HELD_SHINGLES = 1 << 25  # 256 MiB of them, and as much again where two sets are merged
_PAIRS_AT_ONCE = 1 << 14
_SHINGLES_AT_ONCE = 1 << 21

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


class TextPairs:
    """The texts of the rows of a corpus, compared in pairs; as many are held as fit in memory.

    Rows are numbered as a caller likes, so that it can compare them by preference.
    """

    def __init__(self, corpus: Corpus, rows: Ints, shingles: Ints, over: Over, ngram: int) -> None:
        """Know where the texts are.

        Args:
            corpus: Where they are read.
            rows: [numbers] The row of the corpus that has each number.
            shingles: [numbers] How many shingles it has at most.
            over: What is compared.
            ngram: Words in a shingle.
        """
        self._corpus, self._rows, self._shingles = corpus, rows, shingles
        self._over, self._ngram = over, ngram
        self._sides = 2 if over == "both" else 1
        self._held: Ints = np.empty(0, dtype=np.int64)
        self._sets = Sets(np.empty(0, dtype=np.uint64), np.zeros(1, dtype=np.int64))

    def similarities(self, first: Ints, second: Ints) -> Float64s:
        """Return [pairs] the similarity of each; of `both`, that of the side that is less alike.

        Args:
            first: [pairs] Number of a row of each.
            second: [pairs] And of the other one.
        """
        found = np.empty(len(first))
        for some in self._portions(first, second):
            self._hold(np.unique(np.concatenate([first[some], second[some]])))
            one = np.searchsorted(self._held, first[some]) * self._sides
            other = np.searchsorted(self._held, second[some]) * self._sides
            sides = [
                jaccard(self._sets, one + side, self._sets, other + side)
                for side in range(self._sides)
            ]
            found[some] = np.min(sides, axis=0)
        return found

    def _portions(self, first: Ints, second: Ints) -> Iterator[slice]:
        """Yield pairs whose texts can be held at once."""
        start, size = 0, 0
        if self._shingles.sum() <= HELD_SHINGLES:
            yield slice(0, len(first))
            return
        step = max(1, len(first) // 64)
        for end in range(step, len(first) + step, step):
            rows = np.unique(np.concatenate([first[start:end], second[start:end]]))
            size = int(self._shingles[rows].sum())
            if size > HELD_SHINGLES and end - step > start:
                yield slice(start, end - step)
                start = end - step
        yield slice(start, len(first))

    def _hold(self, numbers: Ints) -> None:
        """Read the texts of some rows, unless they are held."""
        if self._shingles.sum() <= HELD_SHINGLES:
            numbers = np.arange(len(self._rows))
        if np.array_equal(numbers, self._held):
            return
        rows = self._rows[numbers]
        order = np.argsort(rows)
        made = list(self._read(rows[order]))
        sets = Sets(
            np.concatenate([part.hashes for part in made]),
            np.concatenate([[0], np.cumsum(np.concatenate([np.diff(p.offsets) for p in made]))]),
        )
        texts = np.argsort(order)[:, None] * self._sides + np.arange(self._sides)
        self._sets, self._held = _taken(sets, texts.ravel()), numbers

    def _read(self, rows: Ints) -> Iterator[Sets]:
        """Yield the sets of some rows, in their order, shard by shard."""
        index = self._corpus.rows.select(["shard", "position"]).take(pa.array(rows))
        shards, positions = index["shard"].to_numpy(), index["position"].to_numpy()
        cuts = np.flatnonzero(np.diff(shards, prepend=-1, append=-1))
        for start, end in itertools.pairwise(cuts):
            table = self._corpus.take(int(shards[start]), positions[start:end])
            yield sets_of(row_shingles(table, self._over, self._ngram))


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


def jaccard(one: Sets, first: Ints, other: Sets, second: Ints) -> Float64s:
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
        end = int(np.searchsorted(ends, before + _SHINGLES_AT_ONCE, side="right"))
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
    taken = _taken(sets, chosen)
    place = np.repeat(np.arange(len(chosen), dtype=np.uint64), np.diff(taken.offsets))
    return taken.hashes | place << _KEPT


def _taken(sets: Sets, chosen: Ints) -> Sets:
    """Return some sets, in the order in which they are named."""
    sizes = np.diff(sets.offsets)[chosen]
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    places = np.arange(offsets[-1]) + np.repeat(sets.offsets[chosen] - offsets[:-1], sizes)
    return Sets(sets.hashes[places], offsets)

"""How alike pairs of rows are, exactly: the Jaccard similarity of the sets of their shingles."""

import itertools
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from siftline.contracts.corpus import Corpus
from siftline.scorers.shingle_sets import Sets, jaccard, sets_of, taken
from siftline.scorers.shingles import Over, row_shingles
from siftline.selectors.arrays import Float64s, Ints

HELD_SHINGLES = 1 << 25  # 256 MiB of them, and as much again where two sets are merged


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
        if self._shingles.sum() <= HELD_SHINGLES:
            self._hold(np.arange(len(self._rows)))
            return self._compared(first, second)
        found = np.empty(len(first))
        for some in self._portions(first, second):
            self._hold(np.unique(np.concatenate([first[some], second[some]])))
            found[some] = self._compared(first[some], second[some])
        return found

    def _compared(self, first: Ints, second: Ints) -> Float64s:
        """Return [pairs] the similarity of each, whose texts are held."""
        one = np.searchsorted(self._held, first) * self._sides
        other = np.searchsorted(self._held, second) * self._sides
        sides = [
            jaccard(self._sets, one + side, self._sets, other + side) for side in range(self._sides)
        ]
        least: Float64s = np.min(sides, axis=0)
        return least

    def _portions(self, first: Ints, second: Ints) -> Iterator[slice]:
        """Yield pairs whose texts can be held at once."""
        start, size = 0, 0
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
        self._sets, self._held = taken(sets, texts.ravel()), numbers

    def _read(self, rows: Ints) -> Iterator[Sets]:
        """Yield the sets of some rows, in their order, shard by shard."""
        index = self._corpus.rows.select(["shard", "position"]).take(pa.array(rows))
        shards, positions = index["shard"].to_numpy(), index["position"].to_numpy()
        cuts = np.flatnonzero(np.diff(shards, prepend=-1, append=-1))
        for start, end in itertools.pairwise(cuts):
            table = self._corpus.take(int(shards[start]), positions[start:end])
            yield sets_of(row_shingles(table, self._over, self._ngram))

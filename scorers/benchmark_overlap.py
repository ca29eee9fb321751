"""What conversations hold of benchmarks, in columns: which n-grams, and how much of one text."""

from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from siftline.contracts import progress
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.scorers.leaks.conversation_texts import conversation_texts
from siftline.scorers.leaks.ngram_space import Overlaps
from siftline.scorers.leaks.opened_benchmarks import ReadsBenchmarks, open_index


class BenchmarkOverlap(ReadsBenchmarks, Scorer):
    """The n-grams of benchmarks in all texts of each conversation, all numbers being one word.

    Score columns of the table `benchmark_overlap`:
        share: of the n-grams of the text of a benchmark of which most are there; 0 for none.
        control: the same of a text that is recombined (:mod:`siftline.scorers.leaks.ngram_space`);
            null where the benchmarks have too few texts to recombine.
        short: whether a short question of a multiple-choice benchmark is there.
        ngrams: numbers of those that are there.
    """

    table: ClassVar[str] = "benchmark_overlap"
    by_column: ClassVar[bool] = True
    revision: ClassVar[int] = 2

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Look all n-grams of the rows up.

        Raises:
            InputError: A benchmark cannot be read, or lacks a field.
        """
        index = open_index(self.benchmarks, runtime.base, self.ngram_words)
        given = conversation_texts(rows)
        found = index.found_in(given.texts, given.rows, template=True)
        space = index.templates
        control = space.overlaps(found.rows, found.ngrams, control=True)
        short = np.zeros(len(rows), dtype=bool)
        short[found.short_rows] = True
        counts = np.bincount(found.rows, minlength=len(rows))
        progress.advance(len(rows))
        columns = {
            "content_hash": rows["content_hash"],
            "share": _best(space.overlaps(found.rows, found.ngrams), len(rows)),
            "control": pa.nulls(len(rows), pa.float64())
            if not space.has_control
            else _best(control, len(rows)),
            "short": short,
            "ngrams": pa.ListArray.from_arrays(
                pa.array(np.r_[0, np.cumsum(counts)], pa.int32()),
                pa.array(found.ngrams, pa.int32()),
            ),
        }
        return Scored(pa.table(columns))


def _best(overlaps: Overlaps, rows: int) -> npt.NDArray[np.float64]:
    best = np.zeros(rows)
    np.maximum.at(best, overlaps.rows, overlaps.shares)
    return best

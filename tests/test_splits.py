"""Tests of what is exported, and in which order."""

import numpy as np
import pyarrow as pa
from corpora import corpus_of

from siftline.pipelines.output.splits import splits_of


def test_repetitions_stand_together_where_a_score_gives_the_order() -> None:
    tables = {
        "quality": pa.table({"value": pa.array([2.0, 1.0, 1.0, None])}),
        "mix": pa.table({"repeats": pa.array([1, 2, 2, 1], pa.int32())}),
    }
    corpus = corpus_of(list("abcd"), tables=tables)
    (split,) = splits_of(corpus, "quality.value", descending=False, seed=0)
    assert split.rows.tolist() == [1, 1, 2, 2, 0, 3]  # a tie is broken by the corpus' order
    assert split.repeat.tolist() == [0, 1, 0, 1, 0, 0]
    (split,) = splits_of(corpus, "quality.value", descending=True, seed=0)
    assert split.rows.tolist() == [0, 1, 1, 2, 2, 3]  # without a score: last, in either order
    (split,) = splits_of(corpus, None, descending=False, seed=0)
    assert split.rows.tolist() == [0, 1, 2, 3, 1, 2]  # all rows once, then those that come twice


def test_replayed_rows_stand_anywhere_among_the_others_which_keep_their_order() -> None:
    first = np.arange(40) < 10
    splits = pa.table({"stage1": first, "stage2": ~first | (np.arange(40) < 5)})
    corpus = corpus_of([f"p{n}" for n in range(40)], tables={"splits": splits})
    one, two = splits_of(corpus, None, descending=False, seed=1)
    assert one.rows.tolist() == list(range(10))
    rows = two.rows.tolist()
    assert [row for row in rows if row >= 10] == list(range(10, 40))
    places = [place for place, row in enumerate(rows) if row < 5]
    assert len(places) == 5
    assert places != list(range(5))
    assert places != list(range(30, 35))

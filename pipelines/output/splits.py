"""What is exported, and in which order: the splits of a dataset as rows of a corpus.

Without a stage that says otherwise there is one split, `train`, in corpus order. `dmt` makes two,
`mix` may repeat rows, and `output.order_by` orders them by a score.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from siftline.contracts.columns import MEAN_LOGPROB, score_column
from siftline.contracts.corpus import Corpus
from siftline.contracts.stable_hash import stable_hash
from siftline.selectors.mixing import REPEATS

TRAIN, FIRST, SECOND = "train", "stage1", "stage2"
_STAGES = "splits"  # the score table of `dmt`
_GRID_DECIMALS = 3  # of a mean log-likelihood, in nats a token

Ints = npt.NDArray[np.int64]


class Split(NamedTuple):
    """Rows to be written, in order.

    Attributes:
        name: Of the split.
        rows: [written] Numbers of the corpus' rows.
        repeat: [written] 0 where a row is written for the first time, then 1, 2 ...
    """

    name: str
    rows: Ints
    repeat: Ints


def splits_of(corpus: Corpus, order_by: str | None, descending: bool, seed: int) -> list[Split]:
    """Return the splits of what is left of a corpus.

    A row that is written several times has its repetitions next to each other where a score gives
    the order; otherwise all rows come once, then those that come twice, and so on. In `stage2` the
    replayed rows stand at random places, whatever the order of the others. A split without rows is
    left out, since `datasets` can read none.

    Args:
        corpus: What every stage has kept.
        order_by: Score column, `table.column`; rows without the score come last. None keeps the
            order of the corpus, which also breaks ties.
        descending: The highest score first.
        seed: Of the replayed rows' places.

    Raises:
        RecipeError: No stage has the score, or it is no number.
    """
    score = None
    if order_by is not None and len(corpus):  # nothing is measured where no row is left
        score = score_column(corpus, order_by, "output.order_by")
    if score is not None:
        score = np.round(score, _GRID_DECIMALS) if order_by == MEAN_LOGPROB else score
        score = np.nan_to_num(-score if descending else score, nan=np.inf)
    if _STAGES not in corpus.tables:
        return [_ordered(_written(corpus, TRAIN, np.ones(len(corpus), dtype=bool)), score)]
    first, second = (corpus.scores(_STAGES)[name].to_numpy() for name in (FIRST, SECOND))
    general = _ordered(_written(corpus, SECOND, second & ~first), score)
    replayed = _written(corpus, SECOND, second & first)
    splits = [
        _ordered(_written(corpus, FIRST, first), score),
        _strewn(corpus, replayed, general, seed),
    ]
    return [split for split in splits if len(split.rows)] or splits[:1]


def _written(corpus: Corpus, name: str, rows: npt.NDArray[np.bool_]) -> Split:
    """Return some rows, each as often as it is to be written, in the order of the corpus."""
    chosen = np.flatnonzero(rows)
    times = np.ones(len(chosen), dtype=np.int64)
    if REPEATS in corpus.score_columns:
        times = corpus.column(REPEATS).to_numpy()[chosen].astype(np.int64)
    starts = np.cumsum(times) - times
    repeat = np.arange(times.sum()) - np.repeat(starts, times)
    return Split(name, np.repeat(chosen, times), repeat)


def _ordered(split: Split, score: npt.NDArray[np.float64] | None) -> Split:
    if score is None:
        order = np.lexsort((split.rows, split.repeat))
    else:
        order = np.lexsort((split.repeat, split.rows, score[split.rows]))
    return Split(split.name, split.rows[order], split.repeat[order])


def _strewn(corpus: Corpus, split: Split, among: Split, seed: int) -> Split:
    """Put the rows of a split at random places among those of another, which keep their order."""
    ids = corpus.rows["id"].to_pylist()
    keys = [f"{ids[row]} {n}" for row, n in zip(split.rows, split.repeat, strict=True)]
    random = stable_hash(keys, seed) / 2.0**64
    even = (np.arange(len(among.rows)) + 0.5) / max(1, len(among.rows))
    order = np.argsort(np.concatenate([random, even]), kind="stable")
    rows = np.concatenate([split.rows, among.rows])
    repeat = np.concatenate([split.repeat, among.repeat])
    return Split(split.name, rows[order], repeat[order])

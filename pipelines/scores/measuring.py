"""Measuring: what a method asks to be known of each row, round by round.

A method names scorers; when they have run, it may ask for more, on rows that the scores so far
call for, until it asks no more. Only numbers, vectors and single texts are held in memory; lists of
texts stay in the cache.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from siftline.contracts.corpus import Corpus
from siftline.contracts.method import Method, Request
from siftline.contracts.scorer import in_order
from siftline.pipelines.scores.store import ScoreStore


class Measured(NamedTuple):
    """What is known when a method asks no more.

    Attributes:
        corpus: With all scores, of earlier stages too.
        requests: Everything that was asked for, in order.
    """

    corpus: Corpus
    requests: Sequence[Request]


def measure(
    method: Method, corpus: Corpus, store: ScoreStore, score: Callable[[Request], None]
) -> Measured:
    """Go through all rounds of a method.

    `follow` and `derive` see what was measured for this method only: an earlier stage may have
    measured the same tables in another way, or responses that have been revised since. `derive`
    sees the tables of `score_columns` as well.

    Args:
        method: What asks.
        corpus: The rows, with the scores of earlier stages.
        store: Where scores are.
        score: Called with each request; when it returns, the scores must be in the store.
    """
    before, corpus = corpus, replace(corpus, tables={})
    every = np.ones(len(corpus), dtype=bool)
    asked: list[Request] = []
    requests = [Request(scorer, every) for scorer in in_order(method.scorers())]
    requests = requests or list(method.follow(corpus))
    while requests:
        for request in requests:
            score(request)
        for request in requests:
            scorer = request.scorer
            found = read_scores(corpus, request, store)
            corpus = corpus.with_scores(scorer.table, found, scorer.key)
        asked += requests
        requests = list(method.follow(corpus))
    named = {name.split(".")[0] for name in method.score_columns().values()}
    for name in sorted(named & before.tables.keys() - corpus.tables.keys()):
        key = before.keys.get(name, "content_hash")
        corpus = corpus.with_scores(name, before.tables[name], key)
    if len(corpus):
        for name, table in method.derive(corpus).items():
            corpus = corpus.with_scores(name, table, method.derive_key())
    tables, keys = {**before.tables, **corpus.tables}, {**before.keys, **corpus.keys}
    return Measured(replace(corpus, tables=tables, keys=keys), asked)


def read_scores(corpus: Corpus, request: Request, store: ScoreStore) -> pa.Table:
    """Read the scores that a method asked for, null in the other rows, without lists of texts."""
    cache = store.scores(request.scorer)
    if not len(corpus) or not request.rows.any():
        return pa.table({"_": pa.nulls(len(corpus))}).select([])
    keys = corpus.rows[request.scorer.key].combine_chunks()
    scores = cache.read(cache.locate(keys.filter(pa.array(request.rows))))
    return spread(scores.select(held_columns(scores.schema)), request.rows)


def spread(table: pa.Table, rows: npt.NDArray[np.bool_]) -> pa.Table:
    """Return a table with its rows where `rows` is true, and nulls elsewhere."""
    if rows.all():
        return table
    place = np.cumsum(rows) - 1
    return table.take(pa.array(place, mask=~rows))


def held_columns(schema: pa.Schema) -> list[str]:
    """Return the columns that are held in memory: all but lists of texts and of structs."""
    return [field.name for field in schema if not _is_texts(field.type)]


def _is_texts(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) and not pa.types.is_primitive(kind.value_type)

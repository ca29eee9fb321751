"""Renewal: scores of an earlier stage, measured again for rows whose response was replaced since.

A revision makes every score of a response null for its row. A stage that reads such a score by name
gets it measured again, by the scorer that has made the table. Scores that only a method can make,
because they are derived or asked for as it learns, stay null.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts.corpus import Corpus, put_in
from siftline.contracts.method import Method, Request
from siftline.contracts.parquet import read_schema
from siftline.contracts.scorer import Scorer, in_order
from siftline.pipelines.scores.measuring import read_scores
from siftline.pipelines.scores.store import ScoreStore

KEY, RENEWS = b"key", b"renews"  # metadata of a stage's score tables


class Renewed(NamedTuple):
    """A corpus whose scores are those of its responses, and what was measured for it."""

    corpus: Corpus
    requests: Sequence[Request]


def renew(
    corpus: Corpus,
    columns: Iterable[str],
    stages: Sequence[tuple[Method, Path]],
    store: ScoreStore,
    score: Callable[[Request], None],
) -> Renewed:
    """Measure score columns again for rows whose response was replaced.

    Args:
        corpus: The rows.
        columns: Names of scores, `table.column`.
        stages: The earlier stages, each with the folder of its scores.
        store: Where scores are.
        score: Called with each request; when it returns, the scores must be in the store.
    """
    requests = []
    for table in dict.fromkeys(name.partition(".")[0] for name in columns):
        scorer = maker_of(table, stages)
        rows = _replaced(corpus, table)
        if scorer is None or not rows.any():
            continue
        for each in in_order((scorer,)):
            score(Request(each, rows))
        request = Request(scorer, rows)
        measured = read_scores(corpus, request, store).select(corpus.tables[table].column_names)
        merged = put_in(corpus.tables[table], measured, pa.array(rows))
        corpus = corpus.with_scores(table, merged, scorer.key)
        requests.append(request)
    return Renewed(corpus, requests)


def maker_of(table: str, stages: Sequence[tuple[Method, Path]]) -> Scorer | None:
    """Return the scorer that has made a table; None if its stage has derived it, or learned for it.

    Args:
        table: Name of the table.
        stages: The stages so far, each with the folder of its scores.
    """
    for method, folder in reversed(stages):
        paths = sorted(folder.glob(f"{table}-*.parquet"))
        if paths and RENEWS not in (read_schema(paths[0]).metadata or {}):
            return next((each for each in in_order(method.scorers()) if each.table == table), None)
    return None


def _replaced(corpus: Corpus, table: str) -> npt.NDArray[np.bool_]:
    """Return [rows] true where the response was replaced since a table was measured."""
    if table not in corpus.tables or corpus.keys.get(table) not in ("content_hash", "prompt_id"):
        return np.zeros(len(corpus), dtype=bool)
    revised = pc.is_in(
        corpus.rows["id"].combine_chunks(), value_set=corpus.revised["id"].combine_chunks()
    )
    rows: npt.NDArray[np.bool_] = revised.to_numpy(zero_copy_only=False)
    for column in corpus.tables[table].columns:
        rows = rows & column.is_null().to_numpy()
    return rows

"""Corpora built by hand for the tests of selectors: the index of the rows and their scores."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from siftline.contracts.corpus import Corpus
from siftline.scorers.tables import vector_column


def corpus_of(
    prompts: Sequence[str],
    ids: Sequence[str] | None = None,
    tables: Mapping[str, pa.Table] | None = None,
    **columns: Sequence[str | None],
) -> Corpus:
    """Return a corpus with a row per item of `prompts`; other columns are given by name."""
    names = list(ids) if ids is not None else [f"r{row}" for row in range(len(prompts))]
    empty: list[str | None] = [None] * len(names)
    data: dict[str, Sequence[str | None]] = {
        "id": names,
        "content_hash": columns.get("content_hash", names),
        "prompt_id": list(prompts),
        "source": columns.get("source", ["s"] * len(names)),
        "task": columns.get("task", empty),
        "origin": columns.get("origin", empty),
    }
    rows = pa.table({name: pa.array(list(column), pa.string()) for name, column in data.items()})
    corpus = Corpus(rows=rows, shards=())
    for name, table in (tables or {}).items():
        corpus = corpus.with_scores(name, table)
    return corpus


def likelihood(means: Sequence[float | None], tokens: int = 10, **columns: Any) -> pa.Table:
    """Return a likelihood table with these means; None is a row that could not be scored."""
    scored = [mean is not None for mean in means]
    size = len(means)
    return pa.table(
        {
            "status": columns.get("status", ["ok" if each else "nan" for each in scored]),
            "sum_logprob": pa.array(
                [None if mean is None else mean * tokens for mean in means], pa.float64()
            ),
            "scored_tokens": pa.array([tokens if each else None for each in scored], pa.int32()),
            "response_tokens": pa.array(
                columns.get("response_tokens", [tokens] * size), pa.int32()
            ),
            "truncated": pa.array(columns.get("truncated", [False] * size), pa.bool_()),
        }
    )


def statistics(
    chars: Sequence[int],
    repeated: Sequence[float] | None = None,
    overlap: Sequence[float] | None = None,
) -> pa.Table:
    """Return a statistics table."""
    zeros = [0.0] * len(chars)
    return pa.table(
        {
            "response_chars": pa.array(chars, pa.int32()),
            "repeated_ngrams": pa.array(repeated or zeros, pa.float64()),
            "prompt_overlap": pa.array(overlap or zeros, pa.float64()),
        }
    )


def embedding(vectors: npt.NDArray[Any]) -> pa.Table:
    """Return an embedding table of [rows, dimensions] vectors, scaled to length one."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return pa.table({"vector": vector_column(unit.astype(np.float32))})


def kept(corpus: Corpus, verdicts: pa.Table) -> set[str]:
    """Return the ids that are kept, having checked that there is one verdict per row."""
    assert verdicts["id"].equals(corpus.rows["id"])
    return {row["id"] for row in verdicts.to_pylist() if row["keep"]}


def reasons(verdicts: pa.Table) -> dict[str, str]:
    """Return the reason by id."""
    return {row["id"]: row["reason"] for row in verdicts.to_pylist()}


def take(corpus: Corpus, order: Sequence[int]) -> Corpus:
    """Return the corpus with its rows in another order."""
    tables = {name: table.take(list(order)) for name, table in corpus.tables.items()}
    return Corpus(rows=corpus.rows.take(list(order)), shards=(), tables=tables)

"""Tests of the names of sources and tasks, and of the check of those that a recipe has."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from siftline.contracts.corpus import EXAMPLES, Corpus
from siftline.contracts.errors import RecipeError
from siftline.contracts.names import check_known, ingested_pairs, shown_name
from siftline.contracts.parquet import write_table


def test_pairs_are_those_that_were_read_whatever_was_dropped(tmp_path: Path) -> None:
    pairs = [("web", "sums"), ("web", None), ("book", "poems")]
    rows = [
        {**dict.fromkeys(EXAMPLES.names), "id": str(n), "source": source, "task": task}
        for n, (source, task) in enumerate(pairs)
    ]
    table = pa.Table.from_pylist(rows, schema=EXAMPLES)
    write_table(table, tmp_path / "part-00000.parquet")
    corpus = Corpus.open(tmp_path)
    expected = {("web", "sums"), ("web", ""), ("book", "poems")}
    assert ingested_pairs(corpus) == expected
    assert ingested_pairs(corpus.filter(np.zeros(3, dtype=bool))) == expected


def test_a_null_is_shown_as_not_stated() -> None:
    assert shown_name("") == "not stated"
    assert shown_name("web") == "web"


def test_a_name_of_nothing_is_refused_and_the_nearest_is_named() -> None:
    known = {"poems", "sums", ""}
    check_known("mix.weights", ("poems", "not stated"), known)
    check_known("mix.weights", {"sums": 1.0}, known)
    with pytest.raises(RecipeError, match=r"mix\.weights: nothing of the name 'poem' .* 'poems'\?"):
        check_known("mix.weights", ("sums", "poem"), known)
    with pytest.raises(RecipeError, match="nothing of the name '' was read"):
        check_known("mix.weights", ("",), known)

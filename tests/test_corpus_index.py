"""The index of a corpus: the columns of all shards, in order, with an id held once where it can."""

from pathlib import Path

import pyarrow as pa
import pytest

from siftline.contracts.corpus import EXAMPLES, INDEX_COLUMNS, Corpus, shard_name
from siftline.contracts.parquet import write_table


@pytest.mark.parametrize("ids", ["abcdef", "abcdex", "xbcdef"])
def test_the_index_is_that_of_all_shards(tmp_path: Path, ids: str) -> None:
    rows = [
        {"id": each, "content_hash": own, "prompt_id": own * 2, "source": "s", "task": task}
        for each, own, task in zip(ids, "abcdef", [None, "t"] * 3, strict=True)
    ]
    table = pa.Table.from_pylist(rows, schema=EXAMPLES)
    for number, start in enumerate((0, 4)):
        write_table(table.slice(start, 4), tmp_path / shard_name(number))
    index = Corpus.open(tmp_path).rows
    assert index.select(list(INDEX_COLUMNS)).equals(table.select(list(INDEX_COLUMNS)))
    assert index["shard"].to_pylist() == [0, 0, 0, 0, 1, 1]
    assert index["position"].to_pylist() == [0, 1, 2, 3, 0, 1]
    (id_,), (content,) = index["id"].chunks, index["content_hash"].chunks
    is_shared = id_.buffers()[2].address == content.buffers()[2].address
    assert is_shared == (ids == "abcdef")

"""A corpus is tokenised shard by shard, and comes out the same whatever the shards."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tiny_models import engine

from siftline.contracts.corpus import EXAMPLES, Corpus, shard_name
from siftline.contracts.parquet import write_table
from siftline.models.training import rows as module
from siftline.models.training.rows import corpus_rows


def corpus_in(folder: Path, rows_per_shard: int) -> Corpus:
    folder.mkdir()
    rows = [
        {
            "id": str(number),
            "content_hash": str(number * 7 % 10),
            "prompt_id": f"p{number}",
            "messages": [
                {"role": "user", "content": f"the {number}?"},
                {"role": "assistant", "content": "sat on."},
            ],
            "media": '{"images": ["cat.png"]}' if number == 3 else None,
            "metadata": "{}",
        }
        for number in range(10)
    ]
    for place, start in enumerate(range(0, 10, rows_per_shard)):
        table = pa.Table.from_pylist(rows[start : start + rows_per_shard], schema=EXAMPLES)
        write_table(table, folder / shard_name(place))
    return Corpus.open(folder)


def test_the_shards_change_no_row_and_only_one_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    tokenise = module.training_rows

    def counted(conversations: Sequence[Any], *rest: Any) -> Any:
        held.append(len(conversations))
        return tokenise(conversations, *rest)

    monkeypatch.setattr(module, "training_rows", counted)
    model = engine()
    whole = corpus_rows(corpus_in(tmp_path / "one", 10), "plain", model, 50)
    parted = corpus_rows(corpus_in(tmp_path / "many", 3), "plain", model, 50)
    assert held == [10, 3, 3, 3, 1]
    assert parted == whole
    assert [name for name, row in whole if row == "not_text_only"] == ["p3"]
    assert [prompt for prompt, _ in whole] == [f"p{n * 3 % 10}" for n in range(10)]

"""What the rows to be exported hold, and how they are parted into files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftline.contracts.corpus import EXAMPLES, Corpus, shard_name
from siftline.contracts.parquet import write_table
from siftline.pipelines.output import survey as module
from siftline.pipelines.output.survey import file_slices, survey


def corpus_of(folder: Path, *shards: list[tuple[str, dict[str, object]]]) -> Corpus:
    """Write shards of (response, metadata)."""
    number = 0
    for place, rows in enumerate(shards):
        examples = []
        for response, metadata in rows:
            number += 1
            turns = [{"role": "user", "content": "é"}, {"role": "assistant", "content": response}]
            examples.append(
                {"id": str(number), "messages": turns, "metadata": json.dumps(metadata)}
            )
        write_table(pa.Table.from_pylist(examples, schema=EXAMPLES), folder / shard_name(place))
    return Corpus.open(folder)


def test_sizes_are_those_of_the_rows_that_are_left(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, [("abc", {}), ("", {"a": 1})], [("é", {}), ("x" * 1000, {})])
    assert survey(corpus).sizes.tolist() == [7, 10, 6, 1004]
    left = corpus.filter(np.array([False, True, False, True]))
    assert survey(left).sizes.tolist() == [10, 1004]
    assert survey(corpus.filter(np.zeros(4, dtype=bool))).sizes.tolist() == []


CALL = '[{"function": {"name": "f"}}]'


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([{}, {}], {}),
        ([{}, {"tools": "[1]"}], {"tools": True}),
        ([{"tool_calls": CALL}, {"weight": 0.0}], {"turn_fields": ("tool_calls", "weight")}),
        (
            [{"media": '{"parts": {"0": []}}'}, {"reasoning": ""}],
            {"parts": True, "turn_fields": ("reasoning",)},
        ),
        (
            [{"media": '{"images": ["a"]}'}, {"media": '{"images": [], "audios": "b"}'}],
            {"media": {"audios": "text", "images": "texts"}},
        ),
        (
            [{"media": '{"images": ["a"]}'}, {"media": '{"images": [{"path": "a"}]}'}],
            {"media": {"images": "json"}},
        ),
    ],
)
def test_fields_are_there_where_a_row_has_them(
    tmp_path: Path, rows: list[dict[str, Any]], expected: dict[str, Any]
) -> None:
    examples: list[dict[str, Any]] = []
    for number, row in enumerate(rows):
        held: dict[str, Any] = {key: row.pop(key) for key in ("tools", "media") if key in row}
        answer: dict[str, Any] = {"role": "assistant", "content": "a", **row}
        asked: dict[str, Any] = {"role": "user", "content": "q"}
        examples.append({"id": str(number), "messages": [asked, answer], "metadata": "{}", **held})
    write_table(pa.Table.from_pylist(examples, schema=EXAMPLES), tmp_path / shard_name(0))
    found = survey(Corpus.open(tmp_path))
    plain = {"turn_fields": (), "tools": False, "parts": False, "media": {}}
    assert {name: getattr(found, name) for name in plain} == {**plain, **expected}


@given(st.lists(st.integers(0, 30), max_size=40))
def test_files_hold_every_row_once_and_no_more_than_they_may(sizes: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ROWS_PER_FILE", 5)
        patch.setattr(module, "BYTES_PER_FILE", 20)
        parts = [sizes[each] for each in file_slices(np.array(sizes, dtype=np.int64))]
    assert [size for part in parts for size in part] == sizes
    assert len(parts) >= 1
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        assert len(part) <= 5
        assert sum(part) <= 20 or len(part) == 1
        if following:  # nothing more would have fitted
            assert len(part) == 5 or sum(part) + following[0] > 20

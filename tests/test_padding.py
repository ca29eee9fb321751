"""Nulls of columnar files: those that pad the rows go, those that somebody wrote stay."""

import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from siftline.pipelines.ingestion.ingest import ingest
from siftline.pipelines.ingestion.inputs import Input
from siftline.pipelines.ingestion.padding import without_padding
from siftline.pipelines.ingestion.readers import read_input

CALLS = [
    {"name": "f", "arguments": {"city": "Rome", "day": None}},
    {"name": "f", "arguments": {"city": None, "day": "mon"}},
]
ARGUMENTS = pa.struct([("city", pa.string()), ("day", pa.string())])
CALL = pa.struct([("name", pa.string()), ("arguments", ARGUMENTS)])
BARE = [
    {"name": "f", "arguments": {"city": "Rome"}},
    {"name": "f", "arguments": {"day": "mon"}},
]


@pytest.mark.parametrize(
    ("value", "kind", "clean"),
    [
        (CALLS, None, BARE),
        ({"a": None, "b": [{"c": None, "d": 1}]}, None, {"b": [{"d": 1}]}),
        ([1, None], pa.list_(pa.int64()), [1, None]),
        ([[{"a": None}]], pa.list_(pa.list_(pa.struct([("a", pa.int64())]))), [[{}]]),
        ([("k", None)], pa.map_(pa.string(), pa.int64()), {"k": None}),
        ([("k", CALLS[:1])], pa.map_(pa.string(), pa.list_(CALL)), {"k": BARE[:1]}),
        ([("k", 1), ("k", 2)], pa.map_(pa.string(), pa.int64()), [("k", 1), ("k", 2)]),
        ([(1, "a")], pa.map_(pa.int64(), pa.string()), [(1, "a")]),
        (None, pa.struct([("a", pa.int64())]), None),
        ('{"a": null}', pa.string(), '{"a": null}'),
        ('{"a": null}', pa.json_(), {"a": None}),
    ],
)
def test_padding_of_every_type(value: Any, kind: pa.DataType | None, clean: Any) -> None:
    column = pa.array([value], type=kind)
    row = {"x": column.to_pylist()[0]}
    assert without_padding(row, pa.schema([("x", column.type)])) == {"x": clean}


def test_a_row_says_the_same_in_json_and_in_parquet(tmp_path: Path) -> None:
    rows = [{"calls": [call], "text": None} for call in BARE]
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "d.parquet")
    datasets.Dataset.from_list(rows).save_to_disk(str(tmp_path / "saved"))
    read = {}
    for name in ("d.jsonl", "d.parquet", "saved"):
        ((_, records),) = read_input(Input(path=name), tmp_path, 1000)
        read[name] = [record.value for record in records]
    assert read["d.jsonl"] == read["d.parquet"] == read["saved"] == rows


def test_nulls_of_json_stay(tmp_path: Path) -> None:
    row = {"meta": {"k": None, "v": 1}, "calls": CALLS}
    (tmp_path / "d.jsonl").write_text(json.dumps(row), encoding="utf-8")
    ((_, records),) = read_input(Input(path="d.jsonl"), tmp_path, 1000)
    assert [record.value for record in records] == [row]


def test_conversations_are_the_same_examples_from_json_and_from_parquet(tmp_path: Path) -> None:
    called = [
        {"role": "assistant", "tool_calls": [{"type": "function", "function": call}]}
        for call in BARE
    ]
    asked = {"role": "user", "content": "q"}
    answer = {"role": "assistant", "content": "a", "reasoning": "t", "weight": 1}
    rows: list[dict[str, Any]] = [
        {"messages": [asked, called[0], {"role": "tool", "content": "1", "name": "f"}, answer]},
        {"messages": [asked, called[1]], "tools": [{"name": "f", "parameters": {"x": 1}}]},
        {"messages": [asked, answer], "tools": [{"name": "g", "parameters": {"y": "z"}}]},
        {"prompt": "q", "responses": [{"text": "a", "score": 1}, {"text": "b", "model": "m"}]},
        {"prompt": "q", "chosen": "a", "rejected": "b", "note": {"k": 1}},
    ]
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    pq.write_table(pa.Table.from_pylist(padded(rows)), tmp_path / "d.parquet")
    read = []
    for name in ("d.jsonl", "d.parquet"):
        out = tmp_path / f"{name}-out"
        out.mkdir()
        item = Input(path=name, source="s")
        ingest([item], tmp_path, out, max_bad_rows=0, max_row_bytes=9999, shard_rows=99)
        table = pq.read_table(out / "examples")
        read.append(table.drop_columns(["file", "id"]).to_pylist())
    assert len(read[0]) == 6
    assert read[0] == read[1]


def padded(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows that all have the columns of each, since Arrow looks at the first alone."""
    names = {name for row in rows for name in row}
    return [{name: row.get(name) for name in sorted(names)} for row in rows]


def test_maps_are_objects_wherever_rows_hold_some(tmp_path: Path) -> None:
    text = pa.map_(pa.string(), pa.string())
    call = pa.struct([("name", pa.string()), ("arguments", text)])
    turn = pa.struct([("role", pa.string()), ("content", pa.string()), ("calls", pa.list_(call))])
    said = [
        {"role": "user", "content": "q", "calls": None},
        {"role": "assistant", "content": "", "calls": [{"name": "f", "arguments": [("a", None)]}]},
    ]
    table = pa.table(
        {
            "messages": pa.array([said], pa.list_(turn)),
            "tools": pa.array([[[("name", "f")]]], pa.list_(text)),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    ((_, records),) = read_input(Input(path="a.parquet"), tmp_path, 1 << 20)
    ((_, row),) = records
    assert isinstance(row, dict)
    assert row["messages"][1]["calls"] == [{"name": "f", "arguments": {"a": None}}]
    assert row["tools"] == [{"name": "f"}]

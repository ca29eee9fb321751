"""A bad row costs a row and a bad file one sentence, whatever the bytes."""

import datetime
import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from siftline.contracts.errors import InputError
from siftline.pipelines.ingestion.ingest import IngestSummary, ingest
from siftline.pipelines.ingestion.inputs import Input

QA = [{"question": f"q{n}", "answer": f"a{n}"} for n in range(3)]
HALF = '"\\ud83d"'  # of a surrogate pair, as JSON writes it


def read(folder: Path, item: Input) -> tuple[IngestSummary, list[dict[str, Any]]]:
    """Ingest an input, and return the summary with what is in quarantine."""
    out = folder / "out"
    out.mkdir(exist_ok=True)
    summary = ingest([item], folder, out, max_bad_rows=1.0, max_row_bytes=1 << 20, shard_rows=2)
    return summary, pq.read_table(out / "quarantine.parquet").to_pylist()


def write(path: Path, *lines: str) -> Input:
    good = [json.dumps(row) for row in QA]
    path.write_text("\n".join([*good, *lines]), encoding="utf-8")
    return Input(path=path.name)


def table_with(column: pa.Array) -> pa.Table:
    return pa.table({"question": ["q"] * 3, "answer": ["a"] * 3, "value": column})


DAYS = 2_932_897  # from 1970 to the year 10000
BEYOND = {
    "date": pa.array([0, DAYS, 1], pa.date32()),
    "date in milliseconds": pa.array([0, 2**62, 86_400_000], pa.date64()),
    "timestamp": pa.array([0, 10**18, 1], pa.timestamp("us")),
    "timestamp in seconds": pa.array([0, 2**62, 1], pa.timestamp("s")),
    "time": pa.array([0, 2**62, 1], pa.time64("us")),
    "duration": pa.array([0, 2**62, 1], pa.duration("s")),
    "inside": pa.array([[{"at": 0}], [{"at": 2**62}], []], pa.list_(pa.struct({"at": "date64"}))),
}


IN_PARQUET = ("date", "timestamp", "time", "duration")  # which does not hold the others


@pytest.mark.parametrize(
    ("name", "suffix"),
    [*((name, "arrow") for name in BEYOND), *((name, "parquet") for name in IN_PARQUET)],
)
def test_a_value_that_python_cannot_hold_costs_its_row(
    tmp_path: Path, name: str, suffix: str
) -> None:
    table = table_with(BEYOND[name])
    path = tmp_path / f"a.{suffix}"
    if suffix == "arrow":
        with pa.ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table)
    else:
        pq.write_table(table, path)
    summary, quarantine = read(tmp_path, Input(path=path.name))
    assert summary.sources["a"].quarantined == {"unreadable_value": 1}
    (bad,) = quarantine
    assert bad["row"] == 2
    assert "'value'" in bad["detail"]
    assert json.loads(bad["raw"])["question"] == "q"


def test_an_unknown_time_zone_is_told(tmp_path: Path) -> None:
    pq.write_table(
        table_with(pa.array([1] * 3, pa.timestamp("us", "Nowhere/Town"))), tmp_path / "a.parquet"
    )
    with pytest.raises(InputError, match=r"unreadable_value in row 1 \('value' of type"):
        read(tmp_path, Input(path="a.parquet"))


TWICE = pa.StructArray.from_arrays([pa.array([1] * 3)] * 2, names=["k", "k"])
IN_LIST = pa.ListArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), TWICE)


@pytest.mark.parametrize("column", [TWICE, IN_LIST, pa.StructArray.from_arrays([TWICE], ["a"])])
@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_a_struct_that_names_a_field_twice_is_refused(
    tmp_path: Path, column: pa.Array, suffix: str
) -> None:
    table = table_with(column)
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(parquet_bytes(table) if suffix == "parquet" else arrow_bytes(table))
    with pytest.raises(InputError, match=r"in the column 'value', .*'k', occurs twice"):
        read(tmp_path, Input(path=path.name))


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_two_columns_of_one_name_are_refused(tmp_path: Path, suffix: str) -> None:
    table = pa.Table.from_arrays([pa.array(["x"])] * 2, names=["answer", "answer"])
    if suffix == "parquet":
        pq.write_table(table, tmp_path / "a.parquet")
    else:
        with pa.ipc.new_stream(str(tmp_path / "a.arrow"), table.schema) as writer:
            writer.write_table(table)
    with pytest.raises(InputError, match="'answer', occurs twice"):
        read(tmp_path, Input(path=f"a.{suffix}"))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (f'{{"messages": [{{"role": {HALF}, "content": "x"}}]}}', "wrong_role_order"),
        (f'{{"question": "q", "answer": {HALF}}}', "lone_surrogate"),
        (f'{{"question": "q", "answer": "a", {HALF}: 1}}', "lone_surrogate"),
        (f'{{"question": {{{HALF}: 1}}, "answer": "a"}}', "wrong_type"),
    ],
)
def test_half_of_a_surrogate_pair_costs_its_row(tmp_path: Path, row: str, reason: str) -> None:
    item = write(tmp_path / "a.jsonl", row)
    if "messages" in row:
        turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
        (tmp_path / "a.jsonl").write_text(json.dumps({"messages": turns}) + "\n" + row)
    summary, quarantine = read(tmp_path, item)
    assert summary.sources["a"].quarantined == {reason: 1}
    assert "ud83d" in quarantine[0]["raw"]


def test_a_message_holds_no_half_of_a_surrogate_pair(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(f"{{{HALF}: 1}}", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read(tmp_path, Input(path="a.jsonl"))
    assert r"'\ud83d'" in str(caught.value)


@pytest.mark.parametrize("levels", [101, 300, 900, 5000, 100_000])
@pytest.mark.parametrize("column", ["x", "tools", "messages"])
def test_deep_nesting_costs_its_row(tmp_path: Path, levels: int, column: str) -> None:
    """Also where Python could read it here, but not where it is read again."""
    deep = "[" * levels + "]" * levels
    item = write(tmp_path / "a.jsonl", f'{{"question": "q", "answer": "a", "{column}": {deep}}}')
    summary, _ = read(tmp_path, item.model_copy(update={"format": "question_answer"}))
    assert summary.sources["a"].quarantined.keys() <= {"wrong_type", "invalid_json"}
    assert sum(summary.sources["a"].quarantined.values()) == 1


@pytest.mark.parametrize("levels", [101, 5000])
def test_a_text_that_is_nested_too_deeply_to_be_tools_stays_a_text(
    tmp_path: Path, levels: int
) -> None:
    deep = "[" * levels + "]" * levels
    row = json.dumps({"question": "q", "answer": "a", "tools": deep})
    summary, _ = read(tmp_path, write(tmp_path / "a.jsonl", row))
    assert not summary.sources["a"].quarantined
    shards = sorted((tmp_path / "out" / "examples").iterdir())
    last = pq.read_table(shards[-1]).to_pylist()[-1]
    assert (last["tools"], json.loads(last["metadata"])) == (None, {"tools": deep})


def test_half_of_a_surrogate_pair_in_an_id_costs_the_id(tmp_path: Path) -> None:
    row = f'{{"question": "q", "answer": "a", "id": {HALF}}}'
    summary, _ = read(tmp_path, write(tmp_path / "a.jsonl", row))
    assert (summary.sources["a"].quarantined, summary.sources["a"].skipped) == ({}, {"id": 1})


@pytest.mark.pinned
def test_shards_of_a_dataset_that_differ_in_type_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    for name, value in (("a", {"k": 1}), ("b", "text")):
        row = {"question": "q", "answer": "a", "meta": value}
        (tmp_path / "data" / f"{name}.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="The dataset 'data' cannot be read"):
        read(tmp_path, Input(hub="data"))


def test_page_checksums_are_held_to(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.Table.from_pylist([{"question": "q" * 50, "answer": f"a{n}"} for n in range(9)])
    pq.write_table(table, path, compression="none", write_page_checksum=True, use_dictionary=False)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"a5", b"a6", 1))
    with pytest.raises(InputError, match="checksum"):
        read(tmp_path, Input(path="a.parquet"))


def arrow_bytes(table: pa.Table, codec: str | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=codec)
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=2)
    return bytes(sink.getvalue())


def parquet_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=2)
    return bytes(sink.getvalue())


RICH = pa.Table.from_pylist(
    [
        {
            "messages": [{"role": "user", "content": "é"}, {"role": "assistant", "content": "a"}],
            "when": datetime.datetime(2020, 1, 1),
            "tags": ["a", None],
            "raw": b"ab",
        }
        for _ in range(5)
    ]
)
LINES = "\n".join(json.dumps(row) for row in QA).encode()
WHOLE: dict[str, bytes] = {
    "a.parquet": parquet_bytes(RICH),
    "a.arrow": arrow_bytes(RICH),
    "b.arrow": arrow_bytes(RICH, "zstd"),
    "a.jsonl": LINES,
    "a.json": json.dumps(QA).encode(),
    "a.csv": b'question,answer\n"q, 1\n",a\nq2,b\n',
    "a.jsonl.gz": gzip.compress(LINES),
    "a.jsonl.zst": pa.compress(LINES, "zstd", asbytes=True),
    "a.parquet.gz": gzip.compress(parquet_bytes(RICH)),
}

DAMAGES: tuple[Callable[[random.Random, bytearray, int], None], ...] = (
    lambda chance, data, place: data.__setitem__(place, data[place] ^ 1 << chance.randrange(8)),
    lambda chance, data, place: data.__setitem__(slice(place, place + 4), b"\xff" * 4),
    lambda chance, data, place: data.__delitem__(slice(place, place + chance.choice((1, 9, 99)))),
    lambda chance, data, place: data.__delitem__(slice(place, None)),
    lambda chance, data, place: data.__setitem__(slice(place, place), data[place : place + 40]),
    lambda chance, data, place: data.__setitem__(
        slice(place, place), chance.choice((b"\x00", b"[" * 2000, b'"', b"\\ud83d", b"1e999"))
    ),
)


@pytest.mark.parametrize("name", WHOLE)
def test_whatever_the_bytes_there_are_rows_and_quarantine_or_one_sentence(
    tmp_path: Path, name: str
) -> None:
    messages = []
    for seed in range(60):
        chance = random.Random(seed)
        data = bytearray(WHOLE[name])
        for _ in range(chance.choice((1, 1, 3))):
            chance.choice(DAMAGES)(chance, data, chance.randrange(len(data) or 1))
            data = data or bytearray(b"x")
        (tmp_path / name).write_bytes(data)
        try:
            read(tmp_path, Input(path=name))
        except InputError as error:
            messages.append(str(error))
    assert messages
    assert "\n" not in "".join(messages)
    "".join(messages).encode("utf-8")

"""Every container, plain and compressed; damaged files are refused by name."""

import gzip
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from siftline.contracts.errors import InputError
from siftline.pipelines.ingestion.inputs import Input
from siftline.pipelines.ingestion.readers import read_file, read_input
from siftline.pipelines.ingestion.rows import BadRow

ROWS = [{"question": f"What is {n}, é?", "answer": f'"{n}",\nindeed'} for n in range(2500)]
LIMIT = 1 << 20


def as_arrow(path: Path, new: Callable[..., Any]) -> None:
    table = pa.Table.from_pylist(ROWS)
    with new(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=700)


WRITERS: dict[str, Callable[[Path], Any]] = {
    "array.json": lambda path: path.write_text(json.dumps(ROWS, indent=1), encoding="utf-8"),
    "lines.jsonl": lambda path: path.write_text("\n".join(map(json.dumps, ROWS)), encoding="utf-8"),
    "lines.json": lambda path: path.write_text("\n".join(map(json.dumps, ROWS)), encoding="utf-8"),
    "table.csv": lambda path: pa.csv.write_csv(pa.Table.from_pylist(ROWS), path),
    "table.parquet": lambda path: pq.write_table(pa.Table.from_pylist(ROWS), path),
    "file.arrow": lambda path: as_arrow(path, pa.ipc.new_file),
    "stream.arrow": lambda path: as_arrow(path, pa.ipc.new_stream),
}


def pack(path: Path, codec: str) -> Path:
    """Compress a file beside itself, as two members, which a whole file may consist of."""
    data = path.read_bytes()
    pieces = data[:1000], data[1000:]
    if codec == ".gz":
        packed = b"".join(gzip.compress(piece) for piece in pieces)
    else:
        packed = b"".join(pa.compress(piece, "zstd", asbytes=True) for piece in pieces)
    target = path.with_name(path.name + codec)
    target.write_bytes(packed)
    return target


def values(path: Path, limit: int = LIMIT) -> list[Any]:
    records = list(read_file(path, limit))
    assert [record.number for record in records] == list(range(1, len(records) + 1))
    return [record.value for record in records]


@pytest.mark.parametrize("codec", ["", ".gz", ".zst"])
@pytest.mark.parametrize("name", WRITERS)
def test_every_container_holds_the_same_rows(tmp_path: Path, name: str, codec: str) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    assert values(pack(path, codec) if codec else path) == ROWS


@pytest.mark.parametrize("codec", [".gz", ".zst"])
@pytest.mark.parametrize("name", ["lines.jsonl", "table.csv", "table.parquet"])
def test_a_compressed_file_that_was_cut_is_refused(tmp_path: Path, name: str, codec: str) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    packed = pack(path, codec)
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(InputError, match=f"'{packed.name}' cannot be read: .*Expected a whole"):
        values(packed)


@pytest.mark.parametrize("name", ["x.jsonl.gz", "x.json.zst", "x.parquet", "x.arrow", "x.csv.gz"])
def test_a_file_that_is_something_else_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"this is only a text, whatever its name says; " * 10)
    with pytest.raises(InputError, match=f"'{name}' cannot be read"):
        values(path)


@pytest.mark.parametrize("name", ["table.parquet", "file.arrow", "stream.arrow"])
def test_a_columnar_file_that_was_cut_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=f"'{name}' cannot be read"):
        values(path)


def test_csv_cells(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(
        b'\xef\xbb\xbfquestion,answer\r\n"a ""b""\nc",d\r\n\r\n'
        b'e,\r\nonly one\r\nf,\xff\r\n5" g,h\r\n'
    )
    first, empty, short, latin, quote = values(path)
    assert first == {"question": 'a "b"\nc', "answer": "d"}
    assert empty == {"question": "e", "answer": None}
    assert short == BadRow("wrong_type", "1 cells, expected 2", "only one")
    assert (latin.reason, latin.raw) == ("invalid_utf8", "f,\\xff")
    assert "byte 0xff, which is not UTF-8 and looks like cp1252: state" in latin.detail
    assert quote == {"question": '5" g', "answer": "h"}


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize(
    ("cell", "value"),
    [('a 5" pipe', 'a 5" pipe'), ('"a ""b"""', 'a "b"'), ('"a\nb"', "a\nb")],
)
def test_the_last_row_of_a_csv_file_may_end_in_quotes(
    tmp_path: Path, cell: str, value: str, end: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"question,answer\nq,{cell}{end}", encoding="utf-8", newline="")
    assert values(path) == [{"question": "q", "answer": value}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('a,b\n1,2\n"3,4\n5,6\n', "a quote that is opened after line 2 is never closed"),
        ('a,b\n1,2\n3,"cut in the mid', "a quote that is opened after line 2 is never closed"),
        ('a,b\n1,"cut in the mid\n', "a quote that is opened after line 1 is never closed"),
        ('a,b\n1,"', "a quote that is opened after line 1 is never closed"),
        ('a,"b', "a quote that is opened after line 0 is never closed"),
        ("a,a\n1,2\n", "occurs twice"),
        ('a,b\n1,"' + "x" * 2000 + '"\n', "the row that begins after line 1 is longer than 1,600"),
        ("a,b\n1,2" + ",3" * 1000, "the row that begins after line 1 is longer than 1,600"),
        ('a,b\n1,"' + "x\n" * 2000, "the row that begins after line 1 is longer than 1,600"),
    ],
)
def test_a_csv_file_that_cannot_be_told_apart_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        values(path, limit=100)


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.jsonl"])
def test_a_row_over_the_limit_is_bad_in_every_container(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    table = pa.table({"question": ["a", "b" * 300, "c"], "answer": ["x", "y", "z"]})
    if name.endswith("csv"):
        pa.csv.write_csv(table, path)
    elif name.endswith("parquet"):
        pq.write_table(table, path)
    else:
        path.write_text("\n".join(map(json.dumps, table.to_pylist())), encoding="utf-8")
    first, large, last = values(path, limit=100)
    assert isinstance(large, BadRow)
    assert large.reason == "too_large"
    assert "bbbb" in large.raw
    assert (first["question"], last["question"]) == ("a", "c")


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_rows_that_share_a_large_value_are_not_held_together(tmp_path: Path, name: str) -> None:
    """The file is small, since a dictionary holds the value once."""
    rows, size = 100, 1 << 20
    column = pa.array(["x" * size] * rows).dictionary_encode()
    table = pa.table({"question": [f"q{n}" for n in range(rows)], "answer": column})
    path = tmp_path / name
    if name == "a.parquet":
        pq.write_table(table, path, store_schema=False)
    else:
        with pa.ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table)
    assert path.stat().st_size < 2 * size
    del table, column
    before, most, read = pa.total_allocated_bytes(), 0, 0
    tracemalloc.start()
    for record in read_file(path, 2 * size):
        assert isinstance(record.value, dict)
        assert len(record.value["answer"]) == size
        most, read = max(most, pa.total_allocated_bytes() - before), read + 1
    _, texts = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert read == rows
    assert most + texts < 60 * size


def test_a_text_column_with_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    column = pa.array([b"good", b"b\xff", b"fine"], pa.binary()).view(pa.string())
    pq.write_table(
        pa.table({"question": column, "answer": ["1", "2", "3"]}), tmp_path / "a.parquet"
    )
    first, bad, last = values(tmp_path / "a.parquet")
    assert (first["question"], last["question"]) == ("good", "fine")
    assert isinstance(bad, BadRow)
    assert bad.reason == "invalid_utf8"


def test_folders_saved_by_datasets(tmp_path: Path) -> None:
    import datasets

    data = datasets.Dataset.from_list(ROWS[:3])
    data.save_to_disk(str(tmp_path / "plain"))
    datasets.DatasetDict({"train": data, "test": data.select([0])}).save_to_disk(
        str(tmp_path / "splits")
    )

    def read(item: Input) -> list[Any]:
        return [r.value for _, records in read_input(item, tmp_path, LIMIT) for r in records]

    assert read(Input(path="plain")) == ROWS[:3]
    assert read(Input(path="splits")) == ROWS[:3]
    assert read(Input(path="splits", split="test")) == ROWS[:1]
    with pytest.raises(InputError, match=r"'splits' cannot be read: .*dev.*'split'"):
        read(Input(path="splits", split="dev"))


def test_a_dataset_folder_and_a_dataset_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "local").mkdir()
    WRITERS["lines.jsonl"](tmp_path / "local" / "train.jsonl")
    (_, records), *_ = read_input(Input(hub="local"), tmp_path, LIMIT)
    assert [record.value for record in records] == ROWS
    (_, records), *_ = read_input(Input(hub="nobody/nothing-here"), tmp_path, LIMIT)
    with pytest.raises(InputError, match=r"'nobody/nothing-here' cannot be read"):
        list(records)


def test_names_are_relative_to_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    WRITERS["lines.jsonl"](tmp_path / "in" / "a.jsonl")
    names = [name for name, _ in read_input(Input(path="in/*.jsonl"), tmp_path, LIMIT)]
    assert names == ["in/a.jsonl"]

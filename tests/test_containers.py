"""Files are read by what they hold, not by what they are called, or named for what they are."""

import gzip
import io
import json
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftline.contracts.errors import InputError, RecipeError
from siftline.pipelines.ingestion import charsets
from siftline.pipelines.ingestion.ingest import ingest
from siftline.pipelines.ingestion.inputs import Input, resolve
from siftline.pipelines.ingestion.readers import read_file, read_input
from siftline.pipelines.ingestion.rows import BadRow

ROWS = [{"question": f"Wie heißt {n}?", "answer": f"„{n}“, ça"} for n in range(3)]
LINES = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)
CSV = "question,answer\n" + "".join(f'{r["question"]},"{r["answer"]}"\n' for r in ROWS)
TEXTS = {"a.jsonl": LINES, "a.json": json.dumps(ROWS, ensure_ascii=False, indent=1), "a.csv": CSV}
WIDE = ("utf-8-sig", "utf-16", "utf-16-be", "utf-32", "utf-32-be")


def values(path: Path, **fields: Any) -> list[Any]:
    item = Input(path=path.name, **fields)
    return [record.value for record in read_file(path, 1 << 20, item)]


def reasons(path: Path, **fields: Any) -> list[str | None]:
    return [row.reason if isinstance(row, BadRow) else None for row in values(path, **fields)]


def marked(text: str, encoding: str) -> bytes:
    mark = "\ufeff" if encoding.endswith("-be") else ""
    return (mark + text).encode(encoding)


@pytest.mark.parametrize("encoding", WIDE)
@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("packed", [False, True])
def test_a_byte_order_mark_tells_the_encoding(
    tmp_path: Path, name: str, encoding: str, packed: bool
) -> None:
    data = marked(TEXTS[name], encoding)
    path = tmp_path / (f"{name}.gz" if packed else name)
    path.write_bytes(gzip.compress(data) if packed else data)
    assert values(path) == ROWS


@pytest.mark.parametrize("encoding", WIDE)
def test_files_that_were_put_one_after_another_have_their_marks_inside(
    tmp_path: Path, encoding: str
) -> None:
    for name, text in TEXTS.items():
        if name != "a.json":
            path = tmp_path / name
            path.write_bytes(marked(text + "\n", encoding) * 2)
            found = values(path)
            repeated = [row for row in found if isinstance(row, BadRow)]
            assert [row for row in found if not isinstance(row, BadRow)] == ROWS * 2
            assert [row.reason for row in repeated] == ["repeated_header"] * (name == "a.csv")


@given(st.text(max_size=50), st.sampled_from(["utf-16-le", "utf-32-be", "shift_jis", "cp1252"]))
def test_borders_of_chunks_do_not_matter_to_an_encoding(text: str, encoding: str) -> None:
    data = text.encode(encoding, "ignore")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(charsets, "_CHUNK_BYTES", 3)
        whole = charsets.Recoded(io.BytesIO(data), encoding).read()
    assert whole is not None
    assert whole.decode() == data.decode(encoding)


def test_half_of_a_surrogate_pair_in_utf16_costs_its_row(tmp_path: Path) -> None:
    text = '\ufeff{"question": "q\ud83d", "answer": "a"}\n{"question": "q", "answer": "a"}\n'
    (tmp_path / "a.jsonl").write_bytes(text.encode("utf-16-le", "surrogatepass"))
    assert reasons(tmp_path / "a.jsonl") == ["invalid_utf8", None]


def test_utf16_without_a_mark_is_named(tmp_path: Path) -> None:
    for name, text in TEXTS.items():
        for encoding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
            (tmp_path / name).write_bytes(text.encode(encoding))
            with pytest.raises(InputError, match=f"State `encoding: {encoding}`"):
                values(tmp_path / name)
            assert values(tmp_path / name, encoding=encoding) == ROWS


def test_utf16_that_was_cut_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINES.encode("utf-16")[:-1])
    with pytest.raises(InputError, match="truncated data"):
        values(tmp_path / "a.jsonl")


@pytest.mark.parametrize("name", TEXTS)
def test_an_encoding_is_stated_and_never_guessed(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(TEXTS[name].encode("cp1252"))
    found = values(path)
    assert {row.reason for row in found} == {"invalid_utf8"}
    assert all("state `encoding: cp1252`" in row.detail for row in found)
    assert values(path, encoding="cp1252") == values(path, encoding="windows-1252") == ROWS


def test_a_byte_that_the_stated_encoding_does_not_know_costs_its_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"question,answer\nq\x81,a\nq,a\x80\n")
    bad, good = values(path, encoding="cp1252")
    assert (bad.reason, "not cp1252" in bad.detail) == ("invalid_utf8", True)
    assert good == {"question": "q", "answer": "a€"}
    path.write_bytes(b"question,answer\nq\xc3\xa9,a\n")  # UTF-8, which ASCII is not
    assert reasons(path, encoding="ascii") == ["invalid_utf8"]


def test_a_mark_that_contradicts_the_recipe_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINES.encode("utf-8-sig"))
    with pytest.raises(InputError, match=r"mark is that of utf-8, but .*cp1252.*Take 'encoding'"):
        values(tmp_path / "a.jsonl", encoding="cp1252")
    (tmp_path / "b.jsonl").write_bytes(LINES.encode("utf-16"))
    assert values(tmp_path / "b.jsonl", encoding="utf16") == ROWS


@pytest.mark.parametrize("name", ["nonsense", "idna", "rot13", "unicode_escape", "utf-7", "base64"])
def test_an_encoding_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"unknown encoding '{name}'"):
        Input(path="a.csv", encoding=name)


def test_names_of_one_encoding_are_one_identity() -> None:
    one, two = (Input(path="a.csv", encoding=name) for name in ("latin1", "ISO-8859-1"))
    assert one == two != Input(path="a.csv")


def test_a_header_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("question,réponse\nq,a\n".encode("cp1252"))
    with pytest.raises(InputError, match=r"header has byte 0xe9, .*state `encoding: cp1252`"):
        values(path)
    path.write_bytes("question,答え\nq,a\n".encode("shift_jis"))
    with pytest.raises(InputError, match=r"header has byte 0x93, .*state `encoding`"):
        values(path)


def parquet() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(ROWS), sink)
    return bytes(sink.getvalue())


def arrow(new: Callable[..., Any]) -> bytes:
    sink, table = pa.BufferOutputStream(), pa.Table.from_pylist(ROWS)
    with new(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


@pytest.mark.parametrize("name", ["a.json", "a.csv", "a.arrow", "a.parquet", "a.jsonl.gz"])
def test_columnar_files_are_read_under_any_name(tmp_path: Path, name: str) -> None:
    for data in (parquet(), arrow(pa.ipc.new_file), arrow(pa.ipc.new_stream)):
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        assert values(tmp_path / name) == ROWS


def zstd(data: bytes) -> bytes:
    return bytes(pa.compress(data, "zstd", asbytes=True))


@pytest.mark.parametrize("layers", [[gzip.compress], [zstd], [gzip.compress] * 2, [zstd] * 3])
@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
def test_packed_files_are_unpacked_whatever_their_names(
    tmp_path: Path, name: str, layers: list[Callable[[bytes], bytes]]
) -> None:
    data = LINES.encode()
    for pack in layers:
        data = pack(data)
    (tmp_path / name).write_bytes(data)
    assert values(tmp_path / name) == ROWS
    (tmp_path / name).write_bytes(gzip.compress(gzip.compress(zstd(zstd(LINES.encode())))))
    with pytest.raises(InputError, match="packed more than 3 times"):
        values(tmp_path / name)


def test_a_plain_file_under_a_packed_name_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_text(LINES, encoding="utf-8")
    with pytest.raises(InputError, match=r"its name says gzip.*Take '\.gz' out of its name"):
        values(tmp_path / "a.jsonl.gz")


def test_a_packed_file_of_nothing_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b""))
    assert values(tmp_path / "a.jsonl.gz") == []


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, LINES)
    return buffer.getvalue()


def database(tmp_path: Path) -> bytes:
    with sqlite3.connect(tmp_path / "some.db") as connection:
        connection.execute("create table t (a)")
    connection.close()
    return (tmp_path / "some.db").read_bytes()


FOREIGN: dict[str, tuple[bytes | Callable[[Path], bytes], str]] = {
    "zip": (zipped("a.jsonl"), r"it is a zip archive\. Unpack it"),
    "excel": (zipped("[Content_Types].xml", "xl/workbook.xml"), r"Excel workbook .*Save it as CSV"),
    "sqlite": (database, "it is a SQLite database"),
    "html": (b"\n<!DOCTYPE html>\n<html><body>404</body></html>", "it is a page of HTML"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "pickle": (b"\x80\x04\x95\x00\x00\x00", "a Python pickle, which is never loaded"),
    "bzip2": (b"BZh91AY&SY0000", "packed with bzip2"),
    "xz": (b"\xfd7zXZ\x00\x00\x04", "packed with xz"),
}


@pytest.mark.parametrize("what", FOREIGN)
@pytest.mark.parametrize("name", ["a.json", "a.csv", "a.parquet"])
def test_what_holds_no_rows_is_named(tmp_path: Path, what: str, name: str) -> None:
    data, message = FOREIGN[what]
    (tmp_path / name).write_bytes(data if isinstance(data, bytes) else data(tmp_path))
    with pytest.raises(InputError, match=f"'{name}' cannot be read: .*{message}"):
        values(tmp_path / name)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".csv", ".tsv"])
def test_json_under_another_name_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    for text in (LINES, json.dumps(ROWS), "\ufeff" + json.dumps(ROWS, indent=1)):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=rf"it is JSON, .*'\{suffix}'\. Name it '\.json'"):
            values(path)


def test_a_header_may_begin_like_json(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for name in ("[id]", "{id}", '[{""id""}]'):
        path.write_text(f'"{name}",question,answer\n1,q,a\n', encoding="utf-8")
        assert [row["answer"] for row in values(path)] == ["a"]


def test_a_dataset_folder_with_two_fields_of_one_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "folder").mkdir()
    twice = pa.StructArray.from_arrays([pa.array(["x"])] * 2, names=["k", "k"])
    table = pa.table({"question": ["q"], "answer": [b"a"], "meta": twice})
    pq.write_table(table, tmp_path / "folder" / "a.parquet")
    (_, records), *_ = read_input(Input(hub="folder"), tmp_path, 1 << 20)
    with pytest.raises(InputError, match=r"in the column 'meta', .*'k', occurs twice"):
        list(records)
    pq.write_table(table.drop_columns("meta"), tmp_path / "folder" / "a.parquet")
    (_, records), *_ = read_input(Input(hub="folder"), tmp_path, 1 << 20)
    assert [record.value for record in records] == [{"question": "q", "answer": "a"}]


@pytest.mark.parametrize("first", ["PAR1", "ORCID", "PARENT", "FEA1", "BZh9"])
def test_a_column_may_be_called_like_a_file(tmp_path: Path, first: str) -> None:
    (tmp_path / "a.csv").write_text(f"{first},question,answer\n1,q,a\n", encoding="utf-8")
    assert values(tmp_path / "a.csv") == [{first: "1", "question": "q", "answer": "a"}]


@pytest.mark.parametrize(
    ("fields", "name", "message"),
    [
        ({"encoding": "cp1252"}, "a.parquet", "'encoding' is stated for 'a.parquet'"),
        ({"delimiter": ";"}, "a.jsonl", "'delimiter' is stated for 'a.jsonl'"),
    ],
)
def test_a_field_that_a_file_has_no_use_for_is_refused(
    tmp_path: Path, fields: dict[str, Any], name: str, message: str
) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(RecipeError, match=message):
        resolve(Input(path=name, **fields), tmp_path)


BINARY = pa.struct({"role": pa.binary(), "content": pa.large_binary()})


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_texts_that_are_stored_as_bytes(tmp_path: Path, suffix: str) -> None:
    turns = [{"role": b"user", "content": "ä".encode()}, {"role": b"assistant", "content": b"b"}]
    columns = {
        "messages": pa.array([turns, turns, turns], pa.list_(BINARY)),
        "id": pa.array([b"x", b"y", b"z"], pa.binary(1)),
        "thumb": pa.array([b"ab", b"\xff\x00", None], pa.binary()),
    }
    path = tmp_path / f"a.{suffix}"
    table = pa.table(columns)
    if suffix == "parquet":
        pq.write_table(table, path)
    else:
        with pa.ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table)
    options: dict[str, Any] = {"max_bad_rows": 0.0, "max_row_bytes": 1 << 20, "shard_rows": 9}
    ingest([Input(path=path.name)], tmp_path, tmp_path, **options)
    (shard,) = (tmp_path / "examples").iterdir()
    examples = pq.read_table(shard).to_pylist()
    assert [row["id"] for row in examples] == ["x", "y", "z"]
    assert [turn["content"] for turn in examples[0]["messages"]] == ["ä", "b"]
    # What is used as a text is one; what is not stays bytes, also where they could be a text.
    thumbs = [json.loads(row["metadata"]).get("thumb") for row in examples]
    assert thumbs == ["YWI=", "/wA=", None]


def test_bytes_that_are_no_text_cost_their_row(tmp_path: Path) -> None:
    column = pa.array([b"a", b"\xff", b"c"], pa.binary())
    pq.write_table(pa.table({"question": ["q"] * 3, "answer": column}), tmp_path / "a.parquet")
    options: dict[str, Any] = {"max_bad_rows": 0.5, "max_row_bytes": 1 << 20, "shard_rows": 9}
    summary = ingest([Input(path="a.parquet")], tmp_path, tmp_path, **options)
    assert summary.sources["a"].quarantined == {"invalid_utf8": 1}


@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        ("prompt,completion\nq,a\n", ".csv"),
        ('"question";"answer"\r\nq;a\r\n', ".csv"),
        ("instruction\tinput\toutput\nq\t\ta\n", ".tsv"),
    ],
)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_csv_under_the_name_of_json_is_named(
    tmp_path: Path, text: str, suffix: str, name: str
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    with pytest.raises(InputError, match=f"it is CSV, though .* Name it '{suffix}'"):
        values(tmp_path / name)


def test_rows_that_are_arrays_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('["q", "a"]\n["r", "b"]\n', encoding="utf-8")
    with pytest.raises(
        InputError, match=r"its rows are arrays, such as .* Write each row as an obj"
    ):
        values(tmp_path / "a.jsonl")

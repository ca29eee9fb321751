"""Rows that are read in columns: the same examples, to the byte, as from rows one by one."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from siftline.contracts.errors import InputError
from siftline.pipelines.ingestion import blocks, column_reading, plain_columns
from siftline.pipelines.ingestion.blocks import HEAD_ROWS
from siftline.pipelines.ingestion.ingest import ingest
from siftline.pipelines.ingestion.inputs import Input
from siftline.pipelines.ingestion.plain_rows import Part, read_plain

HEAD = [{"instruction": f"Say {n}.", "input": "", "output": f"{n}"} for n in range(HEAD_ROWS)]
ONE_BY_ONE = property(lambda self: None)  # no plan


def written(folder: Path, item: Input, shard_rows: int, shard_bytes: int, limit: int) -> Any:
    """Return all that ingestion says and leaves, or its error."""
    folder.mkdir()
    steps: list[int] = []
    try:
        summary = ingest(
            [item],
            folder.parent,
            folder,
            max_bad_rows=1.0,
            max_row_bytes=limit,
            shard_rows=shard_rows,
            shard_bytes=shard_bytes,
            on_progress=steps.append,
        )
    except InputError as error:
        return str(error)
    shards = {path.name: path.read_bytes() for path in sorted((folder / "examples").iterdir())}
    quarantine = pq.read_table(folder / "quarantine.parquet").to_pylist()
    return summary, shards, quarantine, sum(steps)


def check(
    base: Path,
    data: bytes,
    *,
    shard_rows: int = 4096,
    shard_bytes: int = 1 << 26,
    limit: int = 1 << 20,
    **fields: Any,
) -> int:
    """Hold both ways of reading to one another, and return how many rows went in columns."""
    (base / "a.jsonl").write_bytes(data)
    item = Input(path="a.jsonl", **fields)
    plain = 0

    def counted(*args: Any) -> list[Part]:
        nonlocal plain
        parts = read_plain(*args)
        plain += sum(int(part.is_plain.sum()) for part in parts)
        return parts

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(column_reading, "read_plain", counted)
        columns = written(base / "columns", item, shard_rows, shard_bytes, limit)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(plain_columns.KnownColumns, "plan", ONE_BY_ONE)
        rows = written(base / "rows", item, shard_rows, shard_bytes, limit)
    assert columns == rows
    return plain


def joined(rows: list[Any]) -> bytes:
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    return b"\n".join(lines)


TEXTS = st.one_of(
    st.text(max_size=12),
    st.text('ab \t\n\r\x0b\x1c\x85\u2028\u3000\x00\x07\x7f\\"/e\u0301é😀', max_size=12),
    st.sampled_from(
        ("", " ", "<noinput>", "No Input.", "nan", "null", "[{", ' [{"role": "user"}]', "a b", "x")
    ),
)
VALUES = st.one_of(
    TEXTS,
    st.none(),
    st.integers(-(2**70), 2**70),
    st.booleans(),
    st.floats(),
    st.lists(TEXTS, max_size=2),
    st.dictionaries(TEXTS, TEXTS, max_size=2),
)
NAMES = ("instruction", "input", "output")
MORE = ("context", "id", "task", "category", "model", "origin", "answer", "system", "n\u00e9", "z")
PLAIN = st.fixed_dictionaries({name: TEXTS for name in NAMES})
ODD = st.dictionaries(st.sampled_from(NAMES + MORE), VALUES, max_size=5).flatmap(
    lambda more: PLAIN.map(lambda row: row | more)
)
BROKEN = st.sampled_from(
    (
        b"",
        b"  ",
        b"{",
        b"}",
        b"null",
        b"[]",
        b"1",
        b'{"a": "x"}null{"a": "y"}',
        b'{"instruction": "a", "output": "b"} null {"instruction": "a", "output": "b"}',
        b'{"instruction": "a", "output": "b"}{"instruction": "c", "output": "d"}',
        b'{"instruction": "a", "output": "b"},',
        b' {"instruction": "a", "output": "b"} ',
        b'{"instruction": "a", "output": "b"}\r',
        b'{"instruction": "a",\r"output": "b"}',
        b'{"instruction": "a", "output": "b", "output": "c"}',
        b'{"instruction": "a", "output": "b", "id": 1.0}',
        b'{"instruction": "a", "output": "b", "id": -0}',
        b'{"instruction": "a", "output": "b", "id": NaN}',
        b'{"instruct\\u0069on": "a", "output": "b"}',
        b'{"instruction": "a\\/b\\b\\f\\u0001", "output": "b"}',
        b'{"instruction": "a", "output": "\\ud800"}',
        b'{"instruction": "a", "output": "\\udc00\\ud800"}',
        b'{"instruction": "\\ud83d\\ude00", "output": "\\uD83D\\uDE00"}',
        b'{"instruction": "a", "output": "\xff"}',
        b'{"instruction": "a", "output": "\xed\xa0\x80"}',
        b'{"instruction": "a\tb", "output": "c"}',
        b'{"instruction": "a", "output": "b\x00"}',
        b'\xef\xbb\xbf{"instruction": "a", "output": "b"}',
        b'{"instruction": "a", "output": "b"} // c',
        b"{'instruction': 'a', 'output': 'b'}",
        b"{" + b'"a": {' * 60 + b"}" * 61,
    )
)
LINES = st.one_of(PLAIN, ODD, BROKEN)


@settings(max_examples=60)
@given(
    rows=st.lists(LINES, max_size=30),
    shard_rows=st.sampled_from((7, 4096)),
    shard_bytes=st.sampled_from((300, 1 << 26)),
    limit=st.sampled_from((100, 1 << 20)),
    stated=st.booleans(),
)
def test_columns_give_what_rows_give(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[Any],
    shard_rows: int,
    shard_bytes: int,
    limit: int,
    stated: bool,
) -> None:
    fields = {"format": "alpaca", "task": "t", "origin": "o"} if stated else {}
    check(
        tmp_path_factory.mktemp("plain"),
        joined([*HEAD, *rows]),
        shard_rows=shard_rows,
        shard_bytes=shard_bytes,
        limit=limit,
        **fields,
    )


@settings(max_examples=40)
@given(rows=st.lists(PLAIN, min_size=1, max_size=30), repair=st.booleans())
@example(rows=[{"instruction": "a", "input": "b", "output": "c"}], repair=False)
def test_plain_rows_are_read_in_columns(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], repair: bool
) -> None:
    fields: dict[str, Any] = {"repair": {"scalars": "text", "same_role": "merge"}} if repair else {}
    usual = [{"instruction": f"a {n}", "input": "b\n", "output": "c"} for n in range(3)]
    plain = check(tmp_path_factory.mktemp("plain"), joined([*HEAD, *rows, *usual]), **fields)
    assert plain >= len(usual)


MORE_COLUMNS: list[dict[str, Any]] = [
    {"prompt": "How?", "completion": "So.", "note": "A sentence of some words here.", "n": 3},
    {"prompt": "Who?", "completion": "We.", "note": None, "n": None, "id": "a"},
    {"prompt": "Why?", "completion": "\u2028", "note": "", "is": True, "id": "", "model": "m"},
    {"prompt": "Why?", "completion": "\u2028", "note": '"\\', "is": False, "id": "a"},
    {"prompt": "e\u0301", "completion": "", "note": "\u0301", "category": "c", "id": "a-2"},
    {"prompt": "\u00e9", "completion": "x", "task": None, "n": 5},
]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("late", [False, True])
def test_columns_beside_prompt_and_response(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, late: bool
) -> None:
    monkeypatch.setattr(blocks, "_BLOCK_BYTES", 3000)
    rows = [MORE_COLUMNS[(seed + n) % 6] | {"prompt": f"What is {n % 170}?"} for n in range(500)]
    rows[250]["n"] = 10**20  # more than Arrow's integers hold
    head = [{"prompt": "p", "completion": "c"}] * HEAD_ROWS if late else []
    assert check(tmp_path, joined([*head, *rows])) > 100


@pytest.mark.parametrize(
    ("names", "more"),
    [
        (("question", "answer"), {}),
        (("query", "response"), {}),
        (("input", "output"), {}),
        (("instruction", "response"), {"context": "It is so.", "category": "c"}),
        (("prompt", "generation"), {"id": 7, "generator": "g"}),
    ],
)
def test_each_spelling_is_plain(
    tmp_path: Path, names: tuple[str, str], more: dict[str, Any]
) -> None:
    prompt, response = names
    rows = [{prompt: f"q{n}", response: f"a{n}"} | more for n in range(300)]
    assert check(tmp_path, joined(rows)) == 300 - HEAD_ROWS


@pytest.mark.parametrize("each", [2, 40, 1000])
def test_a_file_with_odd_rows_is_read_in_columns_between_them(tmp_path: Path, each: int) -> None:
    odd = [b"{oops", {"instruction": 3, "output": "b"}, {"instruction": " ", "output": "b"}]
    rows: list[Any] = [*HEAD, *({**HEAD[n % 90], "output": f"{n}"} for n in range(3000))]
    for place in range(150, len(rows), each):
        rows[place] = odd[place % 3]
    plain = check(tmp_path, joined(rows), shard_rows=700)
    assert plain > (2500 if each == 1000 else 0)


@pytest.mark.parametrize("space", [c for c in map(chr, range(0x110000)) if c.isspace()])
def test_all_white_space_is_blank(tmp_path: Path, space: str) -> None:
    texts = (space, f"a{space}{space}b{space}", f"{space}[{{x")
    rows = [
        {"instruction": one, "input": two, "output": "x"}
        for one in (*texts, "a")
        for two in (*texts, "b")
    ]
    check(tmp_path, joined([*HEAD, *rows]))

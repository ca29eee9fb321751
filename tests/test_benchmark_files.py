"""Benchmarks in files: their fields, and what is said where something is missing."""

import gzip
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from siftline.contracts.errors import InputError
from siftline.scorers.leaks import opened_benchmarks
from siftline.scorers.leaks.benchmark_files import Benchmark, Item, read_items

ROWS: list[dict[str, Any]] = [
    {"question": "How many sheep?", "choices": ["3", "4"], "answer": 1},
    {"question": "Whose sheep?", "choices": ["his", "hers"], "answer": "hers"},
]
ITEMS = [
    Item("b#1", "How many sheep?", "", ("3", "4")),
    Item("b#2", "Whose sheep?", "hers", ("his", "hers")),
]


def lines(rows: list[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def items(folder: Path, **fields: Any) -> list[Item]:
    return read_items(Benchmark(**{"name": "b", **fields}), folder)


def test_every_container_gives_the_same_items(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").write_text("\ufeff" + lines(ROWS), encoding="utf-8")
    (tmp_path / "b.json").write_text(json.dumps(ROWS), encoding="utf-8")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines(ROWS).encode()))
    for name in ("b.jsonl", "b.json", "b.jsonl.gz"):
        assert items(tmp_path, path=name) == ITEMS
    (tmp_path / "parts").mkdir()
    for number, row in enumerate(ROWS):
        table = pa.Table.from_pylist([{**row, "answer": str(row["answer"])}])
        pq.write_table(table, tmp_path / "parts" / f"{number}.parquet")
    assert [item.options for item in items(tmp_path, path="parts")] == [("3", "4"), ("his", "hers")]


def test_fields_are_named_or_found(tmp_path: Path) -> None:
    row = {"Q": "How?", "A": "so", "B": "not so", "label": "A", "text": "no question"}
    (tmp_path / "b.jsonl").write_text(lines([row]), encoding="utf-8")
    named = items(tmp_path, path="b.jsonl", question="Q", options=("A", "B"), answer="label")
    assert named == [Item("b#1", "How?", "A", ("so", "not so"))]
    assert items(tmp_path, path="b.jsonl")[0].question == "no question"


@pytest.mark.parametrize(
    "options", [{"text": ["so", "not so"], "label": ["A", "B"]}, {"A": "so", "B": "not so"}]
)
def test_options_inside_an_object(tmp_path: Path, options: dict[str, Any]) -> None:
    row = {"question": "How?", "choices": options}
    (tmp_path / "b.jsonl").write_text(lines([row]), encoding="utf-8")
    assert items(tmp_path, path="b.jsonl")[0].options == ("so", "not so")


@pytest.mark.parametrize(
    ("text", "fields", "told"),
    [
        (lines(ROWS), {"question": "querstion"}, "no field 'querstion'.*Did you mean 'question'"),
        (lines(ROWS), {"answer": "gold"}, "no field 'gold', which 'answer' names"),
        (lines(ROWS), {"options": ("A", "B")}, "no field 'A', which 'options' names"),
        (lines([{"id": 1}]), {}, "has the fields 'id'; expected one of question, problem"),
        (lines([{"question": 7}]), {}, "holds int in the field 'question' of row 1"),
        (lines([{"question": "a", "options": [["b"]]}]), {}, "holds lists or objects as options"),
        ("", {}, "is empty; expected at least one row"),
        ("[]", {}, "is empty"),
        ("[1]", {}, "holds int as a row"),
        ("{", {}, "cannot be read: line 1 is no JSON: .*Expected a whole .jsonl file"),
        ('{"question": "a"}\n\n{', {}, "line 3 is no JSON"),
        ("[" * 100_000, {}, "cannot be read"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    tmp_path: Path, text: str, fields: dict[str, Any], told: str
) -> None:
    (tmp_path / "b.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=told) as error:
        items(tmp_path, path="b.jsonl", **fields)
    assert "\n" not in str(error.value)


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("question\nHow?\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"unknown type; expected \.jsonl"):
        items(tmp_path, path="b.csv")


@pytest.mark.parametrize(
    "fields",
    [{}, {"path": "a", "hub": "b"}, {"hub": "b"}, {"hub": "b", "revision": "main"}],
)
def test_a_benchmark_has_one_place_that_stays(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Benchmark(name="b", **fields)
    Benchmark(name="b", hub="b", revision="0" * 40)


def test_threads_read_a_benchmark_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "b.jsonl").write_text(lines(ROWS), encoding="utf-8")
    reads: list[Benchmark] = []
    second = threading.Event()

    def noted(benchmark: Benchmark, base: Path) -> list[Item]:
        reads.append(benchmark)
        if len(reads) > 1:
            second.set()
        second.wait(0.2)  # time for another thread to read too
        return read_items(benchmark, base)

    monkeypatch.setattr(opened_benchmarks, "read_items", noted)
    benchmarks = (Benchmark(name="b", path="b.jsonl"),)
    with ThreadPoolExecutor(2) as threads:
        opened = [
            threads.submit(opened_benchmarks.open_index, benchmarks, tmp_path, 8) for _ in range(2)
        ]
        assert opened[0].result() is opened[1].result()
    assert len(reads) == 1

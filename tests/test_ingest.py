"""Ingestion as a whole: no row is lost, whatever the files and the shards."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftline.contracts.corpus import EXAMPLES
from siftline.contracts.errors import InputError, RecipeError
from siftline.pipelines.ingestion.detection import head_of
from siftline.pipelines.ingestion.ingest import IngestSummary, ingest
from siftline.pipelines.ingestion.inputs import Input
from siftline.pipelines.ingestion.rows import Record
from siftline.pipelines.ingestion.writing import QUARANTINE


def lines(path: Path, rows: list[Any]) -> None:
    texts = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(texts), encoding="utf-8")


def run(
    base: Path, *inputs: Input, folder: str = "out", shard_rows: int = 4096, limit: float = 1.0
) -> tuple[IngestSummary, pa.Table, pa.Table]:
    out = base / folder
    out.mkdir()
    summary = ingest(
        inputs,
        base,
        out,
        max_bad_rows=limit,
        max_row_bytes=1 << 20,
        shard_rows=shard_rows,
    )
    examples = pa.concat_tables([pq.read_table(p) for p in sorted((out / "examples").iterdir())])
    quarantine = pq.read_table(out / "quarantine.parquet")
    assert examples.schema == EXAMPLES
    assert quarantine.schema == QUARANTINE
    for source in summary.sources.values():
        assert source.rows == source.used + sum(source.quarantined.values())
    return summary, examples, quarantine


GOOD = [{"question": f"q{n}", "answer": f"a{n}"} for n in range(7)]


def test_rows_are_examples_or_in_quarantine(tmp_path: Path) -> None:
    rows = [*GOOD[:3], "{oops", {"question": "", "answer": "a"}, {"question": "q"}, *GOOD[3:]]
    lines(tmp_path / "a.jsonl", rows)
    lines(tmp_path / "b.jsonl", [{"prompt": "p", "responses": ["x", "y"], "generator": "g"}])
    summary, examples, quarantine = run(
        tmp_path, Input(path="a.jsonl"), Input(path="b.jsonl", source="b", task="t")
    )
    assert summary.sources["a"].model_dump(exclude_defaults=True) == {
        "files": 1,
        "rows": 10,
        "used": 7,
        "examples": 7,
        "quarantined": {"empty_prompt": 1, "invalid_json": 1, "missing_field": 1},
    }
    assert summary.sources["b"].examples == 2
    assert examples["row"].to_pylist() == [1, 2, 3, 7, 8, 9, 10, 1, 1]
    assert examples["task"].to_pylist() == [None] * 7 + ["t", "t"]
    assert len(set(examples["prompt_id"].to_pylist())) == 8
    assert quarantine.select(["source", "file", "row", "reason"]).to_pylist() == [
        {"source": "a", "file": "a.jsonl", "row": 4, "reason": "invalid_json"},
        {"source": "a", "file": "a.jsonl", "row": 5, "reason": "empty_prompt"},
        {"source": "a", "file": "a.jsonl", "row": 6, "reason": "missing_field"},
    ]
    assert quarantine["raw"].to_pylist()[0] == "{oops"


@pytest.mark.parametrize("shard_rows", [1, 3, 7, 100])
def test_shards_do_not_matter(tmp_path: Path, shard_rows: int) -> None:
    lines(tmp_path / "a.jsonl", [*GOOD, *GOOD])
    _, whole, _ = run(tmp_path, Input(path="a.jsonl"))
    _, parts, _ = run(tmp_path, Input(path="a.jsonl"), folder="parts", shard_rows=shard_rows)
    assert parts.equals(whole)
    count = len(list((tmp_path / "parts" / "examples").iterdir()))
    assert count == -(-14 // shard_rows)


def test_ids_are_unique_and_given_ones_are_kept(tmp_path: Path) -> None:
    rows = [{**GOOD[0], "id": id_} for id_ in ("x", "x", "x-2", 3, "")] + [GOOD[0]]
    lines(tmp_path / "a.jsonl", rows)
    _, examples, _ = run(tmp_path, Input(path="a.jsonl"))
    ids = examples["id"].to_pylist()
    digest = examples["content_hash"][0].as_py()
    assert ids == ["x", "x-2", "x-2-2", "3", digest, f"{digest}-2"]
    assert set(examples["content_hash"].to_pylist()) == {digest}


def test_candidates_meet_although_white_space_differs(tmp_path: Path) -> None:
    rows = [
        {"instruction": "Say  hi\n", "output": "hi", "generator": "a"},
        {"instruction": "Say hi", "output": "hello", "generator": "b"},
        {"instruction": "Say Hi", "output": "hello", "generator": "b"},
    ]
    lines(tmp_path / "a.jsonl", rows)
    _, examples, _ = run(tmp_path, Input(path="a.jsonl"))
    one, two, three = examples["prompt_id"].to_pylist()
    assert one == two != three
    assert examples["origin"].to_pylist() == ["a", "b", "b"]
    assert len(set(examples["content_hash"].to_pylist())) == 3


def test_tools_make_another_prompt(tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", [{**GOOD[0], "tools": [{"name": n}]} for n in ("f", "g", "f")])
    _, examples, _ = run(tmp_path, Input(path="a.jsonl"))
    one, two, three = examples["prompt_id"].to_pylist()
    assert one == three != two


def test_too_many_bad_rows_stop_the_run_with_quarantine_written(tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", [*GOOD, "{", "{", "[]"])
    with pytest.raises(InputError, match=r"3 of 10 rows \(30.0%\).*invalid_json 2.*row 8 of"):
        run(tmp_path, Input(path="a.jsonl"), limit=0.29)
    assert pq.read_table(tmp_path / "out" / "quarantine.parquet").num_rows == 3
    run(tmp_path, Input(path="a.jsonl"), limit=0.3, folder="enough")


def test_too_many_bad_rows_name_the_repairs_that_would_do(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    ends = {"messages": [*turns, turns[0]]}
    lines(tmp_path / "a.jsonl", [{"messages": turns}, ends, ends, "{"])
    said = r"mend the input, repair its rows \(`repair: {trailing_user: drop}` 2\) or raise"
    with pytest.raises(InputError, match=said):
        run(tmp_path, Input(path="a.jsonl"), limit=0.5)


def test_more_bad_rows_than_are_held_in_memory(tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", [GOOD[0], *["{"] * 1000])
    _, _, quarantine = run(tmp_path, Input(path="a.jsonl"))
    assert quarantine["row"].to_pylist() == list(range(2, 1002))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "'a.json' holds no row"),
        ("\n \n", "'a.json' holds no row"),
        ('{"text": "t", "meta": 1}', "no shape that is known: got the columns 'text', 'meta'"),
        (
            "{{{",
            r"of the first 1: invalid_json in row 1 \(Expecting",
        ),
        ('{"question": "", "answer": "a"}', r"1 of 1 rows \(100.0%\)"),
        ('[{"question": "q", "answer": "a"}] 3', "goes on after its closing bracket"),
    ],
)
def test_files_without_a_usable_row_are_errors(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        run(tmp_path, Input(path="a.json"))


def test_a_stated_shape_is_not_detected(tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", [{"question": "q", "answer": "a", "messages": None}])
    summary, _, quarantine = run(
        tmp_path,
        Input(path="a.jsonl", format="messages"),
        Input(path="a.jsonl", source="b", format="question_answer"),
    )
    assert summary.sources["a"].quarantined == {"missing_field": 1}
    assert summary.sources["b"].used == 1
    (detail,) = quarantine["detail"].to_pylist()
    assert detail.startswith("no 'messages'; got the columns 'question', 'answer', expected inst")


def test_nesting_that_python_cannot_walk_is_a_bad_row(tmp_path: Path) -> None:
    deep = '{"question": "q", "answer": "a", "x": ' + "[" * 700 + "]" * 700 + "}"
    lines(tmp_path / "a.jsonl", [GOOD[0], deep])
    summary, _, _ = run(tmp_path, Input(path="a.jsonl"))
    assert summary.sources["a"].quarantined == {"wrong_type": 1}


@given(st.lists(st.binary(max_size=30).filter(lambda b: b"\n" not in b), max_size=8), st.booleans())
def test_no_row_is_lost_whatever_the_bytes(
    tmp_path_factory: pytest.TempPathFactory, garbage: list[bytes], crlf: bool
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    ends = b"\r\n" if crlf else b"\n"
    good = [json.dumps(row).encode() for row in GOOD]
    (folder / "a.jsonl").write_bytes(ends.join([*good, *garbage]))
    summary, examples, quarantine = run(folder, Input(path="a.jsonl"))
    rows = len(GOOD) + sum(bool(piece.strip()) for piece in garbage)
    assert summary.sources["a"].rows == rows == len(examples) + len(quarantine)


def test_a_mapped_column_that_no_row_has_is_a_mistake(tmp_path: Path) -> None:
    """Or the response would be read from another column, without a word."""
    rows = [{"instruction": f"q{n}", "output": "draft", "gold_answer": f"a{n}"} for n in range(3)]
    lines(tmp_path / "a.jsonl", [*rows[:2], rows[2] | {"rare": "x"}])
    source = Input(path="a.jsonl", columns={"response": "gold_anwser"})
    with pytest.raises(RecipeError, match=r"columns.response: no row .*Did you mean 'gold_answer'"):
        run(tmp_path, source)
    lines(tmp_path / "bad.jsonl", ["{", "{"])
    bad = Input(path="bad.jsonl", format="alpaca", columns={"response": "gold"})
    with pytest.raises(InputError, match=r"2 of 2 rows .* cannot be used"):
        run(tmp_path, bad, folder="bad", limit=0.5)
    mapped = Input(path="a.jsonl", columns={"response": "gold_answer", "origin": "rare"})
    examples = run(tmp_path, mapped, folder="again")[1]
    answers = [turns[-1]["content"] for turns in examples["messages"].to_pylist()]
    assert answers == ["a0", "a1", "a2"]


def sizes_of(folder: Path) -> list[int]:
    return [pq.read_metadata(path).num_rows for path in sorted((folder / "examples").iterdir())]


def test_shards_close_at_a_number_of_bytes(tmp_path: Path) -> None:
    """A row over it is a shard of one; the number of rows stays a limit too."""
    lengths = [400, 400, 400, 2000, 10, 10, 10, 10]
    rows = [{"question": "q", "answer": "é" * (length // 2)} for length in lengths]
    lines(tmp_path / "a.jsonl", rows)
    for folder, shard_rows in (("out", 4096), ("few", 3)):
        (tmp_path / folder).mkdir()
        ingest(
            [Input(path="a.jsonl")],
            tmp_path,
            tmp_path / folder,
            max_bad_rows=0,
            max_row_bytes=1 << 20,
            shard_rows=shard_rows,
            shard_bytes=1000,
        )
    assert sizes_of(tmp_path / "out") == [2, 1, 1, 4]
    assert sizes_of(tmp_path / "few") == [2, 1, 1, 3, 1]


def test_quarantine_closes_at_a_number_of_bytes(tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", [GOOD[0], *(["x" * 60_000] for _ in range(150))])
    run(tmp_path, Input(path="a.jsonl"))
    groups = pq.ParquetFile(tmp_path / "out" / "quarantine.parquet").metadata
    rows = [groups.row_group(number).num_rows for number in range(groups.num_row_groups)]
    assert len(rows) > 2
    assert sum(rows) == 150


def test_few_large_rows_are_enough_to_tell_the_shape(tmp_path: Path) -> None:
    large = [Record(n, {"question": "q" * (1 << 20), "answer": "a"}) for n in range(20)]
    assert len(head_of(iter(large))) == 8


def empty_json(path: Path) -> None:
    path.write_text("[]", encoding="utf-8")


def only_a_header(path: Path) -> None:
    path.write_text("question,answer\n", encoding="utf-8")


def no_row_group(path: Path) -> None:
    pq.write_table(pa.table({"question": pa.array([], "string")}), path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("b.jsonl", Path.touch),
        ("b.parquet", Path.touch),
        ("b.json", empty_json),
        ("b.csv", only_a_header),
        ("b.parquet", no_row_group),
    ],
)
@pytest.mark.parametrize("form", ["auto", "question_answer"])
def test_a_file_without_rows_among_others_is_said_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, write: Any, form: Any
) -> None:
    lines(tmp_path / "a.jsonl", GOOD)
    lines(tmp_path / "c.jsonl", GOOD)
    write(tmp_path / name)
    summary, examples, _ = run(tmp_path, Input(path="[abc].*", source="s", format=form))
    assert summary.sources["s"].model_dump(include={"files", "rows", "examples"}) == {
        "files": 3,
        "rows": 14,
        "examples": 14,
    }
    assert set(examples["file"].to_pylist()) == {"a.jsonl", "c.jsonl"}
    assert f"'{name}', of the 3 files of '[abc].*', has no row" in caplog.text
    for other in ("a.jsonl", "c.jsonl"):
        (tmp_path / other).write_text(" \n", encoding="utf-8")
    with pytest.raises(InputError, match=r"'\[abc\]\.\*' holds no row"):
        run(tmp_path, Input(path="[abc].*", source="s", format=form), folder="none")


def test_an_input_without_rows_beside_another_is_an_error(tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", GOOD)
    empty_json(tmp_path / "b.json")
    with pytest.raises(InputError, match=r"'b\.json' holds no row"):
        run(tmp_path, Input(path="a.jsonl"), Input(path="b.json"))

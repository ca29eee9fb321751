"""Rows of several shapes in one file, and files whose shape is not known."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from siftline.contracts.errors import InputError
from siftline.pipelines.ingestion.detection import Shapes
from siftline.pipelines.ingestion.ingest import IngestSummary, ingest
from siftline.pipelines.ingestion.inputs import Input
from siftline.pipelines.ingestion.rows import Record

CHAT = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
ALPACA = {"instruction": "q", "output": "a"}
PAIR = {"prompt": "q", "chosen": "a", "rejected": "b"}


def read(folder: Path, rows: list[dict[str, Any]], **item: Any) -> IngestSummary:
    lines = "\n".join(map(json.dumps, rows))
    (folder / "d.jsonl").write_text(lines, encoding="utf-8")
    return ingest(
        [Input(path="d.jsonl", source="s", **item)],
        folder,
        folder,
        max_bad_rows=0.9,
        max_row_bytes=1 << 20,
        shard_rows=1000,
    )


def test_each_row_has_its_own_shape(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [CHAT] * 130 + [
        ALPACA,
        PAIR,
        {**ALPACA, "messages": None},
        {"data": ["q", "a"]},
    ] * 2
    source = read(tmp_path, rows).sources["s"]
    assert (source.examples, source.quarantined) == (138, {})


def test_a_stated_format_is_that_of_all_rows(tmp_path: Path) -> None:
    source = read(tmp_path, [CHAT, ALPACA], format="messages").sources["s"]
    assert (source.examples, source.quarantined) == (1, {"missing_field": 1})
    (bad,) = pq.read_table(tmp_path / "quarantine.parquet").to_pylist()
    assert bad["detail"].startswith("no 'messages'; got the columns 'instruction', 'output', exp")


def shapes(*rows: dict[str, Any]) -> Shapes:
    return Shapes([Record(n, row) for n, row in enumerate(rows)], Input(path="d.jsonl"), "d")


def test_the_usual_shape_comes_first_where_a_row_has_two() -> None:
    both = {**CHAT, **ALPACA}
    assert shapes(ALPACA).of(both) == "alpaca"
    assert shapes(CHAT).of(both) == "messages"
    assert shapes(ALPACA).of({"instruction": "q", "output": None}) == "alpaca"


def test_what_only_values_tell_is_looked_at_in_each_row() -> None:
    told = shapes(CHAT)
    tree = {"prompt": {"role": "prompter", "text": "q", "replies": []}, "completion": None}
    assert [told.of(row) for row in ({"data": 3}, {"data": ["q", "a"]}, {"data": 3})] == [
        "messages",
        "sharegpt",
        "messages",
    ]
    assert [told.of(row) for row in ({"prompt": "q"}, tree, {"prompt": "q"})] == [
        "messages",
        "tree",
        "messages",
    ]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            {"Instruction": "q", "Input": "", "Output": "a"},
            "state 'columns: {instruction: Instruction, input: Input, response: Output}'",
        ),
        ({"Question": "q", "Answer": "a"}, "'columns: {question: Question, response: Answer}'"),
        ({"PROMPT": "q", "Completion ": "a"}, "State 'format' and 'columns' for this input."),
        ({"Conversations": []}, "'columns: {conversations: Conversations}'"),
        ({"problem": "q", "solution": "a"}, "'columns: {question: problem, response: solution}'"),
        (
            {"User": "q", "Context": "c", "Assistant": "a"},
            "'columns: {question: User, input: Context, response: Assistant}'",
        ),
        ({"a": 1, "b": 2}, "got the columns 'a', 'b'"),
        (
            {"message_id": "1", "parent_id": None, "text": "q", "role": "prompter"},
            "one message a row",
        ),
    ],
)
def test_a_shape_that_is_not_known(tmp_path: Path, row: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, [row])
    assert words in str(error.value)


def test_the_columns_that_are_named_are_read(tmp_path: Path) -> None:
    columns = {"instruction": "Instruction", "input": "Input", "response": "Output"}
    row = {"Instruction": "q", "Input": "x", "Output": "a"}
    assert read(tmp_path, [row], columns=columns).sources["s"].examples == 1


def test_a_row_without_an_answer_says_so_whatever_the_others_are(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [CHAT, {"instruction": "q", "output": None}, {}, {"prompt": None}]
    source = read(tmp_path, rows).sources["s"]
    assert source.quarantined == {"missing_field": 3}
    details = pq.read_table(tmp_path / "quarantine.parquet")["detail"].to_pylist()
    assert details[0].startswith("no 'response' or 'output'; got the columns 'instruction', exp")
    for detail in details[1:]:
        assert detail.startswith("no 'messages'; got no column that holds something, expected ")


def test_a_file_without_any_answer_says_so() -> None:
    with pytest.raises(InputError, match=r"has no response in its first 2 rows: .* 'output'"):
        shapes(*[{"instruction": "q", "output": None}] * 2)


@pytest.mark.parametrize("marks", [(True, False), (1, 0), (0.5, 0.25)])
def test_marks_of_what_was_chosen_are_no_pair(marks: tuple[Any, Any]) -> None:
    judged = {**ALPACA, **dict(zip(("chosen", "rejected"), marks, strict=True))}
    told = shapes(ALPACA)
    assert told.of(judged) == "alpaca"
    assert told.of({"question": "q", "chosen": "a", "rejected": "b"}) == "preference"
    assert (
        told.of({"question": "q", "answer": "a", "chosen": 1, "rejected": 0}) == "question_answer"
    )


def test_a_header_that_is_cut_elsewhere_says_where() -> None:
    for between in ",;|":
        with pytest.raises(InputError, match=rf"State 'delimiter: \"\{between}\"' if its cells"):
            shapes({f'question{between}"answer"': "q"})
    with pytest.raises(InputError, match="State 'format' and 'columns'"):
        shapes({"one, two": "q"})

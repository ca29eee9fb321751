"""The format `messages`: who reads it, and that what comes out is what went in."""

import json
import tempfile
from pathlib import Path
from typing import Any

import datasets
import pandas as pd  # type: ignore[import-untyped]
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from agent_rows import (
    OPENAI,
    PIXEL,
    TOOLS,
    altered,
    assistant,
    call,
    example,
    examples,
    result,
)
from exports import export_rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from siftline.contracts.parquet import check_file
from siftline.pipelines.ingestion.ingest import ingest
from siftline.pipelines.ingestion.inputs import Input
from siftline.pipelines.output.formats.known import FormatName

TEXT_ONLY = [name for name in OPENAI if not name.startswith("image")]
# The type `Json` is younger than the oldest `datasets` that is allowed.
reads_json = pytest.mark.skipif(
    not hasattr(datasets, "Json"), reason="datasets before 4.7 has no Json features"
)


def load(folder: Path) -> Any:
    data = str(folder / "dataset" / "data")
    return datasets.load_dataset(data, split="train", cache_dir=str(folder / "hf"))


def stripped(turn: dict[str, Any]) -> dict[str, Any]:
    """Return a turn without the nulls that stand for fields which it does not have."""
    return {name: value for name, value in turn.items() if value is not None}


def as_exported(turn: dict[str, Any]) -> dict[str, Any]:
    """Return a turn of OpenAI's form as this format has it: objects as arguments."""
    made = {**turn, "content": turn["content"] or ""}
    if "weight" in turn:
        made["loss"] = turn["weight"] != 0
    if "tool_calls" in turn:
        made["tool_calls"] = [
            {
                **call,
                "function": {
                    **call["function"],
                    "arguments": json.loads(call["function"]["arguments"]),
                },
            }
            for call in turn["tool_calls"]
        ]
    return made


@reads_json
def test_datasets_gives_back_every_turn_and_tool(tmp_path: Path) -> None:
    export_rows(tmp_path, examples(TEXT_ONLY))
    data = load(tmp_path)
    assert data["id"] == TEXT_ONLY
    for row in data:
        given = OPENAI[row["id"]]
        assert [stripped(turn) for turn in row["messages"]] == [
            as_exported(turn) for turn in given["messages"]
        ]
        assert row["tools"] == given.get("tools")
    # A null that the data has is a null; a key that it lacks is not there.
    called = {row["id"]: row["messages"][-1] for row in data}
    arguments = called["null_argument"]["tool_calls"][0]["function"]["arguments"]
    assert arguments == {"town": "Lima", "unit": None}
    assert called["ends_in_call"]["tool_calls"][0]["function"]["arguments"] == {"town": "Rome"}


@reads_json
def test_datasets_gives_them_back_after_a_map_and_as_a_stream(tmp_path: Path) -> None:
    export_rows(tmp_path, examples(TEXT_ONLY))
    data = load(tmp_path)
    mapped = data.map(lambda row: {"messages": row["messages"], "turns": len(row["messages"])})
    assert mapped["messages"] == data["messages"]
    streamed = datasets.load_dataset(
        str(tmp_path / "dataset" / "data"), split="train", streaming=True
    )
    assert [row["tools"] for row in streamed] == data["tools"]


def test_fields_are_there_only_where_the_set_has_them(tmp_path: Path) -> None:
    def turns(folder: str, *names: str) -> list[str]:
        (path,) = export_rows(tmp_path / folder, examples(names)).files["train"]
        schema = pq.read_schema(tmp_path / folder / "dataset" / path)
        return [field.name for field in schema.field("messages").type.value_type]

    assert turns("a", "plain", "thinks_in_text") == ["role", "content"]
    assert turns("b", "plain", "reasons") == ["role", "content", "reasoning_content"]
    assert turns("c", "weighted") == ["role", "content", "weight", "loss"]
    assert turns("d", "results_by_name") == ["role", "content", "tool_calls", "name"]


def test_plain_text_has_plain_types(tmp_path: Path) -> None:
    (path,) = export_rows(tmp_path, examples(["plain"])).files["train"]
    text = pa.string()
    turn = pa.struct([("role", text), ("content", text)])
    columns = [("messages", pa.list_(turn))]
    columns += [(name, text) for name in ("id", "prompt_id", "source", "task", "origin", "file")]
    assert pq.read_schema(tmp_path / "dataset" / path) == pa.schema(
        [*columns, ("row", pa.int64()), ("metadata", text)]
    )
    assert load(tmp_path)[0]["messages"] == OPENAI["plain"]["messages"]


def test_pandas_and_arrow_read_calls_as_json(tmp_path: Path) -> None:
    (path,) = export_rows(tmp_path, examples(["ends_in_call", "plain"])).files["train"]
    frame = pd.read_parquet(tmp_path / "dataset" / "data")
    turn = frame["messages"][0][-1]
    assert json.loads(turn["tool_calls"][0])["function"]["arguments"] == {"town": "Rome"}
    assert [json.loads(tool) for tool in frame["tools"][0]] == TOOLS
    assert frame["tools"][1] is None
    check_file(tmp_path / "dataset" / path)


def test_thoughts_can_stand_in_the_content(tmp_path: Path) -> None:
    export_rows(tmp_path / "a", examples(["plain", "reasons"]), reasoning="inline")
    plain, reasons = load(tmp_path / "a")
    assert plain["messages"] == OPENAI["plain"]["messages"]
    thought = "Ten times six is 60, seven times six is 42."
    assert reasons["messages"][1] == {
        "role": "assistant",
        "content": f"<think>\n{thought}\n</think>\n\n102.",
    }


@reads_json
def test_contents_in_parts_are_lists_of_parts(tmp_path: Path) -> None:
    export_rows(tmp_path, examples(["plain", "image_parts", "image_column"]))
    plain, parts, column = load(tmp_path)
    asked = [{"type": "text", "text": "Two and two?"}]
    assert plain["messages"][0]["content"] == asked
    assert parts["messages"][0]["content"][1] == {"type": "image_url", "image_url": {"url": PIXEL}}
    assert parts["messages"][1]["content"] == [{"type": "text", "text": "One dark pixel."}]
    assert [row["images"] for row in (plain, parts, column)] == [None, None, ["pictures/heron.png"]]


@reads_json
@pytest.mark.parametrize(
    "values", [["a.png", "b.png"], [["a"], ["b", "c"]], [["a"], {"path": "b", "size": 0.7}]]
)
def test_columns_of_images_are_as_they_were(tmp_path: Path, values: list[Any]) -> None:
    rows = [example(OPENAI["plain"], media=json.dumps({"image": value})) for value in values]
    export_rows(tmp_path, [*rows, example(OPENAI["plain"])])
    assert load(tmp_path)["image"] == [*values, None]


@reads_json
def test_numbers_of_arguments_are_read_as_they_are(tmp_path: Path) -> None:
    arguments = {"temperature": 0.7, "top_p": 0.3, "n": 2**53 + 1, "many": [0.1 + 0.2, 1e-7, 5.0]}

    def number(record: dict[str, Any]) -> None:
        function = record["messages"][-1]["tool_calls"][0]["function"]
        function["arguments"] = json.dumps(arguments)
        record["tools"][0]["function"]["parameters"]["maximum"] = 0.7

    export_rows(tmp_path, [example(altered("ends_in_call", number))])
    (row,) = load(tmp_path)
    assert row["messages"][-1]["tool_calls"][0]["function"]["arguments"] == arguments
    assert row["tools"][0]["function"]["parameters"]["maximum"] == 0.7


@reads_json
def test_arguments_that_datasets_cannot_read_stay_a_text(tmp_path: Path) -> None:
    def number(record: dict[str, Any]) -> None:
        function = record["messages"][-1]["tool_calls"][0]["function"]
        function["arguments"] = json.dumps({"id": 2**70})
        record["tools"][0]["function"]["parameters"]["maximum"] = 2**70

    export_rows(tmp_path, [example(altered("ends_in_call", number))])
    (row,) = load(tmp_path)
    assert row["messages"][-1]["tool_calls"][0]["function"]["arguments"] == f'{{"id": {2**70}}}'
    assert json.loads(row["tools"][0])["function"]["parameters"]["maximum"] == 2**70


@reads_json
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    texts=st.lists(st.text(st.characters(codec="utf-8")), min_size=3, max_size=3),
    arguments=st.dictionaries(
        st.text(st.characters(codec="utf-8")),
        st.none() | st.booleans() | st.text(st.characters(codec="utf-8")) | st.integers(-9, 9),
    ),
)
def test_any_text_comes_back(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], arguments: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    asked, thought, named = texts
    row = altered("reasons_and_calls", lambda _: None)
    row["messages"][0]["content"] = asked
    row["messages"][1]["reasoning_content"] = thought
    row["messages"][1]["tool_calls"][0]["function"] = {
        "name": named,
        "arguments": json.dumps(arguments),
    }
    export_rows(folder, [example(row)])
    (read,) = load(folder)
    question, answer = read["messages"]
    assert (question["content"], answer["reasoning_content"]) == (asked, thought)
    assert answer["tool_calls"][0]["function"] == {"name": named, "arguments": arguments}


@pytest.mark.parametrize("name", ["messages", "openai"])
def test_the_same_rows_leave_the_same_bytes(tmp_path: Path, name: FormatName) -> None:
    kept = examples(name for name in OPENAI if name != "image_column")
    first, second = (export_rows(tmp_path / run, kept, name).files["train"] for run in "ab")
    assert first == second
    for path in first:
        one, two = ((tmp_path / run / "dataset" / path).read_bytes() for run in "ab")
        assert one == two


TEXTS = st.sampled_from(["", " ", "x", "<think>\ny\n</think>\n\nz", "null", "[]", '{"a": 1}'])
NUMBERS = st.sampled_from([0, -0.0, 0.1 + 0.2, 0.7, 2**70, 2**64 - 1, 1e-320, 1e16, None, True])
ARGUMENTS = st.dictionaries(TEXTS, NUMBERS | TEXTS | st.lists(NUMBERS, max_size=2), max_size=2)


@st.composite
def conversations(draw: Any) -> dict[str, Any]:
    """A conversation with whatever the format has a place for, some of its texts empty."""
    asked: Any = f"q{draw(TEXTS)}"
    if draw(st.booleans()):
        image = {"type": "image_url", "image_url": {"url": draw(TEXTS)}}
        asked = [{"type": "text", "text": asked}, image]
    called = call("f", draw(ARGUMENTS), 1)
    thought = {"reasoning_content": draw(TEXTS)} if draw(st.booleans()) else {}
    turns = [
        {"role": "user", "content": asked, "name": draw(TEXTS)},
        assistant(draw(TEXTS), called, **thought),
        result(draw(TEXTS), draw(st.sampled_from([None, 1]))),
        assistant(draw(TEXTS), weight=draw(st.sampled_from([0, 1]))),
    ]
    turns = turns[: draw(st.sampled_from([2, 4]))]
    images = {"images": ["a.png"]} if draw(st.booleans()) else {}
    return {"messages": turns, "tools": [{"name": "f", "parameters": draw(ARGUMENTS)}], **images}


@settings(max_examples=40, deadline=None)
@given(st.lists(conversations(), min_size=1, max_size=3))
def test_a_dataset_is_read_again_as_the_rows_that_were_written(rows: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "rows.jsonl").write_text(lines, encoding="utf-8")
        first = ingested(folder / "rows.jsonl", folder / "first")
        export_rows(folder, first)
        (file,) = (folder / "dataset" / "data").iterdir()
        again = ingested(file, folder / "again")
    names = ("id", "messages", "tools", "media", "content_hash", "prompt_id")
    held = [[{name: row[name] for name in names} for row in each] for each in (first, again)]
    assert held[0] == held[1]


def ingested(path: Path, into: Path) -> list[dict[str, Any]]:
    """Return the examples that a file holds."""
    into.mkdir()
    item = Input(path=path.name, source="s")
    ingest([item], path.parent, into, max_bad_rows=0, max_row_bytes=1 << 20, shard_rows=99)
    rows: list[dict[str, Any]] = pq.read_table(into / "examples").to_pylist()
    return rows

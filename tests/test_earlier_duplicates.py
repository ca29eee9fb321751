"""Rows beside an existing dataset: what it may be written in, and what is told of it."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from siftline.contracts.corpus import EXAMPLES
from siftline.contracts.errors import InputError
from siftline.contracts.runtime import Runtime
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.record import RunRecord
from siftline.pipelines.run import run
from siftline.reports.page import report_page
from siftline.scorers.earlier_duplicates import EXCERPT_CHARS, EarlierDuplicates
from siftline.scorers.earlier_rows import earlier_files, read_earlier

SAID = "one two three four five six seven eight nine ten"
QUESTION = "Count <b>to</b> ten."


def lines(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def pair(question: str = QUESTION, answer: str = SAID, **fields: Any) -> dict[str, Any]:
    return {"prompt": question, "completion": answer, **fields}


def scored(folder: Path, *paths: str, response: str = SAID, **fields: Any) -> dict[str, Any]:
    turns = [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": response},
    ]
    rows = pa.Table.from_pylist([{"content_hash": "h", "messages": turns}], schema=EXAMPLES)
    scorer = EarlierDuplicates(paths=paths, ngram=2, **fields)
    (row,) = scorer.score(rows, Runtime(base=folder)).table.to_pylist()
    assert row.pop("content_hash") == "h"
    return dict(row)


USER = {"role": "user", "content": QUESTION}
TURNS = [USER, {"role": "assistant", "content": SAID}]
PARTS = [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in TURNS]
SHAREGPT = [{"from": "human", "value": QUESTION}, {"from": "gpt", "value": SAID}]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": TURNS},
        {"messages": PARTS},
        {"conversations": SHAREGPT},
        pair(),
        {"prompt": [USER], "completion": TURNS[1:]},
        {"prompt": QUESTION, "response": SAID},
        {"instruction": QUESTION, "input": "", "output": SAID},
    ],
)
@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_rows_in_every_form(tmp_path: Path, row: dict[str, Any], suffix: str) -> None:
    path = tmp_path / f"old.{suffix}"
    if suffix == "jsonl":
        lines(path, row)
    else:
        pq.write_table(pa.Table.from_pylist([row]), path)
    found = scored(tmp_path, path.name)
    texts = {"prompt": QUESTION, "response": SAID}
    assert found == {"match": f"old.{suffix}#1", "similarity": 1.0, "texts": texts}


@pytest.mark.parametrize("row", [pair(answer=""), {"instruction": QUESTION, "output": ""}])
def test_an_empty_response_is_one(tmp_path: Path, row: dict[str, Any]) -> None:
    lines(tmp_path / "a.jsonl", row)
    assert scored(tmp_path, "a.jsonl", response="")["similarity"] == 1
    assert scored(tmp_path, "a.jsonl", response="x")["match"] is None


def test_the_most_alike_row_of_all_datasets_is_named(tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", pair(answer=f"{SAID} eleven", id="x"), pair(answer="no", id="y"))
    lines(tmp_path / "b.jsonl", pair(), pair())
    alike = {"match": "a.jsonl#x", "similarity": 0.9}
    assert scored(tmp_path, "a.jsonl").items() >= alike.items()
    assert scored(tmp_path, "a.jsonl", "b.jsonl")["match"] == "b.jsonl#1"  # the first of equal ones
    nothing = {"match": None, "similarity": None, "texts": None}
    assert scored(tmp_path, "a.jsonl", "b.jsonl", response="other words here") == nothing
    by_prompt = scored(tmp_path, "a.jsonl", response="other words here", over="prompt")
    assert by_prompt.items() >= {"match": "a.jsonl#x", "similarity": 1.0}.items()
    lines(tmp_path / "c.jsonl", pair(answer="one two three"))  # windows: 2 of 9
    assert scored(tmp_path, "c.jsonl") == nothing


def test_a_changed_file_is_read_again_and_long_texts_are_cut(tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", pair(answer="no"))
    assert scored(tmp_path, "a.jsonl")["match"] is None
    lines(tmp_path / "a.jsonl", pair(answer=f"{SAID} " * 50))
    found = scored(tmp_path, "a.jsonl", response=f"{SAID} " * 50)
    assert found["similarity"] == 1
    assert len(found["texts"]["response"]) == EXCERPT_CHARS


def test_tools_and_calls_of_an_existing_row_count(tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", {"messages": TURNS, "tools": [{"name": "f"}]})
    assert scored(tmp_path, "a.jsonl")["match"] is None
    lines(tmp_path / "b.jsonl", {"messages": TURNS, "images": ["cat.png"]})
    assert scored(tmp_path, "b.jsonl")["match"] is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": 1}\n', "'a.jsonl', row 1: it has the columns a. Expected 'messages' or"),
        ("[1]\n", "'a.jsonl', line 1 is no object"),
        ("{\n", "'a.jsonl', line 1 is no JSON"),
        ('{"messages": [3]}\n', "'a.jsonl', row 1: a turn is no object"),
        ('{"messages": []}\n', "'a.jsonl', row 1: it has no turn"),
        ('{"messages": [{"content": 3}]}\n', "'a.jsonl', row 1: the content of a turn is no text"),
        ('{"messages": [{"content": ["{"]}]}\n', "'a.jsonl', row 1: a part of a turn is no text"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "a.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        scored(tmp_path, "a.jsonl")
    assert told in str(error.value)
    (tmp_path / "b.parquet").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"'b\.parquet' cannot be read"):
        scored(tmp_path, "b.parquet")


def test_an_empty_dataset_is_like_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("\n", encoding="utf-8")
    assert scored(tmp_path, "a.jsonl")["match"] is None


def recipe(name: str, data: str, **fields: Any) -> Any:
    stage = {"kind": "near_duplicates", "ngram": 2, **fields}
    inputs = [{"path": data, "source": "made"}]
    return parse_recipe({"name": name, "inputs": inputs, "stages": [stage]}, "recipe")


def test_new_rows_against_the_set_of_last_month(tmp_path: Path) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    old = [pair(id="old"), {"messages": TURNS, "tools": tools, "id": "agent"}]
    lines(tmp_path / "old.jsonl", *old)
    new = [
        pair(id="same"),
        pair(answer=f"{SAID} eleven", id="near"),
        pair(answer="Nobody can.", id="else"),
        pair(answer="Nobody  can!", id="twin"),
        {"messages": TURNS, "tools": tools, "id": "by_agent"},
    ]
    lines(tmp_path / "new.jsonl", *new)
    first = run(recipe("old", "old.jsonl"), tmp_path, tmp_path / "runs")
    curated = str((first.folder / "curated").relative_to(tmp_path))

    def ran(threshold: float, action: str = "drop") -> Any:
        made = recipe("new", "new.jsonl", against=[curated], threshold=threshold, action=action)
        return run(made, tmp_path, tmp_path / "runs")

    done = ran(0.8)
    table = pq.read_table(done.folder / "decisions.parquet")
    assert "earlier_duplicates.texts" not in table.column_names
    rows = {row["id"]: row for row in table.to_pylist()}
    (file,) = earlier_files(tmp_path, curated)
    known = "near_duplicate_of_existing"
    assert {name: (r["reason"], r["match"], r["similarity"]) for name, r in rows.items()} == {
        "same": (known, f"{file.name}#old", 1.0),
        "near": (known, f"{file.name}#old", 0.9),
        "else": ("represents", None, None),
        "twin": ("near_duplicate", "else", 1.0),
        "by_agent": (known, f"{file.name}#agent", 1.0),
    }
    figures = done.stages[0].diagnosis
    assert figures["rows_like_existing_ones"] == 3
    assert figures["existing_by_similarity"] == {"0.90": 1, "1.00": 2}
    assert (figures["clusters"], figures["duplicates_by_similarity"]) == (1, {"1.00": 1})
    page = report_page(RunRecord(done.folder))
    shown = page.split(f"matched with <code>{file.name}#old</code>, similarity 0.9")[1]
    assert f"<pre>{SAID}</pre>" in shown.split("</div>")[0]
    assert "<b>to</b>" not in page
    other = ran(0.95)
    assert [(stage.scored, stage.kept) for stage in other.stages] == [(0, 2)]
    reported = ran(0.8, "report")
    assert [(stage.scored, stage.kept) for stage in reported.stages] == [(0, 5)]
    assert known in report_page(RunRecord(reported.folder)).split("kept and reported")[1]


def test_rows_of_a_folder_bear_the_names_of_their_files(tmp_path: Path) -> None:
    folder = tmp_path / "set" / "data"
    folder.mkdir(parents=True)
    for number in (1, 2):
        pq.write_table(pa.Table.from_pylist([pair()]), folder / f"part-{number}.parquet")
    files = earlier_files(tmp_path, "set")
    names = [name for file in files for t in read_earlier(file) for name in t["name"].to_pylist()]
    assert names == ["set/part-1.parquet#1", "set/part-2.parquet#1"]

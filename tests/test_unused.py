"""Columns that a prompt may need and does not hold are named, and no others."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from records import A, U
from rich.console import Console

from siftline.pipelines.ingestion.ingest import ingest
from siftline.pipelines.ingestion.inputs import Input
from siftline.pipelines.planning import plan
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import run
from siftline.plan_display import plan_tables
from siftline.reports.write import write_reports
from siftline.result_display import print_result

PASSAGE = "The bridge of {} was built long ago by a company of the town."


def warnings(folder: Path, rows: list[dict[str, Any]], **item: Any) -> list[str]:
    (folder / "d.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    read = ingest(
        [Input(path="d.jsonl", source="s", **item)],
        folder,
        folder / "out",
        max_bad_rows=0,
        max_row_bytes=1 << 20,
        shard_rows=1000,
    )
    return list(read.sources["s"].warnings)


def rows(count: int = 20, **columns: Any) -> list[dict[str, Any]]:
    """Rows of a question each; a column may be a text with a place for the number, or a list."""
    return [
        {"question": f"Who built number {n}?", "answer": f"Company {n}."}
        | {k: v.format(n) if isinstance(v, str) else v for k, v in columns.items()}
        for n in range(count)
    ]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()


def test_a_passage_that_no_prompt_holds_is_named_with_its_rows(tmp_path: Path) -> None:
    data = [*rows(), *rows(10, hint=PASSAGE)]
    assert warnings(tmp_path, data) == [
        "'hint' (10 of 30 rows) is not part of the prompt; columns: {input: hint} would add it"
    ]


def test_inputs_of_one_source_are_counted_apart(tmp_path: Path) -> None:
    for name, data in (("a", rows()), ("b", rows(10, hint=PASSAGE))):
        lines = "\n".join(map(json.dumps, data))
        (tmp_path / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    inputs = [Input(path=f"{name}.jsonl", source="s") for name in ("a", "b")]
    read = ingest(
        inputs,
        tmp_path,
        tmp_path / "out",
        max_bad_rows=0,
        max_row_bytes=1 << 20,
        shard_rows=1000,
    )
    (said,) = read.sources["s"].warnings
    assert said.startswith("'hint' (10 of 10 rows) is not part of the prompt")


def test_the_remedy_removes_the_warning(tmp_path: Path) -> None:
    assert warnings(tmp_path, rows(hint=PASSAGE), columns={"input": "hint"}) == []


def test_turns_are_offered_a_system_turn(tmp_path: Path) -> None:
    turns = [{"role": U, "content": "q"}, {"role": A, "content": "a"}]
    data = [{"messages": turns, "guide": PASSAGE.format(n)} for n in range(5)]
    said = "'guide' (5 of 5 rows) is not part of the conversation; columns: {system: guide}"
    assert warnings(tmp_path, data) == [f"{said} would add it"]


def test_a_passage_beside_another_would_take_its_place(tmp_path: Path) -> None:
    data = [
        {"instruction": "q", "input": "x", "output": "a", "hint": PASSAGE.format(n)}
        for n in range(5)
    ]
    (said,) = warnings(tmp_path, data)
    assert said.endswith("columns: {input: hint} would put it in the place of the passage that is")


def test_a_name_is_written_as_a_recipe_can_hold_it(tmp_path: Path) -> None:
    data = [row | {'the "hint": x': PASSAGE.format(n)} for n, row in enumerate(rows())]
    (said,) = warnings(tmp_path, data)
    assert r'columns: {input: "the \"hint\": x"} would' in said


@pytest.mark.parametrize(
    "columns",
    [
        {"kind": "closed question answering"},
        {"topic": PASSAGE},
        {"source": PASSAGE},
        {"link": "https://example.org/a/{}"},
        {"key": "row-{}"},
        {"title": "Bridge {}"},
        {"notice": "All of this is free to use"},
        {"explanation": PASSAGE},
        {"reference_answer": PASSAGE},
        {"model_output": PASSAGE},
        {"rendered": "Question: Who built number {0}? Answer: Company {0}. The end."},
        {"prompt_again": "Who built number {}?"},
        {"text": "### Instruction:\nWho built number {0}?\n\n### Response:\nCompany {0}."},
        {"prompt": "Below is a question. Answer it well.\n\nWho built number {}?"},
        {"numbers": [1, 2]},
        {"note": ""},
    ],
)
def test_no_other_column_is_named(tmp_path: Path, columns: dict[str, Any]) -> None:
    assert warnings(tmp_path, rows(**columns)) == []


def test_a_column_of_a_few_rows_in_many_is_not_named(tmp_path: Path) -> None:
    assert warnings(tmp_path, [*rows(300), *rows(2, hint=PASSAGE)]) == []


def test_plan_run_and_page_tell_it(tmp_path: Path) -> None:
    data = "\n".join(map(json.dumps, rows(hint=PASSAGE)))
    (tmp_path / "d.jsonl").write_text(data, encoding="utf-8")
    recipe = {"name": "n", "inputs": [{"path": "d.jsonl", "source": "s"}], "stages": []}
    parsed = parse_recipe(recipe, "recipe")
    out = Console(width=200, record=True, file=io.StringIO())
    for line in plan_tables(plan(parsed, tmp_path, tmp_path / "runs")):
        out.print(line)
    planned = out.export_text()
    result = run(parsed, tmp_path, tmp_path / "runs")
    write_reports(result.folder)
    print_result(result, out)
    page = (result.folder / "report.html").read_text(encoding="utf-8")
    said = "(20 of 20 rows) is not part of the prompt; columns: {input: hint} would add it"
    for text in (planned, out.export_text(), page):
        assert said in text

"""What a run says on a narrow terminal and on its page: names whole, every row accounted for."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.record import RunRecord
from siftline.pipelines.run import RunResult, run
from siftline.reports.page import report_page
from siftline.result_display import print_result

CALL = {"id": "1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
CUT = [
    {"role": "user", "content": "What time is it?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "user", "content": "Well?"},
    {"role": "assistant", "content": "Nine."},
]


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    folder = tmp_path_factory.mktemp("run")
    rows = [{"messages": CUT}, {"prompt": "Greet.", "responses": ["Hello.", "Good day.", "```\na"]}]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "d.jsonl").write_text(text, encoding="utf-8")
    recipe = {
        "name": "r",
        "inputs": [{"path": "d.jsonl", "source": "s"}],
        "stages": [{"kind": "structure", "call_without_result": "drop"}],
    }
    return run(parse_recipe(recipe, "recipe"), folder, folder / "runs")


def printed(result: RunResult, width: int) -> str:
    out = Console(width=width, record=True, file=io.StringIO())
    print_result(result, out)
    return out.export_text()


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_reason_is_cut(result: RunResult, width: int) -> None:
    text = printed(result, width)
    assert "…" not in text
    lines = text.splitlines()
    (head,) = (line for line in lines if "dropped" in line)
    cells = (line[head.index("dropped") : head.index("seconds")].strip() for line in lines)
    assert "call_without_result" in "".join(cells)


def test_rows_that_are_several_examples_are_accounted_for(result: RunResult) -> None:
    assert "2 rows gave 4 examples, one for each response." in printed(result, 80)


def test_a_warning_is_one_line_as_a_log_wants_it(result: RunResult) -> None:
    (warning,) = result.stages[0].warnings
    assert f"01-structure: {warning}\n" in printed(result, 80)


def test_the_page_spells_names_of_the_data_as_they_are(result: RunResult) -> None:
    page = report_page(RunRecord(result.folder))
    assert "<th>rows by fault</th>" in page
    assert "<th>open_code_fence</th>" in page


def test_what_was_masked_is_told_and_no_control_reaches_the_page(tmp_path: Path) -> None:
    rows = [
        {"prompt": "Write to ann.lee@mail.org.", "response": "Done."},
        {"prompt": "Tab\there, \u001b[31mred\u0007.", "response": "As an AI language model, no."},
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "d.jsonl").write_text(text, encoding="utf-8")
    recipe = {
        "name": "r",
        "inputs": [{"path": "d.jsonl", "source": "s"}],
        "stages": [{"kind": "personal_data"}, {"kind": "rules"}],
    }
    done = run(parse_recipe(recipe, "recipe"), tmp_path, tmp_path / "runs")
    assert "changed  01-personal_data: 1 of 2 rows masked.\n" in printed(done, 80)
    page = report_page(RunRecord(done.folder))
    assert "Tab\there, \\x1b[31mred\\x07." in page
    assert "\x1b" not in page

"""What the report shows of a conversation: all that is in it, and as text."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from agent_rows import OPENAI, TOOLS, assistant, call, example, result, user

from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.record import RunRecord
from siftline.pipelines.run import RunResult, run
from siftline.reports.conversation import attached, prompt_text, response_text
from siftline.reports.page import report_page

ATTACK = "</pre><script>alert(1)</script>"


def texts(record: dict[str, Any]) -> tuple[str, str, list[str]]:
    row = example(record)
    turns, media = row["messages"], row["media"]
    return prompt_text(turns, media), response_text(turns, media), attached(row["tools"], media)


def test_thoughts_calls_and_tools_are_shown() -> None:
    prompt, response, along = texts(OPENAI["reasons_and_calls"])
    assert prompt == "user: Should I take a coat in Oslo?"
    assert response == (
        '[thought] That depends on the weather there.\n[call] weather {"town": "Oslo"}'
    )
    assert along == ["offers weather, clock"]


def test_who_speaks() -> None:
    assert texts(OPENAI["results_by_name"])[0] == (
        'user: How late is it in Rome?\nassistant: [call] clock {"zone": "CET"}\n'
        "tool (clock): 09:30"
    )
    assert texts(OPENAI["weighted"])[0].splitlines()[1] == "assistant, not trained on: Cat."


def test_media_are_named_and_not_printed() -> None:
    prompt, response, along = texts(OPENAI["image_parts"])
    assert prompt == "user: [image_url]\nWhat is in this picture?"
    assert (response, along) == ("One dark pixel.", [])
    assert texts(OPENAI["image_column"])[2] == ["with images"]


def test_a_turn_of_nothing_and_many_tools() -> None:
    tools = [{"name": f"t{n}"} for n in range(10)]
    row = {"messages": [user("Hi"), assistant("")], "tools": tools}
    assert texts(row)[1:] == (
        "[nothing]",
        ["offers t0, t1, t2, t3, t4, t5, t6, t7 and 2 more"],
    )


def ran(folder: Path, stages: Any, *records: dict[str, Any]) -> RunResult:
    text = "".join(json.dumps(row) + "\n" for row in records)
    (folder / "data.jsonl").write_text(text, encoding="utf-8")
    recipe = {
        "name": "r",
        "inputs": [{"path": "data.jsonl", "source": "agents"}],
        "stages": stages,
    }
    return run(parse_recipe(recipe, "recipe"), folder, folder / "runs")


def attacked() -> dict[str, Any]:
    tools = [*TOOLS, {"type": "function", "function": {"name": ATTACK}}]
    calls = [call(ATTACK, {"town": ATTACK}, 1), call("watch", {}, 2)]
    turns = [assistant(ATTACK, *calls), result(ATTACK, 1), result("no", 2), assistant(ATTACK)]
    return {"messages": [user(f"{ATTACK}?"), *turns], "tools": tools}


def test_rows_that_are_kept_with_a_fault_are_shown_as_text(tmp_path: Path) -> None:
    stages = ({"kind": "structure"}, {"kind": "rules"})
    done = ran(tmp_path, stages, OPENAI["plain"], attacked())
    page = report_page(RunRecord(done.folder))
    assert "statistics.response_chars" not in page.split("<h2>02-rules")[0]  # a later score
    assert "Examples of what was kept and reported" in page
    assert "[call] watch {}" in page
    assert "structure.unknown_tool turn 2: watch" in page
    assert "rows have a fault and are kept: unknown_tool 1" in page
    assert "<script" not in page
    assert "Examples of what was dropped" not in page


def test_where_a_fault_is_stands_in_the_decisions(tmp_path: Path) -> None:
    stages = ({"kind": "structure", "unknown_tool": "drop"},)
    done = ran(tmp_path, stages, OPENAI["plain"], attacked())
    rows = pq.read_table(done.folder / "decisions.parquet").to_pylist()
    found = [(row["reason"], row["structure.unknown_tool"]) for row in rows]
    assert found == [("kept", None), ("unknown_tool", "turn 2: watch")]
    page = report_page(RunRecord(done.folder))
    assert "Examples of what was dropped" in page
    assert "kept and reported" not in page

"""The rows that other tests are about, each of another content and with what it is named for."""

import json
from pathlib import Path

import pyarrow.parquet as pq
from agent_rows import OPENAI, agent_table, altered, example

from siftline.contracts.examples import calls_of, tools_of
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import run


def test_each_row_is_another_and_has_what_its_name_says() -> None:
    table = agent_table()
    assert len(set(table["content_hash"].to_pylist())) == len(table) == len(OPENAI)
    rows = {row["id"]: row for row in table.to_pylist()}
    called = calls_of(rows["null_argument"]["messages"][-1])
    assert called[0]["function"]["arguments"] == {"town": "Lima", "unit": None}
    assert tools_of(rows["null_argument"]["tools"])[0]["function"]["name"] == "weather"
    assert rows["reasons"]["messages"][-1]["reasoning"].startswith("Ten times six")
    assert [turn["weight"] for turn in rows["weighted"]["messages"]] == [None, 0, None, 1]
    assert [row["id"] for row in rows.values() if row["media"]] == ["image_parts", "image_column"]


def test_a_text_that_is_no_object_stays_a_text() -> None:
    def damage(record: dict[str, object]) -> None:
        record["messages"][-1]["tool_calls"][0]["function"]["arguments"] = "{'town'"  # type: ignore[index]

    turn = example(altered("ends_in_call", damage))["messages"][-1]
    assert calls_of(turn)[0]["function"]["arguments"] == "{'town'"


def test_they_are_what_ingestion_makes_of_a_file(tmp_path: Path) -> None:
    text = "".join(json.dumps({"id": name, **row}) + "\n" for name, row in OPENAI.items())
    (tmp_path / "agents.jsonl").write_text(text, encoding="utf-8")
    recipe = {"name": "r", "inputs": [{"path": "agents.jsonl"}], "stages": [{"kind": "structure"}]}
    done = run(parse_recipe(recipe, "recipe"), tmp_path, tmp_path / "runs")
    read = pq.read_table(done.folder / "00-ingest" / "examples").to_pylist()
    for row, made in zip(read, agent_table().to_pylist(), strict=True):
        for column in ("id", "messages", "content_hash", "prompt_id"):
            assert row[column] == made[column], row["id"]
        for column in ("tools", "media"):
            assert json.loads(row[column] or "null") == json.loads(made[column] or "null")

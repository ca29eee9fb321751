"""Rows whose response calls a tool: the call is the response, and is scored as one."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from agent_rows import agent_table
from conversations import CALL, rows_of

from siftline.contracts.corpus import EXAMPLES
from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.runtime import Runtime
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import run
from siftline.scorers.likelihood import Likelihood
from siftline.scorers.text_statistics import ResponseStatistics
from siftline.scorers.token_counts import TokenCounts
from siftline.scorers.turns import TurnLikelihood

RUNTIME = Runtime(models={"m": ModelSpec(name="builtin:toy")}, device="cpu")
CALLED = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'


@pytest.mark.parametrize("kind", [Likelihood, TurnLikelihood])
@pytest.mark.parametrize("text", ["", "I look it up."])
def test_a_call_is_scored_as_the_text_that_it_is(kind: Any, text: str) -> None:
    written = f"{text}\n{CALLED}" if text else CALLED
    rows = rows_of(text, written, calls=[0])
    called, said = kind(model="m").score(rows, RUNTIME).table.to_pylist()
    assert called["status"] == "ok"
    assert called["sum_logprob"] == said["sum_logprob"] < 0


@pytest.mark.parametrize("text", ["", "I look it up."])
def test_a_call_counts_where_texts_are_counted(text: str) -> None:
    written = f"{text}\n{CALLED}" if text else CALLED
    rows = rows_of(text, written, calls=[0])
    for scorer in (TokenCounts(model="m"), ResponseStatistics()):
        called, said = scorer.score(rows, RUNTIME).table.drop_columns("content_hash").to_pylist()
        assert called == said


def test_turns_of_weight_0_have_no_part_in_the_score_of_a_row() -> None:
    rows = agent_table(["weighted"])
    (row,) = TurnLikelihood(model="m").score(rows, RUNTIME).table.to_pylist()
    first, second = row["turn_sum_logprob"]
    assert first < 0
    assert row["sum_logprob"] == second
    assert row["scored_tokens"] == row["turn_scored_tokens"][1]


def test_a_row_none_of_whose_turns_is_learned_has_a_status() -> None:
    rows = agent_table(["weighted"]).to_pylist()
    for turn in rows[0]["messages"]:
        turn["weight"] = 0.0
    table = pa.Table.from_pylist(rows, schema=EXAMPLES)
    (row,) = TurnLikelihood(model="m").score(table, RUNTIME).table.to_pylist()
    assert (row["status"], row["sum_logprob"]) == ("not_learned", None)
    assert row["turn_status"] == ["ok", "ok"]


def test_a_response_of_weight_0_is_not_scored_as_if_it_were_learned() -> None:
    rows = agent_table(["weighted", "weighted"]).to_pylist()
    rows[0]["messages"][-1]["weight"] = 0.0
    rows[0]["messages"][1]["weight"] = 1.0  # what is learned is no response
    found = Likelihood(model="m").score(pa.Table.from_pylist(rows, schema=EXAMPLES), RUNTIME)
    assert found.table["status"].to_pylist() == ["not_learned", "ok"]
    assert found.table["sum_logprob"][0].as_py() is None


def test_what_is_not_text_alone_has_a_status() -> None:
    names = ("image_parts", "image_column", "plain")
    for scorer in (Likelihood(model="m"), TurnLikelihood(model="m"), TokenCounts(model="m")):
        found = scorer.score(agent_table(names), RUNTIME).table["status"].to_pylist()
        assert found == ["not_text_only", "not_text_only", "ok"]


def test_a_run_chooses_among_calls_as_among_texts(tmp_path: Path) -> None:
    turns = [("Weather in Rome?", None), ("Weather in Oslo?", ""), ("Weather in Rome?", "Unknown.")]
    rows = [
        {
            "messages": [
                {"role": "user", "content": question},
                {"role": "assistant", "content": text, **({} if text else {"tool_calls": [CALL]})},
            ]
        }
        for question, text in turns
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "data.jsonl").write_text(lines, encoding="utf-8")
    kinds = ({"kind": "rules"}, {"kind": "exact_duplicates"}, {"kind": "grape", "model": "t"})
    recipe = {
        "name": "calls",
        "inputs": [{"path": "data.jsonl", "source": "s"}],
        "models": {"t": {"name": "builtin:toy"}},
        "stages": kinds,
    }
    result = run(parse_recipe(recipe, "recipe"), tmp_path, tmp_path / "runs")
    assert [stage.kept for stage in result.stages] == [3, 3, 2]
    decided = pq.read_table(result.folder / "decisions.parquet").to_pylist()
    assert [row["likelihood.status"] for row in decided] == ["ok"] * 3
    reasons = [row["reason"] for row in decided]
    assert sorted([reasons[0], reasons[2]]) == ["less_likely", "likeliest"]
    assert reasons[1] == "no_choice"

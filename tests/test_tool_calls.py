"""Rows whose response calls a tool: it is not empty, and no method drops it for that."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from conversations import CALL, rows_of

from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.runtime import Runtime
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import run
from siftline.scorers.likelihood import Likelihood
from siftline.scorers.turns import TurnLikelihood


@pytest.mark.parametrize("kind", [Likelihood, TurnLikelihood])
@pytest.mark.parametrize("text", ["", "I look it up."])
def test_a_call_has_a_status_whatever_is_said_beside_it(kind: Any, text: str) -> None:
    runtime = Runtime(models={"m": ModelSpec(name="builtin:toy")}, device="cpu")
    called, said = kind(model="m").score(rows_of(text, "4", calls=[0]), runtime).table.to_pylist()
    assert (called["status"], called["sum_logprob"]) == ("tool_calls", None)
    assert said["status"] == "ok"


def test_a_run_keeps_rows_that_end_in_a_tool_call(tmp_path: Path) -> None:
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
    assert [stage.kept for stage in result.stages] == [3, 3, 3]
    decided = pq.read_table(result.folder / "decisions.parquet").to_pylist()
    assert [row["likelihood.status"] for row in decided] == ["tool_calls", "tool_calls", "ok"]
    assert [row["reason"] for row in decided][:2] == ["unscored", "unscored"]

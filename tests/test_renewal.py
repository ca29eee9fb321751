"""Scores of a response that was replaced count for nothing until they are measured again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpora import corpus_of, likelihood
from scripted import said, stand_in, texts

from siftline.contracts.errors import RecipeError
from siftline.contracts.parquet import write_table
from siftline.contracts.revisions import REVISIONS
from siftline.contracts.runtime import Runtime, Usage
from siftline.models.generation import Generations
from siftline.models.toy import ToyLanguageModel
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import RunResult, run

COUNT = 8


class Answering(ToyLanguageModel):
    """The toy, which has another answer to every second question that says the same."""

    def generate(self, prompts: Any, sampling: Any, **options: Any) -> Generations:
        options["on_batch"](len(prompts), 0)
        rows: list[Any] = []
        for turns in prompts:
            number = int(texts([turns])[0].split("?")[0].split()[-1])
            wrong = number % 2 == 0 or "own words" in texts([turns])[0]
            rows.append(said("It is 999." if wrong else f"I am sure that it is {number}."))
        return Generations(rows, Usage(1, len(prompts)))


def recipe(*stages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "name": "renewed",
        "inputs": [{"path": "data.jsonl", "source": "s"}],
        "models": {"m": {"name": "builtin:toy"}},
        "stages": list(stages),
        **fields,
    }


GRAPE = {"kind": "grape", "model": "m"}
S3FT = {"kind": "s3ft", "model": "m", "judge": {"kind": "numeric"}, "template": "plain"}
DEITA = {"kind": "deita", "model": "m", "score": "likelihood.mean_logprob", "threshold": 1.0}
CORRECTED = COUNT // 2


@pytest.fixture(autouse=True)
def answering(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = parse_recipe(recipe(), "r").models["m"]
    stand_in(monkeypatch, spec, Answering())


def go(folder: Path, data: dict[str, Any], runs: str = "runs") -> RunResult:
    rows = [{"prompt": f"How much is {n}?", "completion": f"It is {n}."} for n in range(COUNT)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "data.jsonl").write_text(text, encoding="utf-8")
    runtime = Runtime(device="cpu", shard_rows=3)
    return run(parse_recipe(data, "recipe"), folder, folder / runs, runtime)


def decisions(result: RunResult) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(result.folder / "decisions.parquet").to_pylist()
    return found


def test_a_revision_makes_scores_of_what_it_changes_null(tmp_path: Path) -> None:
    corpus = corpus_of("abc", tables={"likelihood": likelihood([-1.0, -2.0, -3.0])})
    corpus = corpus.with_scores("clusters", pa.table({"number": [1, 2, 3]}), "prompt_id")
    rows = [
        {"id": "r1", "prompt_id": "b", "content_hash": "n", "change": "correct", "masked": False},
        {"id": "r2", "prompt_id": "d", "content_hash": "m", "change": "mask", "masked": True},
    ]
    write_table(pa.Table.from_pylist(rows, schema=REVISIONS), tmp_path / "part-00000.parquet")
    revised = corpus.with_revisions(tmp_path)
    assert revised.column("likelihood.sum_logprob").to_pylist() == [-10, None, None]
    assert revised.column("likelihood.status").to_pylist() == ["ok", None, None]
    assert revised.column("clusters.number").to_pylist() == [1, 2, None]
    assert revised.rows["content_hash"].to_pylist() == ["r0", "n", "m"]


def test_the_new_response_is_measured_by_the_scorer_of_the_old_one(tmp_path: Path) -> None:
    result = go(tmp_path, recipe(GRAPE, S3FT, {**DEITA, "budget": "100%"}))
    rows = decisions(result)
    assert sum(row["decision"] == "correct" for row in rows) == CORRECTED
    # What is shown, and what deita has ranked by, is what grape would say of the new responses.
    again = decisions(go(tmp_path, recipe(S3FT, GRAPE), runs="others"))
    totals = [row["likelihood.sum_logprob"] for row in rows]
    assert totals == pytest.approx([row["likelihood.sum_logprob"] for row in again])
    verdicts = pq.read_table(result.folder / "03-deita" / "verdicts.parquet").to_pylist()
    tokens = [row["likelihood.scored_tokens"] for row in rows]
    means = np.round(np.array(totals) / np.array(tokens), 3)
    assert [row["gain"] for row in verdicts] == pytest.approx(means)
    assert {row["reason"] for row in verdicts} == {"selected"}
    assert result.stages[2].statuses["likelihood"] == {"ok": CORRECTED}


def test_decisions_say_whose_score_they_show(tmp_path: Path) -> None:
    renewed = decisions(go(tmp_path, recipe(GRAPE, S3FT, {**DEITA, "budget": 3})))
    new = [["likelihood", "statistics"] if n % 2 else None for n in range(COUNT)]
    assert [row["scores_of_revision"] for row in renewed] == new
    stale = decisions(go(tmp_path, recipe(GRAPE, S3FT), runs="two"))
    assert [row["scores_of_revision"] for row in stale] == [None, []] * (COUNT // 2)
    assert None not in [row["likelihood.sum_logprob"] for row in stale]  # as it was decided by


def test_a_run_that_goes_on_measures_the_same(tmp_path: Path) -> None:
    data = recipe(GRAPE, S3FT, {**DEITA, "budget": 3}, {**DEITA, "budget": 2})
    whole = go(tmp_path, data)
    other = go(tmp_path, data, runs="again")
    for name in ("report.json", "decisions.parquet", "04-deita/manifest.json"):
        (other.folder / name).unlink()
    assert decisions(go(tmp_path, data, runs="again")) == decisions(whole)
    kept = pq.read_table(whole.folder / "04-deita" / "verdicts.parquet")
    assert kept["gain"].null_count == 0


def test_the_order_of_the_dataset_is_that_of_the_new_responses(tmp_path: Path) -> None:
    output = {"order_by": "likelihood.mean_logprob", "descending": True}
    found = go(tmp_path, recipe(GRAPE, S3FT, output=output))
    expected = go(tmp_path, recipe(S3FT, GRAPE, output=output), runs="others")
    ids = [
        [
            row["id"]
            for path in sorted((each.folder / "curated" / "data").glob("*.parquet"))
            for row in pq.read_table(path).to_pylist()
        ]
        for each in (found, expected)
    ]
    assert ids[0] == ids[1]
    scored = found.scored - sum(stage.scored for stage in found.stages)
    calls = found.model_calls - sum(stage.model_calls for stage in found.stages)
    assert scored == CORRECTED
    assert calls > 0


@pytest.mark.parametrize(
    ("stages", "output", "field"),
    [
        ([{"kind": "rules"}, {**DEITA, "budget": 1}], {}, r"stages\[1\]: deita.score"),
        ([{"kind": "rules"}], {"order_by": "likelihood.mean_logprob"}, "output.order_by"),
        ([{"kind": "mix", "prefer": "likelihod.x"}, GRAPE], {}, r"stages\[0\]: mix.prefer"),
    ],
)
def test_a_score_that_no_stage_measures_is_refused_at_once(
    stages: Any, output: dict[str, str], field: str
) -> None:
    with pytest.raises(RecipeError, match=rf"{field}: no stage before it has the score"):
        parse_recipe(recipe(*stages, output=output), "recipe")


def test_a_column_that_is_not_there_is_refused_before_the_stage_measures(tmp_path: Path) -> None:
    stage = {**DEITA, "score": "likelihood.mean_logprop", "budget": 1}
    with pytest.raises(RecipeError, match=r"Did you mean 'likelihood\.mean_logprob'"):
        go(tmp_path, recipe(GRAPE, stage))
    assert not list((tmp_path / "runs" / "cache").glob("prompt_embedding/*/part-*"))

"""Whole runs on small data, with the toy model: reuse, growth, interruption, failure."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest

from siftline.contracts.corpus import Corpus
from siftline.contracts.errors import InputError, ModelError, RecipeError, RunError
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored
from siftline.pipelines import stage as stage_module
from siftline.pipelines.job import locked
from siftline.pipelines.recipe import Recipe, parse_recipe
from siftline.pipelines.record import RunRecord
from siftline.pipelines.run import RunResult, run
from siftline.reports.page import report_page
from siftline.scorers.likelihood import Likelihood

STAGES: list[dict[str, Any]] = [
    {"kind": "rules"},
    {"kind": "exact_duplicates"},
    {"kind": "grape", "model": "toy"},
    {"kind": "diversity", "model": "toy", "budget": "60%", "prefer": "likelihood.mean_logprob"},
]


def rows(count: int) -> list[dict[str, str]]:
    """Prompts with two candidates each, one of them empty, and a duplicate."""
    made = []
    for n in range(count):
        question = f"How much is {n} and {n + 1}, and why is it {'odd' * (n % 5)}?"
        made.append({"instruction": question, "output": f"It is {2 * n + 1}.", "generator": "a"})
        verbose = f"Let me count: {n} and {n + 1} make {2 * n + 1}, which is odd."
        made.append({"instruction": question, "output": verbose, "generator": "b"})
    made.append({"instruction": "Say nothing, please, to nobody.", "output": " ", "generator": "a"})
    made.append(made[0])
    return made


def write(folder: Path, records: list[dict[str, str]], bad_lines: int = 0) -> None:
    lines = [json.dumps(record) for record in records] + ["{"] * bad_lines
    (folder / "data.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def recipe(**changes: Any) -> Recipe:
    data = {
        "name": "toy",
        "inputs": [{"path": "data.jsonl", "source": "made", "license": "CC0"}],
        "models": {"toy": {"name": "builtin:toy"}},
        "stages": STAGES,
    }
    return parse_recipe({**data, **changes}, "recipe.yaml")


def data_bytes(version: Path) -> dict[str, bytes]:
    """Everything that must be the same to the byte: all but manifests and reports (seconds)."""
    return {
        str(path.relative_to(version)): path.read_bytes()
        for path in sorted(version.rglob("*.parquet"))
    }


def go(folder: Path, runs: str = "runs", shard_rows: int = 16, **changes: Any) -> RunResult:
    return run(recipe(**changes), folder, folder / runs, Runtime(shard_rows=shard_rows))


def test_every_input_row_has_one_decision(tmp_path: Path) -> None:
    write(tmp_path, rows(40), bad_lines=3)
    result = go(tmp_path)
    decisions = pq.read_table(result.folder / "decisions.parquet").to_pylist()
    assert len(decisions) == 40 * 2 + 2 + 3
    by_decision = {d: [r for r in decisions if r["decision"] == d] for d in ("keep", "drop")}
    assert len(by_decision["keep"]) == result.export.rows == 24
    assert sum(row["decision"] == "quarantine" for row in decisions) == 3
    assert all(row["reason"] and row["stage"] for row in decisions)
    assert {row["reason"] for row in by_decision["drop"]} == {
        "empty_response",
        "exact_duplicate",
        "less_likely",
        "over_budget",
    }
    scored = [row for row in decisions if row["likelihood.sum_logprob"] is not None]
    assert len(scored) == 80  # what rules and duplicates dropped was never scored


def test_the_funnel_adds_up(tmp_path: Path) -> None:
    write(tmp_path, rows(30))
    result = go(tmp_path)
    assert result.stages[0].rows == result.ingest.summary.sources["made"].examples
    for before, after in zip(result.stages, result.stages[1:], strict=False):
        assert after.rows == before.kept
    for stage in result.stages:
        assert sum(stage.reasons_kept.values()) == stage.kept
        assert sum(stage.reasons_dropped.values()) == stage.rows - stage.kept
    assert result.export.rows == result.stages[-1].kept


def test_datasets_opens_what_was_curated(tmp_path: Path) -> None:
    write(tmp_path, rows(20))
    result = go(tmp_path)
    data = datasets.load_dataset(
        str(result.folder / "curated"), split="train", cache_dir=str(tmp_path / "hf")
    )
    assert len(data) == result.export.rows
    assert [turn["role"] for turn in data[0]["messages"]] == ["user", "assistant"]
    assert "tools" not in data.column_names


def test_no_stage_ingests_and_exports(tmp_path: Path) -> None:
    write(tmp_path, rows(5))
    assert go(tmp_path, stages=[]).export.rows == 12


def test_the_same_run_again_reuses_everything(tmp_path: Path) -> None:
    write(tmp_path, rows(20))
    first = go(tmp_path)
    again = go(tmp_path)
    assert (first.reused, again.reused) == (False, True)
    assert first.model_calls > 0
    assert (again.model_calls, again.scored, again.folder) == (0, 0, first.folder)
    assert (tmp_path / "runs" / "toy" / "latest").resolve() == first.folder


def test_a_changed_threshold_pays_nothing(tmp_path: Path) -> None:
    write(tmp_path, rows(20))
    go(tmp_path)
    changed = [{"kind": "rules", "max_chars": 500}, *STAGES[1:3]]
    second = go(tmp_path, stages=changed)
    assert second.version == "v0002"
    assert (second.model_calls, second.scored) == (0, 0)
    assert json.loads((second.folder / "report.json").read_text())["model_calls"] == 0


def test_ten_more_rows_cost_ten_rows(tmp_path: Path) -> None:
    write(tmp_path, rows(20))
    go(tmp_path)
    more = [{"instruction": f"New question {n}?", "output": f"Yes, {n}."} for n in range(10)]
    write(tmp_path, rows(20) + more)
    grown = go(tmp_path)
    assert grown.version == "v0002"
    by_kind = {stage.kind: stage for stage in grown.stages}
    assert by_kind["grape"].scored == 10  # the counts it needs are those of the rules
    assert by_kind["grape"].model_calls > 0
    assert grown.stages[0].scored == 2 * 10


def test_grown_data_gives_what_a_run_from_scratch_gives(tmp_path: Path) -> None:
    write(tmp_path, rows(20))
    go(tmp_path)
    write(tmp_path, rows(25))
    grown, scratch = go(tmp_path), go(tmp_path, runs="elsewhere")
    assert data_bytes(grown.folder) == data_bytes(scratch.folder)


@pytest.mark.parametrize("shard_rows", [1, 7, 1000])
def test_shards_do_not_change_what_is_kept(tmp_path: Path, shard_rows: int) -> None:
    write(tmp_path, rows(20))
    one = pq.read_table(go(tmp_path).folder / "decisions.parquet")
    other = go(tmp_path, runs="other", shard_rows=shard_rows)
    assert pq.read_table(other.folder / "decisions.parquet").equals(one)


def test_a_failing_model_stops_the_run_and_the_next_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, rows(20))
    real = Likelihood.score
    calls = []

    def fails_late(self: Likelihood, table: Any, runtime: Runtime) -> Scored:
        calls.append(len(table))
        if len(calls) == 2:
            raise ModelError("the machine is on fire")
        return real(self, table, runtime)

    with monkeypatch.context() as patch:
        patch.setattr(Likelihood, "score", fails_late)
        with pytest.raises(ModelError, match="on fire"):
            go(tmp_path)
    assert not (tmp_path / "runs" / "toy" / "latest").exists()
    resumed = go(tmp_path)
    assert resumed.version == "v0001"
    grape = resumed.stages[2]
    assert grape.rows == 40
    assert grape.scored == 40 - calls[0]
    assert data_bytes(resumed.folder) == data_bytes(go(tmp_path, runs="whole").folder)


KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
import test_run
from siftline.pipelines import stage, workers
steps = 0
real = {
    "score_work": (workers, workers.score_work),
    "write_table": (stage, stage.write_table),
    "write_manifest": (stage, stage.write_manifest),
}
def dies(name):
    def step(*args, **options):
        global steps
        steps += 1
        if steps == int(sys.argv[2]):
            os._exit(9)
        return real[name][1](*args, **options)
    return step
for name, (module, _) in real.items():
    setattr(module, name, dies(name))
test_run.go(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("step", [1, 6, 17, 24, 33])
def test_a_killed_run_continued_gives_the_same_bytes(tmp_path: Path, step: int) -> None:
    write(tmp_path, rows(20))
    here = str(Path(__file__).parent)
    arguments = [sys.executable, "-c", KILLED, str(tmp_path), str(step), here]
    killed = subprocess.run(arguments, check=False, env={**os.environ, "PYTHONPATH": here})
    assert killed.returncode == 9
    resumed = go(tmp_path)
    assert resumed.version == "v0001"
    assert data_bytes(resumed.folder) == data_bytes(go(tmp_path, runs="whole").folder)


def test_too_many_bad_rows_stop_the_run_and_stay_to_be_seen(tmp_path: Path) -> None:
    write(tmp_path, rows(10), bad_lines=8)
    with pytest.raises(InputError, match=r"8 of 30 rows \(26.7%\).*invalid_json 8") as caught:
        go(tmp_path)
    assert "row 23 of 'data.jsonl'" in str(caught.value)
    quarantine = tmp_path / "runs" / "toy" / "v0001" / "00-ingest" / "quarantine.parquet"
    assert len(pq.read_table(quarantine)) == 8
    assert go(tmp_path, max_bad_rows="30%").export.rows > 0


def test_a_stage_that_drops_all_leaves_an_empty_dataset(tmp_path: Path) -> None:
    write(tmp_path, rows(5))
    result = go(tmp_path, stages=[{"kind": "rules", "max_chars": 1}, *STAGES[1:]])
    assert result.export.rows == 0
    assert "No row is left" in report_page(RunRecord(result.folder))


def test_two_runs_at_once_are_refused(tmp_path: Path) -> None:
    write(tmp_path, rows(5))
    with locked(recipe(), tmp_path / "runs"), pytest.raises(RunError, match="Another run of 'toy'"):
        go(tmp_path)
    assert go(tmp_path).export.rows


def test_a_missing_input_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="matches no file"):
        go(tmp_path)


def test_the_report_escapes_what_the_data_says(tmp_path: Path) -> None:
    attack = "<script>alert(1)</script>"
    made = [*rows(10), {"instruction": f"Hi {attack}", "output": "", "generator": attack}]
    write(tmp_path, made)
    source = {"path": "data.jsonl", "source": "<img src=x onerror=alert(2)>"}
    result = go(tmp_path, inputs=[source])
    page = report_page(RunRecord(result.folder))
    assert "&lt;script&gt;alert(1)" in page
    assert attack not in page
    assert "<img" not in page
    assert "<img" not in (result.folder / "curated" / "README.md").read_text(encoding="utf-8")


def test_contract_violations_are_refused(tmp_path: Path) -> None:
    write(tmp_path, rows(5))
    result = go(tmp_path, stages=[{"kind": "rules"}])
    verdicts = pq.read_table(result.folder / "01-rules" / "verdicts.parquet")
    corpus = Corpus.open(result.folder / "00-ingest" / "examples")
    stage_module.check_verdicts("rules", corpus, verdicts)
    with pytest.raises(RuntimeError, match="did not judge"):
        stage_module.check_verdicts("rules", corpus, verdicts.slice(1))

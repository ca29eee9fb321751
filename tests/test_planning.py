"""Tests of `siftline plan`: what it counts, what it leaves to the run, and what it prints."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from agent_rows import OPENAI, examples
from rich.console import Console
from typer.testing import CliRunner

from siftline.cli import app
from siftline.contracts.errors import InputError, RecipeError
from siftline.contracts.runtime import Runtime
from siftline.models import loading
from siftline.pipelines import run as run_module
from siftline.pipelines.planning import Plan, plan
from siftline.pipelines.recipe import Recipe, parse_recipe
from siftline.pipelines.run import RunResult, run
from siftline.plan_display import plan_tables

MIX: dict[str, Any] = {
    "kind": "mix",
    "model": "toy",
    "budget": 10,
    "weights": {"small": 0.5},
    "prefer": "likelihood.mean_logprob",
}
STAGES: list[dict[str, Any]] = [
    {"kind": "rules"},
    {"kind": "grape", "model": "toy"},
    {"kind": "random", "budget": "50%", "unit": "prompt"},
    MIX,
    {"kind": "dmt", "specialised": ["small"], "fraction": "1/2"},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two inputs: 4 rows of one task, and 12 rows of 6 prompts and two tasks; one row is bad."""
    small = [{"question": f"Small {n}?", "answer": "yes yes", "task": "t"} for n in range(4)]
    large = [
        {"question": f"Large {n // 2}?", "answer": "no" * (1 + n), "task": ["u", None][n % 2]}
        for n in range(12)
    ]
    for name, rows, more in (("small", small, ""), ("large", large, "{\n")):
        text = "".join(json.dumps(row) + "\n" for row in rows) + more
        (tmp_path / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return tmp_path


def recipe(**changes: Any) -> Recipe:
    data = {
        "name": "p",
        "max_bad_rows": "50%",
        "inputs": [{"path": "small.jsonl"}, {"path": "large.jsonl"}],
        "models": {"toy": {"name": "builtin:toy"}},
        "stages": STAGES,
    }
    return parse_recipe({**data, **changes}, "r.yaml")


def planned(folder: Path, **changes: Any) -> Plan:
    return plan(recipe(**changes), folder, folder / "runs", Runtime(shard_rows=5))


def done(folder: Path, **changes: Any) -> RunResult:
    return run(recipe(**changes), folder, folder / "runs", Runtime(shard_rows=5))


def test_calls_are_responses_too(tmp_path: Path) -> None:
    names = ("plain", "ends_in_call")
    text = "".join(json.dumps(OPENAI[name]) + "\n" for name in names)
    (tmp_path / "agents.jsonl").write_text(text, encoding="utf-8")
    stages = [{"kind": "rules"}]
    found = planned(tmp_path, inputs=[{"path": "agents.jsonl"}], stages=stages, models={})
    call = examples(["ends_in_call"])[0]["messages"][-1]["tool_calls"]
    assert found.total.response_chars == len("Four.") + len(call)


def test_what_the_data_hold_by_source_and_task(folder: Path) -> None:
    found = planned(folder)
    groups = {(each.source, each.task): each for each in found.held}
    assert list(groups) == [("large", None), ("large", "u"), ("small", "t")]
    assert [each.rows for each in found.held] == [6, 6, 4]
    assert [each.prompts for each in found.held] == [6, 6, 4]
    assert groups["large", "u"].response_chars == 2 * (1 + 3 + 5 + 7 + 9 + 11)
    assert groups["small", "t"].response_chars == 4 * 7
    # The toy's tokens are bytes, with the space before a response.
    assert groups["small", "t"].response_tokens == {"toy": 4 * 8}
    assert (found.total.rows, found.total.prompts) == (16, 10)
    assert found.total.response_chars == 28 + 2 * sum(range(1, 13))
    assert found.quarantined == 1


def test_budgets_as_if_everything_reached_them(folder: Path) -> None:
    stages = {stage.kind: stage for stage in planned(folder).stages}
    assert (stages["random"].of, stages["random"].keeps) == (10, 5)
    assert (stages["rules"].unit, stages["rules"].budget, stages["rules"].of) == (None,) * 3
    assert stages["mix"].keeps == 10
    assert stages["mix"].after == ("01-rules", "02-grape", "03-random")
    groups = stages["mix"].figures["groups"]
    assert (groups["small"]["asked"], groups["small"]["given"]) == (5, 4)
    assert groups["large"]["from_others"] == 1
    assert "'small' by 1" in stages["mix"].figures["warnings"][0]
    assert stages["dmt"].figures["sizes"]["stage1"]["rows"] == 4
    assert stages["dmt"].figures["sizes"]["stage2"]["rows"] == 12 + 2


def test_tokens_of_a_mixture(folder: Path) -> None:
    mix = {"kind": "mix", "model": "toy", "budget": "50%", "unit": "token"}
    (stage,) = planned(folder, stages=[mix]).stages
    assert stage.of == 4 * 8 + 12 + 2 * sum(range(1, 13))
    assert stage.keeps is not None
    assert stage.of / 2 - 25 < stage.keeps <= stage.of / 2


@pytest.mark.parametrize(("unit", "of"), [("row", 12), ("prompt", 6)])
def test_the_targets_are_not_of_the_pool(folder: Path, unit: str, of: int) -> None:
    rds = {"kind": "rds_plus", "model": "toy", "targets": ["small"], "budget": "50%", "unit": unit}
    (stage,) = planned(folder, stages=[rds]).stages
    assert (stage.of, stage.keeps) == (of, of // 2)


def test_a_budget_that_only_a_run_can_tell(folder: Path) -> None:
    s2l = {"kind": "s2l", "model": "toy", "budget": "50%", "unit": "token"}
    (stage,) = planned(folder, stages=[s2l]).stages
    assert (stage.unit, stage.budget, stage.of, stage.keeps) == ("token", "50%", None, None)


def test_a_run_gives_what_was_planned_where_nothing_is_dropped_before(folder: Path) -> None:
    mix = {**MIX, "prefer": None, "max_epochs": 2}
    (stage,) = planned(folder, stages=[mix]).stages
    ran = done(folder, stages=[mix]).stages[0]
    assert {**ran.diagnosis, "warnings": list(ran.warnings)} == stage.figures


def test_the_run_goes_on_from_the_plan(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = planned(folder)
    assert not found.finished

    def refuses(*args: Any, **options: Any) -> None:
        raise AssertionError("the inputs are read again")

    monkeypatch.setattr(run_module, "ingest", refuses)
    finished = done(folder)
    assert (finished.version, finished.reused) == (found.version, False)
    assert finished.stages[3].scored == 0  # the tokens are counted
    again = planned(folder)
    assert (again.version, again.finished) == (found.version, True)
    assert done(folder).reused


def test_data_that_grows_between_plan_and_run_is_seen_whole(folder: Path) -> None:
    """Nothing of the data that was planned may be remembered by its path."""
    stages = [{"kind": "exact_duplicates"}, {"kind": "rules"}]
    assert planned(folder, stages=stages).total.rows == 16
    with (folder / "small.jsonl").open("a", encoding="utf-8") as file:
        for n in range(6):
            file.write(json.dumps({"question": f"New {n}?", "answer": "yes"}) + "\n")
    assert planned(folder, stages=stages).total.rows == 22
    result = done(folder, stages=stages)
    assert [stage.rows for stage in result.stages] == [22, 22]
    assert result.export.rows == 22


def test_no_model_is_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*args: Any, **options: Any) -> None:
        raise AssertionError("a model is loaded")

    monkeypatch.setattr(loading, "held", refuses)
    assert planned(folder).total.rows == 16


def test_plans_that_are_not_run_do_not_pile_up(folder: Path) -> None:
    assert planned(folder).version == "v0001"
    assert planned(folder, seed=1).version == "v0001"
    versions = [path.name for path in (folder / "runs" / "p").glob("v*")]
    assert versions == ["v0001"]
    finished = done(folder, seed=1)
    assert finished.version == "v0001"
    report = finished.folder / "report.json"
    before = report.read_bytes()
    assert planned(folder, seed=2).version == "v0002"
    assert planned(folder, seed=3).version == "v0002"
    assert done(folder, seed=4).version == "v0002"
    assert report.read_bytes() == before
    assert (folder / "runs" / "p" / "latest").resolve().name == "v0002"


def test_a_version_that_was_begun_is_left_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(folder)

    def dies(*args: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "export", dies)
        with pytest.raises(KeyboardInterrupt):
            done(folder)
    assert planned(folder, seed=1).version == "v0002"
    assert (folder / "runs" / "p" / "v0001" / "01-rules").is_dir()


def test_what_is_wrong_is_told_before_anything_is_run(folder: Path) -> None:
    with pytest.raises(RecipeError, match=r"mix.weights: nothing .* 'uu' was read.*'u'"):
        planned(folder, stages=[{"kind": "mix", "by": "task", "weights": {"uu": 1}}])
    with pytest.raises(RecipeError, match=r"dmt.specialised: .*'smal' was read"):
        planned(folder, stages=[{"kind": "dmt", "specialised": ["smal"]}])
    assert planned(folder).version == "v0001"  # the two that failed have left nothing


def test_what_could_not_be_read_stays_to_be_seen(folder: Path) -> None:
    with pytest.raises(InputError, match="1 of 17 rows"):
        planned(folder, max_bad_rows=0)
    assert planned(folder).version == "v0002"
    assert (folder / "runs" / "p" / "v0001" / "00-ingest" / "quarantine.parquet").exists()


def cli(folder: Path, *arguments: str) -> Any:
    text = json.dumps(recipe().model_dump(mode="json"))  # JSON is YAML
    (folder / "r.yaml").write_text(text, encoding="utf-8")
    runs = ["--runs", str(folder / "runs")]
    return CliRunner(env={"COLUMNS": "200"}).invoke(
        app, ["plan", str(folder / "r.yaml"), *runs, *arguments]
    )


def test_the_command_prints_tables_and_says_what_may_shrink(folder: Path) -> None:
    text = cli(folder).output
    for expected in (
        "p v0001, not run yet",
        "response tokens (toy)",
        "not stated",
        "in quarantine: 1.",
        "04-mix: 10 of 10 rows",
        "Short of what is asked: 'small' by 1",
        "04-mix: as if all rows reached it; 01-rules, 02-grape, 03-random may drop",
        "05-dmt: 1/2 in both splits",
        "none",
    ):
        assert expected in text, expected


def test_json_is_the_plan(folder: Path) -> None:
    found = json.loads(cli(folder, "--json").stdout)
    assert Plan.model_validate(found) == planned(folder)
    stored = (folder / "runs" / "p" / "v0001" / "plan.json").read_text(encoding="utf-8")
    assert json.loads(stored) == found


def test_tables_fit_a_narrow_terminal(folder: Path) -> None:
    written = io.StringIO()
    console = Console(width=80, file=written)
    for table in plan_tables(planned(folder)):
        console.print(table)
    text = written.getvalue()
    assert "…" not in text
    for word in ("available", "epochs", "random", "response tokens"):
        assert word in text

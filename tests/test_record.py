"""The record of a run: what its readers see of it, and how often they open its shards."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from scripted import Scripted, said, stand_in

from siftline.contracts import parquet
from siftline.contracts.errors import RunError
from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.runtime import Runtime
from siftline.pipelines import run as run_module
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.record import RunRecord
from siftline.pipelines.run import RunResult, run
from siftline.reports.write import write_reports

STAGES: list[dict[str, Any]] = [
    {"kind": "rules", "max_chars": 40},
    {"kind": "exact_duplicates"},
    {"kind": "grape", "model": "toy"},
    {"kind": "semantic_duplicates", "model": "toy", "threshold": 0.99},
    {"kind": "diversity", "model": "toy", "budget": "60%"},
    {"kind": "random", "budget": "50%"},
]


ROWS = [
    {"prompt": f"How much is {n // 2} and {n % 7}?", "completion": "It is that. " * (1 + n % 4)}
    for n in range(60)
]


def curate(
    folder: Path, stages: list[dict[str, Any]], rows: list[dict[str, str]] = ROWS
) -> RunResult:
    text = "".join(json.dumps(row) + "\n" for row in rows) + "{\n"
    (folder / "data.jsonl").write_text(text, encoding="utf-8")
    recipe = {
        "name": "record",
        "inputs": [{"path": "data.jsonl", "source": "made"}],
        "models": {"toy": {"name": "builtin:toy"}},
        "stages": stages,
    }
    return run(parse_recipe(recipe, "r"), folder, folder / "runs", Runtime(shard_rows=10))


def test_it_holds_what_the_run_has_left(tmp_path: Path) -> None:
    result = curate(tmp_path, STAGES)
    record = RunRecord(result.folder)
    assert record.summary.stages == result.stages
    assert len(record.decisions) == 61
    assert [stage.manifest.kind for stage in record.stages] == [each["kind"] for each in STAGES]
    assert {name.partition(".")[0] for name in record.stages[0].scores} == {"statistics", "phrases"}
    assert [row["reason"] for row in record.quarantined(5)] == ["invalid_json"]
    ids = record.stages[0].verdicts["id"].to_pylist()
    rows = record.examples({0: [ids[0], ids[59]], 3: [ids[33], ids[0]]})
    assert list(rows[0]) == [ids[0], ids[59]]
    assert rows[0][ids[59]]["row"] == 60
    assert rows[3][ids[33]]["messages"][0]["content"] == "How much is 16 and 5?"


def test_what_a_row_was_dropped_for_stays_to_be_seen(tmp_path: Path) -> None:
    """A later stage that measures the same table on fewer rows leaves the others their scores."""
    longest = {"kind": "longest", "budget": "50%"}
    stages: list[dict[str, Any]] = [{"kind": "rules", "max_chars": 40}, longest]
    record = RunRecord(curate(tmp_path, stages).folder)
    dropped = [row for row in record.decisions.to_pylist() if row["reason"] == "too_long"]
    assert len(dropped) == 15
    assert {row["statistics.response_chars"] for row in dropped} == {47}
    chars = record.stages[0].scores["statistics.response_chars"].to_pylist()
    assert sorted(set(chars)) == [11, 23, 35, 47]
    assert record.stages[1].scores["statistics.response_chars"].null_count == 0


def test_a_stage_sees_the_responses_of_those_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = ModelSpec(name="builtin:toy")
    script = Scripted(lambda turns: said("I say it is that. 39 it is."))
    stand_in(monkeypatch, toy, script)
    judge = {"kind": "numeric"}
    rewrites = {"kind": "s3ft", "model": "toy", "judge": judge, "template": "plain"}
    rows = [
        {"prompt": f"How long is this line, which is no. {n:02d}?", "completion": "It has 39."}
        for n in range(30)
    ]
    result = curate(tmp_path, [rewrites, {"kind": "random", "budget": 5}], rows)
    record = RunRecord(result.folder)
    ids = record.stages[0].verdicts["id"].to_pylist()
    read = record.examples({0: ids, 1: ids})
    assert len(record.stages[0].revisions) == len(ids) == 30
    new = record.revised({0: ids})[0]
    for row_id in ids:
        first, second = (read[number][row_id]["messages"][-1]["content"] for number in (0, 1))
        assert (first, second) == ("It has 39.", "I say it is that. 39 it is.")
        assert new[row_id]["messages"] == read[1][row_id]["messages"]


def test_an_unknown_id_is_named(tmp_path: Path) -> None:
    record = RunRecord(curate(tmp_path, STAGES[:1]).folder)
    with pytest.raises(KeyError, match="has the id 'nobody'"):
        record.examples({0: [record.stages[0].verdicts["id"][0].as_py(), "nobody"]})


def test_what_is_not_finished_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is no finished version: it has no report\.json"):
        RunRecord(tmp_path)
    with pytest.raises(RunError, match="no finished version"):
        write_reports(tmp_path)


def test_a_report_that_is_missing_is_written_and_one_that_is_there_is_left(tmp_path: Path) -> None:
    result = curate(tmp_path, STAGES[:1])
    page = result.folder / "report.html"
    write_reports(result.folder)
    written = page.read_bytes()
    page.write_text("mine", encoding="utf-8")
    write_reports(result.folder)
    assert page.read_text(encoding="utf-8") == "mine"
    page.unlink()
    write_reports(result.folder)
    assert page.read_bytes() == written


def test_the_end_of_a_run_opens_each_shard_a_few_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many stages there are, and however many rows of each the report shows."""
    opened: Counter[str] = Counter()
    counting = False
    checked, finish = parquet._checked, run_module.finish

    def counted(path: Path) -> Any:
        if counting and "examples" in str(path):
            opened[path.name] += 1
        return checked(path)

    def counted_finish(*args: Any) -> RunResult:
        nonlocal counting
        counting = True
        return finish(*args)

    monkeypatch.setattr(parquet, "_checked", counted)
    monkeypatch.setattr(run_module, "finish", counted_finish)
    result = curate(tmp_path, STAGES)
    write_reports(result.folder)
    # Metadata, then rows for the export; places for the decisions; lengths, texts for the report.
    assert set(opened.values()) <= {3, 4, 5}
    assert len(opened) == 6

"""Rows with a status instead of a score: the table of remedies, and the warning of a stage."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
from commands import exit_code

from siftline.contracts.errors import RunError
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.record import RunRecord
from siftline.pipelines.run import RunResult, require_rows, run
from siftline.reports.page import report_page
from siftline.reports.write import write_reports
from siftline.result_display import print_result
from siftline.scorers.remedies import REMEDIES, shortfall
from siftline.terminal import out

ROOT = Path(__file__).parent.parent
# Constants that are slugs and no statuses of a row.
OTHERS = {
    "ok",
    "toy",
    "unchanged",
    "stop",
    "length",
    "siftline_causal",
    "siftline_packed",
    "context_length_exceeded",
}


def slugs() -> set[str]:
    """Return the slugs that modules of models and scorers give names to."""
    found = set()
    for path in [*(ROOT / "models").rglob("*.py"), *(ROOT / "scorers").rglob("*.py")]:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                name, value = node.targets[0], node.value.value
                public = isinstance(name, ast.Name) and re.fullmatch(r"[A-Z][A-Z_]*", name.id)
                if public and isinstance(value, str) and re.fullmatch(r"[a-z_]+", value):
                    found.add(value)
    return found


def test_every_status_has_a_remedy() -> None:
    assert slugs() - OTHERS == set(REMEDIES)


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ({"ok": 90, "nan": 10}, None),
        ({"ok": 89, "nan": 11}, "11 of 100 rows have no score 'x' (11 nan: load the model with"),
        ({"ok": 0, "unchanged": 5}, None),
        ({"other": 5}, "see what the scorer's package"),
        ({"nan": 4, "cut": 3, "boundary": 2, "missing": 1, "unparsable": 1}, "2 more statuses)"),
        ({}, None),
    ],
)
def test_more_than_a_tenth_without_a_score_is_told(
    counts: dict[str, int], told: str | None
) -> None:
    found = shortfall("x", counts)
    assert found is None if told is None else found is not None and told in found


def recipe(folder: Path, **changes: Any) -> dict[str, Any]:
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Say {n}." * (1 if n > 2 else 1000)},
                {"role": "assistant", "content": f"It is {n}."},
            ]
        }
        for n in range(8)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "data.jsonl").write_text(text, encoding="utf-8")
    return {
        "name": "short",
        "inputs": [{"path": "data.jsonl", "source": "s"}],
        "models": {"t": {"name": "builtin:toy"}},
        "stages": [{"kind": "grape", "model": "t"}],
        **changes,
    }


def go(folder: Path, data: dict[str, Any]) -> RunResult:
    return run(parse_recipe(data, "recipe"), folder, folder / "runs")


def test_a_stage_warns_in_its_manifest_and_in_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = go(tmp_path, recipe(tmp_path))
    (stage,) = result.stages
    assert stage.statuses == {"likelihood": {"ok": 5, "prompt_too_long": 3}}
    (warning,) = stage.warnings
    assert warning.startswith("3 of 8 rows have no score 'likelihood' (3 prompt_too_long: ")
    assert "warnings" not in stage.diagnosis
    page = report_page(RunRecord(result.folder))
    assert "3 of 8 rows have no score" in page
    print_result(result, out)
    assert "3 of 8 rows have no score" in " ".join(capsys.readouterr().out.split())


def test_an_empty_dataset_is_an_error_once_it_is_written_why(tmp_path: Path) -> None:
    random = {"kind": "random", "budget": 5}
    stages = [{"kind": "exact_duplicates"}, {"kind": "rules", "max_chars": 1}, random]
    data = recipe(tmp_path, stages=stages)
    for reused in (False, True):
        result = go(tmp_path, data)
        assert result.reused is reused
        write_reports(result.folder)
        with pytest.raises(RunError) as caught:
            require_rows(parse_recipe(data, "recipe"), result)
        message = "The dataset is empty: '02-rules' dropped the last 8 rows (too_long 8). See "
        assert str(caught.value).startswith(message)
        assert "\n" not in str(caught.value)
        for name in ("decisions.parquet", "report.html", "report.json"):
            assert (result.folder / name).exists()
        assert not (result.folder.parent / "latest").exists()  # nobody trains on it
    allowed = parse_recipe({**data, "allow_empty": True}, "recipe")
    again = run(allowed, tmp_path, tmp_path / "runs")
    require_rows(allowed, again)
    assert again.reused  # the same version: the field changes no bytes
    assert (result.folder.parent / "latest").exists()


def test_the_command_line_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = recipe(tmp_path, stages=[{"kind": "rules", "max_chars": 1}])
    (tmp_path / "recipe.yaml").write_text(json.dumps(data), encoding="utf-8")
    where = [str(tmp_path / "recipe.yaml"), "--runs", str(tmp_path / "runs"), "--no-prefect"]
    assert exit_code("run", *where) == 1
    assert "The dataset is empty: '01-rules'" in " ".join(capsys.readouterr().err.split())

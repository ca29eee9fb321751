"""Versions beside what is none: somebody's own files, and versions of an earlier siftline."""

import json
from pathlib import Path

import pytest

from siftline.contracts.errors import RecipeError
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import RunResult, run
from siftline.pipelines.run_directory import open_version
from siftline.pipelines.verification import verify


def go(folder: Path, seed: int = 0, name: str = "toy") -> RunResult:
    (folder / "d.jsonl").write_text('{"question": "Which?", "answer": "This."}\n')
    data = {"name": name, "inputs": [{"path": "d.jsonl"}], "seed": seed}
    return run(parse_recipe(data, "r"), folder, folder / "runs")


def test_what_is_no_version_is_left_alone(tmp_path: Path) -> None:
    toy = tmp_path / "runs" / "toy"
    for name in ("v2024", "v0002"):
        (toy / name).mkdir(parents=True)
        (toy / name / "my-notes.txt").touch()
    (toy / "v2024" / "version.json").write_text("mine")
    (toy / "v0003").touch()
    assert [go(tmp_path, seed).version for seed in (1, 2, 3)] == ["v0001", "v0004", "v0005"]
    assert go(tmp_path, 2).reused
    assert (toy / "v2024" / "my-notes.txt").exists()
    assert (toy / "v0002" / "my-notes.txt").exists()
    assert (toy / "v2024" / "version.json").read_text() == "mine"
    assert not verify(tmp_path / "runs").damaged


def test_a_planned_version_gives_its_number_away(tmp_path: Path) -> None:
    first = open_version(tmp_path, "a", "")
    (first / "plan.json").touch()
    assert open_version(tmp_path, "b", "") == first


@pytest.mark.parametrize("finished", [True, False])
def test_a_version_without_digests_is_another_one(tmp_path: Path, finished: bool) -> None:
    old = go(tmp_path).folder
    for name in ("version.json", "report.json"):
        record = json.loads((old / name).read_text())
        del record["sha256"]
        (old / name).write_text(json.dumps(record))
    if not finished:
        (old / "report.json").unlink()
    before = {path: path.read_bytes() for path in old.rglob("*") if path.is_file()}
    assert go(tmp_path).version == "v0002"
    assert {path: path.read_bytes() for path in old.rglob("*") if path.is_file()} == before
    (problem,) = verify(old).damaged.values()
    assert problem == "it holds no digest, so it cannot be checked"


@pytest.mark.parametrize("name", ["v0001", "V12345"])
def test_a_recipe_is_not_called_like_a_version(tmp_path: Path, name: str) -> None:
    with pytest.raises(RecipeError, match="which the run directory uses itself"):
        go(tmp_path, name=name)
    assert go(tmp_path, name="v1").version == "v0001"

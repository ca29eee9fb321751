"""What is made again in an unfinished version: a folder, and all that come after it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from siftline.contracts.corpus import Corpus
from siftline.contracts.errors import DamagedError
from siftline.contracts.parquet import read_table
from siftline.pipelines.output.export import export
from siftline.pipelines.recipe import Recipe, parse_recipe
from siftline.pipelines.run import RunResult, run
from siftline.pipelines.stage_results import after_stage
from siftline.selectors.baselines import Random

STAGES = [{"kind": "random", "budget": 5}, {"kind": "rules"}, {"kind": "exact_duplicates"}]


def recipe() -> Recipe:
    data = {"name": "toy", "inputs": [{"path": "d.jsonl", "source": "s"}], "stages": STAGES}
    return parse_recipe(data, "r")


def go(folder: Path) -> RunResult:
    return run(recipe(), folder, folder / "runs")


@pytest.fixture
def unfinished(tmp_path: Path) -> Path:
    """A version with all of its stages, one of whose rows is dropped by the rules."""
    rows = [{"id": f"r{n}", "question": f"Which is no. {n}?", "answer": "1"} for n in range(20)]
    rows[3]["answer"] = " "
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    version = go(tmp_path).folder
    (version / "report.json").unlink()
    return version


@pytest.mark.parametrize("budget", [5, 7])
def test_stages_after_one_that_is_made_again_are_made_again(
    unfinished: Path, monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    decide = Random.decide

    def otherwise(self: Random, corpus: Corpus) -> Any:
        return decide(self.model_copy(update={"seed": 7, "budget": budget}), corpus)

    monkeypatch.setattr(Random, "decide", otherwise)
    (unfinished / "01-random" / "verdicts.parquet").unlink()
    result = go(unfinished.parents[2])
    assert [stage.rows for stage in result.stages] == [20, budget, result.stages[1].kept]
    assert result.folder == unfinished
    fresh = run(recipe(), unfinished.parents[2], unfinished.parents[2] / "fresh")
    for stage in fresh.stages:
        name = f"{stage.folder}/verdicts.parquet"
        assert (
            read_table(result.folder / name).to_pylist()
            == read_table(fresh.folder / name).to_pylist()
        )


def test_stages_after_an_ingestion_that_is_made_again_are_made_again(unfinished: Path) -> None:
    shutil.rmtree(unfinished / "00-ingest" / "examples")
    stale = unfinished / "02-rules" / "stale"
    stale.touch()
    go(unfinished.parents[2])
    assert not stale.exists()


def test_verdicts_of_other_rows_are_an_error(unfinished: Path) -> None:
    corpus = Corpus.open(unfinished / "00-ingest" / "examples")
    with pytest.raises(DamagedError, match="it judges other rows than reach its stage"):
        after_stage(corpus, unfinished / "02-rules")


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_text("{")])
@pytest.mark.parametrize("name", ["00-ingest", "01-random"])
def test_a_version_is_not_finished_without_one_of_its_folders(
    unfinished: Path, monkeypatch: pytest.MonkeyPatch, name: str, harm: Any
) -> None:
    def damaging(*given: Any) -> Any:
        harm(unfinished / name / "manifest.json")
        return export(*given)

    monkeypatch.setattr("siftline.pipelines.run.export", damaging)
    with pytest.raises(DamagedError, match=rf"{name}/manifest\.json' is damaged"):
        go(unfinished.parents[2])
    assert not (unfinished / "report.json").exists()
    monkeypatch.undo()
    assert len(go(unfinished.parents[2]).stages) == 3

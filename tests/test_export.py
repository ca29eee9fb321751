"""Tests of what is exported: its order, its files, who opens them, and its bytes."""

import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpora import corpus_of, likelihood

from siftline.contracts.errors import RecipeError
from siftline.contracts.runtime import Runtime
from siftline.pipelines.output import survey
from siftline.pipelines.output.splits import splits_of
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import RunResult, run


def curate(
    folder: Path,
    lengths: list[int],
    runs: str = "runs",
    shard_rows: int = 4,
    tools: bool = True,
    **output: Any,
) -> RunResult:
    """Run `rules` on answers of some lengths; every third row has tools, if rows have any."""
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Question {n}?"},
                {"role": "assistant", "content": "x" * length},
            ],
            **({"tools": [{"name": f"t{n}"}]} if tools and n % 3 == 0 else {}),
        }
        for n, length in enumerate(lengths)
    ]
    (folder / "data.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8"
    )
    data = {
        "name": "ordered",
        "inputs": [{"path": "data.jsonl"}],
        "stages": [{"kind": "rules", "max_chars": 10_000}],
        "output": output,
    }
    recipe = parse_recipe(data, "r.yaml")
    return run(recipe, folder, folder / runs, Runtime(shard_rows=shard_rows))


def exported(done: RunResult) -> pa.Table:
    return pa.concat_tables([pq.read_table(done.folder / "curated" / n) for n in done.export.files])


def lengths_of(done: RunResult) -> list[int]:
    return [len(turns[-1]["content"]) for turns in exported(done)["messages"].to_pylist()]


LENGTHS = [7, 2, 9, 2, 5, 9, 1, 2, 8, 3]


def test_rows_stay_in_the_order_of_the_input(tmp_path: Path) -> None:
    done = curate(tmp_path, LENGTHS)
    assert lengths_of(done) == LENGTHS
    assert exported(done)["row"].to_pylist() == list(range(1, 11))
    assert "repeat" not in exported(done).column_names
    assert not (done.folder / "curated" / "training_order.json").exists()


@pytest.mark.parametrize("shard_rows", [1, 4, 100])
def test_an_order_by_score_across_shards(tmp_path: Path, shard_rows: int) -> None:
    order_by = "statistics.response_chars"
    done = curate(tmp_path, LENGTHS, shard_rows=shard_rows, order_by=order_by)
    assert lengths_of(done) == sorted(LENGTHS)
    # Ties stand as they were read: the rows of length 2, then those of 9.
    assert exported(done)["row"].to_pylist() == [7, 2, 4, 8, 10, 5, 1, 9, 3, 6]
    down = curate(tmp_path, LENGTHS, shard_rows=shard_rows, order_by=order_by, descending=True)
    assert exported(down)["row"].to_pylist() == [3, 6, 9, 1, 5, 10, 2, 4, 8, 7]
    # A row keeps what belongs to it.
    for row in exported(done).to_pylist():
        assert row["messages"][0]["content"] == f"Question {row['row'] - 1}?"
        assert (row["tools"] is not None) == ((row["row"] - 1) % 3 == 0)


def test_files_of_few_rows_hold_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = exported(curate(tmp_path, LENGTHS, order_by="statistics.response_chars"))
    monkeypatch.setattr(survey, "ROWS_PER_FILE", 3)
    parted = curate(tmp_path, LENGTHS, runs="parted", order_by="statistics.response_chars")
    assert [pq.read_table(parted.folder / "curated" / n).num_rows for n in parted.export.files] == [
        3,
        3,
        3,
        1,
    ]
    assert parted.export.files[1] == "data/train-00001-of-00004.parquet"
    assert exported(parted).equals(whole)


def test_an_order_that_changes_nothing_leaves_the_bytes(tmp_path: Path) -> None:
    plain = curate(tmp_path, sorted(LENGTHS))
    same = curate(tmp_path, sorted(LENGTHS), order_by="statistics.response_chars")
    assert plain.version != same.version
    (name,) = plain.export.files
    first, second = ((each.folder / "curated" / name).read_bytes() for each in (plain, same))
    assert first == second


def test_an_unknown_score_is_an_error_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"output.order_by: .*Did you mean 'statistics.resp"):
        curate(tmp_path, LENGTHS, order_by="statistics.response_char")
    version = tmp_path / "runs" / "ordered" / "v0001"
    assert version.is_dir()
    assert not list(version.glob("*curated*"))
    assert not (version / "report.json").exists()
    with pytest.raises(RecipeError, match=r"output.order_by: got 'loss'"):
        curate(tmp_path, LENGTHS, order_by="loss")


@pytest.mark.parametrize("allow_empty", [True, False])
def test_an_emptied_dataset_has_no_order(tmp_path: Path, allow_empty: bool) -> None:
    """The stage that measures the score was reached by nothing."""
    rows = [{"question": f"Which is no. {n}?", "answer": f"It is {n}."} for n in range(4)]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = {
        "name": "emptied",
        "inputs": [{"path": "data.jsonl"}],
        "models": {"m": {"name": "builtin:toy"}},
        "stages": [{"kind": "rules", "max_chars": 1}, {"kind": "grape", "model": "m"}],
        "output": {"order_by": "likelihood.mean_logprob"},
        "allow_empty": allow_empty,
    }
    result = run(parse_recipe(data, "r.yaml"), tmp_path, tmp_path / "runs")
    assert result.export.rows == 0


def test_rows_without_the_score_come_last_both_ways() -> None:
    means = [-2.0, None, -1.0, -2.0004, None, -3.0]
    corpus = corpus_of(list("abcdef"), tables={"likelihood": likelihood(means)})
    name = "likelihood.mean_logprob"
    # The two near -2 are one on the grid of 0.001, and stand as they were read.
    (easy,) = splits_of(corpus, name, descending=True, seed=0)
    assert easy.rows.tolist() == [2, 0, 3, 5, 1, 4]
    (hard,) = splits_of(corpus, name, descending=False, seed=0)
    assert hard.rows.tolist() == [5, 0, 3, 2, 1, 4]


def test_repeated_rows_follow_all_others_or_stand_with_their_score() -> None:
    repeats = pa.table({"repeats": pa.array([1, 3, 2], pa.int32())})
    score = pa.table({"n": [5.0, 9.0, 1.0]})
    corpus = corpus_of(list("abc"), tables={"mix": repeats, "score": score})
    (split,) = splits_of(corpus, None, descending=False, seed=0)
    assert split.rows.tolist() == [0, 1, 2, 1, 2, 1]
    assert split.repeat.tolist() == [0, 0, 0, 1, 1, 2]
    (split,) = splits_of(corpus, "score.n", descending=False, seed=0)
    assert split.rows.tolist() == [2, 2, 0, 1, 1, 1]
    assert split.repeat.tolist() == [0, 1, 0, 0, 1, 2]


def test_the_places_of_the_replay_depend_on_the_seed_alone() -> None:
    first = np.array([True] * 5 + [False] * 50)
    splits = pa.table({"stage1": first, "stage2": [True] * 55})
    corpus = corpus_of([str(n) for n in range(55)], tables={"splits": splits})
    found = [splits_of(corpus, None, descending=False, seed=seed)[1].rows for seed in (0, 0, 1)]
    assert found[0].tolist() == found[1].tolist()
    assert found[0].tolist() != found[2].tolist()
    assert sorted(found[0].tolist()) == list(range(55))


def test_every_reader_opens_the_data_beside_the_card(tmp_path: Path) -> None:
    """A folder that holds nothing but Parquet; polars refuses any other file there too."""
    curated = curate(tmp_path, LENGTHS, tools=False).folder / "curated"
    data = curated / "data"
    assert {path.name for path in curated.iterdir()} == {
        "README.md",
        "data",
        "dataset_info.json",
        "trainers",
    }
    assert [path.suffix for path in data.iterdir()] == [".parquet"]
    by_card = datasets.load_dataset(str(curated), split="train", cache_dir=str(tmp_path / "hf"))
    by_name = datasets.load_dataset(str(data), split="train", cache_dir=str(tmp_path / "hf2"))
    # As trainers do that list a folder and take the type from the names of the files.
    files = [str(path) for path in data.iterdir()]
    listed = datasets.load_dataset(
        Path(files[0]).suffix[1:],
        data_files=files,
        split="train",
        cache_dir=str(tmp_path / "hf3"),
    )
    ids = pq.read_table(data)["id"].to_pylist()
    assert len(ids) == len(LENGTHS)
    assert pd.read_parquet(data)["id"].tolist() == ids
    assert by_card["id"] == by_name["id"] == listed["id"] == ids

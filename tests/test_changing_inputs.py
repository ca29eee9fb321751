"""Inputs that change between their digest and their reading: nothing is kept under a wrong name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from siftline.contracts.errors import InputError
from siftline.contracts.runtime import Runtime
from siftline.pipelines import run as run_module
from siftline.pipelines.ingestion.ingest import ingest as real
from siftline.pipelines.ingestion.inputs import Input, digest
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import RunResult, run

ROWS = [{"id": f"r{n}", "question": f"What is {n}?", "answer": f"It is {n}."} for n in range(6)]


def as_lines(folder: Path, rows: list[dict[str, str]]) -> dict[str, str]:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "a.jsonl").write_text(text, encoding="utf-8")
    return {"path": "a.jsonl"}


def as_parquet(folder: Path, rows: list[dict[str, str]]) -> dict[str, str]:
    pq.write_table(pa.Table.from_pylist(rows), folder / "a.parquet")
    return {"path": "*.parquet"}


def as_saved_dataset(folder: Path, rows: list[dict[str, str]]) -> dict[str, str]:
    datasets.Dataset.from_list(rows).save_to_disk(str(folder / "saved"))
    return {"path": "saved"}


def as_dataset_folder(folder: Path, rows: list[dict[str, str]]) -> dict[str, str]:
    (folder / "data").mkdir(exist_ok=True)
    as_lines(folder / "data", rows)
    return {"hub": "data"}


def go(folder: Path, given: dict[str, str], **stage: Any) -> RunResult:
    stages = [stage] if stage else [{"kind": "exact_duplicates"}]
    recipe: dict[str, Any] = {"name": "r", "inputs": [{**given, "source": "s"}], "stages": stages}
    recipe |= {"models": {"toy": {"name": "builtin:toy"}}}
    return run(parse_recipe(recipe, "r"), folder, folder / "runs", Runtime())


@pytest.mark.parametrize("write", [as_lines, as_parquet, as_saved_dataset, as_dataset_folder])
@pytest.mark.parametrize("late", [True, False])
def test_an_input_that_changes_is_no_version(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[Path, list[dict[str, str]]], dict[str, str]],
    late: bool,
) -> None:
    given = write(tmp_path, ROWS[:4])

    def ingest(*args: Any, **options: Any) -> Any:
        if not late:
            write(tmp_path, ROWS)
        summary = real(*args, **options)
        write(tmp_path, ROWS)
        return summary

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "ingest", ingest)
        with pytest.raises(InputError, match=r"has changed while it was read.*run again"):
            go(tmp_path, given)
    assert not list((tmp_path / "runs" / "r").glob("v*"))
    assert go(tmp_path, given).export.rows == 6


def test_where_a_file_lies_in_a_dataset_folder_is_part_of_the_digest(tmp_path: Path) -> None:
    """`datasets` takes the split from it."""
    for place in ("train", "test"):
        (tmp_path / "one" / place).mkdir(parents=True)
    as_lines(tmp_path / "one" / "train", ROWS)
    before = digest(Input(hub="one"), tmp_path)
    (tmp_path / "one" / "train" / "a.jsonl").rename(tmp_path / "one" / "test" / "a.jsonl")
    assert digest(Input(hub="one"), tmp_path) != before


def test_a_file_whose_folder_is_renamed_is_another_version(tmp_path: Path) -> None:
    """The rows tell where they come from, so the name is part of what was read."""
    (tmp_path / "d" / "a").mkdir(parents=True)
    as_lines(tmp_path / "d" / "a", ROWS)
    before = go(tmp_path, {"path": "d/*/a.jsonl"})
    (tmp_path / "d" / "a").rename(tmp_path / "d" / "c")
    after = go(tmp_path, {"path": "d/*/a.jsonl"})
    assert (after.reused, after.version == before.version) == (False, False)
    assert files_of(after) == {"d/c/a.jsonl"}


def test_a_saved_dataset_whose_folder_is_renamed_is_another_version(tmp_path: Path) -> None:
    as_saved_dataset(tmp_path / "d" / "a", ROWS)
    go(tmp_path, {"path": "d/*/saved"})
    (tmp_path / "d" / "a").rename(tmp_path / "d" / "c")
    assert files_of(go(tmp_path, {"path": "d/*/saved"})) == {"d/c/saved"}


def files_of(result: RunResult) -> set[str]:
    """Return the files that the rows of a dataset name."""
    return set(pq.read_table(result.folder / "curated" / "data")["file"].to_pylist())


def test_a_glob_above_the_run_directory_does_not_read_the_run(tmp_path: Path) -> None:
    as_parquet(tmp_path, ROWS)
    assert not go(tmp_path, {"path": "**/*.parquet"}).reused
    assert go(tmp_path, {"path": "**/*.parquet"}).reused

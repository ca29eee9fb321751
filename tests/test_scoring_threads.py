"""Shards of a scorer by column are scored in two threads, with the results of one."""

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from siftline.contracts import progress
from siftline.contracts.parquet import read_table
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored
from siftline.pipelines import workers
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import RunResult, run
from siftline.scorers.signature import Signature


def go(folder: Path, runs: str = "runs") -> RunResult:
    rows = [{"instruction": f"{n}?", "output": str(n // 2)} for n in range(16)]
    (folder / "rows.json").write_text(json.dumps(rows))
    recipe = parse_recipe(
        {"name": "t", "inputs": [{"path": "rows.json"}], "stages": [{"kind": "exact_duplicates"}]},
        "t",
    )
    return run(recipe, folder, folder / runs, Runtime(shard_rows=8))


def test_two_shards_are_scored_at_once_and_the_results_are_those_of_one_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_THREADS", 1)
    alone = go(tmp_path, "alone")
    both, score = threading.Barrier(2, timeout=60), Signature.score

    def together(self: Signature, rows: Any, runtime: Runtime) -> Scored:
        both.wait()
        return score(self, rows, runtime)

    monkeypatch.setattr(workers, "_THREADS", 2)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(Signature, "score", together)
    result = go(tmp_path)
    assert result.export.digest == alone.export.digest
    first, second = (read_table(each.folder / "decisions.parquet") for each in (alone, result))
    assert first.equals(second)


def test_a_failure_in_a_thread_is_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Signature, rows: Any, runtime: Runtime) -> Scored:
        raise ArithmeticError("on fire")

    monkeypatch.setattr(Signature, "score", fails)
    with pytest.raises(ArithmeticError, match="on fire"):
        go(tmp_path)


def test_what_is_told_in_one_thread_is_heard_by_all_who_listen() -> None:
    with progress.hearing() as first:
        progress.tell("a path")
        with progress.hearing() as second:
            progress.tell("another")
        progress.tell("another")
    progress.tell("too late")
    assert (first, second) == (["a path", "another"], ["another"])

"""Several devices, each a process of its own: here the same CPU twice."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from test_run import data_bytes

from siftline.contracts import progress
from siftline.contracts.errors import ModelError
from siftline.contracts.runtime import Runtime
from siftline.pipelines.job import open_job
from siftline.pipelines.recipe import load_recipe
from siftline.pipelines.run import read_inputs, run
from siftline.pipelines.scores.work import Work
from siftline.pipelines.workers import workers


def test_two_processes_leave_the_same_bytes(
    small_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(progress, "advance", lambda rows, tokens=0: seen.append(rows))
    recipe = load_recipe(small_recipe)
    one = run(recipe, tmp_path, tmp_path / "one", Runtime(shard_rows=5, device="cpu"))
    alone = sum(seen)
    seen.clear()
    two = run(recipe, tmp_path, tmp_path / "two", Runtime(shard_rows=5, device="cpu, cpu"))
    assert data_bytes(two.folder) == data_bytes(one.folder)
    assert two.model_calls == one.model_calls > 0
    assert sum(seen) >= alone  # scorers without a model report nothing when they run here


def test_a_process_that_dies_is_one_sentence(small_recipe: Path, tmp_path: Path) -> None:
    recipe = load_recipe(small_recipe)
    job = open_job(recipe, tmp_path, tmp_path / "runs", Runtime(device="cpu,cpu"))
    read_inputs(job)
    work = Work(0, recipe.stages[0].scorers()[0], 0, (0, 1))
    with workers(job) as crew:
        crew.score(work)  # the process is up
        for process in crew._processes:
            children: Any = process._processes
            for child in list(children):
                os.kill(child, signal.SIGKILL)
        with pytest.raises(ModelError, match="ended by itself"):
            list(crew.score_all([work, work]))  # one for each process

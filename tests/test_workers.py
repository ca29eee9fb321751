"""Several devices, each a process of its own: here the same CPU twice."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from scripted import Scripted, said, stand_in
from test_run import data_bytes

from siftline.contracts import progress
from siftline.contracts.errors import ModelError
from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.runtime import Runtime
from siftline.pipelines.job import open_job
from siftline.pipelines.recipe import load_recipe, parse_recipe
from siftline.pipelines.run import read_inputs, run, run_stage
from siftline.pipelines.scores.work import Work
from siftline.pipelines.stage_results import after_stage
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


def test_revised_responses_reach_every_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage after one that rewrites is scored elsewhere on what was rewritten."""
    rows = [{"prompt": f"Number {n} is?", "completion": f"It is {n}."} for n in range(20)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "data.jsonl").write_text(text, encoding="utf-8")
    writer = ModelSpec(name="builtin:toy", revision="writer")
    script = Scripted(lambda turns: said(f"I say {turns[-1]['content'].split()[1]}."))
    stand_in(monkeypatch, writer, script)
    recipe = parse_recipe(
        {
            "name": "rewritten",
            "inputs": [{"path": "data.jsonl", "source": "made"}],
            "models": {"writer": writer.model_dump()},
            "stages": [
                {"kind": "s3ft", "model": "writer", "judge": {"kind": "numeric"}},
                {"kind": "rules"},
            ],
        },
        "r",
    )
    one = run(recipe, tmp_path, tmp_path / "one", Runtime(shard_rows=5, device="cpu"))
    expected = data_bytes(one.folder)
    # The model of this test is in this process only, so the first stage is not run again.
    job = open_job(recipe, tmp_path, tmp_path / "one", Runtime(device="cpu,cpu"))
    corpus = after_stage(job.open_corpus(), job.stage_folder(0))
    for folder in (job.cache / "statistics", job.cache / "phrases", job.stage_folder(1)):
        shutil.rmtree(folder)
    with workers(job) as crew:
        run_stage(job, 1, corpus, crew)
    assert data_bytes(one.folder) == expected
    scores = pq.read_table(job.stage_folder(1) / "scores" / "statistics-00000.parquet")
    assert set(scores["response_chars"].to_pylist()) == {len("I say 0.")}


KILLED = """
import os, signal, sys
from pathlib import Path
from siftline.contracts.runtime import Runtime
from siftline.pipelines.job import open_job
from siftline.pipelines.recipe import load_recipe
from siftline.pipelines.run import read_inputs
from siftline.pipelines.scores.work import Work
from siftline.pipelines.workers import workers

if __name__ == "__main__":
    recipe = load_recipe(Path(sys.argv[1]))
    base = Path(sys.argv[1]).parent
    job = open_job(recipe, base, base / "runs", Runtime(device="cpu,cpu"))
    read_inputs(job)
    scorer = recipe.stages[0].scorers()[0]
    with workers(job) as crew:
        list(crew.score_all([Work(0, scorer, 0, (0, 1))] * 2))
        print(*[child for each in crew._processes for child in each._processes], flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_processes_end_with_the_run_that_was_killed(small_recipe: Path, tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script), str(small_recipe)], stdout=subprocess.PIPE, text=True
    )
    assert done.returncode == -signal.SIGKILL
    children = [int(child) for child in done.stdout.split()]
    assert len(children) == 2
    for _ in range(300):  # they take notice at once, but the machine may be busy
        if not any(Path(f"/proc/{child}").exists() for child in children):
            break
        time.sleep(0.1)
    assert not [child for child in children if Path(f"/proc/{child}").exists()]


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

"""Calibration: can the judge at hand tell good responses from bad ones, on this data?

Known errors are planted into a sample, the confidence is measured as a run would, and the errors
are the truth. The judge is asked about the sample only, and its answers are kept: the clean
rows of it cost nothing more in the run itself.
"""

import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from siftline.contracts import progress
from siftline.contracts.config import Config
from siftline.contracts.corpus import EXAMPLES, Corpus, shard_name
from siftline.contracts.errors import InputError, RecipeError
from siftline.contracts.examples import content_hash
from siftline.contracts.method import Request, roles_of
from siftline.contracts.parquet import write_table
from siftline.contracts.runtime import Runtime, Usage
from siftline.filters.clear import Clear
from siftline.filters.thresholds import Threshold, group_names, passing
from siftline.models.likelihood import OK
from siftline.models.remote.serving import served_for_the_time
from siftline.pipelines.calibration.corruption import KINDS, plant
from siftline.pipelines.calibration.detection import Detection, detection
from siftline.pipelines.job import Job, locked, open_job
from siftline.pipelines.recipe import Recipe
from siftline.pipelines.run import read_inputs, run_stage
from siftline.pipelines.run_directory import mark_planned, never_run
from siftline.pipelines.scores.measuring import measure
from siftline.pipelines.scores.store import ScoreStore
from siftline.pipelines.scores.work import pending, score_work
from siftline.pipelines.workers import workers
from siftline.scorers.responses import answerable

SCORES = {
    "C, the confidence": "confidence.value",
    "O, consistency": "confidence.consistency",
    "S, reflection": "confidence.reflection",
}


class DroppedHalf(Config):
    """Rows of a kind, and how many of them there are among the dropped half.

    Attributes:
        rows: That have a confidence.
        dropped: In the lower half of their source.
        bad_dropped: Those of the dropped that hold an error.
    """

    rows: int
    dropped: int
    bad_dropped: int


class Calibration(Config):
    """How well CLEAR's confidence tells planted errors from clean rows.

    Attributes:
        rows: Of the sample.
        planted: Errors by kind.
        unjudged: Rows without a confidence.
        scores: By score: rows, bad, auroc and average precision with their intervals.
        by_source: The dropped half of each source.
        by_kind: The same of each kind of error, and of clean rows.
        model_calls: Forward passes.
        tokens: Tokens through models.
    """

    rows: int
    planted: dict[str, int]
    unjudged: int
    scores: dict[str, dict[str, Any] | None]
    by_source: dict[str, DroppedHalf]
    by_kind: dict[str, DroppedHalf]
    model_calls: int
    tokens: int


class _Sample(NamedTuple):
    rows: list[dict[str, Any]]
    kinds: list[str]  # '' for a clean row


def calibrate(
    recipe: Recipe,
    base: Path,
    runs: Path,
    runtime: Runtime | None = None,
    rows: int = 200,
) -> Calibration:
    """Plant errors into a sample of a recipe's data, and measure CLEAR's confidence on it.

    Stages before `clear` that need no model are run as in a run, others are passed over.

    Args:
        recipe: With a stage of kind `clear`; its seed draws the sample.
        base: Folder that the recipe's paths are relative to.
        runs: The run directory.
        runtime: Where and how it is computed.
        rows: Of the sample; half of them get an error.

    Raises:
        RecipeError: The recipe has no stage `clear`.
        InputError: The data do not allow for a sample.
        ModelError: A model cannot be found or run.
    """
    stages = [stage for stage in recipe.stages if isinstance(stage, Clear)]
    if not stages:
        raise RecipeError(
            f"'{recipe.name}' has no stage of kind 'clear', which is what is calibrated; add one."
        )
    method = stages[0].model_copy(update={"correct": None})
    with locked(recipe, runs):
        job = open_job(recipe, base, runs, runtime or Runtime())
        new = never_run(job.version)
        read_inputs(job)
        if new:
            mark_planned(job.version, {})
        corpus = _corpus_before(job, stages[0])
        sample = _sample(corpus, rows, recipe.seed)
        with tempfile.TemporaryDirectory() as folder:
            table = pa.Table.from_pylist(sample.rows, schema=EXAMPLES)
            write_table(table, Path(folder) / shard_name(0))
            with served_for_the_time():
                measured, usage = _measure(method, Corpus.open(Path(folder)), job.store())
    return _calibration(measured, np.array(sample.kinds, dtype=object), usage)


def _corpus_before(job: Job, method: Clear) -> Corpus:
    """Run what precedes CLEAR and needs no model, and return what is left."""
    corpus = job.open_corpus()
    with workers(job) as crew:
        for number, stage in enumerate(job.recipe.stages):
            if stage is method or roles_of(stage):
                break
            _, corpus = run_stage(job, number, corpus, crew)
    return corpus


def _sample(corpus: Corpus, size: int, seed: int) -> _Sample:
    """Draw rows with a response, and plant errors of all kinds into every second one."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(corpus))
    chosen = np.zeros(len(corpus), dtype=bool)
    chosen[order[: 2 * size]] = True  # more than needed: some do not qualify
    rows = [row for shard in corpus.filter(chosen).iter_shards() for row in shard.to_pylist()]
    place = {row_id: rank for rank, row_id in enumerate(corpus.rows["id"].take(order).to_pylist())}
    rows.sort(key=lambda row: place[row["id"]])
    usable = [row for row in rows if answerable(row) == OK][:size]
    if len(usable) < 4:
        raise InputError(
            f"{len(usable)} rows with a response reach 'clear'; expected at least 4 to plant "
            "errors into."
        )
    sample = _Sample([], [])
    for number, row in enumerate(usable):
        planted = None
        if number % 2:
            turn = number // 2 % len(KINDS)
            others = _others(usable, row)
            planted = plant((*KINDS[turn:], *KINDS[:turn]), row["messages"], others, random)
        if planted:
            *earlier, last = row["messages"]
            turns = [*earlier, {**last, "content": planted.response}]
            # A new row: the old one still lends its own response to others.
            digest = content_hash(turns, row["tools"], row["media"])
            row = {**row, "messages": turns, "content_hash": digest}
        sample.rows.append(row)
        sample.kinds.append(planted.kind if planted else "")
    return sample


def _others(rows: Sequence[dict[str, Any]], row: dict[str, Any]) -> list[str]:
    return [
        other["messages"][-1]["content"]
        for other in rows
        if other["source"] == row["source"] and other["prompt_id"] != row["prompt_id"]
    ]


def _measure(method: Clear, corpus: Corpus, store: ScoreStore) -> tuple[Corpus, Usage]:
    spent: list[Usage] = []

    def score(request: Request) -> None:
        work = pending(0, corpus, request, store)
        name = f"calibrate: {request.scorer.table}"
        progress.start(name, sum(len(piece.positions) for piece in work))
        for piece in work:
            rows = corpus.take(piece.shard, piece.positions)
            spent.append(score_work(rows, piece, store).usage)
        progress.finish()

    measured = measure(method, corpus, store, score)
    return measured.corpus, functools.reduce(Usage.plus, spent, Usage())


def _calibration(corpus: Corpus, kinds: npt.NDArray[np.object_], usage: Usage) -> Calibration:
    bad = kinds != ""
    prompts = np.array(corpus.rows["prompt_id"].to_pylist(), dtype=object)
    columns = {
        name: corpus.column(column).to_numpy(zero_copy_only=False)
        for name, column in SCORES.items()
    }
    value = columns["C, the confidence"]
    known = np.isfinite(value)
    sources = group_names(corpus, "source")
    dropped = known & ~passing(Threshold(), value, sources).rows
    names = np.where(bad, kinds, "clean")
    return Calibration(
        rows=len(corpus),
        planted={kind: int((kinds == kind).sum()) for kind in KINDS},
        unjudged=int((~known).sum()),
        scores={n: _plain(detection(score, bad, prompts)) for n, score in columns.items()},
        by_source={str(n): _share(sources == n, known, dropped, bad) for n in sorted(set(sources))},
        by_kind={str(n): _share(names == n, known, dropped, bad) for n in sorted(set(names))},
        model_calls=usage.model_calls,
        tokens=usage.tokens,
    )


def _share(group: Any, known: Any, dropped: Any, bad: Any) -> DroppedHalf:
    return DroppedHalf(
        rows=int((group & known).sum()),
        dropped=int((group & dropped).sum()),
        bad_dropped=int((group & dropped & bad).sum()),
    )


def _plain(result: Detection | None) -> dict[str, Any] | None:
    if result is None:
        return None
    return {
        **result._asdict(),
        "auroc": result.auroc._asdict(),
        "average_precision": result.average_precision._asdict(),
    }

"""Work: what is missing in the cache, cut into shards, trained for and scored.

Of the rows that share a key, the one of the smallest content is scored, in its shard: the order of
the rows decides nothing, and shards can be scored in any order or at once. An interrupted run,
continued, forms the same batches and so the same scores: a shard's scores are stored together or
not at all.
"""

from pathlib import Path
from typing import NamedTuple

import filelock
import numpy as np
import pyarrow as pa

from siftline.contracts import outlook, progress
from siftline.contracts.computation import Computation
from siftline.contracts.corpus import Corpus, one_of_each
from siftline.contracts.method import Request
from siftline.contracts.publishing import publish, writing
from siftline.contracts.records import is_trained, seal_folder
from siftline.contracts.runtime import Runtime, Usage
from siftline.contracts.scorer import Scored, Scorer
from siftline.models.device_errors import device_errors_told
from siftline.pipelines.scores.identity import artifact_identity
from siftline.pipelines.scores.store import ScoreStore


class Work(NamedTuple):
    """One piece of work: a scorer of a stage on one shard.

    Attributes:
        stage: Number of the stage, from 0.
        scorer: The scorer.
        shard: Number of the shard.
        positions: In that shard, of the rows to be scored.
        artifact: What was trained for the scorer.
        asked: Number of rows of the corpus that it is asked for, in all shards.
    """

    stage: int
    scorer: Scorer
    shard: int
    positions: tuple[int, ...]
    artifact: Path | None = None
    asked: int = 0


class Cost(NamedTuple):
    """What scoring has cost: rows scored, the models' usage, and what was told of their paths."""

    rows: int = 0
    usage: Usage = Usage()
    told: tuple[str, ...] = ()

    def plus(self, other: "Cost") -> "Cost":
        """Return the sum of two costs."""
        told = dict.fromkeys((*self.told, *other.told))
        return Cost(self.rows + other.rows, self.usage.plus(other.usage), tuple(told))


def pending(stage: int, corpus: Corpus, request: Request, store: ScoreStore) -> list[Work]:
    """Return the shards in which something that is asked for is still to be scored."""
    keys = corpus.rows[request.scorer.key].combine_chunks()
    missing = store.scores(request.scorer).missing(keys).to_numpy(zero_copy_only=False)
    todo = one_of_each(corpus, keys, request.rows & missing)
    shards = corpus.rows["shard"].to_numpy()[todo]
    positions = corpus.rows["position"].to_numpy()[todo]
    artifact = store.artifact(corpus, request)
    asked = int(request.rows.sum())
    return [
        Work(
            stage,
            request.scorer,
            int(shard),
            tuple(positions[shards == shard].tolist()),
            artifact,
            asked,
        )
        for shard in np.unique(shards)
    ]


def train(corpus: Corpus, request: Request, store: ScoreStore) -> Usage:
    """Train what a request wants trained, unless that is done.

    What an interrupted call has left is handed to the trainer, which may go on from there.
    """
    folder = store.artifact(corpus, request)
    if request.training is None or folder is None:
        return Usage()
    building = folder.with_name(f".{folder.name}.tmp")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder.with_name(f".{folder.name}.lock")):  # runs share the cache
        if is_trained(folder):
            return Usage()
        with writing(building):
            building.mkdir(exist_ok=True)
        runtime = store.runtime.on(store.runtime.devices[0])
        learned = corpus.filter(request.training.rows)
        trainer = request.training.trainer
        with device_errors_told(_who_runs(trainer, runtime), "was trained"):
            usage = trainer.fit(learned, runtime, building)
        store.require_unchanged(trainer)
        identity = artifact_identity(request.training, corpus, store.fingerprints)
        seal_folder(building, identity)
        publish(building, folder)
    return usage


def score_work(rows: pa.Table, work: Work, store: ScoreStore) -> Cost:
    """Score the rows of a piece of work, and keep the scores.

    Args:
        rows: Of the examples' schema, those that the work names.
        work: The work.
        store: Where the scores are kept.

    Raises:
        ModelError: The model cannot be loaded or run; nothing is stored.
        RunError: What the scorer reads has changed during the run; nothing is stored.
    """
    with outlook.part_of(work.asked, len(rows)), progress.hearing() as told:
        scored = score_rows(work.scorer, rows, store, work.artifact)
    store.require_unchanged(work.scorer)
    store.add(work.scorer, scored.table)
    return Cost(len(rows), scored.usage, tuple(told))


def score_rows(scorer: Scorer, rows: pa.Table, store: ScoreStore, artifact: Path | None) -> Scored:
    """Run a scorer on rows, with the scores that it needs beside them."""
    given = rows
    for need in scorer.needs:
        cache = store.scores(need)
        needed = cache.read(cache.locate(rows[need.key].combine_chunks()))
        given = given.append_column(need.table, needed.to_struct_array())
    runtime = store.runtime.model_copy(update={"artifact": artifact})
    with device_errors_told(_who_runs(scorer, runtime), "was run"):
        scored = scorer.score(given, runtime)
    if not scored.table[scorer.key].cast(pa.string()).equals(rows[scorer.key]):
        raise RuntimeError(f"scorer '{scorer.table}' did not return the rows it was given")
    return scored


def _who_runs(computation: Computation, runtime: Runtime) -> str:
    """Return the name of the model that a computation runs, or of the computation."""
    if computation.role in runtime.models:
        return runtime.models[computation.role].name
    return type(computation).__name__

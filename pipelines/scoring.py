"""Scoring: what a method must know of each row, measured once and kept in the cache.

A method names scorers; when they have run, it may ask for more, on rows that the scores so far
call for, and for a model to be trained before. Each content belongs to the first shard in which
it occurs, so shards can be scored in any order or at once, and an interrupted run, continued,
forms the same batches and so the same scores: a shard's scores are stored together or not at all.
"""

import json
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import filelock
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from siftline.pipelines.cache import (
    ScoreCache,
    artifact_identity,
    identity_hash,
    scorer_identity,
    write_atomically,
)
from siftline.pipelines.corpus import Corpus
from siftline.pipelines.method import (
    Method,
    Request,
    Runtime,
    Scored,
    Scorer,
    Usage,
    in_order,
    needs_of,
)


class Place(NamedTuple):
    """Where scores are kept, and what tells them apart.

    Attributes:
        cache: Folder of the score cache.
        fingerprints: Fingerprint of each model, by role.
        runtime: Where and how they are computed.
    """

    cache: Path
    fingerprints: dict[str, dict[str, Any]]
    runtime: Runtime

    def scores(self, scorer: Scorer) -> ScoreCache:
        """Open what is kept of one scorer."""
        cache = ScoreCache(self.cache, scorer_identity(scorer, self.fingerprints))
        cache.refresh()
        return cache

    def artifact(self, corpus: Corpus, request: Request) -> Path | None:
        """Return the folder of what a request wants trained, finished or not."""
        if request.training is None:
            return None
        identity = artifact_identity(request.training, corpus, self.fingerprints)
        return self.cache / "artifacts" / identity_hash(identity)


class Work(NamedTuple):
    """One piece of work: a scorer of a stage on one shard.

    Attributes:
        stage: Number of the stage, from 0.
        scorer: The scorer.
        shard: Number of the shard.
        positions: In that shard, of the rows to be scored.
        artifact: What was trained for the scorer.
    """

    stage: int
    scorer: Scorer
    shard: int
    positions: tuple[int, ...]
    artifact: Path | None = None


class Cost(NamedTuple):
    """What scoring has cost: rows scored, and the models' usage."""

    rows: int = 0
    usage: Usage = Usage()

    def plus(self, other: "Cost") -> "Cost":
        """Return the sum of two costs."""
        return Cost(self.rows + other.rows, self.usage.plus(other.usage))


def rounds(
    method: Method, corpus: Corpus, place: Place
) -> Generator[list[Request], None, tuple[Corpus, list[Request]]]:
    """Yield what a method asks for, round by round; each must be in the cache when it goes on.

    `follow` and `derive` see what was measured for this stage only: an earlier stage may have
    measured the same tables in another way, or responses that have been revised since.

    Returns:
        The corpus with all scores, of earlier stages too, but for texts; and all requests.
    """
    before, corpus = corpus, replace(corpus, tables={})
    every = np.ones(len(corpus), dtype=bool)
    asked: list[Request] = []
    follow = getattr(method, "follow", lambda _: ())
    requests = [Request(scorer, every) for scorer in in_order(method.scorers())]
    requests = requests or list(follow(corpus))
    while requests:
        yield requests
        for request in requests:
            corpus = corpus.with_scores(request.scorer.table, read_scores(corpus, request, place))
        asked += requests
        requests = list(follow(corpus))
    for name, table in _derived(method, corpus).items():
        corpus = corpus.with_scores(name, table)
    return replace(corpus, tables={**before.tables, **corpus.tables}), asked


def measured(method: Method, corpus: Corpus, place: Place) -> tuple[Corpus, list[Request]]:
    """Go through all rounds of a method whose scores are all in the cache."""
    steps = rounds(method, corpus, place)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: tuple[Corpus, list[Request]] = end.value
            return found


def pending(stage: int, corpus: Corpus, request: Request, place: Place) -> list[Work]:
    """Return the shards in which something that is asked for is still to be scored."""
    keys = corpus.rows[request.scorer.key].combine_chunks()
    asked = np.flatnonzero(request.rows)
    codes = pc.dictionary_encode(keys.take(pa.array(asked))).indices
    first = np.zeros(len(corpus), dtype=bool)
    first[asked[np.unique(codes.to_numpy(zero_copy_only=False), return_index=True)[1]]] = True
    missing = place.scores(request.scorer).missing(keys).to_numpy(zero_copy_only=False)
    todo = first & missing
    shards = corpus.rows["shard"].to_numpy()[todo]
    positions = corpus.rows["position"].to_numpy()[todo]
    artifact = place.artifact(corpus, request)
    return [
        Work(
            stage, request.scorer, int(shard), tuple(positions[shards == shard].tolist()), artifact
        )
        for shard in np.unique(shards)
    ]


def train(corpus: Corpus, request: Request, place: Place) -> Usage:
    """Train what a request wants trained, unless that is done.

    What an interrupted call has left is handed to the trainer, which may go on from there.
    """
    folder = place.artifact(corpus, request)
    if request.training is None or folder is None:
        return Usage()
    building = folder.with_name(f".{folder.name}.tmp")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder.with_name(f".{folder.name}.lock")):  # runs share the cache
        if (folder / "identity.json").exists():
            return Usage()
        building.mkdir(exist_ok=True)
        runtime = place.runtime.on(place.runtime.devices[0])
        learned = corpus.filter(request.training.rows)
        usage = request.training.trainer.fit(learned, runtime, building)
        identity = artifact_identity(request.training, corpus, place.fingerprints)
        write_atomically(building / "identity.json", json.dumps(identity, indent=1))
        building.replace(folder)
    return usage


def score_work(corpus: Corpus, work: Work, place: Place) -> Cost:
    """Score what is missing in one shard, and store it in the cache.

    Raises:
        ModelError: The model cannot be loaded or run; nothing is stored.
    """
    scorer = work.scorer
    rows = corpus.take(work.shard, work.positions)
    scored = score_rows(scorer, rows, place, work.artifact)
    ScoreCache(place.cache, scorer_identity(scorer, place.fingerprints)).add(scored.table)
    return Cost(len(rows), scored.usage)


def score_rows(scorer: Scorer, rows: pa.Table, place: Place, artifact: Path | None) -> Scored:
    """Run a scorer on rows, with the scores that it needs beside them."""
    given = rows
    for need in needs_of(scorer):
        cache = place.scores(need)
        found = cache.read(cache.locate(rows[need.key].combine_chunks()))
        given = given.append_column(need.table, found.to_struct_array())
    scored = scorer.score(given, place.runtime.model_copy(update={"artifact": artifact}))
    if scored.table[scorer.key].to_pylist() != rows[scorer.key].to_pylist():
        raise RuntimeError(f"scorer '{scorer.table}' did not return the rows it was given")
    return scored


def read_scores(corpus: Corpus, request: Request, place: Place) -> pa.Table:
    """Read the scores that a method asked for, null in the other rows, without texts."""
    cache = place.scores(request.scorer)
    if not len(corpus) or not request.rows.any():
        return pa.table({"_": pa.nulls(len(corpus))}).select([])
    keys = corpus.rows[request.scorer.key].combine_chunks()
    found = cache.read(cache.locate(keys.filter(pa.array(request.rows))))
    return spread(found.select(numbers_of(found.schema)), request.rows)


def spread(table: pa.Table, rows: npt.NDArray[np.bool_]) -> pa.Table:
    """Return a table with its rows where `rows` is true, and nulls elsewhere."""
    if rows.all():
        return table
    place = np.cumsum(rows) - 1
    return table.take(pa.array(place, mask=~rows))


def numbers_of(schema: pa.Schema) -> list[str]:
    """Return the columns that are held in memory: all but lists of texts and of structs."""
    return [field.name for field in schema if not _is_texts(field.type)]


def _is_texts(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) and not pa.types.is_primitive(kind.value_type)


def _derived(method: Method, corpus: Corpus) -> dict[str, pa.Table]:
    derive = getattr(method, "derive", None)
    found: dict[str, pa.Table] = derive(corpus) if derive and len(corpus) else {}
    return found

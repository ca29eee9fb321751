"""The steps of one stage: the corpus that reaches it, its scores, and what it decides."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from siftline.pipelines import progress
from siftline.pipelines.corpus import REVISIONS, VERDICTS, Corpus
from siftline.pipelines.examples import content_hash
from siftline.pipelines.job import Job
from siftline.pipelines.manifest import SourceCount, StageManifest
from siftline.pipelines.method import REVISED, Request
from siftline.pipelines.run_directory import read_manifest, write_manifest
from siftline.pipelines.scoring import (
    Cost,
    Place,
    Work,
    measured,
    pending,
    rounds,
    score_work,
    train,
)


def stage_corpus(job: Job, number: int) -> Corpus:
    """Return the corpus as the stages before a given one leave it, with their scores.

    Vectors of earlier stages are left out: they are large, and the cache has them for a stage
    that names their scorer itself.
    """
    return _stage_corpus(job.version, tuple(job.stage_folder(n) for n in range(number)))


@lru_cache(maxsize=2)  # the shards of a stage ask for the same corpus
def _stage_corpus(version: Path, stages: tuple[Path, ...]) -> Corpus:
    if not stages:
        return Corpus.open(version / "00-ingest" / "examples")
    *before, last = stages
    corpus = _stage_corpus(version, tuple(before))
    for name, table in read_score_tables(last / "scores", corpus.rows["id"]).items():
        corpus = corpus.with_scores(name, table)
    revisions = last / "revisions.parquet"
    if revisions.exists():
        corpus = corpus.with_revisions(pq.read_table(revisions))
    verdicts = pq.read_table(last / "verdicts.parquet", columns=["keep"])
    return corpus.filter(verdicts["keep"].to_numpy())


def read_score_tables(folder: Path, ids: pa.ChunkedArray) -> dict[str, pa.Table]:
    """Read a finished stage's scores by table, without vectors and texts.

    Args:
        folder: With `<table>-<shard>.parquet`.
        ids: In whose order the rows are wanted; null where the stage has no score.
    """
    names = sorted({path.stem.rpartition("-")[0] for path in folder.glob("*.parquet")})
    tables = {}
    for name in names:
        paths = sorted(folder.glob(f"{name}-*.parquet"))
        schema = pq.read_schema(paths[0])
        columns = [field.name for field in schema if not pa.types.is_nested(field.type)]
        if columns != ["id"]:
            table = pa.concat_tables([pq.read_table(path, columns=columns) for path in paths])
            rows = pc.index_in(ids.combine_chunks(), value_set=table["id"].combine_chunks())
            tables[name] = table.drop_columns(["id"]).take(rows)
    return tables


def place_of(job: Job) -> Place:
    """Return where a job keeps its scores."""
    return Place(job.cache, job.fingerprints, job.runtime)


def score_shard(job: Job, work: Work) -> Cost:
    """Score what is missing in one shard, and store it in the cache.

    Raises:
        ModelError: The model cannot be loaded or run; nothing is stored.
    """
    return score_work(stage_corpus(job, work.stage), work, place_of(job))


def measure(
    job: Job,
    stage: int,
    score_all: Callable[[list[Work]], Iterable[Cost]],
    fit: Callable[[Corpus, Request, Place], Any] = train,
) -> Cost:
    """Score and train what a stage asks for and the cache lacks.

    Args:
        job: The run.
        stage: Number of the stage, from 0.
        score_all: Scores shards, in any order.
        fit: Trains what a request wants trained.
    """
    cost = Cost()
    place = place_of(job)
    corpus = stage_corpus(job, stage)
    kind = job.recipe.stages[stage].kind
    for requests in rounds(job.recipe.stages[stage], corpus, place):
        for request in requests:
            work = pending(stage, corpus, request, place)
            if work and request.training:
                progress.start(f"{kind}: training", 0)
                cost = cost.plus(Cost(0, fit(corpus, request, place)))
                progress.finish()
            name = f"{kind}: {request.scorer.table.replace('_', ' ')}"
            progress.start(name, sum(len(piece.positions) for piece in work))
            for spent in score_all(work):
                cost = cost.plus(spent)
            progress.finish()
    return cost


def decide(job: Job, stage: int, cost: Cost, started: float) -> StageManifest:
    """Let a stage decide, and write its scores, verdicts, revisions and manifest.

    Args:
        job: The run.
        stage: Number of the stage, from 0; all of its rows are in the cache.
        cost: What scoring has cost.
        started: When the stage began, by `time.monotonic()`.
    """
    folder = job.stage_folder(stage)
    folder.mkdir(exist_ok=True)
    method = job.recipe.stages[stage]
    place = place_of(job)
    before = stage_corpus(job, stage)
    corpus, requests = measured(method, before, place)
    _write_scores(before, corpus, requests, place, folder / "scores")
    verdicts = method.decide(corpus) if len(corpus) else VERDICTS.empty_table()
    check_verdicts(method.kind, corpus, verdicts)
    write_table(verdicts, folder / "verdicts.parquet")
    revised = _write_revisions(method, corpus, verdicts, folder / "revisions.parquet")
    diagnose, picture = getattr(method, "diagnose", None), getattr(method, "picture", None)
    lookups = sum(int(request.rows.sum()) for request in requests)
    manifest = StageManifest(
        folder=folder.name,
        kind=method.kind,
        rows=len(corpus),
        kept=pc.sum(verdicts["keep"]).as_py() or 0,
        revised=revised,
        reasons_kept=count_values(verdicts.filter(verdicts["keep"])["reason"]),
        reasons_dropped=count_values(verdicts.filter(pc.invert(verdicts["keep"]))["reason"]),
        sources=_by_source(corpus, verdicts),
        scored=cost.rows,
        cached=max(0, lookups - cost.rows),
        model_calls=cost.usage.model_calls,
        tokens=cost.usage.tokens,
        seconds=round(time.monotonic() - started, 3),
        diagnosis=diagnose(corpus, verdicts) if diagnose and len(corpus) else {},
        pictures=picture(corpus, verdicts) if picture and len(corpus) else {},
    )
    write_manifest(folder, manifest)
    return manifest


def finished_stage(job: Job, stage: int) -> StageManifest | None:
    """Return a stage's manifest when it is finished."""
    return read_manifest(job.stage_folder(stage), StageManifest)


def check_verdicts(kind: str, corpus: Corpus, verdicts: pa.Table) -> None:
    """Hold a method to its contract: one verdict per row, in order, each with a reason.

    Raises:
        RuntimeError: The method is broken; nothing is written.
    """
    if not verdicts.schema.equals(VERDICTS):
        raise RuntimeError(f"'{kind}' returned the columns {verdicts.schema.names}")
    if verdicts["id"].to_pylist() != corpus.rows["id"].to_pylist():
        raise RuntimeError(f"'{kind}' did not judge the rows that it was given, in their order")
    if verdicts["keep"].null_count or verdicts["reason"].null_count:
        raise RuntimeError(f"'{kind}' left a row without a verdict or a reason")


def _write_scores(
    before: Corpus, corpus: Corpus, requests: list[Request], place: Place, folder: Path
) -> None:
    """Write what a stage has measured and derived, shard by shard, beside its verdicts."""
    folder.mkdir(exist_ok=True)
    shards = corpus.rows["shard"].to_numpy() if len(corpus) else np.empty(0, dtype=np.int32)
    ids = corpus.rows["id"]
    for request in requests:
        scorer = request.scorer
        cache = place.scores(scorer)
        for number in np.unique(shards[request.rows]):
            mine = pa.array(request.rows & (shards == number))
            piece = cache.read(cache.locate(corpus.rows[scorer.key].filter(mine).combine_chunks()))
            path = folder / f"{scorer.table}-{number:05d}.parquet"
            write_table(piece.add_column(0, "id", ids.filter(mine)), path)
    names = {request.scorer.table for request in requests}
    for name, table in corpus.tables.items():
        if name in names or table is before.tables.get(name):
            continue
        for number in np.unique(shards):
            mine = pa.array(shards == number)
            piece = table.filter(mine).add_column(0, "id", ids.filter(mine))
            write_table(piece, folder / f"{name}-{number:05d}.parquet")


def _write_revisions(method: Any, corpus: Corpus, verdicts: pa.Table, path: Path) -> int:
    """Write the new responses with the old ones beside them, and return how many there are."""
    revise = getattr(method, "revise", None)
    if revise is None or not len(corpus):
        return 0
    revised = revise(corpus, verdicts)
    if not revised.schema.equals(REVISED):
        raise RuntimeError(f"'{method.kind}' revised with the columns {revised.schema.names}")
    new = {row["id"]: row for row in revised.to_pylist()}
    wanted = pc.is_in(corpus.rows["id"].combine_chunks(), value_set=pa.array(new, pa.string()))
    first = dict(
        zip(*corpus.revisions.select(["id", "previous"]).to_pydict().values(), strict=True)
    )
    records = []
    for shard in corpus.filter(wanted.to_numpy(zero_copy_only=False)).iter_shards():
        for row in shard.select(["id", "messages", "metadata"]).to_pylist():
            record = new[row["id"]]
            *turns, last = row["messages"]
            turns.append({"role": last["role"], "content": record["response"]})
            identity = content_hash(turns, json.loads(row["metadata"]))
            records.append({**record, "content_hash": identity})
            records[-1]["previous"] = first.get(row["id"], last["content"])
    write_table(pa.Table.from_pylist(records, schema=REVISIONS), path)
    return len(records)


def _by_source(corpus: Corpus, verdicts: pa.Table) -> dict[str, SourceCount]:
    rows = Counter(corpus.rows["source"].to_pylist())
    kept = Counter(corpus.rows["source"].filter(verdicts["keep"]).to_pylist())
    return {source: SourceCount(rows=rows[source], kept=kept[source]) for source in sorted(rows)}


def count_values(column: Any) -> dict[str, int]:
    """Count the values of a text column, most frequent first."""
    counts: dict[str, int] = Counter(column.to_pylist())
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def write_table(table: pa.Table, path: Path) -> None:
    """Write Parquet, whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    pq.write_table(table, temporary, compression="zstd")
    temporary.replace(path)

"""The steps of one stage: what is still to be scored, scoring one shard, deciding.

Scoring fills the cache, deciding reads from it. Each content belongs to the first shard in which
it occurs, so shards can be scored in any order or at once, and an interrupted run, continued,
forms the same batches and so the same scores: a shard's scores are stored together or not at all.
"""

import time
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from siftline.pipelines import progress
from siftline.pipelines.cache import ScoreCache, scorer_identity
from siftline.pipelines.corpus import VERDICTS, Corpus
from siftline.pipelines.job import Job
from siftline.pipelines.manifest import SourceCount, StageManifest
from siftline.pipelines.method import Method, Scorer, Usage
from siftline.pipelines.run_directory import read_manifest, write_manifest


class Work(NamedTuple):
    """One piece of work: a scorer of a stage on one shard.

    Attributes:
        stage: Number of the stage, from 0.
        scorer: Number of the scorer in the stage.
        shard: Number of the shard.
        positions: In that shard, of the rows to be scored.
    """

    stage: int
    scorer: int
    shard: int
    positions: tuple[int, ...]


class Cost(NamedTuple):
    """What scoring has cost: rows scored, and the models' usage."""

    rows: int = 0
    usage: Usage = Usage()

    def plus(self, other: "Cost") -> "Cost":
        """Return the sum of two costs."""
        return Cost(self.rows + other.rows, self.usage.plus(other.usage))


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
    for name, table in _read_scores(last / "scores").items():
        corpus = corpus.with_scores(name, table)
    verdicts = pq.read_table(last / "verdicts.parquet", columns=["keep"])
    return corpus.filter(verdicts["keep"].to_numpy())


def _read_scores(folder: Path) -> dict[str, pa.Table]:
    """Read a finished stage's scores by table, without ids and vectors."""
    names = sorted({path.stem.rpartition("-")[0] for path in folder.glob("*.parquet")})
    tables = {}
    for name in names:
        paths = sorted(folder.glob(f"{name}-*.parquet"))
        schema = pq.read_schema(paths[0])
        columns = [f.name for f in schema if f.name != "id" and not pa.types.is_nested(f.type)]
        if columns:
            tables[name] = pa.concat_tables([pq.read_table(p, columns=columns) for p in paths])
    return tables


def _cache(job: Job, scorer: Scorer) -> ScoreCache:
    cache = ScoreCache(job.cache, scorer_identity(scorer, job.fingerprints))
    cache.refresh()
    return cache


def _to_score(corpus: Corpus, scorer: Scorer, cache: ScoreCache) -> npt.NDArray[np.bool_]:
    """Return which rows are the first of their content and not in the cache yet."""
    keys = corpus.rows[scorer.key].combine_chunks()
    codes = pc.dictionary_encode(keys).indices.to_numpy(zero_copy_only=False)
    first = np.zeros(len(corpus), dtype=bool)
    first[np.unique(codes, return_index=True)[1]] = True
    missing: npt.NDArray[np.bool_] = cache.missing(keys).to_numpy(zero_copy_only=False)
    return first & missing


def pending(job: Job, stage: int, scorer: int) -> list[Work]:
    """Return the shards in which something is still to be scored, by one scorer of a stage."""
    corpus = stage_corpus(job, stage)
    method = job.recipe.stages[stage].scorers()[scorer]
    todo = _to_score(corpus, method, _cache(job, method))
    shards = corpus.rows["shard"].to_numpy()[todo]
    positions = corpus.rows["position"].to_numpy()[todo]
    return [
        Work(stage, scorer, int(shard), tuple(positions[shards == shard].tolist()))
        for shard in np.unique(shards)
    ]


def score_shard(job: Job, work: Work) -> Cost:
    """Score what is missing in one shard, and store it in the cache.

    Raises:
        ModelError: The model cannot be loaded or run; nothing is stored.
    """
    scorer = job.recipe.stages[work.stage].scorers()[work.scorer]
    rows = stage_corpus(job, work.stage).take(work.shard, work.positions)
    scored = scorer.score(rows, job.runtime)
    if scored.table[scorer.key].to_pylist() != rows[scorer.key].to_pylist():
        raise RuntimeError(f"scorer '{scorer.table}' did not return the rows it was given")
    ScoreCache(job.cache, scorer_identity(scorer, job.fingerprints)).add(scored.table)
    return Cost(len(rows), scored.usage)


def decide(job: Job, stage: int, cost: Cost, started: float) -> StageManifest:
    """Let a stage decide, and write its scores, verdicts and manifest.

    Args:
        job: The run.
        stage: Number of the stage, from 0; all of its rows are in the cache.
        cost: What scoring has cost.
        started: When the stage began, by `time.monotonic()`.
    """
    folder = job.stage_folder(stage)
    folder.mkdir(exist_ok=True)
    method = job.recipe.stages[stage]
    before = stage_corpus(job, stage)
    corpus = _collect(job, method, before, folder / "scores")
    verdicts = method.decide(corpus) if len(corpus) else VERDICTS.empty_table()
    check_verdicts(method.kind, corpus, verdicts)
    write_table(verdicts, folder / "verdicts.parquet")
    diagnose = getattr(method, "diagnose", None)
    lookups = len(corpus) * len(method.scorers())
    manifest = StageManifest(
        folder=folder.name,
        kind=method.kind,
        rows=len(corpus),
        kept=pc.sum(verdicts["keep"]).as_py() or 0,
        reasons_kept=count_values(verdicts.filter(verdicts["keep"])["reason"]),
        reasons_dropped=count_values(verdicts.filter(pc.invert(verdicts["keep"]))["reason"]),
        sources=_by_source(corpus, verdicts),
        scored=cost.rows,
        cached=max(0, lookups - cost.rows),
        model_calls=cost.usage.model_calls,
        tokens=cost.usage.tokens,
        seconds=round(time.monotonic() - started, 3),
        diagnosis=diagnose(corpus, verdicts) if diagnose and len(corpus) else {},
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


def _collect(job: Job, method: Method, corpus: Corpus, folder: Path) -> Corpus:
    """Read a stage's scores from the cache, write them beside its verdicts, return them."""
    folder.mkdir(exist_ok=True)
    if not len(corpus):
        return corpus
    shards = corpus.rows["shard"].to_numpy()
    for scorer in method.scorers():
        cache = _cache(job, scorer)
        positions = cache.locate(corpus.rows[scorer.key].combine_chunks())
        pieces = []
        for number in np.unique(shards):
            mine = shards == number
            piece = cache.read(positions[mine])
            path = folder / f"{scorer.table}-{number:05d}.parquet"
            write_table(piece.add_column(0, "id", corpus.rows["id"].filter(pa.array(mine))), path)
            pieces.append(piece)
        corpus = corpus.with_scores(scorer.table, pa.concat_tables(pieces))
    return corpus


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


def begin(job: Job, stage: int, work: list[Work]) -> None:
    """Report that scoring begins."""
    progress.start(job.recipe.stages[stage].kind, sum(len(piece.positions) for piece in work))

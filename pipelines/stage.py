"""A stage of a run, opened once: what it measures, what it decides, and what it leaves behind."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts import progress
from siftline.contracts.columns import score_column, text_score
from siftline.contracts.corpus import VERDICTS, Corpus
from siftline.contracts.method import Method, Request
from siftline.contracts.parquet import write_table
from siftline.contracts.publishing import writing
from siftline.contracts.runtime import Usage
from siftline.contracts.scorer import in_order
from siftline.pipelines.counting import count_sources, count_statuses, count_values
from siftline.pipelines.funnel import check_stage
from siftline.pipelines.job import Job
from siftline.pipelines.manifest import StageManifest
from siftline.pipelines.revising import write_revisions
from siftline.pipelines.run_directory import begin, read_finished, write_manifest
from siftline.pipelines.scores.measuring import Measured, measure
from siftline.pipelines.scores.renewal import KEY, RENEWS, renew
from siftline.pipelines.scores.store import ScoreStore
from siftline.pipelines.scores.work import Cost, Work, pending, train
from siftline.scorers.remedies import shortfall


class StageRun:
    """A stage between its opening and its manifest.

    It holds the corpus that reaches the stage, where its scores are, and, once they are measured,
    what was asked for. Work that goes to other processes names paths and numbers only.

    Attributes:
        job: The run.
        number: Of the stage, from 0.
        method: What it does.
        folder: Where its results lie.
        corpus: The rows that reach it, with the scores of earlier stages.
        cost: What scoring has cost so far.
    """

    def __init__(self, job: Job, number: int, corpus: Corpus, store: ScoreStore) -> None:
        self.job, self.number, self.corpus = job, number, corpus
        self.method: Method = job.recipe.stages[number]
        self.folder = job.stage_folder(number)
        self.cost = Cost()
        self._store = store
        self._measured: Measured | None = None
        self._renewed: Sequence[Request] = ()
        self._started = time.monotonic()

    def measure(
        self,
        score_all: Callable[[list[Work]], Iterable[Cost]],
        fit: Callable[[Corpus, Request, ScoreStore], Usage] = train,
    ) -> None:
        """Score and train what the method asks for and the store lacks.

        Args:
            score_all: Scores shards, in any order.
            fit: Trains what a request wants trained.

        Raises:
            RecipeError: No earlier stage has a score that the method names.
        """

        def score(request: Request) -> None:
            work = pending(self.number, self.corpus, request, self._store)
            if work and request.training:
                progress.start(f"{self.method.kind}: training", 0)
                self.cost = self.cost.plus(Cost(0, fit(self.corpus, request, self._store)))
                progress.finish()
            name = f"{self.method.kind}: {request.scorer.table.replace('_', ' ')}"
            progress.start(name, sum(len(piece.positions) for piece in work))
            for spent in score_all(work):
                self.cost = self.cost.plus(spent)
            progress.finish()

        self._renew(score)
        self._measured = measure(self.method, self.corpus, self._store, score)

    def _renew(self, score: Callable[[Request], None]) -> None:
        """Look up the scores of earlier stages that the method names, before it measures its own.

        Raises:
            RecipeError: There is no such score.
        """
        own = {scorer.table for scorer in in_order(self.method.scorers())}
        named = self.method.score_columns().items()
        columns = {field: name for field, name in named if name.partition(".")[0] not in own}
        earlier = stages_before(self.job, self.number)
        renewed = renew(self.corpus, columns.values(), earlier, self._store, score)
        self.corpus, self._renewed = renewed
        texts = self.method.text_columns()
        for field, name in columns.items() if len(self.corpus) else ():
            (text_score if field in texts else score_column)(self.corpus, name, field)

    def decide(self) -> StageManifest:
        """Let the method decide, and write scores, verdicts, revisions and the manifest.

        Raises:
            RuntimeError: The method breaks its contract, or nothing has been measured.
        """
        if self._measured is None:
            raise RuntimeError(f"'{self.folder.name}' decides before it has measured")
        corpus, requests = self._measured
        requests = [*self._renewed, *requests]
        method = self.method
        progress.start(f"{method.kind}: verdicts", len(corpus))
        begin(self.folder)
        with writing(self.folder):
            (self.folder / "scores").mkdir()
        self._write_scores(corpus, requests)
        verdicts = method.decide(corpus) if len(corpus) else VERDICTS.empty_table()
        check_verdicts(method.kind, corpus, verdicts)
        write_table(verdicts, self.folder / "verdicts.parquet")
        revised = write_revisions(method, corpus, verdicts, self.folder)
        asked = sum(int(request.rows.sum()) for request in requests)
        statuses = count_statuses(corpus, requests)
        short = [shortfall(table, counts) for table, counts in statuses.items()]
        diagnosis = method.diagnose(corpus, verdicts) if len(corpus) else {}
        own = diagnosis.pop("warnings", [])
        manifest = StageManifest(
            folder=self.folder.name,
            kind=method.kind,
            rows=len(corpus),
            kept=pc.sum(verdicts["keep"]).as_py() or 0,
            revised=revised.responses,
            masked=revised.masked,
            reasons_kept=count_values(verdicts.filter(verdicts["keep"])["reason"]),
            reasons_dropped=count_values(verdicts.filter(pc.invert(verdicts["keep"]))["reason"]),
            sources=count_sources(corpus, verdicts),
            scored=self.cost.rows,
            cached=max(0, asked - self.cost.rows),
            model_calls=self.cost.usage.model_calls,
            tokens=self.cost.usage.tokens,
            seconds=round(time.monotonic() - self._started, 3),
            statuses=statuses,
            warnings=(*[each for each in short if each], *own),
            models=self.cost.told,
            diagnosis=diagnosis,
            pictures=method.picture(corpus, verdicts) if len(corpus) else {},
        )
        check_stage(manifest)
        write_manifest(self.folder, manifest)
        progress.advance(len(corpus))
        progress.finish()
        self._measured = None
        self._store.release()
        return manifest

    def _write_scores(self, corpus: Corpus, requests: Iterable[Request]) -> None:
        """Write what was measured and derived, shard by shard, beside the verdicts."""
        folder = self.folder / "scores"
        shards = corpus.rows["shard"].to_numpy() if len(corpus) else np.empty(0, dtype=np.int32)
        ids = corpus.rows["id"]
        whole = dict(_by_shard(shards, np.arange(len(shards))))
        measured = set()
        for request in requests:
            scorer = request.scorer
            measured.add(scorer.table)
            cache = self._store.scores(scorer)
            asked = np.flatnonzero(request.rows)
            keys = corpus.rows[scorer.key].take(pa.array(asked)).combine_chunks()
            located = cache.locate(keys)  # of all at once: it goes through every key of the cache
            for number, places in _by_shard(shards[asked], np.arange(len(asked))):
                piece = cache.read(located[places])
                piece = piece.add_column(0, "id", ids.take(pa.array(asked[places])))
                told = {KEY: scorer.key} | ({RENEWS: ""} if request in self._renewed else {})
                write_table(
                    piece.replace_schema_metadata(told),
                    folder / f"{scorer.table}-{number:05d}.parquet",
                )
        for name, table in corpus.tables.items():
            if name in measured or table is self.corpus.tables.get(name):
                continue
            for number, rows in whole.items():
                piece = table.take(pa.array(rows)).add_column(0, "id", ids.take(pa.array(rows)))
                told = {KEY: self.method.derive_key()}
                write_table(
                    piece.replace_schema_metadata(told), folder / f"{name}-{number:05d}.parquet"
                )


def stages_before(job: Job, number: int) -> list[tuple[Method, Path]]:
    """Return the methods of the stages before one, each with the folder of its scores."""
    return [
        (method, job.stage_folder(place) / "scores")
        for place, method in enumerate(job.recipe.stages[:number])
    ]


def finished_stage(job: Job, stage: int) -> StageManifest | None:
    """Return a stage's manifest when it is finished, and as it was written."""
    return read_finished(job.stage_folder(stage), StageManifest)


def check_verdicts(kind: str, corpus: Corpus, verdicts: pa.Table) -> None:
    """Hold a method to its contract: one verdict per row, in order, each with a reason.

    Raises:
        RuntimeError: The method is broken; nothing is written.
    """
    if not verdicts.schema.equals(VERDICTS):
        raise RuntimeError(f"'{kind}' returned the columns {verdicts.schema.names}")
    if not verdicts["id"].equals(corpus.rows["id"]):
        raise RuntimeError(f"'{kind}' did not judge the rows that it was given, in their order")
    if verdicts["keep"].null_count or verdicts["reason"].null_count:
        raise RuntimeError(f"'{kind}' left a row without a verdict or a reason")


def _by_shard(
    shards: npt.NDArray[np.int32], rows: npt.NDArray[np.int64]
) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Yield the number of each shard, and which rows lie in it, in their order.

    Args:
        shards: [rows] The shard of each.
        rows: [rows] What is yielded of them.
    """
    order = np.argsort(shards, kind="stable")
    numbers, starts = np.unique(shards[order], return_index=True)
    for number, start, stop in zip(numbers, starts, [*starts[1:], len(rows)], strict=False):
        yield int(number), rows[order[start:stop]]

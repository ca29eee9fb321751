"""The whole run, without Prefect: ingest, every stage, export.

`flows/curate.py` has the same loop with each step as a task; both leave the same bytes. The report
is written by :func:`siftline.reports.write.write_reports`, from what a run has left.
"""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import siftline
from siftline.contracts import progress
from siftline.contracts.columns import LANGUAGE
from siftline.contracts.corpus import Corpus
from siftline.contracts.errors import InputError, RunError
from siftline.contracts.method import Request
from siftline.contracts.records import check_files
from siftline.contracts.runtime import Runtime
from siftline.pipelines.funnel import check_export, check_ingest, check_stages
from siftline.pipelines.ingestion.ingest import ingest
from siftline.pipelines.ingestion.inputs import digest
from siftline.pipelines.job import Job, locked, open_job
from siftline.pipelines.manifest import ExportManifest, IngestManifest, StageManifest, Summary
from siftline.pipelines.output.companions import complete
from siftline.pipelines.output.decisions import write_decisions
from siftline.pipelines.output.export import export
from siftline.pipelines.recipe import Recipe
from siftline.pipelines.run_directory import (
    begin,
    finished,
    point_latest,
    read_finished,
    read_summary,
    telling_what_is_kept,
    write_manifest,
    write_summary,
)
from siftline.pipelines.scores.renewal import renew
from siftline.pipelines.scores.work import Cost, pending
from siftline.pipelines.stage import StageRun, finished_stage, stages_before
from siftline.pipelines.stage_results import after_stage
from siftline.pipelines.workers import Workers, workers


class RunResult(Summary):
    """What a call to :func:`run` has done.

    Attributes:
        folder: Of the version.
        reused: True when the version was finished already, and nothing was computed.
    """

    folder: Path
    reused: bool


def run(recipe: Recipe, base: Path, runs: Path, runtime: Runtime | None = None) -> RunResult:
    """Curate a dataset. Whoever wants no empty one calls :func:`require_rows` with the result.

    Args:
        recipe: What is to be done.
        base: Folder that the recipe's paths are relative to.
        runs: The run directory; made when it is missing.
        runtime: Where and how it is computed.

    Raises:
        InputError: An input is missing, empty, or has too many bad rows.
        ModelError: A model cannot be found or run. What was scored stays in the cache.
        RunError: Another run of the same recipe is under way, or a folder cannot be written to.
        DamagedError: The version is finished, and a file of it is not as it was written.
    """
    with locked(recipe, runs):
        job = open_job(recipe, base, runs, runtime or Runtime())
        if finished(job.version):
            return reuse(job)
        with telling_what_is_kept(job.version, job.cache):
            read = read_inputs(job)
            corpus = job.open_corpus()
            stages = []
            with workers(job) as crew:
                for number in range(len(recipe.stages)):
                    stage, corpus = run_stage(job, number, corpus, crew)
                    stages.append(stage)
                corpus, ordering = scores_to_write(job, corpus, crew)
            return finish(job, corpus, read, stages, ordering)


def read_inputs(job: Job) -> IngestManifest:
    """Read the inputs into examples, unless that is done."""
    folder = job.ingest_folder
    done = read_finished(folder, IngestManifest)
    if done:
        return done
    begin(folder)
    started = time.monotonic()
    progress.start("ingest", 0)
    summary = ingest(
        job.recipe.inputs,
        job.base,
        folder,
        max_bad_rows=job.recipe.max_bad_rows,
        max_row_bytes=job.recipe.max_row_bytes,
        shard_rows=job.runtime.shard_rows,
        runs=job.runs,
        on_progress=progress.advance,
    )
    progress.finish()
    _check_inputs(job)
    check_ingest(summary)
    manifest = IngestManifest(summary=summary, seconds=round(time.monotonic() - started, 3))
    write_manifest(folder, manifest)
    return manifest


def _check_inputs(job: Job) -> None:
    """Check that the inputs still are what the version's identity says.

    Raises:
        InputError: One has changed since; the version is removed.
    """
    for item, before in zip(job.recipe.inputs, job.data, strict=True):
        if digest(item, job.base, job.runs) != before:
            shutil.rmtree(job.version)
            raise InputError(
                f"Input '{item.path or item.hub}' has changed while it was read; expected the "
                "bytes that the run began with. Nothing of it is kept: run again when it is "
                "written."
            )


def run_stage(job: Job, stage: int, corpus: Corpus, crew: Workers) -> tuple[StageManifest, Corpus]:
    """Score what is missing, then decide, unless the stage is finished.

    Args:
        job: The run.
        stage: Number of the stage, from 0.
        corpus: What reaches it.
        crew: The devices.

    Returns:
        What the stage says of itself, and the corpus that it leaves.
    """
    manifest = finished_stage(job, stage)
    if manifest is None:
        crew.begin_stage(stage)
        opened = StageRun(job, stage, corpus, crew.store)
        opened.measure(crew.score_all)
        manifest = opened.decide()
    return manifest, after_stage(corpus, job.stage_folder(stage))


def scores_to_write(job: Job, corpus: Corpus, crew: Workers) -> tuple[Corpus, Cost]:
    """Measure again what the dataset needs of scores, where a response was replaced since.

    That is the score that orders it, and the language of each row if a stage has told it.

    Args:
        job: The run; all of its stages are finished.
        corpus: What the last stage has left.
        crew: The devices.

    Returns:
        The corpus with these scores, and what the scoring has cost.
    """
    name, end = job.recipe.output.order_by, len(job.recipe.stages)
    cost = Cost()

    def score(request: Request) -> None:
        nonlocal cost
        work = pending(end, corpus, request, crew.store)
        progress.start(f"export: {request.scorer.table}", sum(len(each.positions) for each in work))
        for spent in crew.score_all(work):
            cost = cost.plus(spent)
        progress.finish()

    columns = ([] if name is None else [name]) + [
        each for each in (LANGUAGE,) if each in corpus.score_columns
    ]
    return renew(corpus, columns, stages_before(job, end), crew.store, score).corpus, cost


def finish(
    job: Job,
    corpus: Corpus,
    read: IngestManifest,
    stages: Sequence[StageManifest],
    ordering: Cost,
) -> RunResult:
    """Write the dataset and the decisions; the version is then finished.

    Args:
        job: The run.
        corpus: What the last stage has left.
        read: What ingestion has read.
        stages: What each stage has decided.
        ordering: What the score that orders the dataset has cost.

    Raises:
        DamagedError: A folder of the version is no longer as it was written.
        RuntimeError: The rows do not add up; the version is not finished.
    """
    check_stages(read.summary, stages)
    exported = export(job, corpus)
    check_export(read.summary, stages, exported)
    progress.start("decisions", 0)
    progress.advance(len(write_decisions(job, job.version / "decisions.parquet")))
    progress.finish()
    summary = _summary(job, read, stages, ordering, exported)
    complete(job.curated_folder, summary, job.recipe.inputs)
    write_summary(job.version, summary)
    if exported.rows or job.recipe.allow_empty:
        point_latest(job.version)
    return RunResult(**read_summary(job.version).model_dump(), folder=job.version, reused=False)


def reuse(job: Job) -> RunResult:
    """Return the report of a finished version, with nothing spent.

    Raises:
        DamagedError: A file of it is missing or has another size; `siftline verify` reads them.
    """
    summary = read_summary(job.version)
    check_files(job.version, summary.files, sizes_only=True)
    if summary.export.rows or job.recipe.allow_empty:
        point_latest(job.version)
    spent = {"model_calls": 0, "tokens": 0, "scored": 0}
    return RunResult(**{**summary.model_dump(), **spent}, folder=job.version, reused=True)


def require_rows(recipe: Recipe, result: RunResult) -> None:
    """Check that a dataset has rows, once the report is written that says where they went.

    An empty version is finished, and `latest` stays where it is.

    Args:
        recipe: Says whether an empty dataset is a result.
        result: Of its run.

    Raises:
        RunError: It has none. The stage that dropped the last rows is named.
    """
    if result.export.rows or recipe.allow_empty:
        return
    last = next((stage for stage in result.stages if stage.rows and not stage.kept), None)
    where = "no row that was read is an example"
    if last is not None:
        reasons = ", ".join(f"{slug} {count:,}" for slug, count in last.reasons_dropped.items())
        where = f"'{last.folder}' dropped the last {last.rows:,} rows ({reasons})"
    raise RunError(
        f"The dataset is empty: {where}. See '{result.folder / 'report.html'}', and loosen that "
        "stage, or state 'allow_empty: true' in the recipe where no rows are a result."
    )


def _summary(
    job: Job,
    read: IngestManifest,
    stages: Sequence[StageManifest],
    ordering: Cost,
    exported: ExportManifest,
) -> Summary:
    return Summary(
        recipe=job.recipe.name,
        version=job.version.name,
        siftline=siftline.__version__,
        ingest=read.model_copy(update={"files": {}}),
        stages=tuple(stage.model_copy(update={"files": {}}) for stage in stages),
        export=exported,
        models=job.fingerprints,
        model_calls=sum(stage.model_calls for stage in stages) + ordering.usage.model_calls,
        tokens=sum(stage.tokens for stage in stages) + ordering.usage.tokens,
        scored=sum(stage.scored for stage in stages) + ordering.rows,
        cached=sum(stage.cached for stage in stages),
    )

"""The whole run, without Prefect: ingest, every stage, export, report.

`flows/curate.py` has the same loop with each step as a task; both leave the same bytes.
"""

import shutil
import time
from functools import partial
from pathlib import Path

import siftline
from siftline.pipelines import progress
from siftline.pipelines.decisions import write_decisions
from siftline.pipelines.export import export
from siftline.pipelines.ingest import ingest
from siftline.pipelines.job import Job, locked, open_job
from siftline.pipelines.manifest import ExportManifest, IngestManifest, StageManifest, Summary
from siftline.pipelines.method import Runtime
from siftline.pipelines.recipe import Recipe
from siftline.pipelines.run_directory import (
    finished,
    point_latest,
    read_manifest,
    write_json,
    write_manifest,
)
from siftline.pipelines.stage import decide, finished_stage, measure
from siftline.pipelines.workers import Workers, workers
from siftline.reports.card import dataset_card
from siftline.reports.page import report_page


class RunResult(Summary):
    """What a call to :func:`run` has done.

    Attributes:
        folder: Of the version.
        reused: True when the version was finished already, and nothing was computed.
    """

    folder: Path
    reused: bool


def run(recipe: Recipe, base: Path, runs: Path, runtime: Runtime | None = None) -> RunResult:
    """Curate a dataset.

    Args:
        recipe: What is to be done.
        base: Folder that the recipe's paths are relative to.
        runs: The run directory; made when it is missing.
        runtime: Where and how it is computed.

    Raises:
        InputError: An input is missing, empty, or has too many bad rows.
        ModelError: A model cannot be found or run. What was scored stays in the cache.
        RunError: Another run of the same recipe is under way.
    """
    with locked(recipe, runs):
        job = open_job(recipe, base, runs, runtime or Runtime())
        if finished(job.version):
            return reuse(job)
        read_inputs(job)
        with workers(job.runtime.devices) as crew:
            for stage in range(len(recipe.stages)):
                run_stage(job, stage, crew)
        return finish(job)


def read_inputs(job: Job) -> IngestManifest:
    """Read the inputs into examples, unless that is done."""
    folder = job.ingest_folder
    done = read_manifest(folder, IngestManifest)
    if done:
        return done
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    started = time.monotonic()
    progress.start("ingest", 0)
    summary = ingest(
        job.recipe.inputs,
        job.base,
        folder,
        max_bad_rows=job.recipe.max_bad_rows,
        max_row_bytes=job.recipe.max_row_bytes,
        shard_rows=job.runtime.shard_rows,
        on_progress=progress.advance,
    )
    progress.finish()
    manifest = IngestManifest(summary=summary, seconds=round(time.monotonic() - started, 3))
    write_manifest(folder, manifest)
    return manifest


def run_stage(job: Job, stage: int, crew: Workers) -> StageManifest:
    """Score what is missing, then decide, unless the stage is finished."""
    done = finished_stage(job, stage)
    if done:
        return done
    started = time.monotonic()
    cost = measure(job, stage, partial(crew.score_all, job))
    return decide(job, stage, cost, started)


def finish(job: Job) -> RunResult:
    """Write the dataset, the decisions and the reports; the version is then finished."""
    exported = export(job)
    decisions = write_decisions(job, job.version / "decisions.parquet")
    summary = _summary(job, exported)
    (job.curated_folder / "README.md").write_text(dataset_card(job, summary), encoding="utf-8")
    page = report_page(job, summary, decisions)
    (job.version / "report.html").write_text(page, encoding="utf-8")
    write_json(job.version / "report.json", summary.model_dump(mode="json"))
    point_latest(job.version)
    return RunResult(**summary.model_dump(), folder=job.version, reused=False)


def reuse(job: Job) -> RunResult:
    """Return the report of a finished version, with nothing spent."""
    text = (job.version / "report.json").read_text(encoding="utf-8")
    summary = Summary.model_validate_json(text)
    point_latest(job.version)
    spent = {"model_calls": 0, "tokens": 0, "scored": 0}
    return RunResult(**{**summary.model_dump(), **spent}, folder=job.version, reused=True)


def _summary(job: Job, exported: ExportManifest) -> Summary:
    stages = tuple(
        manifest
        for number in range(len(job.recipe.stages))
        if (manifest := finished_stage(job, number)) is not None
    )
    return Summary(
        recipe=job.recipe.name,
        version=job.version.name,
        siftline=siftline.__version__,
        ingest=read_inputs(job),
        stages=stages,
        export=exported,
        models=job.fingerprints,
        model_calls=sum(stage.model_calls for stage in stages),
        tokens=sum(stage.tokens for stage in stages),
        scored=sum(stage.scored for stage in stages),
        cached=sum(stage.cached for stage in stages),
    )

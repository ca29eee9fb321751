"""The Prefect flow: the loop over the stages, with shards mapped as tasks.

Tasks are library functions that leave their results in the run directory; those that score shards
are given paths and numbers only. Prefect's own cache is off: the run directory and the score cache
are the only ones.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from prefect import Task, flow
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import TerminationSignal
from prefect.task_runners import ThreadPoolTaskRunner

from siftline.contracts.runtime import Runtime
from siftline.pipelines import run as steps
from siftline.pipelines.job import locked, open_job
from siftline.pipelines.manifest import StageManifest
from siftline.pipelines.recipe import Recipe, load_recipe
from siftline.pipelines.run import RunResult
from siftline.pipelines.run_directory import finished, telling_what_is_kept
from siftline.pipelines.scores.work import Cost, Work
from siftline.pipelines.stage import StageRun, finished_stage
from siftline.pipelines.stage_results import after_stage
from siftline.pipelines.workers import Workers, workers
from siftline.reports.summary import markdown_summary
from siftline.reports.write import write_reports

P = ParamSpec("P")
R = TypeVar("R")


def _task(function: Callable[P, R], name: str) -> Task[P, R]:
    """Wrap a library function as a task without a cache."""
    return Task(function, name=name, cache_policy=NO_CACHE, persist_result=False)


read_inputs = _task(steps.read_inputs, "ingest")
finish = _task(steps.finish, "finish")


@flow(name="siftline-curate", persist_result=False, validate_parameters=True)
def curate(
    recipe: Path,
    runs: Path = Path("runs"),
    overrides: tuple[str, ...] = (),
    runtime: Runtime | None = None,
) -> RunResult:
    """Curate a dataset from a recipe file, as scheduled runs do.

    The recipe is read when the flow starts, so an edit counts from the next run on.

    Args:
        recipe: A YAML file; its inputs are relative to its folder.
        runs: The run directory.
        overrides: `key=value`, as for `siftline run --set`.
        runtime: Where and how it is computed.

    Raises:
        SiftlineError: As :func:`siftline.pipelines.run.run`.
    """
    loaded = load_recipe(recipe, overrides)
    with locked(loaded, runs):
        result = _curate(loaded, recipe.resolve().parent, runs, runtime or Runtime())
    write_reports(result.folder)
    create_markdown_artifact(
        markdown_summary(result),
        key=_artifact_key(loaded.name),
        description=f"siftline {result.recipe} {result.version}",
    )
    steps.require_rows(loaded, result)
    return result


def _curate(recipe: Recipe, base: Path, runs: Path, runtime: Runtime) -> RunResult:
    job = open_job(recipe, base, runs, runtime)
    if finished(job.version):
        return steps.reuse(job)
    with telling_what_is_kept(job.version, job.cache, (KeyboardInterrupt, TerminationSignal)):
        read = read_inputs(job)
        corpus = job.open_corpus()
        stages = []
        with workers(job) as crew:
            for number in range(len(recipe.stages)):
                stage = finished_stage(job, number) or _run_stage(
                    StageRun(job, number, corpus, crew.store), crew
                )
                corpus = after_stage(corpus, job.stage_folder(number))
                stages.append(stage)
            corpus, ordering = steps.scores_to_write(job, corpus, crew)
        return finish(job, corpus, read, stages, ordering)


def _run_stage(stage: StageRun, crew: Workers) -> StageManifest:
    score = _task(crew.score, "score")

    def score_all(work: list[Work]) -> list[Cost]:
        # The flow's own runner would hold all shards of a stage in memory at once.
        runner: Any = ThreadPoolTaskRunner(max_workers=crew.at_once)  # its types know no functions
        with runner:
            try:
                costs: list[Cost] = runner.map(score, {"work": work}).result()  # or what it raised
            except BaseException:
                crew.abort()  # the runner waits for tasks, which may wait for a server
                raise
        return costs

    crew.begin_stage(stage.number)
    stage.measure(score_all)
    return _task(stage.decide, "decide")()


def _artifact_key(name: str) -> str:
    """Return a key as Prefect wants it: lower case letters, digits and dashes."""
    slug = "".join(c if c.isascii() and c.isalnum() else "-" for c in name.casefold())
    return f"siftline-{slug}"

"""Planning: what a recipe's data holds, and what its budgets come to, before anything is run.

The inputs are read as a run reads them, and the run goes on from there. No model is run; where a
mixture counts tokens, the tokenizer is, and the counts are kept for the run. What stages before a
budget will drop is not known yet: each stage is planned as if everything reached it.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts import progress
from siftline.contracts.config import Config
from siftline.contracts.corpus import Corpus
from siftline.contracts.method import Budgeted, Method, Request
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scorer, in_order
from siftline.models.remote.engines import how_it_is_served
from siftline.pipelines.job import Job, locked, open_job
from siftline.pipelines.recipe import Recipe
from siftline.pipelines.run import read_inputs
from siftline.pipelines.run_directory import finished, mark_planned, never_run
from siftline.pipelines.scores.measuring import read_scores
from siftline.pipelines.scores.store import ScoreStore
from siftline.pipelines.scores.work import pending, score_work
from siftline.scorers.token_counts import TokenCounts
from siftline.selectors.budget import resolve_budget
from siftline.selectors.mixing import Mix

RESPONSE_TOKENS = "response_tokens"


class Held(Config):
    """What the rows of a source and a task hold.

    Attributes:
        source: Its name.
        task: Its name, or None.
        rows: Examples.
        prompts: Different ones.
        response_chars: Characters of their responses.
        response_tokens: Tokens of their responses, by role of the model whose tokenizer counts.
    """

    source: str
    task: str | None
    rows: int
    prompts: int
    response_chars: int
    response_tokens: dict[str, int]


class StagePlan(Config):
    """What a stage comes to if everything reaches it.

    Attributes:
        folder: As a run will call it.
        kind: Of the method.
        unit: Of its budget; None where it has none.
        budget: As the recipe states it; None where it has none.
        of: What there is, in that unit; None where that is not known before a run.
        keeps: What the budget comes to; None likewise.
        after: Folders of earlier stages, which may drop rows before.
        figures: Of `mix` and `dmt`: what their report will hold.
    """

    folder: str
    kind: str
    unit: str | None
    budget: int | float | str | None
    of: int | None
    keeps: int | None
    after: tuple[str, ...]
    figures: dict[str, Any] = {}


class Plan(Config):
    """A recipe's data and budgets.

    Attributes:
        recipe: Its name.
        version: That a run will finish, or has finished.
        finished: A run has finished it.
        quarantined: Rows that cannot be used.
        remarks: Sentences about what was repaired and left out as they were read.
        warnings: Sentences about columns that a prompt may need and does not hold.
        served: Sentences about models that a run serves for its time, and how.
        held: By source and task, in the order of their names.
        total: Of all; prompts that several groups share count once.
        stages: In order.
    """

    recipe: str
    version: str
    finished: bool
    quarantined: int
    remarks: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    served: tuple[str, ...] = ()
    held: tuple[Held, ...]
    total: Held
    stages: tuple[StagePlan, ...]


def plan(recipe: Recipe, base: Path, runs: Path, runtime: Runtime | None = None) -> Plan:
    """Read a recipe's inputs, and say what they hold and what the stages would be given.

    The plan is kept beside what was read, as `plan.json`, until a run of the version begins.

    Args:
        recipe: What is to be done.
        base: Folder that the recipe's paths are relative to.
        runs: The run directory.
        runtime: As for the run that follows.

    Raises:
        RecipeError: A mixture names what the inputs do not hold, or leaves nothing to some of it.
        InputError: An input is missing, empty, or has too many bad rows.
        ModelError: A model cannot be found, or its tokenizer cannot be loaded.
        RunError: Another run of the same recipe is under way.
    """
    with locked(recipe, runs):
        job = open_job(recipe, base, runs, runtime or Runtime())
        done, new = finished(job.version), never_run(job.version)
        manifest = read_inputs(job)
        if new:  # first, so that a plan that fails leaves no version behind
            mark_planned(job.version, {})
        store = job.store()
        corpus = job.open_corpus()
        tokens = _measure(job, corpus, store)
        held, total = _held(corpus, tokens)
        made = Plan(
            recipe=recipe.name,
            version=job.version.name,
            finished=done,
            quarantined=sum(
                sum(source.quarantined.values()) for source in manifest.summary.sources.values()
            ),
            remarks=tuple(manifest.remarks),
            warnings=tuple(manifest.warnings),
            served=tuple(
                f"{role}: '{spec.name}' is "
                f"{how_it_is_served(spec, job.fingerprints[role]['version'])}, from when a stage "
                "first asks it; nothing is started before."
                for role, spec in recipe.models.items()
                if spec.serve is not None and role in job.fingerprints
            ),
            held=held,
            total=total,
            stages=tuple(_stage(job, n, corpus, total, store) for n in range(len(recipe.stages))),
        )
        if new:
            mark_planned(job.version, made.model_dump(mode="json"))
    return made


def _measure(job: Job, corpus: Corpus, store: ScoreStore) -> dict[str, pa.Array]:
    """Measure what previews read, and return [rows] the responses' tokens by role."""
    scorers: list[Scorer] = []
    for stage in job.recipe.stages:
        scorers += [scorer for scorer in in_order(stage.previewed()) if scorer not in scorers]
    every = np.ones(len(corpus), dtype=bool)
    tokens = {}
    for scorer in scorers:
        request = Request(scorer, every)
        work = pending(0, corpus, request, store)
        name = f"plan: {scorer.table.replace('_', ' ')}"
        progress.start(name, sum(len(piece.positions) for piece in work))
        for piece in work:
            score_work(corpus.take(piece.shard, piece.positions), piece, store)
        progress.finish()
        if isinstance(scorer, TokenCounts):
            tokens[scorer.model] = read_scores(corpus, request, store)[RESPONSE_TOKENS]
    return tokens


def _held(corpus: Corpus, tokens: Mapping[str, pa.Array]) -> tuple[tuple[Held, ...], Held]:
    """Return what the rows hold, by source and task, and together."""
    table = corpus.rows.select(["source", "task", "prompt_id"])
    table = table.append_column("response_chars", _response_chars(corpus))
    for role, column in tokens.items():
        table = table.append_column(f"{RESPONSE_TOKENS} {role}", column)
    sums = [name for name in table.column_names if name.startswith("response_")]
    ask = [("prompt_id", "count"), ("prompt_id", "count_distinct"), *[(n, "sum") for n in sums]]
    groups = table.group_by(["source", "task"]).aggregate(ask).to_pylist()
    groups.sort(key=lambda row: (row["source"], row["task"] or ""))
    whole = table.group_by([]).aggregate(ask).to_pylist()[0]
    return tuple(_row(each, tokens) for each in groups), _row(
        {"source": "", "task": None, **whole}, tokens
    )


def _row(group: dict[str, Any], tokens: Mapping[str, pa.Array]) -> Held:
    return Held(
        source=group["source"],
        task=group["task"],
        rows=group["prompt_id_count"],
        prompts=group["prompt_id_count_distinct"],
        response_chars=group["response_chars_sum"] or 0,
        response_tokens={role: group[f"{RESPONSE_TOKENS} {role}_sum"] or 0 for role in tokens},
    )


def _response_chars(corpus: Corpus) -> pa.ChunkedArray:
    """Return [rows] the characters of each response: its text, thought and calls."""
    lengths = []
    for shard in corpus.iter_shards():
        for turns in shard["messages"].chunks:
            last = turns.values.take(pa.array(np.asarray(turns.offsets)[1:] - 1))
            parts = (last.field(name) for name in ("content", "reasoning", "tool_calls"))
            counts = [pc.fill_null(pc.utf8_length(part), 0).cast(pa.int64()) for part in parts]
            lengths.append(functools.reduce(pc.add, counts))
    return pa.chunked_array(lengths, pa.int64())


def _stage(job: Job, number: int, corpus: Corpus, total: Held, store: ScoreStore) -> StagePlan:
    stage = job.recipe.stages[number]
    folders = tuple(job.stage_folder(n).name for n in range(number + 1))
    figures = _preview(stage, corpus, store)
    plan = StagePlan(
        folder=folders[-1],
        kind=stage.kind,
        unit=None,
        budget=None,
        of=None,
        keeps=figures.get("given"),
        after=folders[:-1],
        figures=figures,
    )
    if not isinstance(stage, Budgeted):
        return plan
    of = _available(stage, corpus, total)
    keeps = None if of is None or stage.budget is None else resolve_budget(stage.budget, of)
    fields = {"unit": stage.unit, "budget": stage.budget, "of": of}
    return plan.model_copy(update={**fields, "keeps": figures.get("given", keeps)})


def _available(stage: Budgeted, corpus: Corpus, total: Held) -> int | None:
    """Return how many units there are for a budget; None where that is not known before a run."""
    if stage.unit == "token":
        role = stage.model if isinstance(stage, Mix) else None
        return None if role is None else total.response_tokens[role]
    rows = corpus.rows.filter(pa.array(stage.pool(corpus)))
    return len(rows) if stage.unit == "row" else pc.count_distinct(rows["prompt_id"]).as_py()


def _preview(stage: Method, corpus: Corpus, store: ScoreStore) -> dict[str, Any]:
    """Return the figures of a stage that can be known before it is run."""
    every = np.ones(len(corpus), dtype=bool)
    for scorer in in_order(stage.previewed()):
        scores = read_scores(corpus, Request(scorer, every), store)
        corpus = corpus.with_scores(scorer.table, scores)
    return stage.preview(corpus)

"""What every method holds, whatever it does: run over every kind that a recipe can name.

The scores are real: each method's scorers run on examples on disk, with the toy model. A kind that
is new is tested without an entry here, unless it has a required field of a new name.
"""

import inspect
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import agent_rows
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from scripted import said, stand_in

from siftline.contracts import progress
from siftline.contracts.corpus import EXAMPLES, VERDICTS, Corpus, shard_name
from siftline.contracts.errors import ModelError, RecipeError
from siftline.contracts.examples import Message, content_hash, prompt_hash
from siftline.contracts.method import REVISED, Budgeted, Method, Request, local_roles_of, roles_of
from siftline.contracts.model_spec import ModelSpec, ServerSpec
from siftline.contracts.parquet import write_table
from siftline.contracts.runtime import Runtime, Usage
from siftline.contracts.scorer import in_order
from siftline.models.generation import Conversation, Generations, OptionProbabilities, Sampling
from siftline.pipelines.kinds import all_methods, kind_of
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import run
from siftline.pipelines.scores.measuring import measure
from siftline.pipelines.scores.named_files import digest_of_named
from siftline.pipelines.scores.store import ScoreStore
from siftline.pipelines.scores.work import pending, score_work, train
from siftline.selectors.baselines import Longest

METHODS = {kind_of(method): method for method in all_methods()}

# What a field holds in these tests if a method requires it, or cannot do without.
FIELDS: dict[str, Any] = {
    "model": "toy",
    "budget": 7,
    "score": "statistics.response_chars",
    "targets": ["target"],
    "specialised": ["target"],
    "judge": {"kind": "numeric"},
    "template": "plain",
    "benchmarks": [{"name": "numbers", "path": "benchmark.jsonl"}],
}
# The measures of S2L are given: to train a proxy needs weights (tests/test_s2l.py).
CHANGES: dict[str, dict[str, Any]] = {
    "s2l": {"model": None, "trajectories": "trajectories.parquet"},
    "clear": {
        "model": "writer",
        "template": None,
        "consistency": {"kind": "numeric"},
        "correct": {"eta": 0.5, "judgements": 2},
    },
    "s3ft": {"model": "writer", "template": None},
    "decontamination": {"embedder": "toy"},
    "language": {"languages": ["de", "en"]},  # the models of all take 10 s to load
}
# Two of its questions are rows of the examples, one to the letter.
BENCHMARK = """{"question": "Tell me about the number 5, and add 1.", "answer": "6"}
{"question": "Tell me about the number 5, and add 100.", "answer": "105"}
"""
KEEPS_FEWER = {"deita": "what is like a kept row stays out, although the budget has room"}

# By kind, a field that names sources, set to one that no input has.
NOWHERE: dict[str, list[dict[str, Any]]] = {
    "grape": [{"k": "match_original", "original": ["nowhere"]}],
    "s3ft": [{"sources": ["nowhere"]}],
    "rds_plus": [{"targets": ["nowhere"]}],
    "mix": [{"weights": {"nowhere": 1}}, {"by": "task", "source_weights": {"nowhere": 1}}],
    "diversity": [{"domains": {"in": ["nowhere"]}}],
    "near_duplicates": [{"source_priority": ["nowhere"]}],
}
# Fields that are about sources without naming one, or whose names may be tasks as well.
NAMES_NONE = {
    "dmt.specialised",
    "mix.by",
    "rds_plus.tasks",
    "s2l.clusters",
    "s2l.stratify_by",
    "s3ft.max_own_share",
    "stratified_random.by",
}


def config(kind: str, **changes: Any) -> dict[str, Any]:
    """Return a stage of a recipe."""
    fields = METHODS[kind].model_fields
    required = {name for name, field in fields.items() if field.is_required()}
    unknown = required - set(FIELDS)
    assert not unknown, f"'{kind}' requires {unknown}: add them to FIELDS in this file"
    given = {name: FIELDS[name] for name in FIELDS if name in required | {"template", "model"}}
    stage = {name: value for name, value in given.items() if name in fields}
    stage = {"kind": kind, **stage, **CHANGES.get(kind, {}), **changes}
    return {name: value for name, value in stage.items() if value is not None}


def method_of(kind: str, **changes: Any) -> Method:
    return METHODS[kind].model_validate(config(kind, **changes))


def examples() -> list[dict[str, Any]]:
    """Return rows with ties, copies, candidates, three sources, tasks, and one without a score."""
    rows = []
    for n in range(30):
        # Every third prompt has two candidates; prompts 20 to 22 differ in a digit only.
        question = f"Tell me about the number {n - n % 3 // 2}, and add {n % 4}."
        answer = "It goes on. " * (n % 5) + f"The number is {n - n % 3 // 2}."
        source = "target" if n < 4 else f"s{n % 2}"
        rows.append((question, answer, source, ["odd", "even", None][n % 3]))
    rows.append(("Say nothing.", " ", "s0", None))
    rows.append(rows[7])
    made = []
    for number, (question, answer, source, task) in enumerate(rows):
        turns: list[Message] = [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
        made.append(
            {
                "id": f"r{number:02d}",
                "content_hash": content_hash(turns),
                "prompt_id": prompt_hash(turns),
                "messages": turns,
                "source": source,
                "task": task,
                "origin": [None, "gpt", "claude"][number % 3],
                "metadata": "{}",
                "file": "made.jsonl",
                "row": number + 1,
            }
        )
    return made


TOY = ModelSpec(name="builtin:toy")
WRITER = ModelSpec(name="builtin:toy", revision="writer")


class Writer:
    """A model whose answers are a function of the question, half of them to one's liking."""

    def generate(
        self, prompts: Sequence[Conversation], sampling: Sampling, **options: Any
    ) -> Generations:
        options["on_batch"](len(prompts), 0)
        rows = [said(*[self._answer(turns[-1]["content"])] * sampling.n) for turns in prompts]
        return Generations(list(rows), Usage(1, len(prompts)))

    def choose(
        self, prompts: Sequence[Conversation], options: Sequence[str], **others: Any
    ) -> OptionProbabilities:
        others["on_batch"](len(prompts), 0)
        likes = [[0.9, 0.05, 0.05], [0.1, 0.8, 0.1]]
        rows = [likes[self._number(turns[-1]["content"]) % 2] for turns in prompts]
        return OptionProbabilities([row[: len(options)] for row in rows], Usage(1, len(prompts)))

    def _answer(self, text: str) -> str:
        if "Which answer is better" in text:  # its own
            first = text.partition("Second answer:")[0]
            return "Answer: A" if "I say" in first else "Answer: B"
        number = self._number(text)
        if "Below is a correct answer" in text:
            return f"In short: {re.findall('[0-9]+', text)[-1]}."
        return f"I say it is {number if number % 3 else number + 1}."

    def _number(self, text: str) -> int:
        return int((re.findall(r"number (\d+)", text) or ["0"])[0])


class Counting(progress.Silent):
    """Counts the rows that are reported."""

    rows = 0.0

    def advance(self, rows: float, tokens: int) -> None:
        self.rows += rows


class Bench:
    """Examples on disk, and the scores of every method on them, computed once."""

    def __init__(self, folder: Path, rows: Sequence[dict[str, Any]] | None = None) -> None:
        self.folder = folder
        (folder / "examples").mkdir(parents=True)
        table = pa.Table.from_pylist(examples() if rows is None else rows, schema=EXAMPLES)
        for number, start in enumerate(range(0, len(table), 12)):
            write_table(table.slice(start, 12), folder / "examples" / shard_name(number))
        losses = [[3.0 - 0.01 * n, 2.0 - 0.05 * (n % 6)] for n in range(len(table))]
        pq.write_table(
            pa.table({"id": table["id"][:-2], "losses": losses[:-2]}),  # two rows have none
            folder / "trajectories.parquet",
        )
        pq.write_table(pa.table({"id": table["id"][:3]}), folder / "subset.parquet")
        (folder / "benchmark.jsonl").write_text(BENCHMARK, encoding="utf-8")
        self.corpus = Corpus.open(folder / "examples")

    def store(self, toy: ModelSpec = TOY, writer: ModelSpec = WRITER) -> ScoreStore:
        models = {"toy": toy, "writer": writer}
        files = ("trajectories.parquet", "subset.parquet", "benchmark.jsonl")
        prints: dict[str, dict[str, Any]] = {
            "toy": {"name": toy.name},
            "writer": {"name": "writer"},
        }
        prints |= {name: {"digest": digest_of_named(self.folder / name)} for name in files}
        runtime = Runtime(models=models, device="cpu", base=self.folder)
        return ScoreStore(self.folder / "cache", prints, runtime)

    def measured(self, method: Method, corpus: Corpus | None = None) -> Corpus:
        """Return a corpus with everything that a method asks for."""
        store = self.store()
        corpus = self.corpus if corpus is None else corpus

        def score(request: Request) -> None:
            train(corpus, request, store)
            for piece in pending(0, corpus, request, store):
                score_work(corpus.take(piece.shard, piece.positions), piece, store)

        with_statistics = measure(Longest(budget=1), corpus, store, score).corpus
        return measure(method, with_statistics, store, score).corpus

    def some(self, rows: list[int]) -> Corpus:
        """Return some of the rows, in an order."""
        return Corpus(self.corpus.rows.take(rows), self.corpus.shards)


@pytest.fixture(autouse=True)
def writer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the model of this file in its place."""
    stand_in(monkeypatch, WRITER, Writer())


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Rows with calls, results, thoughts, weights and images among plain ones."""
    rows = [*examples()[:12], *agent_rows.examples()]
    return Bench(tmp_path_factory.mktemp("agents"), rows)


every_kind = pytest.mark.parametrize("kind", sorted(METHODS))
budgeted = pytest.mark.parametrize(
    "kind", sorted(kind for kind, method in METHODS.items() if issubclass(method, Budgeted))
)


def plain(value: object) -> None:
    """Check that a value is plain data that JSON can hold."""
    json.dumps(value, allow_nan=False)
    if isinstance(value, dict):
        assert all(isinstance(key, str) for key in value)


@every_kind
@pytest.mark.parametrize("rows", [1, 2, 3, 32])
def test_one_verdict_per_row_in_order(kind: str, rows: int, bench: Bench) -> None:
    method = method_of(kind)
    # Without the first row, of the target, RDS+ would have nothing to be near to.
    corpus = bench.measured(method, bench.some([0, *range(33 - rows, 32)]))
    decided = method.decide(corpus)
    assert decided.schema == VERDICTS
    assert decided["id"].to_pylist() == corpus.rows["id"].to_pylist()
    assert decided["keep"].null_count == decided["reason"].null_count == 0
    assert all(math.isfinite(gain) for gain in decided["gain"].to_pylist() if gain is not None)
    assert all(rank >= 1 for rank in decided["rank"].to_pylist() if rank is not None)


@every_kind
def test_every_row_that_is_scored_is_reported(kind: str, tmp_path: Path) -> None:
    """Or a stage that needs no model would show nothing until it ends."""
    bench = Bench(tmp_path)
    store, seen = bench.store(), Counting()

    def score(request: Request) -> None:
        seen.rows = 0.0
        work = pending(0, bench.corpus, request, store)
        for piece in work:
            score_work(bench.corpus.take(piece.shard, piece.positions), piece, store)
        asked = sum(len(piece.positions) for piece in work)
        assert seen.rows == pytest.approx(asked), request.scorer

    progress.listen(seen)
    try:
        measure(method_of(kind), bench.corpus, store, score)
    finally:
        progress.listen(progress.Silent())


@every_kind
def test_every_reason_is_documented(kind: str, bench: Bench) -> None:
    method = method_of(kind)
    decided = method.decide(bench.measured(method))
    slugs = re.findall(r"`([a-z0-9_<>]+)`", type(method).__doc__ or "")
    known = [re.sub(r"<\w+>", r"\\w+", slug) for slug in slugs]
    for reason in set(decided["reason"].to_pylist()):
        assert re.fullmatch(r"[a-z][a-z0-9_]*", reason)
        assert any(re.fullmatch(pattern, reason) for pattern in known), reason


@every_kind
def test_rows_of_agents_are_dropped_for_no_fault_of_the_method(kind: str, agents: Bench) -> None:
    """Calls are no empty responses, two thoughts no copies, and images no equal prompts.

    What no model here can see is kept, and the scores say why there are none.
    """
    fields = METHODS[kind].model_fields
    changes = {"budget": "100%", "threshold": 1.0} if kind in KEEPS_FEWER else {"budget": "100%"}
    method = method_of(kind, **{name: each for name, each in changes.items() if name in fields})
    corpus = agents.measured(method)
    decided = method.decide(corpus)
    plain(method.diagnose(corpus, decided))
    plain(method.picture(corpus, decided))
    dropped = decided.filter(pc.invert(decided["keep"]))
    assert not set(dropped["id"].to_pylist()) & set(agent_rows.OPENAI)
    statuses = [
        table["status"].to_pylist()
        for table in corpus.tables.values()
        if "status" in table.column_names
    ]
    if roles_of(method):
        assert max(each.count("not_text_only") for each in statuses) == 2


@every_kind
def test_rows_with_images_alone(kind: str, tmp_path: Path) -> None:
    rows = agent_rows.examples(["image_parts", "image_column"])
    bench = Bench(tmp_path, [*rows, {**rows[0], "id": "t", "source": "target"}])
    method = method_of(kind, **({"budget": 1} if "budget" in METHODS[kind].model_fields else {}))
    corpus = bench.measured(method)
    decided = method.decide(corpus)
    plain(method.diagnose(corpus, decided))
    plain(method.picture(corpus, decided))
    assert decided["id"].to_pylist() == corpus.rows["id"].to_pylist()
    if roles_of(method):
        kept = dict(zip(decided["id"].to_pylist(), decided["keep"].to_pylist(), strict=True))
        assert kept["image_column"]


@every_kind
def test_the_report_s_figures_are_plain_data(kind: str, bench: Bench) -> None:
    method = method_of(kind)
    for corpus in (bench.measured(method), bench.measured(method, bench.some([0, 5]))):
        decided = method.decide(corpus)
        plain(method.diagnose(corpus, decided))
        plain(method.picture(corpus, decided))


@every_kind
def test_what_is_revised_is_kept(kind: str, bench: Bench) -> None:
    method = method_of(kind)
    corpus = bench.measured(method)
    decided = method.decide(corpus)
    revised = method.revise(corpus, decided)
    assert revised.schema == REVISED
    kept = decided.filter(decided["keep"])["id"].to_pylist()
    assert set(revised["id"].to_pylist()) <= set(kept)
    # Where a method revises at all, it does so here.
    assert bool(len(revised)) == (type(method).revise is not Method.revise)


def test_the_bench_shows_what_clear_and_s3ft_decide(bench: Bench) -> None:
    """Or the contracts would be held by rows that nobody has judged."""
    for kind, wanted in {
        "clear": {"confident", "corrected"},
        "s3ft": {"own_answer", "paraphrase", "gold_duplicate"},
    }.items():
        method = method_of(kind)
        assert wanted <= set(method.decide(bench.measured(method))["reason"].to_pylist())


@every_kind
@pytest.mark.parametrize("unit", ["row", "prompt"])
def test_the_order_of_the_rows_is_irrelevant(kind: str, unit: str, bench: Bench) -> None:
    if unit == "prompt" and "prompt" not in str(METHODS[kind].model_fields.get("unit")):
        return
    method = method_of(kind, **({"unit": "prompt"} if unit == "prompt" else {}))
    order = np.random.default_rng(3).permutation(len(bench.corpus)).tolist()
    corpora = [bench.measured(method), bench.measured(method, bench.some(order))]
    verdicts = []
    for corpus in corpora:
        decided = method.decide(corpus)
        rows = zip(
            corpus.rows["id"].to_pylist(),
            decided["keep"].to_pylist(),
            decided["reason"].to_pylist(),
            decided["rank"].to_pylist(),
            strict=True,
        )
        verdicts.append(sorted(rows, key=str))
    assert verdicts[0] == verdicts[1]


@budgeted
@pytest.mark.parametrize("unit", ["row", "prompt"])
@pytest.mark.parametrize("budget", [1, 5, "40%", 0.25, "1/3", 1000])
def test_the_budget_is_honoured(kind: str, unit: str, budget: Any, bench: Bench) -> None:
    try:
        method = method_of(kind, budget=budget, unit=unit)
    except ValueError:
        assert unit not in str(METHODS[kind].model_fields["unit"].annotation)
        return
    assert isinstance(method, Budgeted)
    corpus = bench.measured(method)
    decided = method.decide(corpus)
    # What has no score is kept beside the budget, which counts the others.
    scored = pc.not_equal(decided["reason"], "unscored").to_numpy()
    pool = corpus.rows.filter(pa.array(method.pool(corpus) & scored))
    column = "id" if unit == "row" else "prompt_id"
    there = len(pool[column].unique())
    kept = len(corpus.rows.filter(pc.and_(decided["keep"], pa.array(scored)))[column].unique())
    shares = {"40%": 0.4, 0.25: 0.25, "1/3": 1 / 3}
    allowed = min(there, budget if isinstance(budget, int) else int(shares[budget] * there))
    if kind in KEEPS_FEWER:
        assert 0 < kept <= allowed
    else:
        assert kept == allowed


# Fields that name a score, by kind; the tests give it to some rows only.
BY_SCORE = {name: "partial.value" for name in ("score", "prefer")}


@budgeted
@pytest.mark.parametrize("unit", ["row", "prompt"])
@pytest.mark.parametrize("unscored", ["keep", "drop"])
def test_rows_without_a_score_are_kept_or_left_out(
    kind: str, unit: str, unscored: str, bench: Bench
) -> None:
    """At a budget of the whole pool nothing is dropped but what the recipe leaves out."""
    fields = METHODS[kind].model_fields
    if unit not in str(fields["unit"].annotation):
        return
    changes: dict[str, Any] = {name: each for name, each in BY_SCORE.items() if name in fields}
    changes |= {"threshold": 1.0} if kind in KEEPS_FEWER else {}
    if "unscored" in fields:
        changes["unscored"] = unscored
    method = method_of(kind, budget="100%", unit=unit, **changes)
    for values in ([None, 1.0, 2.0], [None]):
        partial = pa.table({"value": pa.array((values * 32)[:32], pa.float64())})
        corpus = bench.measured(method, bench.corpus.with_scores("partial", partial))
        decided = method.decide(corpus)
        lacking = pc.equal(decided["reason"], "unscored").to_numpy()
        dropped = ~decided["keep"].to_numpy() & method.pool(corpus)
        assert (dropped == (lacking if changes.get("unscored") == "drop" else False)).all()
        if changes.get("unscored") == "drop":
            assert lacking.any()


@every_kind
def test_nothing_reaches_the_stage(kind: str, tmp_path: Path) -> None:
    """A run in which the stage before drops everything ends well."""
    bench = Bench(tmp_path / "bench")
    data = [{"prompt": f"Question {n}?", "completion": "Yes."} for n in range(3)]
    text = "".join(json.dumps(row) + "\n" for row in data)
    (tmp_path / "data.jsonl").write_text(text, encoding="utf-8")
    for name in ("trajectories.parquet", "benchmark.jsonl"):
        (tmp_path / name).write_bytes((bench.folder / name).read_bytes())
    recipe = {
        "name": "empty",
        "inputs": [{"path": "data.jsonl", "source": "target"}],
        "models": {"toy": {"name": "builtin:toy"}, "writer": WRITER.model_dump()},
        "stages": [{"kind": "rules", "max_chars": 1}, config(kind)],
    }
    result = run(parse_recipe(recipe, "recipe"), tmp_path, tmp_path / "runs")
    assert result.export.rows == 0


@every_kind
def test_a_source_that_does_not_exist_is_refused(kind: str) -> None:
    for changes in NOWHERE.get(kind, []):
        recipe = {
            "name": "r",
            "inputs": [{"path": "a", "source": "somewhere"}, {"path": "b", "source": "target"}],
            "models": {"toy": {"name": "builtin:toy"}, "writer": WRITER.model_dump()},
            "stages": [config(kind, **changes)],
        }
        with pytest.raises(RecipeError, match="no input has the source 'nowhere'"):
            parse_recipe(recipe, "r")


def test_every_field_that_names_sources_is_tested() -> None:
    """A field whose description speaks of sources is tried above, or said to name none."""
    tried = {f"{kind}.{name}" for kind, each in NOWHERE.items() for one in each for name in one}
    speak = {
        f"{kind}.{name}"
        for kind, method in METHODS.items()
        for name, text in described(method).items()
        if re.search(r"\b[Ss]ources?\b", text)
    }
    assert speak - tried - NAMES_NONE == set()


def described(method: type[Method]) -> dict[str, str]:
    """Return the fields of a method with what its docstring says of them."""
    assert method.__doc__
    text = inspect.cleandoc(method.__doc__).partition("Attributes:")[2]  # Python 3.13 cleans it
    parts = re.split(r"\n    (\w+): ", text)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    missing = set(method.model_fields) - {"kind"} - set(found)
    assert not missing, f"the docstring of {method.__name__} lacks {missing}"
    return found


@every_kind
def test_a_model_on_a_server_is_refused_or_used(
    kind: str, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = method_of(kind)
    assert local_roles_of(method) <= roles_of(method)
    # Port 9 discards: whoever asks gets no answer.
    server = {"url": "http://127.0.0.1:9/v1", "retries": 0, "timeout": 1}
    recipe = {
        "name": "r",
        "inputs": [{"path": "a", "source": "target"}],
        "models": {role: {"name": "m", "server": server} for role in ("toy", "writer")},
        "stages": [config(kind)],
    }
    if local_roles_of(method):
        with pytest.raises(RecipeError, match="' is on a server; expected a model of this"):
            parse_recipe(recipe, "r")
        return
    assert parse_recipe(recipe, "r").stages == (method,)
    if not roles_of(method):
        return
    monkeypatch.setenv("SIFTLINE_CACHE", str(tmp_path))
    remote = ModelSpec(name="m", server=ServerSpec.model_validate(server))
    store = bench.store(remote, remote)
    store.cache = tmp_path

    def score(request: Request) -> None:
        for piece in pending(0, bench.corpus, request, store):
            score_work(bench.corpus.take(piece.shard, piece.positions), piece, store)

    with pytest.raises(ModelError) as caught:
        measure(method, bench.corpus, store, score)
    assert "127.0.0.1:9" in str(caught.value)  # it was asked, and not refused as such


@every_kind
def test_preview_reads_what_previewed_names(kind: str, bench: Bench) -> None:
    method = method_of(kind)
    assert set(method.previewed()) <= set(in_order(method.scorers()))
    plain(method.preview(bench.measured(method)))


@every_kind
def test_fields_come_back_from_json(kind: str) -> None:
    method = method_of(kind)
    data = method.model_dump(mode="json")
    assert type(method).model_validate(json.loads(json.dumps(data))) == method

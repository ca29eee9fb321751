"""Tests of S3FT: reasons by hand, what is asked of which rows, and whole runs."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpora import corpus_of, reasons, take
from hypothesis import given
from hypothesis import strategies as st
from sandboxes import needs_sandbox
from scripted import Scripted, said, stand_in, texts

from siftline.contracts.corpus import EXAMPLES, Corpus
from siftline.contracts.errors import RecipeError
from siftline.contracts.method import REVISED, roles_of
from siftline.contracts.parquet import write_table
from siftline.contracts.runtime import Runtime
from siftline.filters.s3ft import S3ft
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import RunResult, run
from siftline.scorers.judges.comparers import Judge, Numeric

METHOD = S3ft(model="m", judge=Numeric())
Value = float | str | None


def told(values: Sequence[Value]) -> pa.Table:
    """Return a table of equivalences: a number is `ok`, a text a status, None a row not asked."""
    status = ["ok" if isinstance(each, float) else each for each in values]
    numbers = [each if isinstance(each, float) else None for each in values]
    return pa.table(
        {"status": pa.array(status, pa.string()), "agreement": pa.array(numbers, pa.float64())}
    )


def written(name: str, size: int) -> pa.Table:
    return pa.table({"text": [f"{name} {n}" for n in range(size)], "origin": ["model m"] * size})


def pool(
    own: Sequence[Value],
    words: Sequence[Value] | None = None,
    gold: Sequence[str | None] | None = None,
    **columns: Any,
) -> Corpus:
    size = len(own)
    tables = {
        "gold": pa.table({"status": pa.array(gold or ["ok"] * size, pa.string())}),
        "candidate": written("own", size),
        "own_equivalence": told(own),
        "paraphrase": written("words", size),
        "paraphrase_equivalence": told(words or [None] * size),
    }
    prompts = columns.pop("prompt_id", [f"p{n}" for n in range(size)])
    return corpus_of(prompts, tables=tables, **columns)


# What is decided


def test_each_row_gets_the_first_answer_that_is_equivalent() -> None:
    own: list[Value] = [1.0, 0.5, 0.0, 0.4, "cut", "empty_candidate", "no_answer"]
    own += ["prompt_too_long", None]
    words: list[Value] = [None, None, 1.0, "meta_text", 0.9, 0.49, None, None, None]
    gold = ["ok"] * 8 + ["gold_fails"]
    corpus = pool(own, words, gold)
    decided = METHOD.decide(corpus)
    assert list(reasons(decided).values()) == [
        "own_answer",
        "own_answer",
        "paraphrase",
        "gold",
        "paraphrase",
        "gold",
        "unjudged_no_answer",
        "unjudged_prompt_too_long",
        "unjudged_gold_fails",
    ]
    assert all(decided["keep"].to_pylist())
    revised = METHOD.revise(corpus, decided)
    assert revised.schema == REVISED
    assert revised.to_pylist() == [
        {"id": "r0", "response": "own 0", "origin": "model m"},
        {"id": "r1", "response": "own 1", "origin": "model m"},
        {"id": "r2", "response": "words 2", "origin": "model m"},
        {"id": "r4", "response": "words 4", "origin": "model m"},
    ]
    found = METHOD.diagnose(corpus, decided)
    assert found["shares"]["own_answer"] == 0.2222
    assert found["gold_answers_by_status"] == {"ok": 8, "gold_fails": 1}
    assert found["own_answers_by_status"] == {
        "ok": 4,
        "cut": 1,
        "empty_candidate": 1,
        "no_answer": 1,
        "prompt_too_long": 1,
    }
    assert found["paraphrases_by_status"] == {"ok": 3, "meta_text": 1}
    assert "1 of 9 gold answers do not pass their own tests" in found["warnings"][0]


def test_the_least_agreement_is_for_both_answers() -> None:
    strict = METHOD.model_copy(update={"least_agreement": 0.8})
    corpus = pool([0.7, 0.7, 0.8], [0.7, 0.8, None])
    assert list(reasons(strict.decide(corpus)).values()) == ["gold", "paraphrase", "own_answer"]


def test_nothing_is_revised_where_all_is_gold() -> None:
    corpus = pool([0.0], [0.0])
    assert METHOD.revise(corpus, METHOD.decide(corpus)).equals(REVISED.empty_table())
    assert METHOD.diagnose(corpus, METHOD.decide(corpus))["warnings"] == []


def test_rows_without_a_judge_are_left_alone() -> None:
    method = S3ft(model="m", judge=Numeric(), sources=("a", "b"), tasks=("sums",))
    sources, tasks = ["a", "b", "c", "a", "a"], ["sums", "sums", "sums", "poems", None]
    corpus = pool([1.0] * 5, source=sources, task=tasks)
    assert list(reasons(method.decide(corpus)).values()) == ["own_answer"] * 2 + ["no_judge"] * 3
    fresh = corpus_of(list("abcde"), source=sources, task=tasks)
    assert [request.rows.tolist() for request in method.follow(fresh)] == [
        [True, True, False, False, False]
    ]


def test_a_task_that_was_never_read_is_refused() -> None:
    method = S3ft(model="m", judge=Numeric(), tasks=("sums", "poem"))
    corpus = corpus_of(list("abc"), task=["sums", "poems", None])
    message = "s3ft.tasks: nothing of the name 'poem' was read. Did you mean 'poems'?"
    for verb in (method.follow, method.decide):
        with pytest.raises(RecipeError, match=re.escape(message)):
            verb(corpus)
    null = S3ft(model="m", judge=Numeric(), tasks=("not stated",))  # it would match no row
    with pytest.raises(RecipeError, match="'not stated' was read"):
        null.follow(corpus)


def test_a_task_whose_rows_are_all_dropped_is_no_mistake(tmp_path: Path) -> None:
    rows = [{**dict.fromkeys(EXAMPLES.names), "id": task, "task": task} for task in ("a", "b")]
    table = pa.Table.from_pylist(rows, schema=EXAMPLES)
    write_table(table, tmp_path / "part-00000.parquet")
    method = S3ft(model="m", judge=Numeric(), tasks=("a",))
    left = Corpus.open(tmp_path).filter(np.array([False, True]))
    assert method.follow(left) == ()
    assert reasons(method.decide(left)) == {"b": "no_judge"}
    unknown = method.model_copy(update={"tasks": ("a", "c")})
    with pytest.raises(RecipeError, match="'c' was read"):
        unknown.follow(left)


def test_own_answers_are_capped_in_each_source_by_content() -> None:
    half = METHOD.model_copy(update={"max_own_share": 0.5})
    corpus = pool(
        [1.0, 1.0, 1.0, 0.0, 1.0],
        source=["a"] * 4 + ["b"],
        content_hash=["h3", "h1", "h2", "h0", "h9"],
    )
    # Of four rows of `a` two may be own answers: those with the smallest hashes; of one of `b`, 0.
    assert list(reasons(half.decide(corpus)).values()) == [
        "gold_over_cap",
        "own_answer",
        "own_answer",
        "gold",
        "gold_over_cap",
    ]
    none = METHOD.model_copy(update={"max_own_share": 0.0})
    assert set(reasons(none.decide(corpus)).values()) == {"gold_over_cap", "gold"}


def test_rows_of_a_prompt_get_its_answer_once() -> None:
    corpus = pool(
        [1.0, 1.0, 0.0, 1.0],
        [None, None, 1.0, None],
        prompt_id=["p", "p", "p", "q"],
        content_hash=["h2", "h1", "h0", "h3"],
    )
    assert list(reasons(METHOD.decide(corpus)).values()) == [
        "gold_duplicate",
        "own_answer",
        "paraphrase",
        "own_answer",
    ]


@given(st.permutations(range(8)), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_the_order_of_the_rows_changes_nothing(order: list[int], share: float) -> None:
    capped = METHOD.model_copy(update={"max_own_share": share})
    corpus = pool(
        [1.0, 1.0, 0.0, 1.0, "cut", 1.0, "nan", 1.0],
        [None, None, 1.0, None, 0.0, None, None, None],
        source=list("aaaabbbb"),
        content_hash=["h1", "h1", "h2", "h3", "h4", "h5", "h6", "h0"],
        prompt_id=list("ppqrstuv"),
    )
    expected = capped.decide(corpus)
    moved = take(corpus, order)
    assert reasons(capped.decide(moved)) == reasons(expected)
    told_of = [capped.revise(c, capped.decide(c)).to_pylist() for c in (corpus, moved)]
    assert sorted(map(str, told_of[0])) == sorted(map(str, told_of[1]))


def test_a_method_says_what_it_runs() -> None:
    assert roles_of(METHOD) == {"m"}
    assert roles_of(S3ft(model="m", judge=Judge(model="j"))) == {"m", "j"}
    assert METHOD.scorers() == ()


# What is asked


def rounds_of(method: S3ft, answers: dict[str, pa.Table], corpus: Corpus) -> list[Any]:
    """Go through the rounds with tables that are given, and return what was asked in each."""
    asked = []
    while requests := method.follow(corpus):
        asked.append([(r.scorer.table, np.flatnonzero(r.rows).tolist()) for r in requests])
        for request in requests:
            corpus = corpus.with_scores(request.scorer.table, answers[request.scorer.table])
    return asked


def test_answers_are_asked_for_where_they_can_be_judged() -> None:
    answers = {
        "gold": pa.table({"status": ["ok", "no_answer", "ok", "ok", "ok", "gold_fails", "ok"]}),
        "candidate": written("own", 7),
        "own_equivalence": told([1.0, None, 0.0, "cut", "no_answer", None, "wrong_format"]),
        "paraphrase": written("words", 7),
        "paraphrase_equivalence": told([None] * 7),
    }
    corpus = corpus_of(list("abcdefg"))
    assert rounds_of(METHOD, answers, corpus) == [
        [("gold", [0, 1, 2, 3, 4, 5, 6])],
        [("candidate", [0, 2, 3, 4, 6]), ("own_equivalence", [0, 2, 3, 4, 6])],
        [("paraphrase", [2, 3, 6]), ("paraphrase_equivalence", [2, 3, 6])],
    ]


def test_rounds_end_where_there_is_nothing_to_ask() -> None:
    corpus = corpus_of(["a"])
    gold = pa.table({"status": ["ok"]})
    right = {"gold": gold, "candidate": written("own", 1), "own_equivalence": told([1.0])}
    assert len(rounds_of(METHOD, right, corpus)) == 2
    assert len(rounds_of(METHOD, {"gold": pa.table({"status": ["no_answer"]})}, corpus)) == 1
    elsewhere = METHOD.model_copy(update={"sources": ("x",)})
    assert elsewhere.follow(corpus) == METHOD.follow(corpus_of([])) == ()
    assert list(reasons(elsewhere.decide(corpus)).values()) == ["no_judge"]


def test_what_an_earlier_stage_was_told_counts_for_no_row_of_this_one() -> None:
    # This stage has asked about the gold answers only, and of its rows none is good.
    stale = pool([1.0, 0.0, 1.0], [None, 1.0, None], ["no_answer", "no_answer", None])
    stale = stale.with_scores("gold", pa.table({"status": ["no_answer", "no_answer", "ok"]}))
    method = METHOD.model_copy(update={"sources": ("a",)})
    sources = pa.array(["a", "a", "b"])
    rows = stale.rows.set_column(stale.rows.column_names.index("source"), "source", sources)
    corpus = Corpus(rows=rows, shards=(), tables=stale.tables)
    decided = method.decide(corpus)
    assert list(reasons(decided).values()) == ["unjudged_no_answer"] * 2 + ["no_judge"]
    found = method.diagnose(corpus, decided)
    assert found["own_answers_by_status"] == found["paraphrases_by_status"] == {}
    assert "none of 2 gold answers" in found["warnings"][0]


def test_the_judge_takes_the_template_of_the_method() -> None:
    def judge_of(method: S3ft) -> Any:
        return method.follow(corpus_of(["a"]))[0].scorer.model_dump()["judge"]

    plain = S3ft(model="m", judge=Judge(model="j"), template="plain")
    assert judge_of(plain)["template"] == "plain"
    own = S3ft(model="m", judge=Judge(model="j", template="chat"), template="plain")
    assert judge_of(own)["template"] == "chat"


# Whole runs

NUMBERS = range(12)


def question(n: int) -> str:
    return f"How much is {n} and {n}?"


def write(folder: Path, order: Sequence[int] = NUMBERS) -> None:
    made = [{"instruction": question(n), "output": f"It is {2 * n}."} for n in order]
    made.append({"instruction": "Write a poem.", "output": "Roses are red."})
    made.append({"instruction": "Say nothing.", "output": " "})
    lines = [json.dumps(row) for row in made]
    (folder / "data.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def answer(turns: Any) -> Any:
    """Answer every third question, paraphrase another third, and be wrong otherwise."""
    (text,) = texts([turns])
    n = int(text.split()[3]) if text.startswith("How much") else 0
    if "in your own words" in text:
        return said(f"Together they are {2 * n}." if n % 3 == 1 else "The reference answer is it.")
    return said(f"That makes {2 * n}." if n % 3 == 0 else "That makes 1000.")


def recipe_of(*stages: dict[str, Any]) -> dict[str, Any]:
    stage = {"kind": "s3ft", "model": "m", "template": "plain", "max_tokens": 24}
    return {
        "name": "s3ft",
        "inputs": [{"path": "data.jsonl", "source": "made"}],
        "models": {"m": {"name": "builtin:toy"}},
        "stages": [{**stage, **each} for each in stages],
    }


def go(folder: Path, *stages: dict[str, Any], runs: str = "runs", shard_rows: int = 5) -> RunResult:
    recipe = parse_recipe(recipe_of(*(stages or ({"judge": NUMERIC},))), "recipe.yaml")
    return run(recipe, folder, folder / runs, Runtime(shard_rows=shard_rows, device="cpu"))


NUMERIC = {"kind": "numeric"}


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """The model of the recipe, which answers as :func:`answer` says."""
    found = Scripted(answer)
    spec = parse_recipe(recipe_of(), "recipe.yaml").models["m"]
    stand_in(monkeypatch, spec, found)
    return found


def outcomes(result: RunResult) -> dict[str, tuple[str, str]]:
    """Return what a run says and exports, by the prompt."""
    decided = pq.read_table(result.folder / "decisions.parquet").to_pylist()
    by_id = {row["id"]: row["reason"] for row in decided}
    found = {}
    for path in sorted((result.folder / "curated" / "data").glob("*.parquet")):
        for row in pq.read_table(path).to_pylist():
            prompt, response = (turn["content"] for turn in row["messages"])
            found[prompt] = (by_id[row["id"]], response)
    return found


def test_a_run_rewrites_what_is_right_and_asks_nothing_twice(
    tmp_path: Path, model: Scripted
) -> None:
    write(tmp_path)
    result = go(tmp_path)
    found = outcomes(result)
    for n in NUMBERS:
        assert (
            found[question(n)]
            == [
                ("own_answer", f"That makes {2 * n}."),
                ("paraphrase", f"Together they are {2 * n}."),
                ("gold", f"It is {2 * n}."),
            ][n % 3]
        )
    assert found["Write a poem."] == ("unjudged_no_answer", "Roses are red.")
    assert found["Say nothing."] == ("unjudged_empty_response", " ")
    (stage,) = result.stages
    assert (stage.rows, stage.kept, stage.revised) == (14, 14, 8)
    assert stage.diagnosis["paraphrases_by_status"] == {"ok": 4, "meta_text": 4}
    # 12 answers and 8 paraphrases: nobody answered what cannot be judged.
    assert len(model.generated) == 20
    decided = pq.read_table(result.folder / "decisions.parquet").to_pylist()
    assert sum(row["decision"] == "correct" for row in decided) == 8
    again = go(tmp_path)
    assert (again.reused, again.model_calls, again.scored) == (True, 0, 0)
    capped = go(tmp_path, {"judge": NUMERIC, "max_own_share": 0.1})
    assert (capped.version, capped.model_calls, capped.scored) == ("v0002", 0, 0)
    assert capped.stages[0].reasons_kept["gold_over_cap"] == 3
    assert len(model.generated) == 20


@pytest.mark.parametrize("shard_rows", [1, 100])
def test_order_and_shards_change_nothing(tmp_path: Path, model: Scripted, shard_rows: int) -> None:
    stage = {"judge": NUMERIC, "max_own_share": 0.2}
    write(tmp_path)
    one = outcomes(go(tmp_path, stage, runs="one"))
    write(tmp_path, NUMBERS[::-1])
    assert outcomes(go(tmp_path, stage, runs="other", shard_rows=shard_rows)) == one
    assert sum(reason == "own_answer" for reason, _ in one.values()) == 2


def test_what_the_toy_never_ends_is_never_taken(tmp_path: Path) -> None:
    write(tmp_path)
    judges: list[dict[str, Any]] = [NUMERIC, {"kind": "judge", "model": "m"}]
    for judge in judges:
        result = go(tmp_path, {"judge": judge}, runs=judge["kind"])
        (stage,) = result.stages
        assert stage.diagnosis["own_answers_by_status"].keys() == {"cut"}
        assert stage.diagnosis["paraphrases_by_status"].keys() == {"cut"}
        assert stage.reasons_kept["gold"] == (12 if judge is NUMERIC else 13)
        assert stage.revised == 0
        assert result.model_calls > 0
        assert go(tmp_path, {"judge": judge}, runs=judge["kind"]).model_calls == 0


def test_a_second_stage_judges_by_itself(tmp_path: Path, model: Scripted) -> None:
    write(tmp_path)
    strict = {"judge": NUMERIC, "pattern": "makes|It is"}
    other = {"instruction": "Who?", "output": "Nobody."}
    (tmp_path / "other.jsonl").write_text(json.dumps(other) + "\n", encoding="utf-8")
    data = recipe_of({"judge": NUMERIC, "sources": ["other"]}, strict)
    data["inputs"].append({"path": "other.jsonl", "source": "other"})
    recipe = parse_recipe(data, "recipe.yaml")
    result = run(recipe, tmp_path, tmp_path / "runs", Runtime(shard_rows=5, device="cpu"))
    assert result.stages[0].reasons_kept == {"no_judge": 14, "unjudged_no_answer": 1}
    assert result.stages[1].reasons_kept["own_answer"] == 4
    assert result.stages[1].reasons_kept["gold"] == 8  # "Together they are" has the wrong form
    assert result.stages[1].diagnosis["paraphrases_by_status"] == {
        "wrong_format": 4,
        "meta_text": 4,
    }
    twice = go(tmp_path, {"judge": NUMERIC}, strict, runs="twice")
    # The first stage wrote "Together they are" there, which the second cannot go by.
    assert twice.stages[0].reasons_kept["paraphrase"] == 4
    assert twice.stages[1].reasons_kept["unjudged_wrong_format"] == 5
    assert twice.stages[1].reasons_kept["own_answer"] == 4


def write_code(folder: Path, test: str) -> None:
    code = "def f(n):\n    return n + {n}"
    rows = [
        {"instruction": f"Add {n}.", "output": code.format(n=n), "test_list": [test.format(n=n)]}
        for n in range(3)
    ]
    lines = [json.dumps(row) for row in rows]
    (folder / "data.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


@needs_sandbox
def test_mended_tests_are_run_again_and_no_model_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replies = {"Add 0.": "def f(n): return n", "Add 1.": "def f(n): return n * 2"}

    def reply(turns: Any) -> Any:
        text = str(texts([turns])[0])
        return said(replies.get(text, "import sys; sys.exit(0)"))

    spec = parse_recipe(recipe_of(), "recipe.yaml").models["m"]
    script = Scripted(reply)
    stand_in(monkeypatch, spec, script)
    judge = {"kind": "execution", "tests": "test_list", "allow_execution": True}
    write_code(tmp_path, "assert f(1) == 1 + {n}")
    first = outcomes(go(tmp_path, {"judge": judge}))
    assert first["Add 0."] == ("own_answer", replies["Add 0."])
    assert first["Add 1."] == ("own_answer", replies["Add 1."])  # by a test that is too weak
    assert first["Add 2."] == ("gold", "def f(n):\n    return n + 2")
    calls = script.calls
    write_code(tmp_path, "assert f(2) == 2 + {n}")
    second = go(tmp_path, {"judge": judge})
    assert outcomes(second)["Add 1."] == ("gold", "def f(n):\n    return n + 1")
    assert outcomes(second)["Add 0."] == first["Add 0."]
    assert len(texts(script.generated)) == 3 + 1 + 1  # one paraphrase more is wanted now
    assert script.calls == calls + 1
    write_code(tmp_path, "assert f(2) == 3 + {n}")
    third = go(tmp_path, {"judge": judge})
    assert third.stages[0].reasons_kept == {"unjudged_gold_fails": 3}
    assert "3 of 3 gold answers do not pass" in third.stages[0].warnings[-1]
    assert third.model_calls == 0


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (
            {"judge": {"kind": "execution", "tests": "t"}},
            "runs code that the data and the model have written",
        ),
        ({"judge": NUMERIC, "pattern": "(4"}, r"got '\(4', expected a regular expression of RE2"),
        ({"judge": NUMERIC, "pattern": "(?=4)"}, r"got '\(\?=4\)', expected .* no look-around"),
        ({"judge": {"kind": "judge", "model": "x"}}, "no model named 'x'"),
        ({"judge": {"kind": "embedding"}}, "embedding"),
        ({"judge": NUMERIC, "least_agreement": 0}, "greater than 0"),
    ],
)
def test_a_mistake_in_a_recipe_is_told(stage: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_recipe(recipe_of(stage), "recipe.yaml")

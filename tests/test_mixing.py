"""Tests of `mix`: by hand, its contract, and whole runs whose rows are repeated."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpora import corpus_of, kept, likelihood, reasons, take
from hypothesis import given
from hypothesis import strategies as st
from pools import asked, corpus_in

from siftline.contracts.corpus import VERDICTS, Corpus
from siftline.contracts.errors import RecipeError
from siftline.contracts.runtime import Runtime
from siftline.pipelines.recipe import Recipe, parse_recipe
from siftline.pipelines.run import RunResult, run
from siftline.pipelines.scores.measuring import measure
from siftline.selectors.mixing import Mix


def tokens(counts: Sequence[int | None]) -> pa.Table:
    """Return token counts; None is a row on which the tokenizer failed."""
    return pa.table({"response_tokens": pa.array(counts, pa.int32())})


def pool(a: int, b: int, c: int = 0, **tables: pa.Table) -> Corpus:
    """Return rows of three sources; the tasks of `a` are x and y in turns, the rest have none."""
    source = ["a"] * a + ["b"] * b + ["c"] * c
    task = [("x" if n % 2 else "y") if name == "a" else None for n, name in enumerate(source)]
    names = [f"p{n}" for n in range(len(source))]
    return corpus_of(names, source=source, task=task, tables=tables)


def counts(mix: Mix, corpus: Corpus, column: str = "source") -> dict[str, int]:
    """Return how many rows are written by source or task, having checked that verbs agree."""
    decided = mix.decide(corpus)
    repeats = mix.derive(corpus)["mix"]["repeats"].to_pylist()
    found: dict[str, int] = {}
    for name, keep, times in zip(
        corpus.rows[column].to_pylist(), decided["keep"].to_pylist(), repeats, strict=True
    ):
        found[name] = found.get(name, 0) + (times if keep else 0)
    return found


def figures(mix: Mix, corpus: Corpus) -> dict[str, Any]:
    found = mix.diagnose(corpus, mix.decide(corpus))
    json.dumps(found, allow_nan=False)  # it goes into the manifest
    return found


def test_proportions_are_the_default() -> None:
    assert counts(Mix(budget=20), pool(60, 30, 10)) == {"a": 12, "b": 6, "c": 2}
    assert counts(Mix(budget="20%"), pool(60, 30, 10)) == {"a": 12, "b": 6, "c": 2}


def test_weights_take_the_place_of_proportions() -> None:
    mix = Mix(budget=20, weights={"c": 0.4})
    # a and b divide what is left of 20, 12 rows, as 60 to 30.
    assert counts(mix, pool(60, 30, 10)) == {"a": 8, "b": 4, "c": 8}
    assert counts(Mix(budget=20, weights={"a": 1, "b": 1, "c": 2}), pool(60, 30, 10)) == {
        "a": 5,
        "b": 5,
        "c": 10,
    }


def test_the_example_of_opt_iml() -> None:
    # As much as the weights allow, under a cap: min(size, cap) of each.
    assert counts(Mix(cap=25), pool(60, 30, 10)) == {"a": 25, "b": 25, "c": 10}


def test_an_infinite_temperature_is_uniform_and_survives_the_recipe() -> None:
    data = {
        "name": "r",
        "inputs": [{"path": "a"}],
        "stages": [{"kind": "mix", "temperature": float("inf"), "budget": 9}],
    }
    recipe = parse_recipe(data, "r")
    again = Recipe.model_validate(json.loads(json.dumps(recipe.model_dump(mode="json"))))
    assert again == recipe
    (mix,) = again.stages
    assert isinstance(mix, Mix)
    assert counts(mix, pool(60, 30, 10)) == {"a": 3, "b": 3, "c": 3}


def test_what_is_short_is_told_with_where_it_went() -> None:
    mix = Mix(budget=40, weights={"a": 1, "b": 1, "c": 2})
    found = figures(mix, pool(60, 30, 10))
    assert counts(mix, pool(60, 30, 10)) == {"a": 15, "b": 15, "c": 10}
    row = found["groups"]["c"]
    assert (row["available"], row["asked"], row["given"], row["short"]) == (10, 20, 10, 10)
    assert found["groups"]["a"]["from_others"] == 5
    assert found["missing"] == 0
    assert "'c' by 10" in found["warnings"][0]
    assert sum(each["random"] for each in found["groups"].values()) == 40
    assert found["by_source_and_task"]["a / x"]["rows"] == 30


def test_more_than_there_is_gives_all_and_says_so() -> None:
    found = figures(Mix(budget=150), pool(60, 30, 10))
    assert (found["budget"], found["given"], found["missing"]) == (150, 100, 50)
    assert "150 50 is missing" in found["warnings"][1]


def test_repeated_rows_fill_a_share_up_to_the_epochs() -> None:
    mix = Mix(budget=40, weights={"a": 1, "b": 1, "c": 2}, max_epochs=2)
    corpus = pool(60, 30, 7)
    assert counts(mix, corpus) == {"a": 13, "b": 13, "c": 14}
    repeats = np.array(mix.derive(corpus)["mix"]["repeats"].to_pylist())
    assert repeats[:90].tolist() == [1] * 90
    assert repeats[90:].tolist() == [2] * 7
    assert set(reasons(mix.decide(corpus)).values()) == {"selected", "over_budget", "repeated"}
    part = mix.derive(pool(60, 30, 15))["mix"]["repeats"].to_pylist()[90:]
    assert sorted(part) == [1] * 10 + [2] * 5  # 20 of 15 rows
    assert figures(mix, pool(60, 30, 15))["groups"]["c"]["epochs"] == 1.33


def test_a_weight_of_zero_drops_a_group_even_where_others_are_short() -> None:
    mix = Mix(budget=90, weights={"a": 0})
    assert counts(mix, pool(60, 30, 10)) == {"a": 0, "b": 30, "c": 10}
    assert list(reasons(mix.decide(pool(2, 1))).values()) == ["no_weight", "no_weight", "selected"]


def test_floors_keep_small_groups() -> None:
    assert counts(Mix(budget=50), pool(900, 90, 10))["c"] == 0  # 0.5 of a row; b's 4.5 goes first
    assert counts(Mix(budget=50, floor="6%"), pool(900, 90, 10)) == {"a": 43, "b": 4, "c": 3}


def test_tasks_whatever_their_source() -> None:
    mix = Mix(budget=12, by="task", weights={"x": 0.5, "not stated": 0.25})
    assert counts(mix, pool(20, 10, 10), "task") == {"x": 6, None: 3, "y": 3}


def test_tasks_within_sources() -> None:
    mix = Mix(
        budget=16, by="task", source_weights={"a": 3, "b": 1}, weights={"x": 0.75, "not stated": 1}
    )
    assert counts(mix, pool(40, 10)) == {"a": 12, "b": 4}
    assert counts(mix, pool(40, 10), "task") == {"x": 9, "y": 3, None: 4}
    assert set(figures(mix, pool(40, 10))["groups"]) == {"a / x", "a / y", "b / not stated"}


def in_languages(codes: Sequence[str | None]) -> pa.Table:
    return pa.table({"language": pa.array(codes, pa.string())})


def spoken(mix: Mix, corpus: Corpus) -> dict[str | None, int]:
    """Return how many rows are kept by language."""
    keep = mix.decide(corpus)["keep"].to_pylist()
    codes = corpus.column("language.language").to_pylist()
    return dict(Counter(code for code, kept in zip(codes, keep, strict=True) if kept))


def test_languages_balance() -> None:
    table = in_languages(["en"] * 60 + ["de"] * 30 + [None] * 10)
    corpus = pool(50, 50, language=table)
    assert spoken(Mix(budget=20, by="language"), corpus) == {"en": 12, "de": 6, None: 2}
    uniform = Mix(budget=12, by="language", temperature="inf")
    assert spoken(uniform, corpus) == {"en": 4, "de": 4, None: 4}
    weights = {"en": 0.5, "de": 0.5, "not stated": 0.0}
    assert spoken(Mix(budget=20, by="language", weights=weights), corpus) == {"en": 10, "de": 10}
    found = figures(Mix(budget=20, by="language"), corpus)
    assert set(found["groups"]) == {"en", "de", "not stated"}


def test_any_text_score_balances_within_sources_too() -> None:
    topics = pa.table({"topic": ["maths" if n % 5 else "art" for n in range(100)]})
    corpus = pool(50, 50, labels=topics)
    mix = Mix(budget=40, by="labels.topic", source_weights={"a": 1, "b": 3}, weights={"art": 0.5})
    assert counts(mix, corpus) == {"a": 10, "b": 30}
    groups = figures(mix, corpus)["groups"]
    # b has 10 rows of art for the 15 that are asked.
    assert {name: group["given"] for name, group in groups.items() if group["given"]} == {
        "a / art": 5,
        "a / maths": 5,
        "b / art": 10,
        "b / maths": 20,
    }


def test_a_language_without_rows_is_short_and_no_mistake() -> None:
    corpus = pool(8, 0, language=in_languages(["en"] * 8))
    found = figures(Mix(budget=4, by="language", weights={"de": 0.5}), corpus)
    assert (found["groups"]["de"]["asked"], found["groups"]["de"]["short"]) == (2, 2)
    assert (found["groups"]["en"]["given"], found["groups"]["en"]["from_others"]) == (4, 2)


def test_groups_that_no_stage_has_told_yet() -> None:
    preview = Mix(budget=4, by="language").preview(pool(8, 0))
    assert preview == {
        "warnings": ["The groups by 'language.language' are not known before a run."]
    }
    table = in_languages(["en"] * 8)
    assert Mix(budget=4, by="language").preview(pool(8, 0, language=table))["given"] == 4


def test_a_group_prefers_rows_by_their_score() -> None:
    means = [-1.0, -3.0, -2.0, None, -0.5, -0.5]
    corpus = corpus_of([*"abcdef"], source=[*"sssstt"], tables={"likelihood": likelihood(means)})
    mix = Mix(budget=3, prefer="likelihood.mean_logprob")
    assert kept(corpus, mix.decide(corpus)) - {"r4", "r5"} == {"r0", "r2", "r3"}
    assert reasons(mix.decide(corpus))["r3"] == "unscored"  # and is kept beside the budget
    left_out = mix.model_copy(update={"unscored": "drop"}).decide(corpus)
    assert kept(corpus, left_out) - {"r4", "r5"} == {"r0", "r2"}
    ranks = mix.decide(corpus)["rank"].to_pylist()
    assert ranks[:4] == [1, 3, 2, None]  # who has no score has no place
    assert sorted(ranks[4:]) == [1, 2]  # a tie is the seed's


def preferring(scored: Sequence[int], **tables: pa.Table) -> Corpus:
    """Return 100 rows, half of each source, of which the last of each have a score."""
    without = (50 - scored[0], 50 - scored[1])
    values = [None] * without[0] + [1.0] * scored[0] + [None] * without[1] + [1.0] * scored[1]
    return pool(50, 50, quality=pa.table({"value": pa.array(values, pa.float64())}), **tables)


@pytest.mark.parametrize(
    ("scored", "fields", "written"),
    [
        ((0, 50), {"budget": 50}, {"a": 0, "b": 50}),
        ((30, 50), {"budget": "50%"}, {"a": 15, "b": 25}),
        ((30, 50), {"budget": 150, "max_epochs": 3}, {"a": 56, "b": 94}),
        ((30, 50), {}, {"a": 30, "b": 50}),
        ((30, 50), {"budget": 20, "weights": {"a": 0}}, {"a": 0, "b": 20}),
    ],
)
def test_the_budget_is_of_the_rows_with_the_score_to_prefer_by(
    scored: tuple[int, int], fields: dict[str, Any], written: dict[str, int]
) -> None:
    corpus = preferring(scored)
    mix = Mix(prefer="quality.value", unscored="drop", **fields)
    assert counts(mix, corpus) == written
    found = figures(mix, corpus)
    assert (found["given"], found["missing"]) == (sum(written.values()), 0)
    wanted = [each for each in "ab" if fields.get("weights", {}).get(each) != 0]
    beside = {name: 50 - dict(zip("ab", scored, strict=True))[name] for name in wanted}
    assert found.get("rows_without_a_score", 0) == sum(beside.values())
    keeping = mix.model_copy(update={"unscored": "keep"})
    total = {name: written[name] + beside.get(name, 0) for name in "ab"}
    assert counts(keeping, corpus) == total
    rows = figures(keeping, corpus)["by_source_and_task"]
    assert sum(each["rows_written"] for each in rows.values()) == sum(total.values())


def test_what_repeats_has_the_score_that_an_earlier_stage_measured() -> None:
    corpus = preferring((30, 50))
    mix = Mix(prefer="quality.value", unscored="drop", budget=150, max_epochs=3)
    nothing: Any = None  # no score is asked for
    measured = measure(mix, corpus, nothing, nothing).corpus
    repeats = mix.derive(corpus)["mix"]["repeats"].to_pylist()
    assert measured.column("mix.repeats").to_pylist() == repeats
    other = corpus.with_scores("other", corpus.tables["quality"])
    assert set(measure(Mix(budget=9), other, nothing, nothing).corpus.tables) == {
        *other.tables,
        "mix",
    }


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        (Mix(budget=3, prefer="likelihod.sum_logprob"), "Did you mean 'likelihood.sum_logprob'"),
        (Mix(budget=3, weights={"bb": 0.5}), "mix.weights: nothing .* 'bb' was read.*'b'"),
        (Mix(budget=3, by="language"), "mix.by: no stage before it has the score"),
        (Mix(budget=3, by="likelihood.sum_logprob"), "type double; expected texts"),
        (Mix(budget=3, weights={"a": 3}), "weights: the stated weights sum to 3, and 'b' states"),
        (Mix(budget=3, by="task", weights={"z": 1}), "'z' was read. Known: 'not stated', 'x', 'y'"),
        (
            Mix(budget=3, by="task", source_weights={"a": 1, "d": 1}),
            "mix.source_weights: nothing .* 'd'",
        ),
    ],
)
def test_mistakes_that_only_the_data_show(mix: Mix, message: str) -> None:
    corpus = pool(4, 4, likelihood=likelihood([-1.0] * 8))
    with pytest.raises(RecipeError, match=message):
        mix.decide(corpus)


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"unit": "token", "budget": 5}, "stages[0]: unit: got 'token' without 'model'"),
        ({"source_weights": {"a": 1}}, "with 'by: source' write them as 'weights'"),
        ({"temperature": 0}, "stages[0].temperature"),
        ({"by": "tasks"}, "stages[0].by: got 'tasks'; expected 'source', 'task', 'language', or a"),
        ({"by": "language"}, "'language.language'. Put a stage of the kind 'language' before it"),
        ({"by": "language", "weights": {"ge": 1}}, "got 'ge'; expected the code of a language"),
        ({"weights": {"a": -1}}, "stages[0].weights.a"),
        ({"weights": {"aa": 1}}, "stages[0]: no input has the source 'aa'. Did you mean 'a'?"),
        ({"max_epochs": 0}, "stages[0].max_epochs"),
        ({"model": "far"}, "'far' is on a server"),
        ({"model": "m"}, "no model named 'm'"),
        ({"cap": -1}, "stages[0].cap"),
        ({"budget": 0}, "stages[0].budget"),
    ],
)
def test_mistakes_that_the_recipe_shows(stage: dict[str, Any], message: str) -> None:
    data = {
        "name": "r",
        "inputs": [{"path": "a.jsonl"}],
        "models": {"far": {"name": "x", "server": {"url": "http://localhost"}}},
        "stages": [{"kind": "mix", **stage}],
    }
    with pytest.raises(RecipeError) as caught:
        parse_recipe(data, "r.yaml")
    assert message in str(caught.value)


def test_a_source_without_rows_is_short_and_no_mistake(tmp_path: Path) -> None:
    corpus = corpus_in(tmp_path, {f"r{n}": asked(f"q{n}", "yes") for n in range(8)})
    gone = corpus.filter(np.zeros(8, dtype=bool))
    other = corpus_of([*"abcd"], source=["o"] * 4)
    rest = Corpus(rows=other.rows, shards=gone.shards)
    mix = Mix(budget=4, weights={"s": 0.5})
    found = mix.diagnose(rest, mix.decide(rest))
    assert (found["groups"]["s"]["asked"], found["groups"]["s"]["short"]) == (2, 2)
    assert (found["groups"]["o"]["given"], found["groups"]["o"]["from_others"]) == (4, 2)
    # What the weights allow is asked of those that have rows.
    assert len(kept(rest, Mix(weights={"s": 0.5}).decide(rest))) == 4


def test_tokens_by_hand() -> None:
    costs = [7, 7, 7, 7, 5, 5, 5, 5]
    corpus = corpus_of([*"abcdefgh"], source=[*"sssstttt"], tables={"token_counts": tokens(costs)})
    mix = Mix(budget=24, unit="token", model="m", weights={"s": 0.5, "t": 0.5})
    # 12 each: one row of 7 leaves 5, which t adds to its 12.
    assert counts(mix, corpus) == {"s": 1, "t": 3}
    assert figures(mix, corpus)["given"] == 22
    assert figures(mix, corpus)["by_source_and_task"]["s / not stated"]["tokens_written"] == 7


def test_a_row_that_cannot_be_counted_is_kept_and_costs_nothing() -> None:
    corpus = pool(2, 2, token_counts=tokens([10, None, 10, 10]))
    mix = Mix(budget=10, unit="token", model="m", weights={"b": 1, "a": 0})
    found = reasons(mix.decide(corpus))
    assert (found["r0"], found["r1"]) == ("no_weight", "no_weight")
    open_to_all = mix.model_copy(update={"weights": {}}).decide(corpus)
    assert reasons(open_to_all)["r1"] == "unscored"
    assert sorted([found["r2"], found["r3"]]) == ["over_budget", "selected"]
    assert mix.derive(corpus)["mix"]["repeats"].to_pylist()[1] == 1
    alone = pool(1, 0, token_counts=tokens([None]))
    every = Mix(budget=10, unit="token", model="m")
    assert list(reasons(every.decide(alone)).values()) == ["unscored"]
    assert figures(every, alone)["given"] == 0


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30)), max_size=30),
    st.integers(1, 700),
    st.dictionaries(st.sampled_from("abc"), st.sampled_from([0, 0.05, 0.2, 0.33])),
    st.integers(1, 3),
    st.sampled_from([0.0, 0.1]),
)
def test_budgets_in_rows_and_tokens(
    rows: list[tuple[str, int]], budget: int, weights: dict[str, float], epochs: int, floor: float
) -> None:
    cost = np.array([each for _, each in rows], dtype=np.int64)
    names = [name for name, _ in rows]
    corpus = corpus_of(
        [str(n) for n in range(len(rows))],
        source=names,
        tables={"token_counts": tokens(cost.tolist())},
    )
    given_weights = {name: weight for name, weight in weights.items() if name in names}
    unit: Literal["row", "token"]
    for unit, each in (("row", np.ones_like(cost)), ("token", cost)):
        mix = Mix(
            budget=budget,
            unit=unit,
            model="m",
            weights=given_weights,
            max_epochs=epochs,
            floor=floor,
        )
        decided = mix.decide(corpus)
        keep = decided["keep"].to_numpy()
        repeats = mix.derive(corpus)["mix"]["repeats"].to_numpy() if len(rows) else np.empty(0)
        written = keep * repeats
        barred = np.array([given_weights.get(name) == 0 for name in names], dtype=bool)
        # If every group states a weight of 0, or those that do not have no rows, none is wanted.
        room = int(each[~barred].sum()) * epochs
        wanted = min(budget, room)
        spent = int((written * each).sum())
        assert not keep[barred].any()
        assert written.max(initial=0) <= epochs
        assert wanted - max([*each.tolist(), 1]) < spent <= wanted
        if unit == "row":
            assert spent == wanted


@pytest.mark.parametrize("rows", [0, 1, 2, 40])
@pytest.mark.parametrize(
    "mix",
    [
        Mix(budget=30, max_epochs=3, floor=0.2),
        Mix(budget=300, unit="token", model="m", max_epochs=2, prefer="likelihood.mean_logprob"),
        Mix(budget="50%", by="task", source_weights={}, temperature=2),
        Mix(cap=5),
    ],
)
def test_the_contract_of_selectors(mix: Mix, rows: int) -> None:
    random = np.random.default_rng(rows)
    corpus = pool(
        rows - rows // 3,
        rows // 3,
        likelihood=likelihood([float(v) if v > -2.5 else None for v in random.normal(-2, 1, rows)]),
        token_counts=tokens([int(v) for v in random.integers(0, 30, rows)]),
    )
    decided = mix.decide(corpus)
    assert decided.schema == VERDICTS
    assert decided["id"].to_pylist() == corpus.rows["id"].to_pylist()
    assert decided.equals(mix.decide(corpus))
    if not rows:
        return
    shuffled = take(corpus, list(random.permutation(rows)))
    assert kept(corpus, decided) == kept(shuffled, mix.decide(shuffled))
    assert reasons(decided) == reasons(mix.decide(shuffled))
    repeats = mix.derive(corpus)["mix"]["repeats"].to_pylist()
    twice = dict(zip(corpus.rows["id"].to_pylist(), repeats, strict=True))
    again = mix.derive(shuffled)["mix"]["repeats"].to_pylist()
    assert twice == dict(zip(shuffled.rows["id"].to_pylist(), again, strict=True))
    told = {name for name, reason in reasons(decided).items() if reason == "repeated"}
    assert told == {name for name, times in twice.items() if times > 1}


def test_the_seed_matters_and_a_larger_budget_keeps_what_a_smaller_one_kept() -> None:
    corpus = pool(40, 20)
    chosen = [kept(corpus, Mix(budget=12, seed=seed).decide(corpus)) for seed in (0, 1)]
    assert chosen[0] != chosen[1]
    assert chosen[0] < kept(corpus, Mix(budget=30).decide(corpus))


def test_many_groups_are_listed_in_part() -> None:
    corpus = corpus_of([str(n) for n in range(90)], source=[f"s{n % 70}" for n in range(90)])
    found = figures(Mix(budget=50), corpus)
    assert (len(found["groups"]), found["groups_not_listed"]) == (60, 10)
    assert len(Mix(budget=50).preview(corpus)["groups"]) == 70


def curate(folder: Path, **stage: Any) -> RunResult:
    """Run a mixture of 12 short and 6 long answers."""
    rows = [
        {
            "question": f"How much is {n}?",
            "answer": "so " * (1 + n),
            "task": ["even", "odd"][n % 2],
        }
        for n in range(18)
    ]
    for name, part in (("short", rows[:12]), ("long", rows[12:])):
        text = "".join(json.dumps(row) + "\n" for row in part)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    data = {
        "name": "mixed",
        "inputs": [{"path": "short.jsonl"}, {"path": "long.jsonl"}],
        "models": {"toy": {"name": "builtin:toy"}},
        "stages": [{"kind": "mix", **stage}],
    }
    return run(parse_recipe(data, "r.yaml"), folder, folder / "runs", Runtime(shard_rows=5))


def test_repeated_rows_are_written_as_often_as_it_says(tmp_path: Path) -> None:
    done = curate(tmp_path, budget=20, weights={"long": 0.8}, max_epochs=2)
    # 16 of 6 rows asked, 12 given; 8 of the 12 short ones.
    assert (done.export.rows, done.stages[0].kept) == (20, 14)
    data = datasets.load_dataset(
        str(done.folder / "curated"), split="train", cache_dir=str(tmp_path / "hf")
    )
    assert data["repeat"] == [0] * 14 + [1] * 6
    assert data["source"] == ["short"] * 8 + ["long"] * 12
    assert data["id"][8:14] == data["id"][14:]
    decisions = pq.read_table(done.folder / "decisions.parquet").to_pylist()
    written = [row["mix.repeats"] for row in decisions if row["decision"] == "keep"]
    assert sum(written) == 20
    card = (done.folder / "curated" / "README.md").read_text(encoding="utf-8")
    assert "`repeat` is 0" in card
    assert "20 are written" in card


def test_without_repetition_nothing_tells_of_it(tmp_path: Path) -> None:
    done = curate(tmp_path, budget=9)
    table = pq.read_table(done.folder / "curated" / done.export.files[0])
    assert "repeat" not in table.column_names
    assert len(table) == done.export.rows == 9
    assert "repeat" not in (done.folder / "curated" / "README.md").read_text(encoding="utf-8")


def test_tokens_of_a_run_are_counted_without_a_model(tmp_path: Path) -> None:
    done = curate(tmp_path, budget=200, unit="token", model="toy")
    # Bytes: " " and "so " n + 1 times.
    tokens_of = [1 + 3 * (1 + n) for n in range(18)]
    kept_rows = pq.read_table(done.folder / "decisions.parquet")["decision"].to_pylist()
    spent = sum(t for t, d in zip(tokens_of, kept_rows, strict=True) if d == "keep")
    assert 200 - max(tokens_of) < spent <= 200
    assert done.stages[0].diagnosis["given"] == spent
    assert done.model_calls == done.tokens == 0


def test_a_row_that_is_too_long_gives_way_to_one_that_fits() -> None:
    # Of `a` 20 tokens are asked: its preferred row has 60, the others 2 each.
    corpus = pool(11, 4, token_counts=tokens([60, *[2] * 10, 40, 40, 40, 40]))
    corpus = corpus.with_scores("quality", pa.table({"value": [9.0, *[1.0] * 14]}))
    mix = Mix(
        budget=100, unit="token", model="m", weights={"a": 0.2, "b": 0.8}, prefer="quality.value"
    )
    groups = figures(mix, corpus)["groups"]
    assert (groups["a"]["given"], groups["b"]["given"]) == (20, 80)


def test_a_group_whose_rows_are_all_too_long_is_told() -> None:
    corpus = pool(2, 4, token_counts=tokens([60, 70, 40, 40, 40, 40]))
    mix = Mix(budget=100, unit="token", model="m", weights={"a": 0.2, "b": 0.8})
    found = figures(mix, corpus)
    assert (found["groups"]["a"]["given"], found["groups"]["a"]["short"]) == (0, 20)
    assert "'a' by 20" in found["warnings"][0]


def test_without_a_budget_no_floor_falls_short() -> None:
    found = figures(Mix(floor=0.4), pool(4, 12))
    assert found["warnings"] == []
    assert {name: each["given"] for name, each in found["groups"].items()} == {"a": 4, "b": 6}


def test_weights_that_leave_nothing_for_a_group_are_refused() -> None:
    with pytest.raises(RecipeError, match="sum to 1, and 'b' states none"):
        Mix(budget=3, weights={"a": 1}).decide(pool(3, 3))


def test_sources_count_what_the_cap_leaves_of_their_tasks() -> None:
    # Of `a` the tasks x and y count 4 each, of `b` its one task 4: 2 to 1, and not 40 to 20.
    corpus = pool(40, 20)
    mix = Mix(budget=12, by="task", source_weights={}, cap=4)
    assert counts(mix, corpus) == {"a": 8, "b": 4}

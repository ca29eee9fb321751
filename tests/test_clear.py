"""Tests of CLEAR: its confidence by hand, its verdicts, its corrections, and whole runs."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpora import corpus_of, kept, reasons

from siftline.contracts.corpus import Corpus
from siftline.contracts.errors import RecipeError
from siftline.contracts.method import roles_of
from siftline.contracts.runtime import Runtime
from siftline.filters.clear import Clear
from siftline.filters.correction import Correction
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import RunResult, run

ABSOLUTE = {"policy": "absolute", "value": 0.5}


def reflection(values: list[float | None], **columns: Any) -> pa.Table:
    size = len(values)
    status = ["ok" if value is not None else "prompt_too_long" for value in values]
    return pa.table(
        {
            "status": columns.get("status", status),
            "first": pa.array(values, pa.float64()),
            "second": pa.array(columns.get("second", values), pa.float64()),
            "first_letter": ["A"] * size,
            "second_letter": columns.get("second_letter", ["A"] * size),
            "unparsable": pa.array([0] * size, pa.int32()),
            "letter_mass": pa.array([1.0] * size, pa.float64()),
        }
    )


def consistency(agreement: list[float | None], match: list[float | None]) -> pa.Table:
    status = ["ok" if value is not None else "too_few_samples" for value in agreement]
    return pa.table(
        {
            "status": status,
            "agreement": pa.array(agreement, pa.float64()),
            "match": pa.array(match, pa.float64()),
        }
    )


def preference(first: list[float | None], second: list[float | None], doubt: float) -> pa.Table:
    doubts = pa.array([None if value is None else doubt for value in first], pa.float64())
    return pa.table(
        {
            "status": ["ok" if value is not None else None for value in first],
            "share_first": pa.array(first, pa.float64()),
            "share_second": pa.array(second, pa.float64()),
            "reflection_first": doubts,
            "reflection_second": doubts,
        }
    )


def pool(tables: dict[str, pa.Table], method: Clear, **columns: Any) -> Corpus:
    size = len(next(iter(tables.values())))
    corpus = corpus_of([f"p{row}" for row in range(size)], tables=tables, **columns)
    for name, table in method.derive(corpus).items():
        corpus = corpus.with_scores(name, table)
    return corpus


def confidence(corpus: Corpus) -> list[float]:
    found: list[float] = corpus.column("confidence.value").to_pylist()
    return found


def test_the_confidence_is_that_of_the_paper() -> None:
    method = Clear(model="m")
    tables = {
        "reflection": reflection([1.0], second=[0.5]),
        "consistency": consistency([0.9], [0.4]),
    }
    # O = 0.8 * 0.9 + 0.2 * 0.4 = 0.8; S = 0.75; C = 0.7 * 0.8 + 0.3 * 0.75 = 0.785
    corpus = pool(tables, method)
    assert corpus.column("confidence.consistency").to_pylist() == pytest.approx([0.8])
    assert corpus.column("confidence.reflection").to_pylist() == pytest.approx([0.75])
    assert confidence(corpus) == pytest.approx([0.785])
    other = Clear(model="m", alpha=1, beta=0.5)
    assert confidence(pool(tables, other)) == pytest.approx([0.825])


def test_failures_are_kept_and_empty_responses_are_not() -> None:
    method = Clear(model="m", threshold={"policy": "absolute", "value": 0.5})
    tables = {
        "reflection": reflection(
            [0.9, 0.1, 0.2, None, None],
            status=["ok", "ok", "ok", "prompt_too_long", "empty_response"],
        ),
        "consistency": consistency([0.9, 0.1, None, None, None], [1, 0, None, None, None]),
    }
    corpus = pool(tables, method)
    decided = method.decide(corpus)
    assert reasons(decided) == {
        "r0": "confident",
        "r1": "low_confidence",
        "r2": "unjudged_too_few_samples",
        "r3": "unjudged_prompt_too_long",
        "r4": "empty_response",
    }
    assert kept(corpus, decided) == {"r0", "r2", "r3"}
    assert confidence(corpus)[2:] == [None, None, 0.0]
    told = method.diagnose(corpus, decided)
    assert told["unjudged"] == {"prompt_too_long": 1, "too_few_samples": 1}
    assert told["warnings"] == []  # the stage itself tells of rows without a score


def test_the_threshold_is_of_each_source_and_a_vanishing_task_is_named() -> None:
    values: list[float | None] = [n / 22 for n in range(22)]
    tables = {"reflection": reflection(values), "consistency": consistency(values, values)}
    columns = {"source": ["a"] * 11 + ["b"] * 11, "task": ["x"] * 11 + ["y"] * 11}
    by_source = Clear(model="m")
    corpus = pool(tables, by_source, **columns)
    best = {f"r{n}" for n in (*range(6, 11), *range(17, 22))}  # above the middle one of each
    assert kept(corpus, by_source.decide(corpus)) == best
    globally = Clear(model="m", threshold={"per": "corpus"})
    corpus = pool(tables, globally, **columns)
    decided = globally.decide(corpus)
    assert kept(corpus, decided) == {f"r{n}" for n in range(11, 22)}
    assert "Of a, task x less than 10% is kept" in globally.diagnose(corpus, decided)["warnings"][0]


def test_a_second_stage_measures_for_itself(tmp_path: Path) -> None:
    write(tmp_path)
    data = recipe_of(threshold={"policy": "absolute", "value": 0.0})
    data["stages"].append({**data["stages"][0], "samples": 3, "consistency": {"kind": "judge"}})
    data["stages"][1]["consistency"]["model"] = "judge"
    result = run(parse_recipe(data, "recipe.yaml"), tmp_path, tmp_path / "runs", Runtime())
    names = {p.stem.rpartition("-")[0] for p in (result.folder / "02-clear" / "scores").iterdir()}
    assert names == {"reflection", "samples", "consistency", "confidence"}
    (path,) = (result.folder / "02-clear" / "scores").glob("samples-*.parquet")
    assert {len(texts) for texts in pq.read_table(path)["texts"].to_pylist() if texts} == {3}
    assert result.stages[1].model_calls > 0


def test_rows_of_one_prompt_get_its_candidate_once() -> None:
    values: list[float | None] = [0.9, 0.1, 0.1]
    tables = {
        "reflection": reflection(values),
        "consistency": consistency(values, values),
        "candidate": pa.table({"text": ["new"] * 3, "origin": ["m"] * 3}),
        "preference": preference([None, 0.9, 1.0], [None, 0.9, 1.0], doubt=0.9),
    }
    method = CORRECTING.model_copy(update={"correct": Correction(max_share=1.0, judgements=0)})
    corpus = corpus_of(["p0", "p1", "p1"], tables=tables)
    for name, table in method.derive(corpus).items():
        corpus = corpus.with_scores(name, table)
    decided = method.decide(corpus)
    assert list(reasons(decided).values()) == ["confident", "duplicate_correction", "corrected"]


def test_the_last_bits_of_a_confidence_decide_nothing() -> None:
    values: list[float | None] = [1 - 1e-12, 1.0, 1 - 3e-12, 1 - 1e-9]
    tables = {"reflection": reflection(values), "consistency": consistency(values, values)}
    method = Clear(model="m")
    corpus = pool(tables, method)
    assert len(kept(corpus, method.decide(corpus))) == 4


def test_the_gate_samples_only_where_reflection_is_not_sure() -> None:
    method = Clear(model="m", gate=0.1)
    corpus = corpus_of(list("abcd"), tables={"reflection": reflection([0.95, 0.5, 0.02, None])})
    samples, comparison = method.follow(corpus)
    assert samples.rows.tolist() == comparison.rows.tolist() == [False, True, False, False]
    found = consistency([None, 0.9, None, None], [None, 0.9, None, None])
    status = pa.array([None, "ok", None, None])
    corpus = corpus.with_scores("consistency", found.set_column(0, "status", status))
    assert not method.follow(corpus)
    value = method.derive(corpus)["confidence"]["value"].to_pylist()
    assert value == pytest.approx([0.95, 0.7 * 0.9 + 0.3 * 0.5, 0.02, None])


def test_no_samples_are_drawn_for_what_cannot_be_judged() -> None:
    table = reflection([0.5, None], status=["ok", "empty_response"])
    (samples, _) = Clear(model="m").follow(corpus_of(["a", "b"], tables={"reflection": table}))
    assert samples.rows.tolist() == [True, False]


CORRECTING = Clear(
    model="m",
    threshold={"policy": "absolute", "value": 0.5},
    correct=Correction(max_share=0.4, judgements=0),
)


def corrected(
    first: list[float | None], second: list[float | None], method: Clear = CORRECTING
) -> tuple[Corpus, pa.Table]:
    """Decide on three good rows, and on bad ones with these preferences for their candidates."""
    values: list[float | None] = [*[0.9] * 3, *[0.1] * len(first)]
    none: list[float | None] = [None] * 3
    size = len(values)
    tables = {
        "reflection": reflection(values),
        "consistency": consistency(values, values),
        "candidate": pa.table({"text": [f"new {n}" for n in range(size)], "origin": ["m"] * size}),
        "preference": preference(none + first, none + second, doubt=0.9),
    }
    corpus = pool(tables, method)
    return corpus, method.decide(corpus)


def test_a_candidate_must_be_preferred_in_both_orders_above_eta() -> None:
    # 0.7 * 0.9 + 0.3 * 0.9 = 0.9 is above 0.8; with 0.7 in both orders it is 0.76.
    corpus, decided = corrected([0.9, 0.7, 1.0, None], [0.9, 0.7, 0.4, None])
    assert list(reasons(decided).values())[3:] == [
        "corrected",
        "not_improved",
        "not_improved",  # the mean is 0.76, and one order disagrees
        "low_confidence",  # there was no judgement
    ]
    assert kept(corpus, decided) == {"r0", "r1", "r2", "r3"}
    assert CORRECTING.revise(corpus, decided).to_pylist() == [
        {"id": "r3", "response": "new 3", "origin": "m"}
    ]


def test_an_order_that_disagrees_is_enough_to_refuse() -> None:
    generous = CORRECTING.model_copy(update={"correct": Correction(eta=0.5, judgements=0)})
    corpus, _ = corrected([1.0], [0.5], generous)
    assert corpus.column("confidence.preference").to_pylist()[3] == 0.0


def test_the_corrected_share_is_capped_and_the_surest_win() -> None:
    # Of five kept rows, three good ones, 40 % may be corrected: two.
    corpus, decided = corrected([0.95, 1.0, 0.9, 0.97], [0.95, 1.0, 0.9, 0.97])
    assert list(reasons(decided).values())[3:] == [
        "over_correction_cap",
        "corrected",
        "over_correction_cap",
        "corrected",
    ]
    told = CORRECTING.diagnose(corpus, decided)["corrections"]
    assert (told["corrected"], told["corrected_share_of_kept"]) == (2, 0.4)


def test_one_model_is_trained_unless_prompts_are_shared() -> None:
    method = CORRECTING.model_copy(
        update={"correct": Correction.model_validate({"tuning": {"model": "t", "folds": 4}})}
    )
    values: list[float | None] = [0.9, 0.1]
    tables = {"reflection": reflection(values), "consistency": consistency(values, values)}
    apart, _ = method.follow(corpus_of(["p", "q"], tables=tables))
    shared, _ = method.follow(corpus_of(["p", "p"], tables=tables))
    assert apart.training
    assert shared.training
    assert apart.training.trainer.model_dump()["folds"] == 1
    assert shared.training.trainer.model_dump()["folds"] == 4
    assert shared.training.rows.tolist() == [True, False]
    assert shared.rows.tolist() == [False, True]
    assert roles_of(method) == {"m", "t", "embedder"}


def recipe_of(**clear: Any) -> dict[str, Any]:
    stage = {"kind": "clear", "model": "judge", "max_tokens": 24, "template": "plain", **clear}
    return {
        "name": "clear",
        "inputs": [
            {"path": "data.jsonl", "source": "made"},
            {"path": "chat.jsonl", "source": "chat"},
        ],
        "models": {"judge": {"name": "builtin:toy"}, "embedder": {"name": "builtin:toy"}},
        "stages": [stage],
    }


def go(folder: Path, runs: str = "runs", shard_rows: int = 8, **clear: Any) -> RunResult:
    recipe = parse_recipe(recipe_of(**clear), "recipe.yaml")
    return run(recipe, folder, folder / runs, Runtime(shard_rows=shard_rows))


def write(folder: Path, count: int = 12) -> None:
    # The toy never ends a text by itself, so only long responses are compared, as a whole.
    many = [40 if n % 4 else 1 for n in range(count)]
    made = [{"instruction": f"Say {n}.", "output": f"{n} and " * m} for n, m in enumerate(many)]
    made.append({"instruction": "Say nothing.", "output": " "})
    made.append({"instruction": "Say 3.", "output": "3 is three. " * 20})
    calls = [{"type": "function", "function": {"name": "f", "arguments": {}}}]
    chat = [
        {"role": "user", "content": "Call f."},
        {"role": "assistant", "content": "", "tool_calls": calls},
    ]
    (folder / "chat.jsonl").write_text(json.dumps({"messages": chat}) + "\n", encoding="utf-8")
    lines = [json.dumps(row) for row in made]
    (folder / "data.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def decisions(result: RunResult) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(result.folder / "decisions.parquet").to_pylist()
    return found


def test_a_run_judges_each_row_and_asks_nothing_twice(tmp_path: Path) -> None:
    write(tmp_path)
    result = go(tmp_path)
    rows = decisions(result)
    assert len(rows) == 15
    by_reason = {row["reason"] for row in rows}
    assert by_reason == {
        "confident",
        "low_confidence",
        "empty_response",
        "unjudged_tool_calls",
        "unjudged_too_few_samples",
    }
    # 14 rows but 12 prompts with something to judge: candidates share the samples.
    samples = sorted((result.folder / "01-clear" / "scores").glob("samples-*.parquet"))
    drawn = {tuple(row["texts"]) for path in samples for row in pq.read_table(path).to_pylist()}
    assert len(drawn) == 12
    other = go(tmp_path, threshold=ABSOLUTE)
    assert other.version == "v0002"
    assert other.model_calls == other.scored == 0
    compared = go(tmp_path, consistency={"kind": "numeric"})
    assert compared.model_calls == 0  # new comparisons, no new samples


def test_shards_do_not_change_the_samples(tmp_path: Path) -> None:
    write(tmp_path)
    one, many = go(tmp_path, "one", shard_rows=100), go(tmp_path, "many", shard_rows=2)
    assert [r["confidence.value"] for r in decisions(one)] == [
        r["confidence.value"] for r in decisions(many)
    ]


def test_corrected_rows_are_exported_with_their_original(tmp_path: Path) -> None:
    write(tmp_path)
    result = go(
        tmp_path,
        threshold={"policy": "quantile", "value": 0.5},
        correct={"eta": 0.0, "judgements": 0, "max_tokens": 12, "max_share": 1.0},
    )
    rows = decisions(result)
    assert {row["decision"] for row in rows} <= {"keep", "correct", "drop"}
    curated = pq.read_table(
        next((result.folder / "curated" / "data").glob("*.parquet"))
    ).to_pylist()
    fixed = {row["id"] for row in rows if row["decision"] == "correct"}
    told = result.stages[0]
    assert told.revised == len(fixed) == told.diagnosis["corrections"]["corrected"]
    for row in curated:
        assert (row.get("original_response") is not None) == (row["id"] in fixed)
    # The toy's text never ends, so its candidates are cut, and none may replace a response.
    assert set(told.diagnosis["corrections"]["not_judged"]) <= {"cut", "empty_candidate"}


def test_a_later_stage_sees_the_corrected_response(tmp_path: Path, monkeypatch: Any) -> None:
    write(tmp_path, 4)
    before = go(tmp_path, "before")
    first = decisions(before)[0]["id"]

    def revise(self: Clear, corpus: Corpus, decided: pa.Table) -> pa.Table:
        return pa.table({"id": [first], "response": ["much shorter"], "origin": ["toy"]})

    monkeypatch.setattr(Clear, "revise", revise)
    data = recipe_of(threshold={"policy": "absolute", "value": 0.0})
    data["stages"].append({"kind": "longest", "budget": 100})
    recipe = parse_recipe(data, "recipe.yaml")
    result = run(recipe, tmp_path, tmp_path / "after", Runtime())
    (row,) = [row for row in decisions(result) if row["id"] == first]
    assert row["decision"] == "correct"
    assert row["stage"] == "01-clear"
    assert row["statistics.response_chars"] == len("much shorter")
    curated = pq.read_table(
        next((result.folder / "curated" / "data").glob("*.parquet"))
    ).to_pylist()
    (kept_row,) = [row for row in curated if row["id"] == first]
    assert kept_row["messages"][-1]["content"] == "much shorter"
    assert kept_row["original_response"] == "0 and "
    assert kept_row["origin"] == "toy"


def test_a_missing_comparer_is_named() -> None:
    data = recipe_of()
    del data["models"]["embedder"]
    with pytest.raises(RecipeError, match="no model named 'embedder'"):
        parse_recipe(data, "recipe.yaml")


def test_scores_are_numbers_from_0_to_1(tmp_path: Path) -> None:
    write(tmp_path)
    for row in decisions(go(tmp_path, reading="letter")):
        for name in ("value", "consistency", "reflection"):
            found = row[f"confidence.{name}"]
            assert found is None or 0 <= found <= 1
        if row["reflection.unparsable"] == 2:  # the toy writes no letters
            assert row["confidence.reflection"] == 0.5

"""What the selectors that work on vectors hold on any corpus: budgets, order, ranks, no NaN."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from corpora import corpus_of, embedding, kept, likelihood, reasons, take
from hypothesis import given, settings
from hypothesis import strategies as st

from siftline.contracts.corpus import VERDICTS, Corpus
from siftline.contracts.method import Method
from siftline.selectors.budget import Unit
from siftline.selectors.deita import Deita
from siftline.selectors.facility_location import FacilityLocation
from siftline.selectors.k_center import KCenter
from siftline.selectors.rds import RdsPlus
from siftline.selectors.semantic_duplicates import SemanticDuplicates

SCORE = "likelihood.mean_logprob"
Make = Callable[[int | str, Unit], Method]
# Budgets are met exactly by the first five; DEITA keeps fewer where no more are novel.
EXACT: dict[str, Make] = {
    "k_center": lambda budget, unit: KCenter(model="e", budget=budget, unit=unit),
    "facility_location": lambda budget, unit: FacilityLocation(model="e", budget=budget, unit=unit),
    "rds_plus": lambda budget, unit: RdsPlus(model="e", targets=["s0"], budget=budget, unit=unit),
    "rds_plus of queries": lambda budget, unit: RdsPlus(
        model="e", targets=["s0", "s1"], budget=budget, unit=unit, tasks=False
    ),
    "rds_plus of sources": lambda budget, unit: RdsPlus(
        model="e", targets=["s0", "s1"], budget=budget, unit=unit
    ),
}
BUDGETED: dict[str, Make] = {
    **EXACT,
    "deita": lambda budget, unit: Deita(model="e", score=SCORE, budget=budget, unit=unit),
}
ALL: dict[str, Method] = {
    **{name: make("40%", "row") for name, make in BUDGETED.items()},
    **{f"{name} by prompt": make("40%", "prompt") for name, make in BUDGETED.items()},
    "deita of conversations": Deita(model="e", score=SCORE, budget="40%", on="conversation"),
    "semantic_duplicates": SemanticDuplicates(model="e", threshold=0.8),
    "semantic_duplicates in cells": SemanticDuplicates(
        model="e", threshold=0.8, exact_up_to=1, prefer=SCORE
    ),
    "semantic_duplicates of conversations": SemanticDuplicates(
        model="e", threshold=0.8, on="conversation"
    ),
}


def pool(rows: int, seed: int = 0) -> Corpus:
    """Return a corpus with prompts of several rows, copies among the vectors, gaps in the scores.

    Cosines are multiples of 1/4, so that many are equal and all are exact. The first two rows are
    of the sources `s0` and `s1`, the targets of RDS+.
    """
    random = np.random.default_rng(seed)
    prompts = [f"p{number}" for number in random.integers(0, max(1, 2 * rows // 3), rows)]
    vector_of = {name: random.choice([-0.5, 0.5], 4) for name in sorted(set(prompts))}
    means = [
        None if row % 7 == 3 else round(float(random.uniform(-4, 0)), 1) for row in range(rows)
    ]
    points = np.array([vector_of[name] for name in prompts]).reshape(rows, 4)
    talks = random.choice([-0.5, 0.5], (rows, 4))
    return corpus_of(
        prompts,
        source=[f"s{min(row, 2 + row % 3)}" for row in range(rows)],
        tables={
            "likelihood": likelihood(means),
            "prompt_embedding": embedding(points),
            "conversation_embedding": embedding(talks),
            "prompt_context": pa.table({"hash": pa.nulls(rows, pa.string())}),
        },
    )


def of_the_pool(name: str, corpus: Corpus) -> Corpus:
    """Return the rows that may be kept: for RDS+ all but those of the targets."""
    sources = corpus.rows["source"].to_pylist()
    targets = {"rds_plus": ["s0"]}.get(name, ["s0", "s1"]) if name.startswith("rds") else []
    return corpus.filter(np.array([source not in targets for source in sources]))


def prompts_of(corpus: Corpus, ids: set[str]) -> set[str]:
    return {row["prompt_id"] for row in corpus.rows.to_pylist() if row["id"] in ids}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("rows", [2, 3, 61])
def test_one_verdict_per_row_in_order(name: str, rows: int) -> None:
    corpus = pool(rows)
    decided = ALL[name].decide(corpus)
    assert decided.schema == VERDICTS
    assert decided["id"].to_pylist() == corpus.rows["id"].to_pylist()
    assert None not in decided["reason"].to_pylist()
    assert np.isfinite(decided["gain"].drop_null().to_numpy()).all()
    # A NaN would have become null; where one may stand is what the methods document.
    missing = np.isnan(decided["gain"].to_numpy())
    documented = ("over_budget", "unscored", "not_novel", "target", "kept", "selected")
    assert set(np.array(decided["reason"].to_pylist())[missing]) <= set(documented)
    ranked = decided["rank"].drop_null().to_pylist()
    assert sorted(set(ranked)) == list(range(1, len(set(ranked)) + 1))
    if ranked:
        chosen = [row["keep"] and row["reason"] != "unscored" for row in decided.to_pylist()]
        assert [rank is not None for rank in decided["rank"].to_pylist()] == chosen


@pytest.mark.parametrize("name", ALL)
def test_an_empty_pool(name: str) -> None:
    assert ALL[name].decide(pool(0)).equals(VERDICTS.empty_table())


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("rows", [2, 61])
def test_the_diagnosis_is_plain_data(name: str, rows: int) -> None:
    method: Any = ALL[name]
    corpus = pool(rows)

    def check(value: object) -> None:
        if isinstance(value, dict):
            for key, each in value.items():
                assert isinstance(key, str)
                check(each)
        elif isinstance(value, list):
            for each in value:
                check(each)
        else:
            assert value is None or type(value) in (int, float, str)
            assert value == value, "NaN"

    check(method.diagnose(corpus, method.decide(corpus)))


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), rows=st.integers(2, 50))
def test_the_order_of_the_rows_does_not_matter(name: str, seed: int, rows: int) -> None:
    corpus = pool(rows, seed)
    order = list(np.random.default_rng(seed).permutation(rows))
    first, second = ALL[name].decide(corpus), ALL[name].decide(take(corpus, order))
    assert first.take(order).equals(second)


@pytest.mark.parametrize("name", EXACT)
@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), rows=st.integers(2, 50), budget=st.integers(1, 60))
def test_rows_kept_are_exactly_the_budget(name: str, seed: int, rows: int, budget: int) -> None:
    corpus = pool(rows, seed)
    ids = kept(corpus, EXACT[name](budget, "row").decide(corpus))
    available = of_the_pool(name, corpus)
    assert len(ids) == min(budget, len(available))
    assert ids <= set(available.rows["id"].to_pylist())


@pytest.mark.parametrize("name", EXACT)
@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), rows=st.integers(2, 50), budget=st.integers(1, 60))
def test_prompts_kept_are_exactly_the_budget_with_all_their_rows(
    name: str, seed: int, rows: int, budget: int
) -> None:
    corpus = pool(rows, seed)
    ids = kept(corpus, EXACT[name](budget, "prompt").decide(corpus))
    available = of_the_pool(name, corpus)
    everything = set(available.rows["id"].to_pylist())
    assert ids <= everything
    prompts = prompts_of(available, ids)
    assert len(prompts) == min(budget, len(prompts_of(available, everything)))
    assert prompts.isdisjoint(prompts_of(available, everything - ids))


@pytest.mark.parametrize("name", BUDGETED)
@pytest.mark.parametrize("unit", ["row", "prompt"])
@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), rows=st.integers(2, 50), data=st.data())
def test_a_larger_budget_extends_a_smaller_one(
    name: str, unit: Unit, seed: int, rows: int, data: st.DataObject
) -> None:
    small = data.draw(st.integers(1, rows))
    large = data.draw(st.integers(small, rows + 3))
    corpus = pool(rows, seed)
    first, second = (BUDGETED[name](budget, unit).decide(corpus) for budget in (small, large))
    ranks = dict(zip(second["id"].to_pylist(), second["rank"].to_pylist(), strict=True))
    for row in first.to_pylist():
        if row["keep"]:
            assert ranks[row["id"]] == row["rank"]


def with_members(corpus: Corpus, share: float, seed: int) -> tuple[Corpus, np.ndarray]:
    """Return a corpus of which some rows, the first among them, are in the initial subset."""
    member = np.random.default_rng(seed).random(len(corpus)) < share
    member[0] = True
    return corpus.with_scores("initial_subset", pa.table({"member": member})), member


@pytest.mark.parametrize("unit", ["row", "prompt"])
@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), rows=st.integers(2, 50), budget=st.integers(1, 60))
def test_an_initial_subset_is_kept_within_the_budget(
    unit: Unit, seed: int, rows: int, budget: int
) -> None:
    corpus, member = with_members(pool(rows, seed), 0.2, seed)
    ids = np.array(corpus.rows["id"].to_pylist())
    held = set(ids[member].tolist())
    size = len(held) if unit == "row" else len(prompts_of(corpus, held))
    method = FacilityLocation(
        model="e", budget=max(budget, size), unit=unit, initial_subset="s.parquet"
    )
    decided = method.decide(corpus)
    chosen = kept(corpus, decided)
    assert held <= chosen
    every = rows if unit == "row" else len(prompts_of(corpus, set(ids.tolist())))
    found = len(chosen) if unit == "row" else len(prompts_of(corpus, chosen))
    assert found == min(max(budget, size), every)
    marked = {name for name, reason in reasons(decided).items() if reason == "initial_subset"}
    assert marked == (
        held
        if unit == "row"
        else {
            row["id"]
            for row in corpus.rows.to_pylist()
            if row["prompt_id"] in prompts_of(corpus, held)
        }
    )


@pytest.mark.parametrize("unit", ["row", "prompt"])
@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), rows=st.integers(2, 30), more=st.integers(0, 20))
def test_the_order_does_not_matter_beside_an_initial_subset(
    unit: Unit, seed: int, rows: int, more: int
) -> None:
    corpus, member = with_members(pool(rows, seed), 0.4, seed)
    budget = int(member.sum()) + more
    method = FacilityLocation(model="e", budget=budget, unit=unit, initial_subset="s.parquet")
    order = list(np.random.default_rng(seed + 1).permutation(rows))
    assert method.decide(corpus).take(order).equals(method.decide(take(corpus, order)))

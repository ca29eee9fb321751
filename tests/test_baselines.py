"""Tests of the baselines, and the contract that every selector holds."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from corpora import corpus_of, embedding, kept, likelihood, reasons, statistics, take

from siftline.contracts.corpus import VERDICTS, Corpus
from siftline.contracts.method import Method
from siftline.selectors.baselines import Longest, Random, StratifiedRandom
from siftline.selectors.budget import Unit
from siftline.selectors.diversity import Diversity
from siftline.selectors.grape import Grape

Make = Callable[[int | str, Unit], Method]
BUDGETED: dict[str, Make] = {
    "random": lambda budget, unit: Random(budget=budget, unit=unit),
    "stratified": lambda budget, unit: StratifiedRandom(budget=budget, unit=unit),
    "longest": lambda budget, unit: Longest(budget=budget, unit=unit),
    "diversity": lambda budget, unit: Diversity(model="e", clusters=5, budget=budget, unit=unit),
    "preferring": lambda budget, unit: Diversity(
        model="e",
        clusters=5,
        budget=budget,
        unit=unit,
        prefer="likelihood.mean_logprob",
        unscored="drop",
    ),
}
ALL: dict[str, Method] = {
    **{name: make("50%", "row") for name, make in BUDGETED.items()},
    "grape": Grape(model="target", max_origin_share=0.4),
}


def pool(rows: int) -> Corpus:
    """Return a corpus with all that the selectors need; every ninth row is unscored."""
    random = np.random.default_rng(0)
    prompts = [f"p{row // 2 if row % 3 else row // 3}" for row in range(rows)]
    vectors = {prompt: random.normal(size=8) for prompt in sorted(set(prompts))}
    points = np.array([vectors[prompt] for prompt in prompts]).reshape(rows, 8)
    draws = np.round(random.uniform(-4, 0, rows), 1)
    means = [None if row % 9 == 0 else float(draws[row]) for row in range(rows)]
    return corpus_of(
        prompts,
        source=[f"s{row % 3}" for row in range(rows)],
        origin=[f"m{row % 2}" for row in range(rows)],
        tables={
            "likelihood": likelihood(means),
            "statistics": statistics([int(n) for n in random.integers(0, 50, rows)]),
            "prompt_embedding": embedding(points),
        },
    )


def prompts_of(corpus: Corpus, ids: set[str]) -> set[str]:
    return {row["prompt_id"] for row in corpus.rows.to_pylist() if row["id"] in ids}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("rows", [0, 1, 2, 61])
def test_one_verdict_per_row_in_order(name: str, rows: int) -> None:
    corpus = pool(rows)
    decided = ALL[name].decide(corpus)
    assert decided.schema == VERDICTS
    assert decided["id"].to_pylist() == corpus.rows["id"].to_pylist()
    assert None not in decided["reason"].to_pylist()


@pytest.mark.parametrize("name", ALL)
def test_the_order_of_the_rows_does_not_matter(name: str) -> None:
    corpus = pool(61)
    shuffled = take(corpus, list(np.random.default_rng(1).permutation(61)))
    first, second = ALL[name].decide(corpus), ALL[name].decide(shuffled)
    assert kept(corpus, first) == kept(shuffled, second)
    assert reasons(first) == reasons(second)


@pytest.mark.parametrize("name", ALL)
def test_the_same_twice(name: str) -> None:
    assert ALL[name].decide(pool(61)).equals(ALL[name].decide(pool(61)))


@pytest.mark.parametrize("name", BUDGETED)
@pytest.mark.parametrize("budget", [1, 3, 17, 61, 999])
def test_rows_kept_are_exactly_the_budget(name: str, budget: int) -> None:
    corpus = pool(61)
    rows = 61 - 7 if name == "preferring" else 61  # every ninth row lacks what is preferred
    assert len(kept(corpus, BUDGETED[name](budget, "row").decide(corpus))) == min(budget, rows)


@pytest.mark.parametrize("name", BUDGETED)
@pytest.mark.parametrize("budget", [1, 3, 17, 999])
def test_prompts_kept_are_exactly_the_budget_with_all_their_rows(name: str, budget: int) -> None:
    corpus = pool(61)
    ids = kept(corpus, BUDGETED[name](budget, "prompt").decide(corpus))
    everything = set(corpus.rows["id"].to_pylist())
    prompts = prompts_of(corpus, ids)
    assert len(prompts) == min(budget, len(prompts_of(corpus, everything)))
    assert prompts.isdisjoint(prompts_of(corpus, everything - ids))


@pytest.mark.parametrize("name", ["random", "longest"])
def test_a_larger_budget_keeps_what_a_smaller_one_kept(name: str) -> None:
    corpus = pool(61)
    chosen = [kept(corpus, BUDGETED[name](budget, "row").decide(corpus)) for budget in (5, 20, 40)]
    assert all(small < large for small, large in itertools.pairwise(chosen))


@pytest.mark.parametrize("make", [Random, StratifiedRandom])
def test_the_seed_matters(make: type[Random] | type[StratifiedRandom]) -> None:
    corpus = pool(61)
    chosen = [kept(corpus, make(budget=20, seed=seed).decide(corpus)) for seed in (0, 1)]
    assert chosen[0] != chosen[1]


def test_random_does_not_depend_on_the_other_rows() -> None:
    large, small = pool(61), pool(30)
    first = kept(large, Random(budget=61).decide(large))
    ranks = Random(budget=61).decide(large).to_pylist()
    order = sorted((row["rank"], row["id"]) for row in ranks)
    among = [name for _, name in order if int(name[1:]) < 30]
    assert len(first) == 61
    assert kept(small, Random(budget=7).decide(small)) == set(among[:7])


def test_every_source_has_its_share() -> None:
    # 6, 3 and 1 rows at half: 3, 1.5 and 0.5; the larger remainders tie, the first source gets it.
    source = ["a"] * 6 + ["b"] * 3 + ["c"]
    corpus = corpus_of([str(n) for n in range(10)], source=source)
    ids = kept(corpus, StratifiedRandom(budget="50%").decide(corpus))
    counts = [sum(source[int(name[1:])] == each for name in ids) for each in "abc"]
    assert counts == [3, 2, 0]


def test_strata_can_be_tasks_and_no_task_is_one() -> None:
    corpus = corpus_of(list("abcd"), task=["math", "math", None, None])
    ids = kept(corpus, StratifiedRandom(budget=2, by="task").decide(corpus))
    assert len(ids & {"r0", "r1"}) == len(ids & {"r2", "r3"}) == 1


def test_longest_by_hand() -> None:
    corpus = corpus_of(list("aabc"), tables={"statistics": statistics([5, 40, 30, 10])})
    decided = Longest(budget=2).decide(corpus)
    assert kept(corpus, decided) == {"r1", "r2"}
    assert decided["rank"].to_pylist() == [None, 1, 2, None]
    assert decided["gain"].to_pylist() == [5, 40, 30, 10]
    assert kept(corpus, Longest(budget=1, unit="prompt").decide(corpus)) == {"r0", "r1"}

"""Tests of the figures of breadth: by hand, and as properties."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from corpora import corpus_of, embedding, kept, statistics, take
from hypothesis import given
from hypothesis import strategies as st

from siftline.contracts.corpus import Corpus
from siftline.contracts.method import verdicts
from siftline.selectors.baselines import Random
from siftline.selectors.vectors import breadth as diversity_metrics
from siftline.selectors.vectors import clusters as prompt_clusters
from siftline.selectors.vectors.breadth import (
    diversity_figures,
    effective_number,
    mean_distance,
    vendi_score,
)


def circle(degrees: npt.ArrayLike) -> npt.NDArray[np.float32]:
    radians = np.deg2rad(np.asarray(degrees, dtype=np.float64))
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def corpus(degrees: Sequence[int], prompts: Sequence[str] | None = None, **columns: Any) -> Corpus:
    """Return a corpus in which a row's response has as many characters as its vector degrees."""
    names = prompts or [str(n) for n in range(len(degrees))]
    tables = {"prompt_embedding": embedding(circle(degrees)), "statistics": statistics(degrees)}
    return corpus_of(names, tables=tables, **columns)


def figures(pool: Corpus, rows: Sequence[int], **options: Any) -> dict[str, Any]:
    keep = np.isin(np.arange(len(pool)), rows)
    reasons = np.where(keep, "selected", "over_budget")
    return diversity_figures(pool, verdicts(pool, keep, reasons), **options)


def test_effective_number_by_hand() -> None:
    assert effective_number(np.array([5, 7, 9, 5, 7, 9])) == pytest.approx(3)
    assert effective_number(np.array([4, 4])) == 1
    # Shares of 3/4 and 1/4: an entropy of 0.5623.
    assert effective_number(np.array([0, 0, 0, 1])) == pytest.approx(np.exp(0.5623), abs=1e-4)
    assert effective_number(np.empty(0, dtype=np.int64)) == 0


@pytest.mark.parametrize("count", [1, 2, 7])
def test_vendi_of_vectors_at_right_angles_is_their_number(count: int) -> None:
    assert vendi_score(np.eye(7, dtype=np.float32)[:count]) == pytest.approx(count)


@pytest.mark.parametrize("count", [1, 3, 50])
def test_vendi_of_equal_vectors_is_one(count: int) -> None:
    assert vendi_score(circle([30] * count)) == pytest.approx(1)


def test_vendi_of_two_groups_by_hand() -> None:
    # Eigenvalues 3/4 and 1/4, as the groups' shares.
    assert vendi_score(circle([0, 0, 0, 90])) == pytest.approx(np.exp(0.5623), abs=1e-4)
    # Two vectors at 60 degrees have a cosine of 1/2, so the same eigenvalues.
    assert vendi_score(circle([0, 60])) == pytest.approx(np.exp(0.5623), abs=1e-4)


def test_vendi_of_nothing() -> None:
    assert vendi_score(np.empty((0, 3), dtype=np.float32)) == 0


@given(st.integers(1, 20), st.integers(1, 6), st.integers(0, 99))
def test_vendi_through_the_covariance_is_that_through_the_kernel(
    rows: int, dimensions: int, seed: int
) -> None:
    vectors = np.random.default_rng(seed).normal(size=(rows, dimensions))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    share = np.linalg.eigvalsh(vectors @ vectors.T / rows)
    share = share[share > 1e-12]
    expected = np.exp(-(share * np.log(share)).sum())
    assert vendi_score(vectors.astype(np.float32)) == pytest.approx(expected, rel=1e-5)
    assert 1 - 1e-6 <= expected <= min(rows, dimensions) + 1e-6


def test_coverage_by_hand() -> None:
    # 0 is chosen; 60 and 90 degrees away are distances of 1/2 and 1: a mean of 1/2.
    assert mean_distance(circle([0, 60, 90]), circle([0])) == pytest.approx(0.5)
    assert mean_distance(circle([0, 60, 90]), circle([0, 90])) == pytest.approx(
        (1 - 0.8660) / 3, 1e-3
    )


def test_coverage_is_zero_when_all_is_selected() -> None:
    degrees = list(range(0, 90, 4))
    found = figures(corpus(degrees), range(len(degrees)))
    assert found["coverage"] == {"selected": 0.0, "random": 0.0}


def test_figures_by_hand() -> None:
    pool = corpus([0, 0, 0, 90], source=["a", "a", "b", "b"], task=["x", None, None, "y"])
    found = figures(pool, [0, 3], clusters=np.array([4, 4, 4, 2]))
    assert found["clusters"] == 2
    assert found["effective_clusters"]["pool"] == round(float(np.exp(0.5623)), 2)
    assert found["effective_clusters"]["selected"] == 2
    assert found["clusters_covered"]["selected"] == 2
    assert found["largest_cluster_share"] == {
        "pool": 0.75,
        "selected": 0.5,
        "random": found["largest_cluster_share"]["random"],
    }
    assert found["vendi_score"]["sampled_rows"] == 2
    assert found["vendi_score"]["selected"] == 2
    assert found["coverage"]["selected"] == 0
    assert found["source_share"]["selected"] == {"a": 0.5, "b": 0.5}
    assert found["task_share"]["pool"] == {"not stated": 0.5, "x": 0.25, "y": 0.25}
    assert found["response_chars_quartiles"]["selected"] == [22.5, 45, 67.5]


def test_what_is_not_known_is_not_told() -> None:
    pool = corpus_of(list("ab"), tables={"prompt_embedding": embedding(circle([0, 90]))})
    assert not {"task_share", "response_chars_quartiles"} & set(figures(pool, [0]))


def test_clusters_are_made_of_a_sample_where_none_are_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prompt_clusters, "SAMPLED", 40)
    # Eight narrow groups, one of which has half of the prompts; the sample has five clusters a row.
    degrees = [45 * group + n % 3 for n, group in enumerate([0] * 49 + list(range(1, 8)) * 7)]
    pool = corpus(degrees)
    even = [0, *range(49, 56)]
    found = figures(pool, even, seed=5)
    assert found["clusters"] <= 10
    assert found["effective_clusters"]["selected"] > found["effective_clusters"]["pool"]
    assert found["largest_cluster_share"]["pool"] > found["largest_cluster_share"]["selected"]


def test_the_random_choice_is_that_of_the_baseline() -> None:
    pool = corpus(list(range(0, 90, 3)), source=[f"s{n}" for n in range(30)])
    chosen = kept(pool, Random(budget=7, seed=3).decide(pool))
    found = figures(pool, range(7), seed=3)["source_share"]["random"]
    assert set(found) == {f"s{name[1:]}" for name in chosen}


def test_a_budget_of_prompts_is_met_by_a_random_choice_of_prompts() -> None:
    # One prompt of four rows, four of one each; two prompts are kept.
    pool = corpus([0] * 4 + [20, 40, 60, 80], prompts=list("aaaabcde"), source=list("aaaabcde"))
    for seed in range(5):
        chosen = prompts_of_sources(figures(pool, [0, 1, 2, 3, 4], unit="prompt", seed=seed))
        assert len(chosen) == 2
        assert chosen == {
            pool.rows["source"].to_pylist()[int(name[1:])]
            for name in kept(pool, Random(budget=2, unit="prompt", seed=seed).decide(pool))
        }


def prompts_of_sources(found: dict[str, Any]) -> set[str]:
    return set(found["source_share"]["random"])


def test_nothing_selected() -> None:
    found = figures(corpus([0, 90]), [], clusters=np.array([0, 1]))
    assert found["effective_clusters"] == {"pool": 2}
    assert found["vendi_score"] == {"sampled_rows": 2, "pool": 2}
    assert found["coverage"] == {}


def test_only_the_largest_groups_are_listed() -> None:
    rows = diversity_metrics.SHOWN_GROUPS + 20
    sources = ["large"] * 10 + [f"s{n:03d}" for n in range(rows - 10)]
    found = figures(corpus(list(range(rows)), source=sources), range(20))["source_share"]["pool"]
    assert len(found) == diversity_metrics.SHOWN_GROUPS + 1
    assert found["11 others"] == round(11 / rows, 4)
    assert found["large"] == round(10 / rows, 4)


def test_large_pools_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diversity_metrics, "VENDI_ROWS", 10)
    monkeypatch.setattr(diversity_metrics, "COVERAGE_ROWS", 10)
    pool = corpus(list(range(0, 90, 2)))
    found = figures(pool, range(20), seed=1)
    assert found["vendi_score"]["sampled_rows"] == 10
    shuffled = take(pool, list(np.random.default_rng(0).permutation(45)))
    keep = np.isin(shuffled.rows["id"].to_pylist(), [f"r{n}" for n in range(20)])
    decided = verdicts(shuffled, keep, np.where(keep, "selected", "over_budget"))
    assert diversity_figures(shuffled, decided, seed=1) == found

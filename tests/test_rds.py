"""Tests of RDS+."""

from typing import Any

import numpy as np
import pytest
from corpora import corpus_of, embedding, kept

from siftline.contracts.corpus import Corpus
from siftline.contracts.errors import RecipeError
from siftline.contracts.method import local_roles_of
from siftline.pipelines.recipe import parse_recipe
from siftline.scorers.conversation_embedding import ConversationEmbedding
from siftline.selectors.rds import RdsPlus

# Two queries at 0 and 100 degrees, and a pool of six rows of five prompts.
ROWS = [
    # id, prompt, source, degrees
    ("q0", "x", "goal", 0),
    ("q1", "y", "goal", 100),
    ("p0", "a", "web", 1),
    ("p1", "b", "web", 5),
    ("p2", "b", "web", 30),
    ("p3", "c", "web", 70),
    ("p4", "d", "web", 105),
    ("p5", "x", "web", 180),
]


def corpus(**changes: str) -> Corpus:
    angles = np.deg2rad([row[3] for row in ROWS])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return corpus_of(
        [row[1] for row in ROWS],
        ids=[row[0] for row in ROWS],
        source=[changes.get(row[0], row[2]) for row in ROWS],
        tables={"conversation_embedding": embedding(vectors)},
    )


def method(**fields: Any) -> RdsPlus:
    return RdsPlus(**{"model": "m", "targets": ["goal"], "budget": 4, **fields})


def cosine(degrees: float) -> float:
    return float(np.cos(np.deg2rad(degrees)))


def test_by_hand() -> None:
    decided = method().decide(corpus())
    # q0 takes p0 (1 degree away) and p1 (5), q1 takes p4 (5) and p3 (30), in turns.
    assert kept(corpus(), decided) == {"p0", "p1", "p3", "p4"}
    ranks = dict(zip(decided["id"].to_pylist(), decided["rank"].to_pylist(), strict=True))
    assert {ranks["p0"], ranks["p4"]} == {1, 2}
    assert {ranks["p1"], ranks["p3"]} == {3, 4}
    gains = dict(zip(decided["id"].to_pylist(), decided["gain"].to_pylist(), strict=True))
    assert gains["p1"] == pytest.approx(cosine(5), abs=1e-5)
    assert gains["p3"] == pytest.approx(cosine(30), abs=1e-5)
    assert gains["p5"] is None
    reasons = decided["reason"].to_pylist()
    assert reasons[:2] == ["target", "target"]
    assert [reasons[4], reasons[7]] == ["over_budget", "over_budget"]


def test_targets_are_never_kept_however_large_the_budget() -> None:
    decided = method(budget=99).decide(corpus())
    assert kept(corpus(), decided) == {f"p{number}" for number in range(6)}


def test_a_share_is_one_of_the_pool_without_the_targets() -> None:
    assert len(kept(corpus(), method(budget="50%").decide(corpus()))) == 3


def test_a_prompt_brings_its_rows_but_those_of_the_target() -> None:
    decided = method(unit="prompt", budget=3).decide(corpus())
    chosen = kept(corpus(), decided)
    assert {"p0", "p4"} <= chosen
    assert len({row[1] for row in ROWS if row[0] in chosen}) == 3
    everything = method(unit="prompt", budget=5).decide(corpus())
    assert kept(corpus(), everything) == {f"p{number}" for number in range(6)}
    rank = dict(zip(everything["id"].to_pylist(), everything["rank"].to_pylist(), strict=True))
    assert rank["p1"] == rank["p2"]


def test_with_several_targets_the_sources_take_turns() -> None:
    # goal has two queries at 0 and 100 degrees, other one at 180. Of goal p0 is the nearest, of
    # other p5 itself, then p4 at 75 degrees; goal's second is p1 or p4, both 5 degrees away.
    pool = corpus(p5="other")
    decided = method(targets=["goal", "other"], budget=2).decide(pool)
    assert kept(pool, decided) == {"p0", "p4"}
    assert decided["rank"].to_pylist() == [None, None, 1, None, None, None, 2, None]
    gains = decided["gain"].to_pylist()
    assert gains[2] == pytest.approx(cosine(1), abs=1e-5)
    assert gains[6] == pytest.approx(cosine(75), abs=1e-5)


def test_or_all_queries_do() -> None:
    pool = corpus(p5="other")
    decided = method(targets=["goal", "other"], budget=3, tasks=False).decide(pool)
    # Three queries, in a random order: one takes p0, one p4 unless it is gone, one what is left.
    assert len(kept(pool, decided)) == 3
    assert {"p0", "p4"} <= kept(pool, decided)


def test_a_target_without_rows_is_an_error() -> None:
    with pytest.raises(RecipeError, match=r"no row of the source 'gaol'.*'goal'"):
        method(targets=["gaol"]).decide(corpus())


def test_nothing_but_targets() -> None:
    pool = corpus(**{row[0]: "goal" for row in ROWS})
    decided = method(budget="50%").decide(pool)
    assert set(decided["reason"].to_pylist()) == {"target"}
    assert method().diagnose(pool, decided)["mean_similarity_to_the_nearest_query"] == {
        "pool": None,
        "selected": None,
        "random of equal size": None,
    }


def test_diagnosis_by_hand() -> None:
    found = method(budget=2).diagnose(corpus(), method(budget=2).decide(corpus()))
    nearest = [cosine(each) for each in (1, 5, 30, 30, 5, 80)]
    means = found["mean_similarity_to_the_nearest_query"]
    assert means["pool"] == pytest.approx(np.mean(nearest), abs=1e-4)
    assert means["selected"] == pytest.approx((cosine(1) + cosine(5)) / 2, abs=1e-4)
    assert found["queries"] == {"goal": 2}
    # p5 has the prompt of q0.
    assert found["rows_of_the_pool_with_a_target_prompt"] == 1
    assert "1 rows of the pool" in found["warnings"][0]


def test_the_conversations_are_embedded() -> None:
    assert method(max_tokens=99).scorers()[0] == ConversationEmbedding(model="m", max_tokens=99)
    assert local_roles_of(method()) == {"m"}


def test_a_target_that_no_input_has_is_refused() -> None:
    data = {
        "name": "r",
        "inputs": [{"path": "a.csv", "source": "goal"}],
        "models": {"m": {"name": "builtin:smollm2"}},
        "stages": [{"kind": "rds_plus", "model": "m", "targets": ["gaol"], "budget": 3}],
    }
    with pytest.raises(RecipeError, match=r"no input has the source 'gaol'\. Did you mean 'goal'"):
        parse_recipe(data, "r")

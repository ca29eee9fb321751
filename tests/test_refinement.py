"""Tests of the exchange of facility location's choices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftline.selectors.vectors import refinement as module
from siftline.selectors.vectors.lazy_greedy import lazy_greedy
from siftline.selectors.vectors.refinement import Refinement

NOBODY = np.empty(0, dtype=np.int64)


def on_circle(*degrees: float) -> np.ndarray:
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def ones(rows: int) -> np.ndarray:
    return np.ones(rows, dtype=np.float32)


def test_a_choice_gives_way_to_what_stands_best_for_all_it_covers() -> None:
    found = Refinement(on_circle(0, 10, 20, 180), ones(4), NOBODY)
    row, gain = found.choose(0)
    assert row == 1
    assert gain == pytest.approx(1 + 2 * np.cos(np.deg2rad(10)), abs=1e-4)
    row, gain = found.choose(3)  # what is far is another matter
    assert row == 3
    assert gain == pytest.approx(1, abs=1e-4)


def test_what_is_chosen_already_is_not_offered_again() -> None:
    found = Refinement(on_circle(0, 10, 20), ones(3), np.array([1]))
    row, gain = found.choose(0)
    assert row == 0
    assert gain == pytest.approx(1 - np.cos(np.deg2rad(10)), abs=1e-4)


def test_a_weight_draws_the_choice() -> None:
    weight = np.array([1, 1, 9], dtype=np.float32)
    assert Refinement(on_circle(0, 10, 20), weight, NOBODY).choose(0)[0] == 2


def test_in_a_sample_a_vector_does_not_stand_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REFINED", 3)
    # Of the sample 0, 60 and 62 degrees, 60 covers the other two best without counting itself;
    # all three are half of the weight.
    found = Refinement(on_circle(0, 60, 62, 0, 0, 0), ones(6), NOBODY)
    row, gain = found.choose(2)
    assert row == 1
    assert gain == pytest.approx(2 * (1 + np.cos(np.deg2rad(60)) + np.cos(np.deg2rad(2))), abs=1e-4)


@given(seed=st.integers(0, 10**6), rows=st.integers(30, 80), count=st.integers(1, 25))
def test_choices_are_distinct_and_no_worse_by_much(seed: int, rows: int, count: int) -> None:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(rows, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = lazy_greedy(vectors, count, ones(rows), NOBODY, per_choice=1, fewest=8)
    assert len(set(found.order.tolist())) == count
    reached = np.maximum((vectors @ vectors[found.order].T).max(axis=1), 0).sum()
    assert found.gain.sum() == pytest.approx(reached, rel=1e-3)  # the larger sample is everything


def test_an_exchange_never_covers_less(monkeypatch: pytest.MonkeyPatch) -> None:
    better = []
    for seed in range(10):
        random = np.random.default_rng(seed)
        vectors = (random.normal(size=16) + random.normal(size=(500, 16))).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        covered = np.maximum(vectors @ vectors.T, 0).sum(axis=1)
        monkeypatch.setattr(module, "ROUNDS", 0)
        plain = lazy_greedy(vectors, 1, ones(500), NOBODY, fewest=5).order[0]
        monkeypatch.setattr(module, "ROUNDS", 3)
        refined = lazy_greedy(vectors, 1, ones(500), NOBODY, fewest=5).order[0]
        better.append(float(covered[refined] - covered[plain]))
    assert min(better) >= 0
    assert max(better) > 1

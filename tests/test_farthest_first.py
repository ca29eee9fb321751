"""Tests of the farthest-first order."""

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftline.selectors.vectors import farthest_first as module
from siftline.selectors.vectors.farthest_first import farthest_first

Floats = npt.NDArray[np.float32]


def on_circle(*degrees: float) -> Floats:
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def random_vectors(seed: int, rows: int, copies: bool = False) -> Floats:
    """Vectors without equal cosines, or with many of them, which are exact: multiples of 1/4."""
    random = np.random.default_rng(seed)
    if copies:
        signs = random.choice([-0.5, 0.5], size=(rows, 4)).astype(np.float32)
        return np.concatenate([signs, np.zeros((rows, 4), dtype=np.float32)], axis=1)
    vectors = random.normal(size=(rows, 5)).astype(np.float32)
    unit: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def plain(vectors: Floats, count: int) -> list[int]:
    """The same as a loop over all vectors."""
    mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    order = [int(np.round(vectors @ mean, 6).argmax())]
    while len(order) < count:
        nearest = np.round(vectors @ vectors[order].T, 6).max(axis=1)
        nearest[order] = np.inf
        order.append(int(nearest.argmin()))
    return order


def test_by_hand() -> None:
    # The mean of 0, 10, 20, 90 points between 10 and 90: at 27.6 degrees, nearest to 20. Then 90
    # is the farthest (70 away); of 0 (20 away from 20) and 10 (10 away) it is 0.
    found = farthest_first(on_circle(0, 10, 20, 90), 3)
    assert found.order.tolist() == [2, 3, 0]
    cosine = [np.cos(np.deg2rad(20)), np.cos(np.deg2rad(10)), np.nan, np.cos(np.deg2rad(70))]
    assert found.similarity == pytest.approx(cosine, abs=1e-6, nan_ok=True)


def test_among_equals_the_first_is_taken() -> None:
    basis = np.eye(6, dtype=np.float32)
    assert farthest_first(basis, 6, active=2).order.tolist() == list(range(6))


def test_copies_come_last() -> None:
    vectors = on_circle(0, 0, 0, 90, 180)
    assert sorted(farthest_first(vectors, 3).order.tolist()) == [0, 3, 4]
    found = farthest_first(vectors, 5)
    assert sorted(found.order.tolist()) == list(range(5))
    assert found.order.tolist()[3:] == sorted(found.order.tolist()[3:])  # the first of equals first
    assert found.similarity[found.order[3:]] == pytest.approx([1, 1])


def test_copies_are_taken_without_reading_all_vectors_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[int] = []
    plainly = module._compare

    def counting(vectors: Floats, nearest: Floats, centres: list[int]) -> None:
        compared.append(len(centres))
        plainly(vectors, nearest, centres)

    monkeypatch.setattr(module, "_compare", counting)
    vectors = np.repeat(np.eye(4, dtype=np.float32), 50, axis=0)
    assert sorted(farthest_first(vectors, 120, active=10).order.tolist()[4:])[:2] == [1, 2]
    assert len(compared) <= 7


@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 80),
    active=st.integers(1, 90),
    copies=st.booleans(),
    data=st.data(),
)
def test_the_active_ones_change_nothing(
    seed: int, rows: int, active: int, copies: bool, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, rows))
    vectors = random_vectors(seed, rows, copies)
    found = farthest_first(vectors, count, active)
    assert found.order.tolist() == plain(vectors, count)
    others = np.setdiff1d(np.arange(rows), found.order)
    expected = (vectors[others] @ vectors[found.order].T).max(axis=1)
    assert found.similarity[others] == pytest.approx(expected, abs=2e-6)
    gains = found.similarity[found.order][1:]
    assert (np.diff(gains) >= -2e-6).all()


@pytest.mark.parametrize("seed", range(5))
def test_the_largest_distance_is_at_most_twice_the_best_possible(seed: int) -> None:
    vectors = random_vectors(seed, 12)
    distance = np.sqrt(np.maximum(0, 2 - 2 * vectors @ vectors.T))
    order = farthest_first(vectors, 3).order
    best = min(
        float(distance[:, list(centres)].min(axis=1).max())
        for centres in itertools.combinations(range(12), 3)
    )
    assert distance[:, order].min(axis=1).max() <= 2 * best + 1e-6

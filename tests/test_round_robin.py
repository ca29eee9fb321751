"""Tests of queries that take candidates in turns."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftline.selectors.vectors import round_robin as module
from siftline.selectors.vectors.round_robin import round_robin, turns_by_score

Floats = npt.NDArray[np.float32]


def on_circle(*degrees: float) -> Floats:
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def random_vectors(random: np.random.Generator, rows: int, copies: bool) -> Floats:
    """Vectors without equal cosines, or with many of them, which are exact: multiples of 1/4."""
    if copies:
        return random.choice([-0.5, 0.5], size=(rows, 4)).astype(np.float32)
    vectors = random.normal(size=(rows, 4)).astype(np.float32)
    unit: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def plain(
    scores: npt.NDArray[np.float64], unit: npt.NDArray[np.int64], count: int
) -> list[tuple[int, int]]:
    """The same with all scores at hand."""
    taken: list[tuple[int, int]] = []
    gone: set[int] = set()
    while len(taken) < count:
        query = len(taken) % len(scores)
        free = [row for row in range(len(unit)) if int(unit[row]) not in gone]
        best = max(free, key=lambda row: (scores[query][row], -row))
        gone.add(int(unit[best]))
        taken.append((best, query))
    return taken


def test_by_hand() -> None:
    # Queries at 0 and 10 degrees; both are nearest to 5, and the second to ask gets the next one.
    found = round_robin(on_circle(0, 10), on_circle(5, 30, 12, -40), np.arange(4), 4)
    assert found.order.tolist() == [0, 2, 1, 3]
    assert found.taker.tolist() == [0, 1, 0, 1]
    assert found.similarity == pytest.approx(np.cos(np.deg2rad([5, 2, 30, 50])), abs=1e-6)


def test_a_taken_row_takes_its_unit_along() -> None:
    # Rows 0 and 1 are one unit: when the first query has row 0, the second cannot have row 1.
    found = round_robin(on_circle(0, 10), on_circle(0, 10, 80), np.array([0, 0, 1]), 2)
    assert found.order.tolist() == [0, 2]


def test_among_equals_the_first_is_taken() -> None:
    found = round_robin(on_circle(0), on_circle(20, -20, 20, 5), np.arange(4), 4)
    assert found.order.tolist() == [3, 0, 1, 2]


def test_nothing_to_take() -> None:
    assert not len(round_robin(on_circle(0), np.empty((0, 2), np.float32), np.arange(0), 0).order)
    assert not len(turns_by_score(np.empty((2, 0), np.float32), np.arange(0), 0).order)


def test_turns_by_score_by_hand() -> None:
    scores = np.array([[0.9, 0.8, 0.1, 0.8], [0.9, 0.1, 0.2, 0.3]], dtype=np.float32)
    found = turns_by_score(scores, np.arange(4), 4)
    assert found.order.tolist() == [0, 3, 1, 2]
    assert found.taker.tolist() == [0, 1, 0, 1]
    assert found.similarity == pytest.approx([0.9, 0.3, 0.8, 0.2])


@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 40),
    queries=st.integers(1, 6),
    copies=st.booleans(),
    grouped=st.booleans(),
    data=st.data(),
)
def test_short_lists_change_nothing(
    seed: int, rows: int, queries: int, copies: bool, grouped: bool, data: st.DataObject
) -> None:
    random = np.random.default_rng(seed)
    candidates = random_vectors(random, rows, copies)
    asking = random_vectors(random, queries, copies)
    unit = random.integers(0, 8, rows) if grouped else np.arange(rows)
    count = data.draw(st.integers(0, len(np.unique(unit))))
    scores = np.round(asking @ candidates.T, 6).astype(np.float64)
    expected = plain(scores, unit, count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FIRST", 2)
        patch.setattr(module, "MOST_HELD", 12)
        patch.setattr(module, "QUERY_ROWS", 2)
        patch.setattr(module, "BLOCK_ROWS", 5)
        found = round_robin(asking, candidates, unit, count)
    assert list(zip(found.order.tolist(), found.taker.tolist(), strict=True)) == expected
    known = turns_by_score(scores.astype(np.float32), unit, count)
    assert known.order.tolist() == [row for row, _ in expected]

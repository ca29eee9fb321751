"""Tests of lazy greedy for facility location."""

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftline.selectors.vectors import lazy_greedy as module
from siftline.selectors.vectors.lazy_greedy import lazy_greedy, sample_size

Floats = npt.NDArray[np.float32]
NOBODY = np.empty(0, dtype=np.int64)


def random_vectors(seed: int, rows: int, dimensions: int = 6) -> Floats:
    vectors = np.random.default_rng(seed).normal(size=(rows, dimensions)).astype(np.float32)
    unit: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def clustered(rows: int, clusters: int) -> Floats:
    """Vectors around centres, many around the first ones and few around the last."""
    random = np.random.default_rng(0)
    centres = random_vectors(1, clusters, 32)
    share = 1 / np.arange(1, clusters + 1)
    label = random.choice(clusters, rows, p=share / share.sum())
    vectors = centres[label] + 0.15 * random.normal(size=(rows, 32))
    unit: Floats = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def objective(vectors: Floats, weight: Floats, chosen: npt.NDArray[np.int64] | list[int]) -> float:
    cosine = vectors.astype(np.float64) @ vectors[chosen].T.astype(np.float64)
    return float((weight * cosine.max(axis=1, initial=0)).sum())


def plain(vectors: Floats, weight: Floats, count: int, chosen: list[int]) -> float:
    """Return what plain greedy reaches, trying every candidate at every choice."""
    taken = list(chosen)
    for _ in range(count):
        free = [row for row in range(len(vectors)) if row not in taken]
        taken.append(max(free, key=lambda row: objective(vectors, weight, [*taken, row])))
    return objective(vectors, weight, taken)


def test_by_hand() -> None:
    # At 0, 0, 0 and 90 degrees and 60: cosines of 60 to them are 0.5, 0.5, 0.5, 0.866.
    angles = np.deg2rad([0, 0, 0, 90, 60])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    found = lazy_greedy(vectors, 3, np.ones(5, dtype=np.float32), NOBODY)
    # First: 0 covers 3 and half of 60, 3.5 in all; 60 covers 1.5 + 0.866 + 1 = 3.366.
    # Then 90 adds 1 and 0.366 for 60; 60 adds 0.5 and 0.866, as much: the first of them is taken.
    # Then 60 adds the rest of itself.
    assert found.order.tolist() == [0, 3, 4]
    assert found.gain == pytest.approx([3.5, 1.366025, 0.133975], abs=1e-5)


def test_opposites_count_as_nothing() -> None:
    vectors = np.array([[1, 0], [-1, 0]], dtype=np.float32)
    assert lazy_greedy(vectors, 1, np.ones(2, dtype=np.float32), NOBODY).gain == pytest.approx([1])


def test_a_weight_counts_a_vector_several_times() -> None:
    vectors = np.eye(3, dtype=np.float32)
    found = lazy_greedy(vectors, 3, np.array([1, 5, 2], dtype=np.float32), NOBODY)
    assert found.order.tolist() == [1, 2, 0]
    assert found.gain == pytest.approx([5, 2, 1])


def test_a_sampled_vector_does_not_count_for_itself() -> None:
    # The sample is the first two of four: 0 degrees and 90. The others lie at 10 and 80 degrees, so
    # each of them covers one more of the sample in part than what is in it, which has itself.
    angles = np.deg2rad([0, 90, 10, 80])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    coverage = module.Coverage(vectors, np.ones(2, dtype=np.float32))
    cos10, cos80 = np.cos(np.deg2rad([10, 80]))
    both = cos10 + cos80
    assert coverage.gains(np.arange(4)) == pytest.approx([0, 0, both, both], abs=1e-5)
    whole = module.Coverage(vectors, np.ones(4, dtype=np.float32))
    assert whole.gains(np.arange(1)) == pytest.approx([1 + cos10 + cos80], abs=1e-5)


def test_what_is_chosen_already_is_covered() -> None:
    vectors = np.repeat(np.eye(3, dtype=np.float32), [3, 2, 1], axis=0)
    found = lazy_greedy(vectors, 2, np.ones(6, dtype=np.float32), np.array([0]))
    assert found.order.tolist() == [3, 5]
    assert found.gain == pytest.approx([2, 1])


@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 30),
    width=st.integers(1, 4),
    data=st.data(),
)
def test_as_good_as_plain_greedy(seed: int, rows: int, width: int, data: st.DataObject) -> None:
    held = data.draw(st.integers(0, rows - 1))
    count = data.draw(st.integers(0, rows - held))
    vectors = random_vectors(seed, rows)
    weight = np.random.default_rng(seed).integers(1, 4, rows).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "NARROW", width)
        patch.setattr(module, "WIDE", 3)
        patch.setattr(module, "BLOCK_CELLS", 40)
        found = lazy_greedy(vectors, count, weight, np.arange(held))
    chosen = [*range(held), *found.order.tolist()]
    assert len(set(chosen)) == held + count
    reached = objective(vectors, weight, chosen)
    # Choices whose gains are equal on the grid may be made in another order.
    assert reached == pytest.approx(plain(vectors, weight, count, list(range(held))), abs=1e-3)
    before = objective(vectors, weight, list(range(held)))
    assert found.gain.sum() == pytest.approx(reached - before, abs=1e-3)
    assert (np.diff(found.gain) <= 1e-5).all()


@pytest.mark.parametrize("seed", range(3))
def test_near_the_best_possible_choice(seed: int) -> None:
    vectors, weight = random_vectors(seed, 12), np.ones(12, dtype=np.float32)
    best = max(
        objective(vectors, weight, list(each)) for each in itertools.combinations(range(12), 3)
    )
    chosen = lazy_greedy(vectors, 3, weight, NOBODY).order
    assert objective(vectors, weight, chosen) >= (1 - 1 / np.e) * best


@pytest.mark.parametrize("count", [5, 60, 150])
def test_a_sample_costs_less_than_two_percent(count: int) -> None:
    vectors, weight = clustered(3000, 150), np.ones(3000, dtype=np.float32)
    exact = lazy_greedy(vectors, count, weight, NOBODY)
    assert exact.sampled == 3000
    sampled = lazy_greedy(vectors, count, weight, NOBODY, fewest=400)
    assert sampled.sampled < 3000
    assert sampled.evaluated > 0
    reached = objective(vectors, weight, sampled.order)
    assert reached >= 0.98 * objective(vectors, weight, exact.order)
    assert sampled.gain.sum() == pytest.approx(reached, rel=0.1)  # it is an estimate


def test_a_larger_number_of_choices_begins_with_the_smaller_one() -> None:
    vectors, weight = clustered(1500, 50), np.ones(1500, dtype=np.float32)
    found = [
        lazy_greedy(vectors, count, weight, NOBODY, fewest=100) for count in (3, 10, 11, 40, 90)
    ]
    for small, large in itertools.pairwise(found):
        assert large.order[: len(small.order)].tolist() == small.order.tolist()
        assert large.gain[: len(small.order)] == pytest.approx(small.gain)


def test_the_sample_grows_with_the_choices() -> None:
    sizes = [sample_size(n, 1000, per_choice=10, fewest=40) for n in (0, 3, 4, 7, 8, 15, 16, 99)]
    assert sizes == [40, 40, 80, 80, 160, 160, 320, 1000]
    assert sample_size(0, 30, per_choice=10, fewest=40) == 30

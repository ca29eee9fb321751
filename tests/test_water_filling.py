"""Tests of even quotas: examples worked by hand, and what holds of any clusters."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftline.selectors.quotas.water_filling import Filled, fill_strata, water_fill


def labels_of(sizes: Sequence[int]) -> npt.NDArray[np.int64]:
    return np.repeat(np.arange(len(sizes)), sizes)


def fill(sizes: Sequence[int], budget: int, tiny: int = 0) -> Filled:
    labels = labels_of(sizes)
    return water_fill(labels, np.ones_like(labels), budget, tiny)


def counts(sizes: Sequence[int], budget: int, tiny: int = 0) -> list[int]:
    taken = np.flatnonzero(fill(sizes, budget, tiny).chosen)
    found: list[int] = np.bincount(labels_of(sizes)[taken], minlength=len(sizes)).tolist()
    return found


@pytest.mark.parametrize(
    ("sizes", "budget", "expected"),
    [
        ([10, 10, 10], 2, [0, 1, 1]),  # floor(2/3), floor(2/2), floor(1/1)
        ([10, 10, 10], 9, [3, 3, 3]),
        ([10, 10, 10], 11, [3, 4, 4]),  # floor(11/3), floor(8/2), the rest
        ([2, 13, 5], 12, [2, 5, 5]),  # 2 of 4 asked for; then 10 over two
        ([13, 1, 2], 9, [6, 1, 2]),
        ([3], 2, [2]),
        ([4, 4], 100, [4, 4]),
        ([4, 4], 0, [0, 0]),
    ],
)
def test_worked_examples(sizes: list[int], budget: int, expected: list[int]) -> None:
    assert counts(sizes, budget) == expected


def test_quotas_are_what_each_cluster_was_asked_for() -> None:
    assert fill([2, 13, 5], 12).quota.tolist() == [4, 5, 5]


def test_the_first_of_a_cluster_are_taken() -> None:
    labels = np.array([1, 0, 1, 0, 1, 0])
    found = water_fill(labels, np.ones_like(labels), 4)
    assert found.chosen.tolist() == [True, True, True, True, False, False]


def test_tiny_clusters_get_what_is_left_over() -> None:
    assert counts([2, 1, 10], 6, tiny=2) == [0, 0, 6]
    assert counts([2, 1, 10], 11, tiny=2) == [1, 0, 10]
    assert counts([2, 1, 10], 99, tiny=2) == [2, 1, 10]
    assert counts([2, 1], 2, tiny=2) == [2, 0]
    assert counts([2, 1, 10], 6, tiny=0) == [2, 1, 3]


def test_nothing_to_choose_from() -> None:
    nothing = np.empty(0, dtype=np.int64)
    assert water_fill(nothing, nothing, 3).chosen.tolist() == []
    assert fill_strata(nothing, nothing, nothing, 3).chosen.tolist() == []


def test_costs_above_one_exceed_a_quota_by_less_than_one_unit() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1])
    cost = np.array([3, 3, 3, 5, 5, 5])
    # 12 over two: 3 + 3 from the first, with 9 tokens in all; 6 are left, so 5 + 5.
    assert water_fill(labels, cost, 12).chosen.tolist() == [True, True, False, True, True, False]


def test_strata_share_like_clusters() -> None:
    strata = np.array([1] * 20 + [0] * 4)
    labels = np.array([2] * 16 + [1] * 4 + [0] * 4)
    found = fill_strata(strata, labels, np.ones_like(labels), 10)
    # The small stratum gives 4 of 5; 6 are left for the other, whose clusters give 3 each.
    assert np.bincount(labels, found.chosen).tolist() == [4, 3, 3]
    assert found.quota.tolist() == [5, 3, 3]


SIZES = st.lists(st.integers(1, 12), min_size=1, max_size=8)


@given(SIZES, st.integers(0, 120))
def test_the_budget_is_spent_and_spread_evenly(sizes: list[int], budget: int) -> None:
    found = counts(sizes, budget)
    assert sum(found) == min(budget, sum(sizes))
    some_left = [taken for taken, size in zip(found, sizes, strict=True) if taken < size]
    if some_left:
        assert max(some_left) - min(some_left) <= 1
        assert max(found) <= max(some_left) + 1


@given(SIZES, st.integers(0, 400), st.integers(0, 2**32 - 1), st.sampled_from([0, 2]))
def test_a_budget_of_costs_is_met_within_one_unit(
    sizes: list[int], budget: int, seed: int, tiny: int
) -> None:
    random = np.random.default_rng(seed)
    labels = labels_of(sizes)
    cost = random.integers(1, 30, len(labels))
    strata = np.unique(random.integers(3, size=len(sizes)), return_inverse=True)[1][labels]
    for found in (
        water_fill(labels, cost, budget, tiny),
        fill_strata(strata, labels, cost, budget, tiny),
    ):
        spent = int(cost[found.chosen].sum())
        assert spent >= min(budget, int(cost.sum()))
        if found.chosen.any():
            assert spent < budget + int(cost[found.chosen].max())


@given(SIZES, st.integers(0, 120), st.integers(0, 2**32 - 1))
def test_names_of_clusters_do_not_matter_unless_sizes_are_equal(
    sizes: list[int], budget: int, seed: int
) -> None:
    sizes = sorted(set(sizes))
    order = np.random.default_rng(seed).permutation(len(sizes))
    renamed = counts([sizes[place] for place in order], budget)
    found = counts(sizes, budget)
    assert renamed == [found[place] for place in order]

"""Tests of places and ranks."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from siftline.selectors.ranking import places, rank_in, rank_within, ranks_by_row


def test_places_undo_an_order() -> None:
    assert places(np.array([2, 0, 1])).tolist() == [1, 2, 0]
    assert places(np.arange(0)).tolist() == []


def test_ranks_of_some() -> None:
    rank = rank_in(np.array([3, 1]), 5)
    assert rank.tolist() == [0, 2, 0, 1, 0]
    assert ranks_by_row(rank) == {1: 2, 3: 1}


def test_ranks_within_groups_by_hand() -> None:
    found = rank_within(np.array([1, 0, 1, 1]), np.array([9, 5, 2, 4]))
    assert found.tolist() == [3, 1, 1, 2]
    assert rank_within(np.arange(0), np.arange(0)).tolist() == []


@given(st.lists(st.integers(0, 5), max_size=30), st.randoms(use_true_random=False))
def test_each_rank_counts_those_of_the_group_that_come_before(
    groups: list[int], random: object
) -> None:
    place = list(range(len(groups)))
    random.shuffle(place)  # type: ignore[attr-defined]
    found = rank_within(np.array(groups, dtype=int), np.array(place, dtype=int))
    for row, group in enumerate(groups):
        before = [p for p, other in zip(place, groups, strict=True) if other == group]
        assert found[row] == sum(p <= place[row] for p in before)

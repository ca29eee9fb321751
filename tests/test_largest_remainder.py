"""Tests of rounding by largest remainder."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from siftline.selectors.quotas.filling import fill
from siftline.selectors.quotas.largest_remainder import largest_remainder


def array(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def test_largest_remainders_by_hand() -> None:
    room = array(9, 9, 9)
    assert largest_remainder(array(3.6, 1.5, 0.9), room, 6).tolist() == [4, 1, 1]
    assert largest_remainder(array(1.5, 1.5, 1.0), room, 4).tolist() == [
        2,
        1,
        1,
    ]  # a tie: the first
    assert largest_remainder(array(1.6, 1.4), array(1, 9), 3).tolist() == [
        1,
        2,
    ]  # no room for the first


def test_remainders_that_differ_by_rounding_errors_are_a_tie() -> None:
    room = array(9, 9)
    assert largest_remainder(array(1.5, 1.5 + 1e-9), room, 3).tolist() == [2, 1]
    assert largest_remainder(array(1.5, 1.5 + 1e-4), room, 3).tolist() == [1, 2]
    assert largest_remainder(array(2 - 1e-9, 1 + 1e-9), room, 3).tolist() == [2, 1]


def test_no_groups() -> None:
    assert largest_remainder(array(), array(), 0).tolist() == []


@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 1e-9)),
        min_size=1,
        max_size=30,
    ),
    st.floats(0, 1),
)
def test_it_sums_exactly_and_never_exceeds_the_room(
    groups: list[tuple[int, float, float]], part: float
) -> None:
    room = np.array([size for size, _, _ in groups])
    weight = np.array([weight for _, weight, _ in groups])
    total = int(part * room[weight > 0].sum())
    level = fill(weight, np.zeros(len(room)), room.astype(float), total)
    noise = np.array([each for _, _, each in groups])
    found = largest_remainder(np.minimum(level + noise, room), room, total)
    assert found.sum() == total
    assert ((found >= 0) & (found <= room)).all()
    assert (np.abs(found - level) < 1 + 1e-5).all()


@given(st.integers(1, 20), st.integers(0, 400))
def test_equal_levels_are_rounded_up_in_the_order_of_the_groups(groups: int, total: int) -> None:
    level = np.full(groups, total / groups)
    found = largest_remainder(level, np.full(groups, total), total)
    assert found.tolist() == sorted(found.tolist(), reverse=True)
    assert found.sum() == total
    assert found.max() - found.min() <= 1

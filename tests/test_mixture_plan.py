"""Tests of the arithmetic of mixtures: by hand, and as properties of any groups."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftline.selectors.mixture.plan import Groups, quotas, rates, shares
from siftline.selectors.mixture.spending import take

sizes = st.lists(st.integers(0, 300), min_size=1, max_size=8)
weights = st.lists(st.sampled_from([0.0, 1e-9, 0.1, 1.0, 7.5, 1e6]), min_size=8, max_size=8)


def array(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def one_level(weight: np.ndarray, size: np.ndarray) -> Groups:
    return Groups(np.zeros(len(size), dtype=np.int64), weight, array(1.0), size)


def test_the_cap_of_opt_iml_by_hand() -> None:
    # Caps of 4096 in the names of its checkpoints: 10,000 and 5,000 rows count the same.
    assert rates([10_000, 5_000, 1_000], cap=4096) == pytest.approx(
        array(4096, 4096, 1000) / (4096 + 4096 + 1000)
    )


@pytest.mark.parametrize(
    ("cap", "temperature", "expected"),
    [
        (0, 1.0, [0.9, 0.1, 0.0]),
        (10_000, 1.0, [0.9, 0.1, 0.0]),  # above all sizes
        (100, 1.0, [0.5, 0.5, 0.0]),
        (0, 2.0, [0.75, 0.25, 0.0]),  # roots of 900 and 100: 30 and 10
        (0, float("inf"), [0.5, 0.5, 0.0]),  # an empty group stays out
        (0, 1e-9, [1.0, 0.0, 0.0]),
    ],
)
def test_caps_and_temperatures_by_hand(cap: int, temperature: float, expected: list[float]) -> None:
    assert rates([900, 100, 0], cap, temperature) == pytest.approx(expected)


def test_a_group_with_rows_never_has_the_rate_zero() -> None:
    assert rates([900, 1], temperature=1e-9)[1] > 0


def test_no_rows_at_all_have_no_rates() -> None:
    assert rates([0, 0]).tolist() == [0, 0]
    assert rates([]).tolist() == []


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ([None, None, None], [0.6, 0.3, 0.1]),
        ([None, None, 0.5], [1 / 3, 1 / 6, 0.5]),  # the half that is left, as 6 to 3
        ([3.0, 1.0, 0.0], [0.75, 0.25, 0.0]),  # all stated: the scale does not matter
        ([0.2, 0.2, 0.1], [0.4, 0.4, 0.2]),
        ([0.0, None, None], [0.0, 0.75, 0.25]),
        ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
    ],
)
def test_stated_weights_by_hand(stated: list[float | None], expected: list[float]) -> None:
    assert shares(array(0.6, 0.3, 0.1), stated) == pytest.approx(expected)


def test_weights_that_leave_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        shares(array(0.6, 0.3, 0.1), [0.5, 0.5, None])
    with pytest.raises(ValueError, match="sum to 4"):
        shares(array(0.6, 0.3, 0.1), [3.0, 1.0, None])
    # An empty group without a weight needs nothing.
    assert shares(array(0.6, 0.4, 0.0), [3.0, 1.0, None]).tolist() == [0.75, 0.25, 0]


@given(sizes, weights, st.integers(0, 2000), st.floats(0, 0.3), st.integers(1, 4), st.booleans())
def test_quotas_are_the_budget_or_all_there_is(
    size: list[int], weight: list[float], total: int, floor: float, epochs: int, whole: bool
) -> None:
    share = shares(np.zeros(len(size)), weight[: len(size)])
    groups = one_level(share, np.array(size))
    found = quotas(groups, total, floor=floor, epochs=epochs, whole=whole)
    room = groups.room(epochs)
    assert found.given.sum() == pytest.approx(min(total, room.sum()), abs=1e-4)
    assert (found.given <= room + 1e-6).all()
    assert (found.given >= 0).all()
    if whole:
        assert found.given.sum() == min(total, room.sum())
        assert (found.given == np.floor(found.given)).all()
        assert found.asked.sum() == (total if share.any() else 0)


def test_what_is_short_goes_to_the_others_in_proportion() -> None:
    groups = one_level(array(0.5, 0.25, 0.25), np.array([10, 100, 100]))
    found = quotas(groups, 100, floor=0, epochs=1, whole=True)
    assert found.asked.tolist() == [50, 25, 25]
    assert found.given.tolist() == [10, 45, 45]
    twice = quotas(groups, 100, floor=0, epochs=2, whole=True)
    assert twice.given.tolist() == [20, 40, 40]


def test_floors_by_hand() -> None:
    groups = one_level(array(0.98, 0.02, 0.0), np.array([1000, 50, 50]))
    found = quotas(groups, 200, floor=0.05, epochs=1, whole=True)
    assert found.given.tolist() == [190, 10, 0]  # 2 % would be 4
    tiny = quotas(
        groups._replace(size=np.array([1000, 3, 0])), 200, floor=0.05, epochs=1, whole=True
    )
    assert tiny.asked.tolist() == [190, 10, 0]
    assert tiny.given.tolist() == [197, 3, 0]


def test_two_levels_by_hand() -> None:
    # Two parents of 3 to 1; the first has tasks of 2 to 1, the second lacks what it is asked.
    groups = Groups(
        parent=np.array([0, 0, 1]),
        weight=array(2 / 3, 1 / 3, 1),
        parent_weight=array(0.75, 0.25),
        size=np.array([40, 100, 10]),
    )
    found = quotas(groups, 80, floor=0, epochs=1, whole=True)
    assert found.asked.tolist() == [40, 20, 20]
    # The first parent's 70: 46.7 to 23.3, but its first task has 40.
    assert found.given.tolist() == [40, 30, 10]


@given(sizes, st.integers(1, 3))
def test_within_the_weights_nobody_is_short(size: list[int], epochs: int) -> None:
    groups = one_level(shares(rates(size, cap=50), [None] * len(size)), np.array(size))
    total = groups.without_empty().within_weights(epochs)
    found = quotas(groups, total, floor=0, epochs=epochs, whole=True)
    assert found.asked.tolist() == found.given.tolist()
    # One epoch under a cap that some group stays below: the cap of each, or all it has.
    if epochs == 1 and any(0 < each <= 50 for each in size):
        assert found.given.tolist() == np.minimum(size, 50).tolist()


def test_a_group_without_rows_takes_no_part_in_what_the_weights_allow() -> None:
    groups = one_level(array(0.5, 0.25, 0.25), np.array([0, 10, 30])).without_empty()
    assert groups.share.tolist() == [0, 0.5, 0.5]
    assert groups.within_weights(1) == 20


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40)), max_size=40),
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
    st.integers(1, 3),
    st.integers(0, 99),
)
def test_tokens_never_exceed_the_quotas_and_miss_them_by_less_than_a_row(
    rows: list[tuple[int, int]], parts: list[float], epochs: int, seed: int
) -> None:
    labels = np.array([group for group, _ in rows], dtype=np.int64)
    cost = np.array([tokens for _, tokens in rows], dtype=np.int64)
    size = np.bincount(labels, cost, minlength=4)
    quota = array(*parts) * float(epochs) * size.astype(np.float64)
    random = np.random.default_rng(seed)
    coin, place = random.permutation(len(rows)), random.permutation(len(rows))
    found = take(labels, cost, quota, epochs, coin, place)
    spent = float((found.times * cost).sum())
    assert spent <= quota.sum() + 1e-3
    assert spent > quota.sum() - max([*cost.tolist(), 1])
    assert found.times.max(initial=0) <= epochs
    # How often rows of a group that gives all repeat is settled without the places.
    other = take(labels, cost, quota, epochs, coin, coin)
    assert found.times[found.whole[labels]].tolist() == other.times[found.whole[labels]].tolist()
    assert (found.times[found.whole[labels]] >= 1).all()


def test_taking_by_hand() -> None:
    labels = np.array([0, 0, 0, 1, 1])
    cost = np.array([5, 4, 3, 2, 2])
    coin, place = np.arange(5), np.array([2, 1, 0, 4, 3])
    found = take(labels, cost, array(8, 2), 1, coin, place)
    # The first group gives 3 + 4, one token is left; the second has 3 to spend and gives 2.
    assert found.times.tolist() == [0, 1, 1, 0, 1]
    twice = take(labels, cost, array(17, 4), 2, coin, place)
    assert twice.times.tolist() == [2, 1, 1, 1, 1]  # one pass is 12; by coin 5 more
    assert twice.whole.tolist() == [True, True]


def test_a_floor_is_at_least_one_unit() -> None:
    groups = Groups(np.zeros(2, dtype=int), array(0.999, 0.001), array(1), np.array([99, 5]))
    assert quotas(groups, 20, floor=0.001, epochs=1, whole=True).given.tolist() == [19, 1]
    assert quotas(groups, 20, floor=0.0, epochs=1, whole=True).given.tolist() == [20, 0]

"""Tests of spreading a budget over groups."""

from hypothesis import given
from hypothesis import strategies as st

from siftline.selectors.quotas.allocation import allocate

sizes_lists = st.lists(st.integers(0, 60), min_size=1, max_size=12)
taus = st.sampled_from([0.0, 0.3, 0.5, 1.0])


def test_half_power_by_hand() -> None:
    # Floors take 1 + 1 + 1; the weights of the other 9 are 8, 4 and 2, so 5.14, 2.57, 1.29.
    assert allocate([64, 16, 4], 12, tau=0.5, floor=1).tolist() == [6, 4, 2]


def test_what_a_full_group_cannot_take_goes_to_the_others() -> None:
    assert allocate([100, 100, 2], 42, tau=0.0, floor=0).tolist() == [20, 20, 2]


def test_proportional_rounds_by_largest_remainder() -> None:
    # 7 of 10 in proportion 5, 3, 2 is 3.5, 2.1, 1.4.
    assert allocate([5, 3, 2], 7, tau=1.0, floor=0).tolist() == [4, 2, 1]


def test_fewer_than_groups_gives_one_each_to_the_largest() -> None:
    assert allocate([3, 9, 5, 9], 3, tau=0.5, floor=1).tolist() == [0, 1, 1, 1]


def test_a_floor_that_does_not_fit_is_lowered() -> None:
    assert allocate([10, 10, 10], 7, tau=1.0, floor=5).tolist() == [3, 2, 2]


def test_counts_decide_the_shares_and_sizes_the_room() -> None:
    # Floors of 1, the other 7 go 3 : 1 by the roots of 9 and 1, so 5.25 and 1.75.
    assert allocate([9, 100], 9, tau=0.5, floor=1, counts=[9, 1]).tolist() == [6, 3]
    assert allocate([2, 100], 9, tau=0.5, floor=1, counts=[9, 1]).tolist() == [2, 7]
    assert allocate([9, 100], 1, tau=0.5, floor=1, counts=[9, 1]).tolist() == [1, 0]


def test_no_groups() -> None:
    assert allocate([], 5, tau=0.5, floor=1).tolist() == []


@given(sizes_lists, st.integers(0, 400), taus, st.integers(0, 5))
def test_spends_exactly_the_budget_within_the_sizes(
    sizes: list[int], budget: int, tau: float, floor: int
) -> None:
    given_ = allocate(sizes, budget, tau, floor)
    assert given_.sum() == min(budget, sum(sizes))
    assert all(0 <= got <= size for got, size in zip(given_, sizes, strict=True))


@given(sizes_lists, st.integers(0, 400), taus, st.integers(0, 5))
def test_the_floor_holds_where_the_budget_allows(
    sizes: list[int], budget: int, tau: float, floor: int
) -> None:
    floors = [min(size, floor) for size in sizes]
    if sum(floors) <= budget and sum(size > 0 for size in sizes) <= budget:
        given_ = allocate(sizes, budget, tau, floor)
        assert all(got >= least for got, least in zip(given_, floors, strict=True))


@given(sizes_lists, st.integers(0, 400), taus)
def test_a_larger_group_never_gets_less_by_more_than_rounding(
    sizes: list[int], budget: int, tau: float
) -> None:
    given_ = allocate(sizes, budget, tau, 1)
    for size, got in zip(sizes, given_, strict=True):
        for other, other_got in zip(sizes, given_, strict=True):
            assert size < other or got >= other_got - 1


@given(st.lists(st.integers(1, 60), min_size=1, max_size=10, unique=True))
def test_order_matters_only_for_equal_remainders(sizes: list[int]) -> None:
    budget = sum(sizes) // 2
    forward = dict(zip(sizes, allocate(sizes, budget, 1.0, 0).tolist(), strict=True))
    reverse = sizes[::-1]
    backward = dict(zip(reverse, allocate(reverse, budget, 1.0, 0).tolist(), strict=True))
    assert all(abs(forward[size] - backward[size]) <= 1 for size in sizes)

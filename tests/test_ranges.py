"""Ranges of a pool."""

from hypothesis import given
from hypothesis import strategies as st

from siftline.models.engine.ranges import Ranges


def test_the_first_range_that_is_large_enough_is_taken() -> None:
    pool = Ranges(10)
    assert [pool.take(size) for size in (3, 4, 3, 1)] == [0, 3, 7, None]
    pool.give(3, 4)
    assert [pool.take(size) for size in (5, 2, 2)] == [None, 3, 5]


@given(st.lists(st.integers(1, 6), min_size=1, max_size=30))
def test_ranges_never_overlap_and_come_together_again(sizes: list[int]) -> None:
    pool = Ranges(40)
    taken: dict[int, int] = {}
    for number, size in enumerate(sizes):
        start = pool.take(size)
        if start is not None:
            places = {
                place for first, room in taken.items() for place in range(first, first + room)
            }
            assert not places & set(range(start, start + size))
            assert start + size <= 40
            taken[start] = size
        if number % 3 == 2 and taken:
            start = sorted(taken)[number % len(taken)]
            pool.give(start, taken.pop(start))
    for start, size in taken.items():
        pool.give(start, size)
    assert pool.take(40) == 0

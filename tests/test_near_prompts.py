"""Tests of which prompts are too near to an earlier one."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftline.selectors.vectors import novelty
from siftline.selectors.vectors.near_prompts import near_prompts

# Fifteen degrees apart: nearer ones are too near.
LIMIT = float(np.cos(np.deg2rad(15)))


def circle(degrees: npt.ArrayLike) -> npt.NDArray[np.float32]:
    radians = np.deg2rad(np.asarray(degrees, dtype=np.float64))
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def near(degrees: list[int], groups: list[int], order: list[int], limit: float) -> list[bool]:
    found = near_prompts(circle(degrees), np.array(groups), np.array(order, dtype=int), limit)
    return [bool(each) for each in found]


def test_what_is_passed_over_rules_out_nothing() -> None:
    # 10 is too near to 0; 20 is too near to 10 only, which is not kept.
    assert near([0, 10, 20, 90], [0] * 4, [0, 1, 2, 3], LIMIT) == [False, True, False, False]


def test_the_first_in_order_stays() -> None:
    assert near([0, 10, 20, 90], [0] * 4, [1, 3, 0, 2], LIMIT) == [True, False, True, False]


def test_groups_do_not_see_one_another() -> None:
    assert near([0, 10, 20, 5], [0, 1, 0, 1], [0, 1, 2, 3], LIMIT) == [False, False, False, True]


def test_equal_prompts_at_a_limit_of_one_are_both_kept() -> None:
    assert near([0, 0], [0, 0], [0, 1], 1.0) == [False, False]
    assert near([0, 0], [0, 0], [0, 1], 0.999) == [False, True]


def test_no_prompts() -> None:
    found = near_prompts(np.empty((0, 3), np.float32), np.empty(0, int), np.empty(0, int), 0.9)
    assert found.tolist() == []


@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(0, 2)), min_size=1, max_size=40),
    st.randoms(use_true_random=False),
    st.integers(1, 7),
)
def test_as_by_going_through_all_one_by_one(
    prompts: list[tuple[int, int]], random: object, block: int
) -> None:
    degrees, groups = [each[0] for each in prompts], [each[1] for each in prompts]
    order = list(range(len(prompts)))
    random.shuffle(order)  # type: ignore[attr-defined]
    expected = [False] * len(prompts)
    for place, mine in enumerate(order):
        for other in order[:place]:
            close = np.cos(np.deg2rad(degrees[mine] - degrees[other])) > 0.97
            if groups[mine] == groups[other] and not expected[other] and close:
                expected[mine] = True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(novelty, "BLOCK_ROWS", block)
        assert near(degrees, groups, order, 0.97) == expected

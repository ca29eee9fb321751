"""Tests of the walk that keeps what is unlike all it has kept, and of that walk in cells."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftline.selectors.vectors import novelty
from siftline.selectors.vectors.novelty import novel, novel_in_cells


def on_circle(*degrees: float) -> npt.NDArray[np.float32]:
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def plain(
    vectors: npt.NDArray[np.float32], threshold: float, limit: int, groups: list[int]
) -> list[int]:
    """The same, one by one."""
    kept: list[int] = []
    for row in range(len(vectors)):
        cosine = [
            round(float(vectors[row] @ vectors[n]), 6) for n in kept if groups[n] != groups[row]
        ]
        if len(kept) < limit and max(cosine, default=-1.0) <= threshold:
            kept.append(row)
    return kept


def test_only_kept_ones_bar_others() -> None:
    # cos 25 degrees is 0.906. 25 is barred by 0; 50 is near 25 only, which is not kept.
    found = novel(on_circle(0, 25, 50), np.arange(3), 0.9)
    assert found.kept.tolist() == [0, 2]
    assert found.similarity == pytest.approx([-1, 0.906308, 0.642788], abs=1e-6)


def test_the_threshold_itself_is_still_novel() -> None:
    vectors = np.array([[1, 0], [0.6, 0.8], [1, 0]], dtype=np.float32)
    assert novel(vectors, np.arange(3), 0.6).kept.tolist() == [0, 1]
    assert novel(vectors, np.arange(3), 0.59).kept.tolist() == [0]
    assert novel(vectors, np.arange(3), 1.0).kept.tolist() == [0, 1, 2]


def test_it_stops_at_the_limit_and_says_how_far_it_came() -> None:
    found = novel(on_circle(0, 1, 90, 91, 180), np.arange(5), 0.9, limit=2)
    assert found.kept.tolist() == [0, 2]
    assert found.seen == len(found.similarity) == 3


def test_the_order_decides_and_those_left_out_of_it_are_not_seen() -> None:
    found = novel(on_circle(0, 1, 90, 91), np.array([3, 2, 1]), 0.9)
    assert found.kept.tolist() == [3, 1]
    assert found.similarity[1] == pytest.approx(np.cos(np.deg2rad(1)), abs=1e-6)


def test_one_group_does_not_bar_itself() -> None:
    vectors = on_circle(0, 0, 0, 90)
    found = novel(vectors, np.arange(4), 0.9, groups=np.array([7, 7, 8, 8]))
    assert found.kept.tolist() == [0, 1, 3]


def test_nothing_at_all() -> None:
    found = novel(np.empty((0, 4), dtype=np.float32), np.arange(0), 0.9)
    assert (len(found.kept), len(found.similarity), found.seen) == (0, 0, 0)


@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 60),
    threshold=st.sampled_from([-0.5, 0.0, 0.3, 0.7, 0.95]),
    limit=st.integers(1, 60),
    block=st.integers(1, 9),
)
def test_blocks_change_nothing(
    seed: int, rows: int, threshold: float, limit: int, block: int
) -> None:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(rows, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    groups = random.integers(0, 10, rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(novelty, "BLOCK_ROWS", block)
        patch.setattr(novelty, "KEPT_ROWS", 2)
        found = novel(vectors, np.arange(rows), threshold, limit, groups)
    assert found.kept.tolist() == plain(vectors, threshold, limit, groups.tolist())


# Fifteen degrees apart: nearer ones are too near.
LIMIT = float(np.cos(np.deg2rad(15)))


def near(degrees: list[int], cells: list[int], order: list[int], limit: float) -> list[bool]:
    found = novel_in_cells(on_circle(*degrees), np.array(cells), np.array(order, dtype=int), limit)
    return [not each for each in found.keep]


def test_in_a_cell_what_is_passed_over_rules_out_nothing() -> None:
    # 10 is too near to 0; 20 is too near to 10 only, which is not kept.
    assert near([0, 10, 20, 90], [0] * 4, [0, 1, 2, 3], LIMIT) == [False, True, False, False]


def test_the_first_in_order_of_a_cell_stays() -> None:
    assert near([0, 10, 20, 90], [0] * 4, [1, 3, 0, 2], LIMIT) == [True, False, True, False]


def test_cells_do_not_see_one_another() -> None:
    assert near([0, 10, 20, 5], [0, 1, 0, 1], [0, 1, 2, 3], LIMIT) == [False, False, False, True]


def test_equal_prompts_at_a_limit_of_one_are_both_kept() -> None:
    assert near([0, 0], [0, 0], [0, 1], 1.0) == [False, False]
    assert near([0, 0], [0, 0], [0, 1], 0.999) == [False, True]


def test_no_cells() -> None:
    nothing = np.empty(0, dtype=int)
    found = novel_in_cells(np.empty((0, 3), np.float32), nothing, nothing, 0.9)
    assert (found.keep.tolist(), found.similarity.tolist()) == ([], [])


def test_each_row_has_its_largest_cosine_to_what_its_cell_kept_before() -> None:
    found = novel_in_cells(on_circle(0, 30, 60, 0), np.array([0, 1, 0, 0]), np.arange(4), 0.9)
    assert found.similarity == pytest.approx([-1, -1, 0.5, 1], abs=1e-6)
    assert found.keep.tolist() == [True, True, True, False]


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
    for place, row in enumerate(order):
        for other in order[:place]:
            close = np.cos(np.deg2rad(degrees[row] - degrees[other])) > 0.97
            if groups[row] == groups[other] and not expected[other] and close:
                expected[row] = True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(novelty, "BLOCK_ROWS", block)
        assert near(degrees, groups, order, 0.97) == expected

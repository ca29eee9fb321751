"""Tests of the walk that keeps what is unlike all it has kept."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftline.selectors.vectors import novelty
from siftline.selectors.vectors.novelty import novel


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

"""Tests of a total that is poured into groups between floors and roofs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftline.selectors.quotas.filling import fill

sizes = st.lists(st.integers(0, 300), min_size=1, max_size=8)
weights = st.lists(st.sampled_from([0.0, 1e-9, 0.1, 1.0, 7.5, 1e6]), min_size=8, max_size=8)


def array(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


@pytest.mark.parametrize(
    ("weight", "low", "high", "total", "expected"),
    [
        ([1, 1, 1], [0, 0, 0], [2, 10, 10], 12, [2, 5, 5]),  # 4 each; 2 flow on
        ([2, 1, 1], [0, 0, 0], [2, 10, 10], 12, [2, 5, 5]),
        ([6, 3, 1], [0, 0, 2], [99, 99, 99], 10, [16 / 3, 8 / 3, 2]),  # the floor costs 6 to 3
        ([6, 3, 1], [0, 0, 2], [4, 99, 99], 10, [4, 4, 2]),  # floor and roof at once
        ([1, 0, 1], [1, 1, 1], [3, 99, 3], 10, [3, 0, 3]),  # weight 0 gets nothing
        ([1, 1], [6, 2], [9, 9], 4, [3, 1]),  # floors beyond the total shrink
        ([1, 1], [0, 0], [0, 0], 5, [0, 0]),
    ],
)
def test_filling_by_hand(
    weight: list[float], low: list[float], high: list[float], total: float, expected: list[float]
) -> None:
    found = fill(array(*weight), array(*low), array(*high), total)
    assert found == pytest.approx(expected)


@given(sizes, weights, st.lists(st.integers(0, 40), min_size=8, max_size=8), st.integers(0, 2500))
def test_filling_is_one_level_between_floors_and_roofs(
    high: list[int], weight: list[float], low: list[int], total: int
) -> None:
    roof = np.array(high, dtype=float)
    weigh = np.array(weight[: len(high)])
    floor = np.minimum(np.array(low[: len(high)], dtype=float), roof)
    found = fill(weigh, floor, roof, total)
    wanted = weigh > 0
    assert np.isfinite(found).all()
    assert (found[~wanted] == 0).all()
    assert found.sum() == pytest.approx(min(total, roof[wanted].sum()), abs=1e-4)
    assert (found <= roof + 1e-6).all()
    if floor[wanted].sum() >= total:
        return
    assert (found[wanted] >= np.minimum(floor, total)[wanted] - 1e-6).all()
    # Who is between its bounds stands at the common level; who is at its roof would be above it,
    # who is at its floor below.
    roof = np.minimum(roof, total)
    low_end, high_end = found <= floor + 1e-6, found >= roof - 1e-6
    free = wanted & ~low_end & ~high_end
    if free.any():
        level = (found[free] / weigh[free]).mean()
        assert found[free] == pytest.approx(level * weigh[free], rel=1e-4, abs=1e-4)
        full, least = wanted & high_end & ~low_end, wanted & low_end & ~high_end
        assert (level * weigh[full] >= roof[full] - 1e-3).all()
        assert (level * weigh[least] <= floor[least] + 1e-3).all()

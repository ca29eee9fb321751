"""Tests of AUROC and average precision by hand and by counting pairs, and of their intervals."""

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siftline.pipelines.calibration.detection import Detection, detection

NAN = float("nan")


def detect(
    scores: list[float], bad: list[int], units: list[str] | None = None, resamples: int = 40
) -> Detection | None:
    names = np.array(units or [str(row) for row in range(len(scores))], dtype=object)
    with patch("siftline.pipelines.calibration.detection.RESAMPLES", resamples):
        return detection(np.array(scores, dtype=float), np.array(bad, dtype=bool), names)


def found(*arguments: Any, **options: Any) -> Detection:
    result = detect(*arguments, **options)
    assert result is not None
    return result


@pytest.mark.parametrize(
    ("scores", "bad", "auroc", "precision"),
    [
        ([0.1, 0.2, 0.8, 0.9], [1, 1, 0, 0], 1.0, 1.0),
        ([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], 0.0, (1 / 3 + 2 / 4) / 2),
        ([0.1, 0.2, 0.3, 0.4], [1, 0, 1, 0], 3 / 4, (1 / 1 + 2 / 3) / 2),
        ([0.5, 0.5, 0.5, 0.5], [1, 0, 1, 0], 1 / 2, 1 / 2),  # all alike: a coin
        ([0.1, 0.5, 0.5, 0.9], [1, 1, 0, 0], 3.5 / 4, (1 + 2 / 3) / 2),  # a tie is half a pair
        ([0.3, 0.3, 0.1], [1, 0, 0], 0.5 / 2, 1 / 3),
    ],
)
def test_figures_by_hand(
    scores: list[float], bad: list[int], auroc: float, precision: float
) -> None:
    result = found(scores, bad)
    assert (result.rows, result.bad) == (len(scores), sum(bad))
    assert result.auroc.value == pytest.approx(auroc)
    assert result.average_precision.value == pytest.approx(precision)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=12))
def test_the_auroc_counts_pairs(rows: list[tuple[int, bool]]) -> None:
    result = detect([score for score, _ in rows], [bad for _, bad in rows], resamples=12)
    lower = [score for score, bad in rows if bad]
    higher = [score for score, bad in rows if not bad]
    if not lower or not higher:
        assert result is None
        return
    wins = [(one < two) + (one == two) / 2 for one in lower for two in higher]
    assert result is not None
    assert result.auroc.value == pytest.approx(sum(wins) / len(wins))


def test_rows_without_a_score_are_left_out() -> None:
    scores, bad = [0.1, NAN, 0.3, NAN, 0.2, 0.9], [1, 0, 1, 1, 0, 0]
    known = [row for row, score in enumerate(scores) if score == score]
    alone = found([scores[row] for row in known], [bad[row] for row in known])
    assert found(scores, bad) == alone
    assert (alone.rows, alone.bad) == (4, 2)
    assert alone.auroc.value == pytest.approx(3 / 4)


@pytest.mark.parametrize(
    ("scores", "bad"),
    [
        ([0.1, 0.2], [1, 1]),
        ([0.1, 0.2], [0, 0]),
        ([0.1, NAN], [1, 0]),
        ([NAN, 0.2], [1, 0]),
        ([NAN, NAN], [1, 0]),
        ([], []),
    ],
)
def test_one_kind_of_rows_alone_tells_nothing(scores: list[float], bad: list[int]) -> None:
    assert detect(scores, bad) is None


@pytest.mark.parametrize("seed", range(5))
def test_intervals_hold_the_value_and_shrink_with_the_rows(seed: int) -> None:
    random = np.random.default_rng(seed)
    widths = []
    for size in (40, 640):
        bad = random.random(size) < 0.4
        scores = random.normal(size=size) - bad
        result = found(list(scores), list(bad))
        for estimate in (result.auroc, result.average_precision):
            assert 0 <= estimate.low < estimate.value < estimate.high <= 1
        widths.append(result.auroc.high - result.auroc.low)
        assert result == found(list(scores), list(bad))  # the same every time
    assert widths[1] < widths[0] / 2


def test_a_perfect_score_is_perfect_in_every_resample() -> None:
    result = found([0.1, 0.2, 0.8, 0.9, 0.95], [1, 1, 0, 0, 0])
    assert result.auroc == result.average_precision == (1.0, 1.0, 1.0)


def test_rows_of_one_unit_are_drawn_together() -> None:
    # Each prompt has all four rows, in the same order: any draw of prompts has the same AUROC.
    scores, bad = [0.1, 0.2, 0.3, 0.4] * 8, [1, 0, 1, 0] * 8
    together = found(scores, bad, [f"p{row // 4}" for row in range(32)])
    assert together.auroc == pytest.approx((0.75, 0.75, 0.75))
    apart = found(scores, bad)
    assert apart.auroc.high - apart.auroc.low > 0.1


def test_a_single_unit_has_an_interval_of_no_width() -> None:
    result = found([0.1, 0.3, 0.2], [1, 1, 0], ["p"] * 3)
    assert result.auroc == (0.5, 0.5, 0.5)

"""How well a score tells bad responses from good ones, where the truth is known."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

RESAMPLES = 1000
# Central share of the bootstrap distribution that an interval covers.
COVERAGE = 0.95

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class Estimate(NamedTuple):
    """A figure with its bootstrap interval."""

    value: float
    low: float
    high: float


class Detection(NamedTuple):
    """How well a low score points to bad rows.

    Attributes:
        rows: Rows that have a score.
        bad: Bad ones among them.
        auroc: Chance that a bad row scores lower than a good one; 0.5 is a coin.
        average_precision: Mean precision over the bad rows, from the lowest score on; a coin has
            the share of the bad rows.
    """

    rows: int
    bad: int
    auroc: Estimate
    average_precision: Estimate


def detection(scores: Floats, bad: Bools, units: npt.NDArray[np.object_]) -> Detection | None:
    """Measure a score, low for bad rows, against the truth.

    Args:
        scores: [rows] NaN where there is none; these are left out.
        bad: [rows] The truth.
        units: [rows] What is resampled as one, such as the prompt.

    Returns:
        The figures, or None where all rows with a score are good, or all bad.
    """
    known = np.isfinite(scores)
    scores, bad, units = scores[known], bad[known], units[known]
    if bad.all() or not bad.any():
        return None
    figures = _figures(scores, bad, _weights(units))
    return Detection(
        rows=len(scores),
        bad=int(bad.sum()),
        auroc=_estimate(figures[0]),
        average_precision=_estimate(figures[1]),
    )


def _weights(units: npt.NDArray[np.object_]) -> Floats:
    """Return [1 + resamples, rows] how often each row counts; the first time, once each."""
    codes = np.unique(units, return_inverse=True)[1]
    count = int(codes.max()) + 1
    random = np.random.default_rng(0)
    drawn = random.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    return np.concatenate([np.ones((1, count)), drawn])[:, codes]


def _figures(scores: Floats, bad: Bools, weights: Floats) -> tuple[Floats, Floats]:
    """Return AUROC and average precision for each line of weights that has both kinds of rows."""
    order = np.argsort(scores, kind="stable")
    starts = np.unique(scores[order], return_index=True)[1]  # rows of one score are one step
    lows = np.add.reduceat((weights * bad)[:, order], starts, axis=1)
    highs = np.add.reduceat((weights * ~bad)[:, order], starts, axis=1)
    both = (lows.sum(axis=1) > 0) & (highs.sum(axis=1) > 0)
    lows, highs = lows[both], highs[both]
    total = lows.sum(axis=1, keepdims=True)
    above = highs.sum(axis=1, keepdims=True) - np.cumsum(highs, axis=1)
    pairs = (lows * (above + highs / 2)).sum(axis=1)
    seen, seen_bad = np.cumsum(lows + highs, axis=1), np.cumsum(lows, axis=1)
    precision = np.divide(seen_bad, seen, out=np.zeros_like(seen), where=seen > 0)
    auroc = pairs / (total[:, 0] * highs.sum(axis=1))
    return auroc, (lows / total * precision).sum(axis=1)


def _estimate(figures: Floats) -> Estimate:
    """Return the first figure, with the interval of the others."""
    tails = (1 - COVERAGE) / 2
    low, high = np.quantile(figures[1:] if len(figures) > 1 else figures, (tails, 1 - tails))
    return Estimate(float(figures[0]), float(low), float(high))

"""How well a score tells bad responses from good ones, where the truth is known."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, roc_auc_score

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
    draws = _resamples(bad, units)
    return Detection(
        rows=len(scores),
        bad=int(bad.sum()),
        auroc=_estimate(roc_auc_score, scores, bad, draws),
        average_precision=_estimate(average_precision_score, scores, bad, draws),
    )


def _resamples(bad: Bools, units: npt.NDArray[np.object_]) -> list[npt.NDArray[np.int64]]:
    """Return bootstrap samples of rows, whole units at a time, in which both kinds occur."""
    random = np.random.default_rng(0)
    codes = np.unique(units, return_inverse=True)[1]
    order = np.argsort(codes, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(codes))[:-1])
    found = []
    for _ in range(RESAMPLES):
        drawn = random.integers(len(members), size=len(members))
        rows = np.concatenate([members[unit] for unit in drawn])
        if 0 < bad[rows].sum() < len(rows):
            found.append(rows)
    return found


def _estimate(
    measure: object, scores: Floats, bad: Bools, draws: list[npt.NDArray[np.int64]]
) -> Estimate:
    assert callable(measure)
    values = [float(measure(bad[rows], -scores[rows])) for rows in draws]
    tails = (1 - COVERAGE) / 2
    low, high = np.quantile(values, (tails, 1 - tails))
    return Estimate(float(measure(bad, -scores)), float(low), float(high))

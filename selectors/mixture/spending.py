"""Rows that spend the quotas of a mixture, each as often as its group's quota asks for."""

from typing import NamedTuple

import numpy as np

from siftline.selectors.arrays import Bools, Float64s, Ints
from siftline.selectors.quotas.largest_remainder import TOLERANCE


class RowTimes(NamedTuple):
    """How often each row is taken.

    Attributes:
        times: [rows] How often; 0 for rows that are not taken.
        whole: [groups] True where every row is taken, once or more often.
    """

    times: Ints
    whole: Bools


def take(
    labels: Ints, cost: Ints, quota: Float64s, epochs: int, coin: Ints, place: Ints
) -> RowTimes:
    """Take rows until each group's quota is spent.

    The sum of the costs is at most that of the quotas, and less than one row below it: a row that
    costs more than what is left of the quota is passed over, and what no row fits into goes to
    the next group. Groups that give everything come first, so that how often their rows repeat
    does not depend on `place`.

    Args:
        labels: [rows] Number of the group, from 0.
        cost: [rows] In the budget's unit; 1 for rows, so that every quota is met exactly.
        quota: [groups] What is to be spent, in the budget's unit.
        epochs: How often a row may be taken.
        coin: [rows] Random order, which decides what repeats once more than the rest.
        place: [rows] Order in which a group gives rows if it does not give all.
    """
    size = np.bincount(labels, cost, minlength=len(quota))
    whole: Bools = (quota >= size - TOLERANCE) & (size > 0)
    members = np.split(
        np.argsort(labels, kind="stable"),
        np.cumsum(np.bincount(labels, minlength=len(quota)))[:-1],
    )
    times = np.zeros(len(labels), dtype=np.int64)
    left = 0.0
    for group in [*np.flatnonzero(whole), *np.flatnonzero(~whole & (quota > 0))]:
        rows = members[group]
        order = rows[np.argsort((coin if whole[group] else place)[rows], kind="stable")]
        most = size[group] * (epochs if whole[group] else 1)
        wanted = min(quota[group] + left, most)
        passes = int((wanted + TOLERANCE) // size[group]) if whole[group] else 0
        rest = wanted - passes * size[group]
        times[order] = passes
        if rest > TOLERANCE or not whole[group]:
            times[_fitting(order, cost, rest)] += 1
        left += quota[group] - float((times[order] * cost[order]).sum())
    return RowTimes(times, whole)


def _fitting(order: Ints, cost: Ints, room: float) -> Ints:
    """Return the rows that are taken when each is that still fits, the first ones first."""
    taken = []
    while True:
        order = order[cost[order] <= room + TOLERANCE]
        first = order[np.cumsum(cost[order]) <= room + TOLERANCE]
        taken.append(first)
        if not len(first):
            return np.concatenate(taken)
        order = order[len(first) :]
        room -= float(cost[first].sum())

"""Even quotas: each cluster gives the same, or all it has, and what it lacks flows to larger ones.

The rule of S2L's released code (BigML-CS-UCLA/S2L): clusters in ascending order of size; with n
left of the budget and R clusters left to visit, each gives floor(n / R), or all it has. A cluster
that is visited while floor(n / R) is 0 gives nothing, so where the budget is smaller than the
number of clusters, the largest give one each. (A comment there says largest first; the loop is
not.)
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


class Filled(NamedTuple):
    """A budget spread over clusters.

    Attributes:
        chosen: [units] true for those that are taken.
        quota: [clusters] what each was asked for, in the budget's unit.
    """

    chosen: npt.NDArray[np.bool_]
    quota: Ints


def water_fill(labels: Ints, cost: Ints, budget: int, tiny: int = 0) -> Filled:
    """Take units from clusters, evenly.

    Within a cluster the first units are taken: their order is what makes the choice random.

    Args:
        labels: [units] number of each one's cluster, from 0.
        cost: [units] of each in the budget's unit; the last one that is taken may exceed a quota,
            so with costs above one the sum exceeds the budget by less than one unit.
        budget: What may be spent.
        tiny: Clusters of so many units or fewer are passed over, and fill up only what the others
            leave.
    """
    chosen = np.zeros(len(labels), dtype=bool)
    counts = np.bincount(labels)
    size = np.bincount(labels, cost).astype(np.int64)
    quota = np.zeros(len(size), dtype=np.int64)
    members = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])
    visited = [c for c in np.argsort(size, kind="stable") if counts[c] > tiny]
    left = budget
    for place, cluster in enumerate(visited):
        quota[cluster] = max(0, left) // (len(visited) - place)
        taken = _first(members[cluster], cost, int(quota[cluster]))
        chosen[taken] = True
        left -= int(cost[taken].sum())
    if left > 0 and tiny:
        rest = np.flatnonzero((counts <= tiny)[labels])
        chosen[_first(rest, cost, left)] = True
    return Filled(chosen, quota)


def fill_strata(strata: Ints, labels: Ints, cost: Ints, budget: int, tiny: int = 0) -> Filled:
    """Spread a budget over strata by the same rule, and inside each over its clusters.

    Args:
        strata: [units] number of each one's stratum, from 0.
        labels: [units] number of each one's cluster; no two strata share one.
        cost: As for :func:`water_fill`, as are those that follow.
        budget: What may be spent.
        tiny: Of clusters.
    """
    chosen = np.zeros(len(labels), dtype=bool)
    quota = np.zeros(labels.max(initial=-1) + 1, dtype=np.int64)
    order = np.argsort(np.bincount(strata, cost), kind="stable")
    left = budget
    for place, stratum in enumerate(order):
        mine = np.flatnonzero(strata == stratum)
        clusters, codes = np.unique(labels[mine], return_inverse=True)
        found = water_fill(codes, cost[mine], max(0, left) // (len(order) - place), tiny)
        chosen[mine], quota[clusters] = found.chosen, found.quota
        left -= int(cost[mine[found.chosen]].sum())
    return Filled(chosen, quota)


def _first(units: Ints, cost: Ints, budget: int) -> Ints:
    """Return the first units, until the budget is reached."""
    before = np.cumsum(cost[units]) - cost[units]
    return units[before < budget]

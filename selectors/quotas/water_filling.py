"""Even quotas: each cluster gives the same, or all it has, and what it lacks flows to larger ones.

The rule of S2L's released code (BigML-CS-UCLA/S2L): clusters in ascending order of size; with n
left of the budget and R clusters left to visit, each gives floor(n / R), or all it has. A cluster
that is visited while floor(n / R) is 0 gives nothing, so where the budget is smaller than the
number of clusters, the largest give one each. (A comment there says largest first; the loop is
not.)
"""

from typing import NamedTuple

import numpy as np

from siftline.selectors.arrays import Bools, Ints
from siftline.selectors.choices import spend


class Filled(NamedTuple):
    """A budget spread over clusters.

    Attributes:
        chosen: [units] True for those that are taken.
        quota: [clusters] What each was asked for, in the budget's unit.
    """

    chosen: Bools
    quota: Ints


def water_fill(labels: Ints, cost: Ints, budget: int, tiny: int = 0) -> Filled:
    """Take units from clusters, evenly.

    Within a cluster the first units are taken: their order is what makes the choice random.

    Args:
        labels: [units] Number of each one's cluster, from 0.
        cost: [units] In the budget's unit; the last one that is taken may exceed a quota,
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
        taken = spend(members[cluster], cost, int(quota[cluster]))
        chosen[taken] = True
        left -= int(cost[taken].sum())
    if left > 0 and tiny:
        rest = np.flatnonzero((counts <= tiny)[labels])
        chosen[spend(rest, cost, left)] = True
    return Filled(chosen, quota)


def fill_strata(strata: Ints, labels: Ints, cost: Ints, budget: int, tiny: int = 0) -> Filled:
    """Spread a budget over strata by the same rule, and inside each over its clusters.

    Args:
        strata: [units] Number of each one's stratum, from 0.
        labels: [units] Number of each one's cluster; no two strata share one.
        cost: [units] In the budget's unit, as :func:`water_fill` takes it.
        budget: What may be spent.
        tiny: Clusters of so many units or fewer are passed over, and fill up only what the other
            clusters of their stratum leave.
    """
    chosen = np.zeros(len(labels), dtype=bool)
    quota = np.zeros(labels.max(initial=-1) + 1, dtype=np.int64)
    order = np.argsort(np.bincount(strata, cost), kind="stable")
    left = budget
    for place, stratum in enumerate(order):
        members = np.flatnonzero(strata == stratum)
        clusters, codes = np.unique(labels[members], return_inverse=True)
        filled = water_fill(codes, cost[members], max(0, left) // (len(order) - place), tiny)
        chosen[members], quota[clusters] = filled.chosen, filled.quota
        left -= int(cost[members[filled.chosen]].sum())
    return Filled(chosen, quota)

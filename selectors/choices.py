"""Simple choices that methods use and are compared with: random, stratified, the best, the longest.

An order is an array of numbers, the first choice first; its first entries are a choice. The random
order is that of a hash of the seed and each key, so a key's place depends neither on the other keys
nor on their order, and a larger choice keeps all that a smaller one kept.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from siftline.contracts.stable_hash import stable_hash
from siftline.selectors.arrays import Bools, Float64s, Ints
from siftline.selectors.quotas.allocation import allocate


def random_order(keys: Sequence[str], seed: int) -> Ints:
    """Return the numbers of the keys, the key of the smallest hash first."""
    return np.argsort(stable_hash(keys, seed), kind="stable")


def best_order(score: Float64s, tie: npt.NDArray[Any] | None = None) -> Ints:
    """Return numbers from the highest score to the lowest, those without a score (NaN) last.

    Args:
        score: [members] The higher the better.
        tie: [members] Among equal scores the lowest comes first; None keeps their order.
    """
    order: Ints = np.lexsort((-score,) if tie is None else (tie, -score))
    return order


def best_of_each(groups: Ints, score: Float64s, among: Bools) -> Ints:
    """Return the number of the highest score in each group that has any, the groups in order.

    Args:
        groups: [members] Number of each one's group.
        score: [members] The higher the better; among equal scores the first is taken.
        among: [members] True for those that may be chosen.
    """
    candidates = np.flatnonzero(among)
    order = candidates[np.lexsort((-score[candidates], groups[candidates]))]
    firsts: Ints = order[np.unique(groups[order], return_index=True)[1]]
    return firsts


def spend(order: Ints, cost: Ints, budget: int) -> Ints:
    """Return the first entries of an order, until the sum of their costs reaches the budget.

    The last one may exceed the budget. With costs of 1 they are as many as the budget.

    Args:
        order: Numbers of members, the first choice first.
        cost: [members] In the budget's unit.
        budget: What may be spent.
    """
    before = np.cumsum(cost[order]) - cost[order]
    return order[before < budget]


def stratified(
    order: Ints, strata: Ints, budget: int, *, cost: Ints | None = None, floor: int = 0
) -> Ints:
    """Spend a budget in an order, on each stratum in proportion to what it costs.

    Args:
        order: Numbers of all members, the first choice first.
        strata: [members] Number of each one's stratum, from 0.
        budget: What may be spent.
        cost: [members] In the budget's unit, as :func:`spend` takes it; None counts members.
        floor: Least part of a stratum that has as much.

    Returns:
        The numbers of the chosen, stratum by stratum.
    """
    each = np.ones(len(strata), dtype=np.int64) if cost is None else cost
    sizes = np.bincount(strata, each).astype(np.int64)
    quotas = allocate(sizes.tolist(), budget, tau=1.0, floor=floor)
    chosen = [spend(order[strata[order] == n], each, int(part)) for n, part in enumerate(quotas)]
    return np.concatenate([order[:0], *chosen])

"""How a budget is spread over groups: a floor for each, the rest by water-filling.

Only-IF (arXiv 2410.04717) measures that breadth beats depth and that imbalance does little harm
while every domain keeps a minimum mass; the formula is ours (docs/decisions.md).
"""

from collections.abc import Sequence

import numpy as np

from siftline.selectors.arrays import Ints
from siftline.selectors.quotas.filling import fill
from siftline.selectors.quotas.largest_remainder import largest_remainder


def allocate(
    sizes: Sequence[int],
    budget: int,
    tau: float,
    floor: int,
    counts: Sequence[int] | None = None,
) -> Ints:
    """Return how many each group gets.

    Every group gets the floor, or all it has; the rest goes in proportion to `count**tau`, no group
    above its size, what it cannot take to the others. Fractions are rounded by largest remainder,
    equal ones in the order of the groups. When the floors alone exceed the budget, a lower floor
    is taken that fits, and if not even one each fits, the largest groups get one each.

    Args:
        sizes: [groups] Members of each group.
        budget: To be spread; exactly min(budget, sum of sizes) is given.
        tau: 1 keeps the groups' proportions, 0 evens them out.
        floor: Fewest members that a group gives, if it has as many.
        counts: [groups] What counts as a group's size, where that is not its members but, for
            example, the prompts that these answer; 0 only where there are none.
    """
    size = np.asarray(sizes, dtype=np.int64)
    count = size if counts is None else np.asarray(counts, dtype=np.int64)
    budget = min(budget, int(size.sum()))
    if budget < int((size > 0).sum()):
        given = np.zeros(len(size), dtype=np.int64)
        given[np.argsort(-count, kind="stable")[:budget]] = 1
        return given
    while np.minimum(size, floor).sum() > budget:
        floor -= 1
    # A floor here comes on top of a group's share of the rest. In a mixture (siftline.selectors.
    # mixture.plan) it is a least part of the whole, which a share above it does not feel.
    base = np.minimum(size, floor)
    room, left = size - base, budget - int(base.sum())
    weight = np.where(count > 0, np.maximum(count, 1).astype(np.float64) ** tau, 0.0)
    level = fill(weight, np.zeros(len(size)), room.astype(np.float64), left)
    return base + largest_remainder(level, room, left)

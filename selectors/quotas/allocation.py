"""How a budget is spread over groups: a floor for each, the rest by water-filling.

Only-IF (arXiv 2410.04717) measures that breadth beats depth and that imbalance does little harm
while every domain keeps a minimum mass; the formula is ours (docs/decisions.md).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def allocate(
    sizes: Sequence[int],
    budget: int,
    tau: float,
    floor: int,
    counts: Sequence[int] | None = None,
) -> npt.NDArray[np.int64]:
    """Return how many each group gets.

    Every group gets the floor, or all it has; the rest goes in proportion to `count**tau`, no group
    above its size, what it cannot take to the others. Fractions are rounded by largest remainder,
    equal ones in the order of the groups. When the floors alone exceed the budget, a lower floor
    is taken that fits, and if not even one each fits, the largest groups get one each.

    Args:
        sizes: [groups] Members of each group.
        budget: To be spread; exactly min(budget, sum of sizes) is given.
        tau: 1 keeps the groups' proportions, 0 evens them out.
        floor: Fewest for a group that has as many.
        counts: [groups] What counts as a group's size, where that is not its members but, for
            example, the prompts that these answer; 0 only where there are none.
    """
    size = np.asarray(sizes, dtype=np.int64)
    count = size if counts is None else np.asarray(counts, dtype=np.int64)
    budget = min(budget, int(size.sum()))
    groups = int((size > 0).sum())
    if budget < groups:
        largest = np.argsort(-count, kind="stable")[:budget]
        given = np.zeros(len(size), dtype=np.int64)
        given[largest] = 1
        return given
    while np.minimum(size, floor).sum() > budget:
        floor -= 1
    base = np.minimum(size, floor)
    return base + _round(_fill(size - base, count, budget - int(base.sum()), tau), size - base)


def _fill(
    room: npt.NDArray[np.int64], count: npt.NDArray[np.int64], budget: int, tau: float
) -> npt.NDArray[np.float64]:
    """Pour a budget into groups in proportion to count**tau, none above its room."""
    level = np.zeros(len(room))
    weight = np.where(count > 0, np.maximum(count, 1).astype(np.float64) ** tau, 0.0)
    open_groups = room > 0
    left = float(budget)
    while left > 1e-9 and open_groups.any():
        share = left * weight[open_groups] / weight[open_groups].sum()
        full = level[open_groups] + share >= room[open_groups]
        indices = np.flatnonzero(open_groups)
        if not full.any():
            level[indices] += share
            break
        closing = indices[full]
        left -= float((room[closing] - level[closing]).sum())
        level[closing] = room[closing]
        open_groups[closing] = False
    return level


def _round(level: npt.NDArray[np.float64], room: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Round by largest remainder, so that the sum stays, and none exceeds its room."""
    total = round(float(level.sum()))
    whole = np.minimum(np.floor(level + 1e-9).astype(np.int64), room)
    remainder = np.where(whole < room, level - whole, -1.0)
    extra = np.argsort(-np.round(remainder, 9), kind="stable")[: total - int(whole.sum())]
    whole[extra] += 1
    return whole

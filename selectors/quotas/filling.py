"""A total poured into groups in proportion to weights, each between a least and a most."""

import numpy as np

from siftline.selectors.arrays import Float64s
from siftline.selectors.quotas.largest_remainder import TOLERANCE


def fill(weights: Float64s, low: Float64s, high: Float64s, total: float) -> Float64s:
    """Return [groups] `level * weight`, no less than `low`, no more than `high`, of a given sum.

    The sum is the total, or that of `high` where this is less; lows that exceed the total shrink
    in proportion. A group of weight 0 gets nothing.

    Args:
        weights: [groups] Not negative.
        low: [groups] Least part of each.
        high: [groups] Most of each; at least `low`.
        total: What is to be spread.
    """
    free = weights > 0
    floor = np.where(free, np.minimum(low, high), 0.0)
    if floor.sum() >= total:
        return floor * (total / floor.sum()) if total > 0 else np.zeros(len(floor))
    roof = np.where(free, np.minimum(high, total), 0.0)
    parts = np.zeros(len(weights))
    while free.any():
        left = total - parts[~free].sum()
        level = left * (weights[free] / weights[free].sum())
        bounded = np.clip(level, floor[free], roof[free])
        excess = bounded.sum() - left
        # Where floors cost more than roofs save, floors are settled first, and the reverse.
        settled = bounded > level if excess > 0 else bounded < level
        if abs(excess) <= TOLERANCE or not settled.any():
            settled[:] = True
        groups = np.flatnonzero(free)[settled]
        parts[groups] = bounded[settled]
        free[groups] = False
    return parts

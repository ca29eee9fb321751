"""Rounding by largest remainder: whole numbers of the same sum."""

import numpy as np

from siftline.selectors.arrays import Float64s, Ints

DECIMALS = 6
# Rounding errors of sums of up to 1e9 tokens stay below this.
TOLERANCE = 10.0**-DECIMALS


def largest_remainder(level: Float64s, room: Float64s | Ints, total: int) -> Ints:
    """Return [groups] whole numbers that sum to the total, none above its room.

    Each level is rounded down; the groups with the largest remainders get one more. Remainders are
    compared on a grid of 1e-6, and equal ones are taken in the order of the groups.

    Args:
        level: [groups] Not negative, not above the room; they sum to the total.
        room: [groups] Most that a group may get, whole numbers.
        total: The sum.
    """
    most = np.asarray(room, dtype=np.int64)
    whole = np.minimum(np.floor(level + TOLERANCE).astype(np.int64), most)
    remainder = np.where(whole < most, np.round(level - whole, DECIMALS), -1.0)
    whole[np.argsort(-remainder, kind="stable")[: total - int(whole.sum())]] += 1
    return whole

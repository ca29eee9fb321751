"""What a trajectory is compared by: its losses as they are, or its shape."""

from typing import Literal

import numpy as np

from siftline.selectors.arrays import Float32s, Float64s

Normalise = Literal["none", "center", "l2", "rank"]


def normalised(losses: Float32s, how: Normalise) -> Float32s:
    """Return trajectories as they are to be clustered.

    Args:
        losses: [rows, checkpoints], finite.
        how: `none` (paper and code): as they are, so early checkpoints and short responses, whose
            losses differ most, decide. `center` subtracts each row's mean, `l2` divides each row
            by its length, `rank` puts each checkpoint's rank in the pool, from 0 to 1, in a
            loss's place; equal losses have one rank.
    """
    if how == "center":
        middle: Float32s = losses.mean(axis=1, keepdims=True)
        return losses - middle
    if how == "l2":
        length = np.linalg.norm(losses, axis=1, keepdims=True)
        return (losses / np.where(length > 0, length, 1)).astype(np.float32)
    if how == "rank" and len(losses):
        ranks = [_rank(column) for column in losses.T]
        return np.stack(ranks, axis=1).astype(np.float32)
    return losses


def _rank(column: Float32s) -> Float64s:
    """Return mean ranks, from 0 to 1."""
    _, place, counts = np.unique(column, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts + 1) / 2
    rank: Float64s = middle[place] / max(1, len(column) - 1)
    return rank

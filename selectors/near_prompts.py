"""Which prompts say again what one before them has said: nearer to it than a threshold."""

import numpy as np
import numpy.typing as npt

from siftline.selectors.embedded_units import DECIMALS, nearest_similarity

BLOCK_ROWS = 1024

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


def near_prompts(vectors: Floats, groups: Ints, order: Ints, max_similarity: float) -> Bools:
    """Return [prompts] true for those that are too near to an earlier one of their group.

    What is too near itself rules out no other: A, B and C in a chain lose B alone, if C is far
    from A. So whether a prompt is near depends on those before it only.

    Args:
        vectors: [prompts, dimensions] of length one.
        groups: [prompts] number of each one's group, within which prompts are compared.
        order: Numbers of all prompts, the first to come first.
        max_similarity: Largest cosine that is not too near, compared on a grid of 1e-6.
    """
    near = np.zeros(len(vectors), dtype=bool)
    if not len(vectors):
        return near
    by_group = order[np.argsort(groups[order], kind="stable")]
    ends = np.flatnonzero(np.diff(groups[by_group])) + 1
    for mine in np.split(by_group, ends):
        near[mine] = _near(vectors[mine], max_similarity)
    return near


def _near(vectors: Floats, max_similarity: float) -> Bools:
    """Go through vectors in their order, a block at a time."""
    near = np.zeros(len(vectors), dtype=bool)
    for start in range(0, len(vectors), BLOCK_ROWS):
        block = vectors[start : start + BLOCK_ROWS]
        mine = near[start : start + BLOCK_ROWS]
        before = vectors[:start][~near[:start]]
        mine |= np.round(nearest_similarity(block, before), DECIMALS) > max_similarity
        close = np.round(block @ block.T, DECIMALS) > max_similarity
        for row in range(len(block)):
            if not mine[row]:
                mine[row + 1 :] |= close[row, row + 1 :]
    return near

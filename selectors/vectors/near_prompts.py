"""Which prompts say again what one before them in their cluster has said."""

import numpy as np
import numpy.typing as npt

from siftline.selectors.vectors.novelty import novel


def near_prompts(
    vectors: npt.NDArray[np.float32],
    groups: npt.NDArray[np.int64],
    order: npt.NDArray[np.int64],
    max_similarity: float,
) -> npt.NDArray[np.bool_]:
    """Return [prompts] true for those that are too near to an earlier one of their group.

    What is too near itself rules out no other: A, B and C in a chain lose B alone, if C is far
    from A. So whether a prompt is near depends on those before it only.

    Args:
        vectors: [prompts, dimensions] of length one.
        groups: [prompts] number of each one's group, within which prompts are compared.
        order: Numbers of all prompts, the first to come first.
        max_similarity: Largest cosine that is not too near, compared on a grid of 1e-6.
    """
    near = np.ones(len(vectors), dtype=bool)
    by_group = order[np.argsort(groups[order], kind="stable")]
    ends = np.flatnonzero(np.diff(groups[by_group])) + 1
    for mine in np.split(by_group, ends):
        near[novel(vectors, mine, max_similarity).kept] = False
    return near

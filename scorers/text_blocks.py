"""Rows in blocks of so much text: arrays over its characters take many times its memory."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

BLOCK_CHARS = 1 << 18  # whose arrays stay in the cache of a core

Ints = npt.NDArray[np.int64]


def in_blocks(rows: Ints, chars: Ints) -> Iterator[Ints]:
    """Yield rows in order, at most :data:`BLOCK_CHARS` characters at once, or one row.

    Args:
        rows: Numbers of the rows.
        chars: Characters of each of them, as many as there are rows.
    """
    ends = np.cumsum(chars)
    start = 0
    while start < len(rows):
        before = ends[start - 1] if start else 0
        fit = int(np.searchsorted(ends, before + BLOCK_CHARS, side="right"))
        stop = max(fit, start + 1)
        yield rows[start:stop]
        start = stop

"""The rows of a step as padded batches: which go together, and as what arrays a device gets them.

Rows of similar length go together. What a batch may hold is bounded by the memory; how much of it
may be padding, by what a batch of its own would cost: a CPU multiplies a few rows as fast as many,
while a GPU waits for a small model's launches.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from siftline.models.training.rows import TrainingRow

# Share of padding that is not worth a batch of its own. Of batches of 1,024 tokens 16 % were
# padding at 16 rows a step, and 6 % with this (docs/decisions.md).
_PADDING = 0.1


class Batch(NamedTuple):
    """Padded rows, and what is learned from them.

    Attributes:
        ids: [rows, width] tokens, padded on the right.
        rows: [learned] the row of each learned token.
        columns: [learned] the column of the token before it, which predicts it.
        targets: [learned] the learned tokens.
    """

    ids: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]


def batches_of(
    rows: Sequence[TrainingRow], max_tokens: int, padding: int = 0
) -> list[list[TrainingRow]]:
    """Part the rows of a step, the longest first; a function of the set of rows.

    Args:
        rows: The rows of a step.
        max_tokens: The most padded tokens of a batch; one row is always taken.
        padding: Tokens of padding that are always worth it.
    """
    batches: list[list[TrainingRow]] = []
    tokens = 0  # of the last batch, without its padding
    for row in sorted(rows, key=lambda row: (len(row.ids), row.ids), reverse=True):
        size = len(row.ids)
        if batches:
            padded = len(batches[-1][0].ids) * (len(batches[-1]) + 1)
            spare = max(padding, _PADDING * (tokens + size))
            if padded <= max_tokens and padded - tokens - size <= spare:
                batches[-1].append(row)
                tokens += size
                continue
        batches.append([row])
        tokens = size
    return batches


def laid_out(batch: Sequence[TrainingRow]) -> Batch:
    """Lay rows out as arrays, the shortest first."""
    rows = batch[::-1]
    ids = np.zeros((len(rows), max(len(row.ids) for row in rows)), dtype=np.int64)
    for place, row in enumerate(rows):
        ids[place, : len(row.ids)] = row.ids
    spans = [(place, span) for place, row in enumerate(rows) for span in row.spans]
    columns = np.concatenate([np.arange(*span) for _, span in spans])
    owners = np.repeat([place for place, _ in spans], [end - start for _, (start, end) in spans])
    return Batch(ids, owners, columns - 1, ids[owners, columns])

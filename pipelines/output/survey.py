"""What the rows to be exported hold: how large they are, and which fields they use."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts.corpus import Corpus
from siftline.contracts.examples import TURN_FIELDS

OPTIONAL = ("tools", "media")  # columns that only some datasets have
_TEXTS = ("content", "reasoning", "tool_calls")

ROWS_PER_FILE = 100_000
BYTES_PER_FILE = 256 << 20  # of texts: a file is gathered in memory


class Survey(NamedTuple):
    """What one pass over the texts of a corpus has found.

    Attributes:
        sizes: [rows] Bytes of each row's messages, tools, media and metadata.
        turn_fields: Fields of turns, beside role and content, that some row has.
        columns: Those of `tools` and `media` that some row has.
    """

    sizes: npt.NDArray[np.int64]
    turn_fields: tuple[str, ...]
    columns: tuple[str, ...]


def survey(corpus: Corpus) -> Survey:
    """Look at every row once, shard by shard."""
    sizes = np.zeros(len(corpus), dtype=np.int64)
    fields: set[str] = set()
    columns: set[str] = set()
    shards = corpus.rows["shard"].to_numpy()
    positions = corpus.rows["position"].to_numpy()
    for number in range(len(corpus.shards)):
        here = np.flatnonzero(shards == number)
        table = corpus.take(number, positions[here])
        messages = table["messages"].combine_chunks()
        sizes[here] = _bytes_of(messages)
        for name in ("metadata", *OPTIONAL):
            sizes[here] += pc.fill_null(pc.binary_length(table[name]), 0).to_numpy()
        turns = pc.list_flatten(messages)
        fields |= {
            name for name in TURN_FIELDS if pc.struct_field(turns, name).null_count < len(turns)
        }
        columns |= {name for name in OPTIONAL if _is_filled(table[name])}
    return Survey(
        sizes,
        tuple(name for name in TURN_FIELDS if name in fields),
        tuple(name for name in OPTIONAL if name in columns),
    )


def _is_filled(values: pa.Array | pa.ChunkedArray) -> bool:
    return bool(values.null_count < len(values))


def _bytes_of(messages: pa.ListArray) -> npt.NDArray[np.int64]:
    """Return [rows] the bytes of the texts of the messages."""
    turns = pc.list_flatten(messages)
    parents = pc.list_parent_indices(messages).to_numpy(zero_copy_only=False)
    total = np.zeros(len(messages), dtype=np.int64)
    for name in _TEXTS:
        lengths = pc.fill_null(pc.binary_length(pc.struct_field(turns, name)), 0)
        sums = np.bincount(parents, weights=lengths.to_numpy(), minlength=len(messages))
        total += sums.astype(np.int64)
    return total


def file_slices(sizes: npt.NDArray[np.int64]) -> Iterator[slice]:
    """Yield which rows of a split belong to each of its files, of which there is at least one.

    Args:
        sizes: [written] Bytes of its rows, in order. A row over :data:`BYTES_PER_FILE` is a file
            of its own.
    """
    ends = np.cumsum(sizes)
    start = 0
    while start < max(1, len(sizes)):
        before = ends[start - 1] if start else 0
        fit = int(np.searchsorted(ends, before + BYTES_PER_FILE, side="right"))
        stop = min(max(fit, start + 1), start + ROWS_PER_FILE)
        yield slice(start, stop)
        start = stop

"""What the rows to be exported hold: how large they are, and which columns of tools they have."""

import json
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts.corpus import Corpus
from siftline.contracts.parquet import read_table

TOOL_COLUMNS = ("tools", "tool_calls")

ROWS_PER_FILE = 100_000
BYTES_PER_FILE = 256 << 20  # of messages and metadata: a file is gathered in memory


class Survey(NamedTuple):
    """What one pass over the texts of a corpus has found.

    Attributes:
        sizes: [rows] Bytes of each row's messages and metadata.
        tool_columns: Those of :data:`TOOL_COLUMNS` that some row has.
    """

    sizes: npt.NDArray[np.int64]
    tool_columns: tuple[str, ...]


def survey(corpus: Corpus) -> Survey:
    """Look at every row once, shard by shard."""
    sizes = np.zeros(len(corpus), dtype=np.int64)
    found: set[str] = set()
    shards = corpus.rows["shard"].to_numpy()
    positions = corpus.rows["position"].to_numpy()
    for number, path in enumerate(corpus.shards):
        here = np.flatnonzero(shards == number)
        table = read_table(path, columns=["messages", "metadata"]).take(pa.array(positions[here]))
        metadata = table["metadata"].combine_chunks()
        sizes[here] = _bytes_of(table["messages"].combine_chunks(), metadata)
        found |= _tools_in(metadata, set(TOOL_COLUMNS) - found)
    return Survey(sizes, tuple(name for name in TOOL_COLUMNS if name in found))


def _bytes_of(messages: pa.ListArray, metadata: pa.StringArray) -> npt.NDArray[np.int64]:
    """Return [rows] the bytes of the messages' contents and of the metadata."""
    contents = pc.struct_field(pc.list_flatten(messages), "content")
    lengths = pc.binary_length(contents).to_numpy(zero_copy_only=False)
    parents = pc.list_parent_indices(messages).to_numpy(zero_copy_only=False)
    sums = np.bincount(parents, weights=lengths, minlength=len(messages)).astype(np.int64)
    total: npt.NDArray[np.int64] = sums + pc.binary_length(metadata).to_numpy(zero_copy_only=False)
    return total


def _tools_in(metadata: pa.StringArray, names: set[str]) -> set[str]:
    """Return which of some columns a row has, that is not empty."""
    found = set()
    for name in names:
        named = metadata.filter(pc.match_substring(metadata, f'"{name}"'))
        if any(json.loads(text.as_py()).get(name) for text in named):
            found.add(name)
    return found


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

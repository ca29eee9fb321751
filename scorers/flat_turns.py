"""The turns of many conversations as one table, for measurements that work on columns."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts.examples import TURN


def flat_turns(rows: pa.Table) -> pa.Table:
    """Return one row for each turn, in the order of rows and turns.

    Args:
        rows: Of the examples' schema; only `messages` is read.

    Returns:
        A table with the fields of :data:`siftline.contracts.examples.TURN`, and before them `row`
        (int64, number of the example in `rows`, from 0), `turn` (int64, number of the turn in its
        example, from 0) and `last` (bool, true for the last turn of an example).
    """
    messages = rows["messages"].combine_chunks()
    if isinstance(messages, pa.ChunkedArray):  # no chunk at all, or more than one array can hold
        messages = pa.concat_arrays(messages.chunks) if messages.num_chunks else messages
    turns = pc.list_flatten(messages)
    counts = pc.list_value_length(messages).to_numpy(zero_copy_only=False).astype(np.int64)
    row = np.repeat(np.arange(len(counts)), counts)
    ends = np.cumsum(counts)
    place = np.arange(len(row)) - np.repeat(ends - counts, counts)
    columns = {
        "row": pa.array(row),
        "turn": pa.array(place),
        "last": pa.array(place == np.repeat(counts, counts) - 1),
    }
    columns |= {field.name: pc.struct_field(turns, field.name) for field in TURN}
    return pa.table(columns)
